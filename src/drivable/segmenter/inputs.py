"""Whatever a caller has as an image, as RGB (H, W, 3) uint8."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from drivable.errors import DataError, one_line
from drivable.imaging.images import read_image, rgb_of_pillow
from drivable.reading import Readable

if TYPE_CHECKING:
    import torch

ImageLike: TypeAlias = "str | os.PathLike[str] | NDArray[Any] | Pillow.Image | torch.Tensor"

# A pathlib.Path keeps one of the two slashes.
_ADDRESS = re.compile(r"https?:/", re.IGNORECASE)


def take_image(image: ImageLike, name: str = "image") -> tuple[NDArray[np.uint8], str | None]:
    """Read or convert an image.

    Args:
        image: a path, a NumPy array (H, W, 3), a PIL image, or a torch tensor (3, H, W) or (H, W, 3). Arrays and
            tensors hold RGB: uint8, or floating point in 0..1, which is rounded to 0..255. A PIL image of any mode
            becomes RGB and is turned upright as its EXIF orientation says, as an image file is.
        name: what messages call it, where it has no path.

    Returns:
        RGB (H, W, 3) uint8, and the path that it came from, ``None`` where that is not known.

    Raises:
        DataError: where it is none of these; where a file is missing or broken.

    Example:
        >>> take_image(np.zeros((90, 160, 3)))[0].dtype
        dtype('uint8')
    """
    if isinstance(image, str | os.PathLike):
        return _read(image), str(image)
    if isinstance(image, Pillow.Image):
        path = getattr(image, "filename", None)
        return rgb_of_pillow(image, name), os.fsdecode(path) if path else None
    if isinstance(image, np.ndarray):
        return _rgb_of_array(image, name), None
    if is_tensor(image):
        return _rgb_of_array(_array_of_tensor(image, name), name), None
    raise DataError(
        f"{name}: expected a path, a NumPy array, a PIL image or a torch tensor, got {type(image).__name__}"
    )


def is_tensor(value: object) -> bool:
    """Whether it is a torch tensor; does not import torch.

    Example:
        >>> is_tensor(np.zeros(3))
        False
    """
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(value).__mro__)


def _read(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    text = str(path)
    if _ADDRESS.match(text) or (isinstance(path, str) and "://" in text):
        raise DataError(f"{one_line(text)}: an address, not a file; download the image and pass its path")
    if isinstance(path, str) and ("\0" in text or not text):
        raise DataError(f"'{one_line(text)}': not the path of an image")
    # A remote path of fsspec opens itself and need not be a pathlib.Path.
    return read_image(path if isinstance(path, Readable) else Path(path))


def _array_of_tensor(tensor: Any, name: str) -> NDArray[Any]:
    """(H, W, 3), of a tensor on any device."""
    shape = tuple(tensor.shape)
    if len(shape) == 3 and shape[0] == shape[2] == 3:
        raise DataError(
            f"{name}: a tensor of shape {shape} may have its channels first or last; pass a NumPy array (H, W, 3)"
        )
    try:
        # NumPy has no bfloat16.
        values = (tensor.detach().float() if tensor.is_floating_point() else tensor.detach()).cpu()
        array = np.asarray((values.permute(1, 2, 0) if len(shape) == 3 and shape[0] == 3 else values).numpy())
    # Everything: sparse, quantised and meta tensors each fail in a way of their own.
    except Exception as fault:
        raise DataError(f"{name}: a tensor that cannot become an array: {one_line(fault)}") from fault
    return array


def _rgb_of_array(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    got = f"{name}: expected RGB (H, W, 3), got {array.dtype} {array.shape}"
    if array.ndim != 3 or array.shape[2] != 3:
        raise DataError(f"{got}; {_remedy(array.shape)}")
    if 0 in array.shape:
        raise DataError(f"{got}, which has no pixels")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{got}; values must be uint8, or floating point in 0..1")
    least, most = float(array.min()), float(array.max())
    # NaN is in no range.
    if not (least >= 0 and most <= 1):
        raise DataError(f"{got} of {least:g} to {most:g}; floating point must be in 0..1, not normalised further")
    rounded: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return rounded


def _remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "repeat gray in three channels: numpy.stack([gray] * 3, axis=2)"
    if len(shape) == 4:
        return "pass several images to segmenter.batch"
    if len(shape) == 3 and shape[2] == 4:
        return "leave out the fourth channel: image[..., :3]"
    if len(shape) == 3 and shape[2] == 1:
        return "repeat gray in three channels: image.repeat(3, axis=2)"
    if len(shape) == 3 and shape[0] == 3:
        return "put the channels last: image.transpose(1, 2, 0)"
    return "pass rows, columns and three channels"
