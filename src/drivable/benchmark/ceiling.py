"""What this machine reaches where nothing holds it up: operations a second in large products and convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drivable.errors import ConfigError
from drivable.optional import need
from drivable.segmenter.devices import find_device
from drivable.segmenter.openvino import compile_graph

ON_GPU = " on the GPU"
# Side of the square matrices, and pictures of the convolution; a GPU is not filled by what fills a CPU.
_PRODUCT, _PRODUCT_ON_GPU = 1536, 8192
_NUM_PICTURES, _NUM_PICTURES_ON_GPU = 1, 64
# Channels in and out, and rows and columns, of a 3x3 convolution.
_CHANNELS, _SIDE = 256, 64
_NUM_LAYERS = 4


@dataclass(frozen=True)
class Ceiling:
    """The rates of one precision, 2 operations a multiply-accumulate, by medians as the models' times are.

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


@dataclass(frozen=True)
class Load:
    """Arithmetic and nothing else, of which a rate is measured.

    Args:
        run: does it once.
        macs: multiply-accumulates it takes.
    """

    run: Callable[[], Any]
    macs: int

    def gops(self, ms: float) -> float:
        """1e9 operations a second, where it takes so many milliseconds."""
        return 2e-6 * self.macs / ms


@dataclass(frozen=True)
class CeilingLoads:
    """What the :class:`Ceiling` of one precision is measured with."""

    product: Load
    convolution: Load


def ceiling_loads(limits: Iterable[str], num_threads: int) -> Mapping[str, CeilingLoads]:
    """What to time for each limit that is asked for: ``fp32`` and ``bf16``, in torch, ``int8``, in OpenVINO, and
    ``fp32 on the GPU`` and ``bf16 on the GPU``.

    What cannot be measured here is left out: int8 where OpenVINO is not installed, a GPU's where there is none. In
    torch as many threads compute as :func:`torch.set_num_threads` said last.

    Example:
        >>> load = ceiling_loads(["int8"], 2)["int8"].convolution
        >>> load.macs
        9663676416
    """
    loads = {}
    for limit in dict.fromkeys(limits):
        kind = _TORCH.get(limit.removesuffix(ON_GPU))
        if limit.endswith(ON_GPU):
            device = find_device("auto")
            if kind is not None and device.type != "cpu":
                loads[limit] = _in_torch(kind, device, _PRODUCT_ON_GPU, _NUM_PICTURES_ON_GPU)
        elif kind is not None:
            loads[limit] = _in_torch(kind, torch.device("cpu"), _PRODUCT, _NUM_PICTURES)
        elif limit == "int8":
            try:
                loads[limit] = _in_openvino(num_threads)
            except ConfigError:
                continue  # OpenVINO is not installed; the share stays unknown.
    return loads


_TORCH = {"fp32": torch.float32, "bf16": torch.bfloat16}


def _in_torch(kind: torch.dtype, device: torch.device, product: int, num_pictures: int) -> CeilingLoads:
    def some(*shape: int) -> Tensor:
        values = torch.rand(shape, device=device).to(kind)
        return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values

    def finished(result: Tensor) -> None:
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    matrix = some(product, product)
    image, weight = some(num_pictures, _CHANNELS, _SIDE, _SIDE), some(_CHANNELS, _CHANNELS, 3, 3)
    return CeilingLoads(
        Load(lambda: finished(matrix @ matrix), product**3),
        Load(lambda: finished(F.conv2d(image, weight, padding=1)), num_pictures * _convolution_macs()),
    )


def _in_openvino(num_threads: int) -> CeilingLoads:
    operators = need("openvino", "the int8 limit of this machine").opset13
    square = (_PRODUCT, _PRODUCT)
    image, kernel = (1, _CHANNELS, _SIDE, _SIDE), (_CHANNELS, _CHANNELS, 3, 3)
    return CeilingLoads(
        _int8_layers(lambda x, w: operators.matmul(x, w, False, True), square, square, _PRODUCT**3, num_threads),
        _int8_layers(
            lambda x, w: operators.convolution(x, w, [1, 1], [1, 1], [1, 1], [1, 1]),
            image, kernel, _convolution_macs(), num_threads,
        ),
    )  # fmt: skip


def _int8_layers(
    layer: Callable[[Any, Any], Any], size: tuple[int, ...], weights: tuple[int, ...], macs: int, num_threads: int
) -> Load:
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
    return Load(lambda: request.infer([values], share_inputs=True), _NUM_LAYERS * macs)


def _convolution_macs() -> int:
    return 9 * _CHANNELS**2 * _SIDE**2
