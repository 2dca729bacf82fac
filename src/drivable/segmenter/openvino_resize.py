"""Resizing pictures in int8, in a graph that OpenVINO compiles for one size of pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivable.models.resizing import blocks, weights
from drivable.segmenter.description import PIXELS
from drivable.segmenter.runtimes import need

# Name of its convolution.
RESIZE = "resize"
# Of a group of neighbours; where widths have little in common groups are long, and most of their weights zeros.
_MOST_COLUMNS = 32
# Of new rows that share a window of old ones.
_MOST_ROWS = 16


def resize_in_int8(graph: Any) -> None:
    """Replace the float resize of an exported graph, where widths allow it; two thirds of the float one's time.

    Each group of old columns becomes a group of new ones by the same weights, so that columns are resized by a
    convolution over groups, with int8 weights from pixels to pixels. Its whole grey levels are what Pillow has between
    columns and rows too. Rows follow in float32, whole blocks at once.

    Args:
        graph: ``openvino.Model`` whose input has a fixed shape (N, H, W, 3); changed in place. One without the name of
            the resized pixels, or with widths that have no large common divisor, stays as it is.

    Example:
        >>> graph.reshape([1, 360, 640, 3])
        >>> resize_in_int8(graph)
    """
    outputs = (output for node in graph.get_ordered_ops() for output in node.outputs())
    resized = next((output for output in outputs if PIXELS in output.get_names()), None)
    if resized is None:
        return
    seen = _seen(graph)
    width, new_width = seen.shape[2], resized.shape[3]
    if new_width // math.gcd(width, new_width) > _MOST_COLUMNS:
        return
    operators = need("openvino", "running .xml files").opset13
    readers = list(resized.get_target_inputs())
    pixels, shares = _resize_columns(operators, seen, new_width)
    pixels = _resize_rows(operators, pixels, shares, resized.shape[2])
    planes = operators.transpose(pixels, [0, 3, 1, 2])
    for reader in readers:
        reader.replace_source_output(planes.output(0))
    graph.validate_nodes_and_infer_types()


def _seen(graph: Any) -> Any:
    """The pictures; below the cut, where the model leaves their top out."""
    readers = (reader.get_node() for reader in graph.input(0).get_target_inputs())
    cuts = (node.output(0) for node in readers if node.get_type_name() == "Gather")
    return next(cuts, graph.input(0))


def _resize_columns(operators: Any, images: Any, new_width: int) -> tuple[Any, NDArray[np.float32]]:
    """(N, H, W, 3) uint8 -> (N, H, new_width, 3) float32, whole grey levels, and what they are to be divided by.

    That is the share (new_width,) of each column's weights that lies within the picture: 1 but for those at its edges.
    Divided at once it would keep OpenVINO from writing grey levels as uint8.
    """
    num, height, width, channels = images.shape
    if width == new_width:
        return operators.convert(images, np.float32), np.ones(width, dtype=np.float32)
    num_groups = math.gcd(width, new_width)
    old, new = width // num_groups, new_width // num_groups
    steps, scale = _int8_weights(old, new)
    kernel = np.einsum("ngo,cd->ncodg", steps * scale[:, None, None], np.eye(channels))
    kernel = kernel.reshape(new * channels, old * channels, 1, 3).astype(np.float32)
    bound = np.repeat(127 * scale, channels).reshape(-1, 1, 1, 1).astype(np.float32)
    # The first group has no left neighbour and the last no right one.
    shares = np.ones((num_groups, new), dtype=np.float32)
    shares[0] -= steps[:, 0].sum(axis=1) * scale
    shares[-1] -= steps[:, 2].sum(axis=1) * scale

    groups = operators.reshape(images, [num, height, num_groups, old * channels], False)
    # Without a scale, even of 1, OpenVINO does not see that it could compute in int8.
    groups = operators.multiply(operators.convert(groups, np.float32), np.float32(1))
    groups = operators.transpose(groups, [0, 3, 1, 2])
    kernel = operators.fake_quantize(kernel, -bound, bound, -bound, bound, 255)
    groups = operators.convolution(groups, kernel, [1, 1], [0, 1], [0, 1], [1, 1], name=RESIZE)
    groups = operators.transpose(_in_levels(operators, groups), [0, 2, 3, 1])
    return operators.reshape(groups, [num, height, new_width, channels], False), shares.flatten()


def _int8_weights(old: int, new: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights of a group of old columns and both its neighbours, as whole numbers of steps up to 127.

    Returns:
        The weights (new, 3, old) and, for each new column, the step (new,) with which they sum to 1.
    """
    middle = _weights(3 * old, 3 * new)[new : 2 * new].astype(np.float64)
    steps = np.round(127 * middle / middle.max(axis=1, keepdims=True))
    return steps.reshape(new, 3, old), 1 / steps.sum(axis=1)


def _in_levels(operators: Any, pixels: Any) -> Any:
    lowest, highest = np.float32(0), np.float32(255)
    return operators.fake_quantize(pixels, lowest, highest, lowest, highest, 256)


def _resize_rows(operators: Any, pixels: Any, shares: NDArray[np.float32], new_height: int) -> Any:
    """(N, H, w, 3), to be divided by shares (w,) -> (N, new_height, w, 3) float32, whole grey levels."""
    num, height, width, channels = pixels.get_output_shape(0)
    if height == new_height:
        return operators.round(operators.multiply(pixels, 1 / shares[:, None]), "half_to_even")
    length = max(divisor for divisor in range(1, _MOST_ROWS + 1) if new_height % divisor == 0)
    places, by_block = blocks(height, new_height, length, True, torch.empty(0))

    lines = operators.reshape(pixels, [num, height, width * channels], False)
    taken = operators.gather(lines, places.flatten().numpy(), np.int64(1))
    taken = operators.reshape(taken, [num, *places.shape, width * channels], False)
    lines = operators.matmul(by_block.numpy(), taken, False, False)
    lines = operators.round(operators.multiply(lines, np.repeat(1 / shares, channels)), "half_to_even")
    return operators.reshape(lines, [num, new_height, width, channels], False)


def _weights(num_from: int, num_to: int) -> NDArray[np.float32]:
    matrix: NDArray[np.float32] = weights(num_from, num_to, True, torch.empty(0)).numpy()
    return matrix
