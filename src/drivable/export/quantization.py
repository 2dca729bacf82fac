"""int8 by post-training quantisation, for every runtime that NNCF writes for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivable.imaging.images import Pixels
from drivable.optional import need
from drivable.progress import progress
from drivable.segmenter import Image

_TRANSFORMERS = ("segformer",)

Segment = Callable[[Pixels], Pixels]
Pairs = Iterable[tuple[Pixels, Pixels]]


def is_transformer(architecture: str) -> bool:
    """Whether much of it is not convolution."""
    return architecture.startswith(_TRANSFORMERS)


@dataclass(frozen=True)
class Budget:
    """What int8 may lose, where it is to be kept by leaving sensitive layers in float.

    Args:
        pairs: pictures and label maps to score on.
        score: from a function that segments and pairs to 0..1.
        most_loss: how much lower the score may be than in float.
    """

    pairs: Sequence[tuple[Pixels, Pixels]]
    score: Callable[[Segment, Pairs], float]
    most_loss: float


@dataclass(frozen=True)
class Quantizable:
    """A float graph of one runtime.

    Args:
        graph: ``openvino.Model`` or ``onnx.ModelProto``.
        inputs: from a picture (H, W, 3) to what the graph takes.
        segment: from such a graph, as NNCF hands it over, to a function that segments.
        layers: from such a graph to the names of its layers whose weights are int8.
        outside: names of the nodes before and after the network, which stay in float.
        depthwise: names of its depthwise convolutions; a transformer's stay in float.
        per_channel: whether ranges of activations may differ by channel.
    """

    graph: Any
    inputs: Callable[[Image], Any]
    segment: Callable[[Any], Segment]
    layers: Callable[[Any], set[str]]
    outside: Sequence[str]
    depthwise: Sequence[str]
    per_channel: bool


def ids_of(answer: Any) -> Pixels:
    """What a graph puts out for one picture, ids (H, W) or probabilities (K, H, W), as ids."""
    values = np.asarray(answer)
    return values.astype(np.uint8) if values.ndim == 2 else values.argmax(axis=0).astype(np.uint8)


def quantize(source: Quantizable, pictures: Sequence[Image], architecture: str, budget: Budget | None = None) -> Any:
    """Quantise weights per channel and activations, both symmetric: zero points cost a tenth of the speed, for nothing.

    Args:
        source: what to quantise.
        pictures: to see the ranges of the activations on.
        architecture: name of the model; of transformers, products that suffer stay in float, and so do depthwise
            convolutions: little of the arithmetic, and in int8 they cost SegFormer-B3 most of 12 points.
        budget: where given, layers are ranked by what they lose, and the worst stay in float until it is kept
            (NNCF's quantisation with accuracy control): slow.

    Returns:
        A graph of the same kind.

    Raises:
        ConfigError: where NNCF is not installed.
    """
    nncf = need("nncf", "int8")
    nncf.set_log_level(logging.ERROR)
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters

    in_float = {*source.outside, *(source.depthwise if is_transformer(architecture) else [])}
    advanced = AdvancedQuantizationParameters(
        activations_quantization_params=None if source.per_channel else QuantizationParameters(per_channel=False)
    )
    options = {
        "subset_size": len(pictures),
        "model_type": nncf.ModelType.TRANSFORMER if is_transformer(architecture) else None,
        "preset": nncf.QuantizationPreset.PERFORMANCE,
        "ignored_scope": nncf.IgnoredScope(names=sorted(in_float), validate=False),
    }
    calibration = nncf.Dataset(pictures, source.inputs)
    if budget is None:
        return nncf.quantize(source.graph, calibration, advanced_parameters=advanced, **options)
    # How many there will be, NNCF does not say.
    with progress("graphs scored to find the sensitive layers", None) as advance:

        def score(graph: Any, pairs: Pairs) -> float:
            scored = budget.score(source.segment(graph), pairs)
            advance()
            return scored

        return nncf.quantize_with_accuracy_control(
            source.graph,
            calibration,
            nncf.Dataset(budget.pairs),
            validation_fn=score,
            max_drop=budget.most_loss,
            advanced_quantization_parameters=advanced,
            **options,
        )
