"""What this machine reaches at best: multiply-accumulates a second in large products and convolutions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from drivable.errors import ConfigError
from drivable.segmenter.openvino_segmenter import compile_graph
from drivable.segmenter.runtimes import need

_PRODUCT = 1536
# Channels in and out, and rows and columns, of a 3x3 convolution.
_CHANNELS, _SIDE = 256, 64
_NUM_LAYERS = 4
_ROUNDS = 7


@dataclass(frozen=True)
class Ceiling:
    """The best rate of one precision, 2 operations a multiply-accumulate.

    Args:
        product_gops: 1e9 operations a second in a product of square matrices.
        convolution_gops: in a convolution of 3x3 and 256 channels at 64x64.
    """

    product_gops: float
    convolution_gops: float

    @property
    def gops(self) -> float:
        """The larger of the two."""
        return max(self.product_gops, self.convolution_gops)


def measure_ceilings(precisions: Iterable[str], num_threads: int) -> dict[str, Ceiling]:
    """Measure each precision that is asked for: ``fp32``, ``bf16`` in torch, ``int8`` in OpenVINO, all on the CPU.

    Precisions that cannot be measured here are left out: int8 where OpenVINO is not installed.

    Example:
        >>> measure_ceilings(["fp32"], 2)["fp32"].gops > 1
        True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    ceilings = {}
    try:
        for precision in dict.fromkeys(precisions):
            if precision in _TORCH:
                ceilings[precision] = _in_torch(_TORCH[precision])
            elif precision == "int8":
                try:
                    ceilings[precision] = _in_openvino(num_threads)
                except ConfigError:
                    continue  # OpenVINO is not installed; the share stays unknown.
    finally:
        torch.set_num_threads(before)
    return ceilings


_TORCH = {"fp32": torch.float32, "bf16": torch.bfloat16}


@torch.inference_mode()
def _in_torch(kind: torch.dtype) -> Ceiling:
    matrix = torch.rand(_PRODUCT, _PRODUCT).to(kind)
    image = torch.rand(1, _CHANNELS, _SIDE, _SIDE).to(kind).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(_CHANNELS, _CHANNELS, 3, 3).to(kind).contiguous(memory_format=torch.channels_last)
    return Ceiling(
        _gops(lambda: matrix @ matrix, _PRODUCT**3),
        _gops(lambda: F.conv2d(image, weight, padding=1), _convolution_macs()),
    )


def _in_openvino(num_threads: int) -> Ceiling:
    operators = need("openvino", "the int8 limit of this machine").opset13
    square = (_PRODUCT, _PRODUCT)
    image, kernel = (1, _CHANNELS, _SIDE, _SIDE), (_CHANNELS, _CHANNELS, 3, 3)
    return Ceiling(
        _int8_gops(lambda x, w: operators.matmul(x, w, False, True), square, square, _PRODUCT**3, num_threads),
        _int8_gops(
            lambda x, w: operators.convolution(x, w, [1, 1], [1, 1], [1, 1], [1, 1]),
            image, kernel, _convolution_macs(), num_threads,
        ),
    )  # fmt: skip


def _int8_gops(
    layer: Callable[[Any, Any], Any], size: tuple[int, ...], weights: tuple[int, ...], macs: int, num_threads: int
) -> float:
    """Several in a row, so that the conversions before the first and after the last weigh little."""
    openvino = need("openvino", "the int8 limit of this machine")
    operators = openvino.opset13
    rng = np.random.default_rng(0)
    entry: Any = operators.parameter(size, np.float32)
    x = entry
    for _ in range(_NUM_LAYERS):
        x = operators.fake_quantize(x, *map(np.float32, (0, 6, 0, 6)), 256)
        weight = rng.uniform(-0.01, 0.01, weights).astype(np.float32)
        weight = operators.fake_quantize(weight, *map(np.float32, (-0.01, 0.01, -0.01, 0.01)), 255)
        x = operators.relu(layer(x, weight))
    graph = openvino.Model([x], [entry], "layers")
    request = compile_graph(graph, False, "CPU", num_threads).create_infer_request()
    values = rng.uniform(0, 6, size).astype(np.float32)
    return _gops(lambda: request.infer([values], share_inputs=True), _NUM_LAYERS * macs)


def _convolution_macs() -> int:
    return 9 * _CHANNELS**2 * _SIDE**2


def _gops(run: Callable[[], Any], macs: int) -> float:
    """From the fastest of several runs: it is a limit that is sought."""
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 2e-9 * macs / min(seconds)
