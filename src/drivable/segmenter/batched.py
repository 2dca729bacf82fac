"""Pictures of many sizes, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from drivable.errors import DataError
from drivable.segmenter.protocol import Image, LabelMap


def check_image(image: Image) -> None:
    """Refuse what is not RGB (H, W, 3) uint8.

    Raises:
        DataError: there.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise DataError(f"a picture must be RGB (H, W, 3) uint8, got {image.dtype} {image.shape}")


def segment_by_size(images: Sequence[Image], ids_of: Callable[[Image], NDArray[np.uint8]]) -> list[LabelMap]:
    """Call ``ids_of``, (N, H, W, 3) -> (N, H, W), once for each size; answers in the order of the pictures.

    Raises:
        DataError: where an array is not a picture.
    """
    for image in images:
        check_image(image)
    label_maps: dict[int, LabelMap] = {}
    for size in dict.fromkeys(image.shape for image in images):
        places = [index for index, image in enumerate(images) if image.shape == size]
        # One picture is not copied.
        batch = images[places[0]][None] if len(places) == 1 else np.stack([images[index] for index in places])
        label_maps.update(zip(places, ids_of(batch), strict=True))
    return [label_maps[index] for index in range(len(images))]
