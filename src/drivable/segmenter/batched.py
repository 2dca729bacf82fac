"""Images of many sizes, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivable.errors import DataError
from drivable.segmenter.protocol import Image

Answer = TypeVar("Answer", bound=NDArray[Any])


def check_image(image: Image) -> None:
    """Refuse what is not RGB (H, W, 3) uint8.

    Raises:
        DataError: there.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise DataError(f"a picture must be RGB (H, W, 3) uint8, got {image.dtype} {image.shape}")


def segment_by_size(images: Sequence[Image], run: Callable[[Image], Answer]) -> list[Answer]:
    """Call ``run`` once for each size.

    Args:
        images: RGB (H, W, 3) uint8, of any sizes.
        run: (N, H, W, 3) -> (N, ...), such as ids (N, H, W).

    Returns:
        An answer for each image, in their order.

    Raises:
        DataError: where an array is not an image.
    """
    for image in images:
        check_image(image)
    answers: dict[int, Answer] = {}
    for size in dict.fromkeys(image.shape for image in images):
        indices = [index for index, image in enumerate(images) if image.shape == size]
        # One image is not copied.
        batch = images[indices[0]][None] if len(indices) == 1 else np.stack([images[index] for index in indices])
        answers.update(zip(indices, run(batch), strict=True))
    return [answers[index] for index in range(len(images))]
