"""From a checkpoint to a graph of another runtime, in one or several ways."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from drivable.checkpoint import Checkpoint
from drivable.export import onnx_file, openvino_file, program_file
from drivable.export.graph import ExportedGraph
from drivable.export.parity import MOST_LOSS, LabelledPictures, strict3
from drivable.export.quantization import Budget, Quantizable, quantize
from drivable.export.settings import ExportSettings
from drivable.models.folding import fold
from drivable.segmenter.description import ExportDescription
from drivable.segmenter.graph import calibrated_graph

_log = logging.getLogger(__name__)

Save = Callable[[Path, ExportDescription], None]
# Converts, and says which layers stay in float although the rest does not.
Candidate = Callable[[], tuple[Save, list[str]]]


@torch.no_grad()
def convert(
    checkpoint: Checkpoint, settings: ExportSettings, pictures: LabelledPictures
) -> tuple[Sequence[Candidate], Save | None]:
    """Prepare to write a model for another runtime.

    Args:
        checkpoint: what was trained.
        settings: how.
        pictures: to calibrate int8 and to choose its layers on.

    Returns:
        Ways to convert, to be tried one after the other until the score is kept, and for int8 how to write its float32
        twin.

    Raises:
        ConfigError: where the runtime is not installed.
    """
    graph = _graph(checkpoint, settings)
    if settings.target == "torchscript":
        traced = program_file.to_torchscript(graph)
        return _only(lambda path, about: program_file.save_torchscript(traced, path, about)), None
    if settings.target == "torch-export":
        program = program_file.to_program(graph)
        return _only(lambda path, about: program_file.save_program(program, path, about)), None
    model = onnx_file.to_onnx(graph)
    if settings.target == "onnx":
        if settings.precision == "int8":
            save_float = partial(onnx_file.save_onnx, model)
            source = onnx_file.quantizable(model)
            return _int8(source, _save_int8_onnx, pictures, checkpoint), save_float
        wanted = onnx_file.with_half_weights(model) if settings.precision == "fp16" else model
        return _only(partial(onnx_file.save_onnx, wanted)), None
    converted = openvino_file.to_openvino(model)
    if settings.precision == "int8":
        save_float = partial(openvino_file.save_openvino, converted, halve=False)
        source = openvino_file.quantizable(converted)
        return _int8(source, partial(openvino_file.save_openvino, halve=False), pictures, checkpoint), save_float
    halve = settings.precision in ("fp16", "bf16")
    return _only(partial(openvino_file.save_openvino, converted, halve=halve)), None


def _only(save: Save) -> Sequence[Candidate]:
    return [lambda: (save, [])]


def _save_int8_onnx(model: Any, path: Path, description: ExportDescription) -> None:
    onnx_file.save_onnx(onnx_file.with_unsigned_activations(model), path, description)


def _int8(
    source: Quantizable, save: Callable[..., None], pictures: LabelledPictures, checkpoint: Checkpoint
) -> Sequence[Candidate]:
    """Everything in int8; then, where that loses too much, the sensitive layers in float."""
    score = partial(strict3, labels=pictures.labels)
    layers: set[str] = set()

    def everything() -> tuple[Save, list[str]]:
        graph = quantize(source, pictures.train, checkpoint.spec.name)
        layers.update(source.layers(graph))
        return partial(save, graph), []

    def with_sensitive_layers_in_float() -> tuple[Save, list[str]]:
        _log.warning(
            "with all its layers in int8, %s loses more than %s of strict3; now finding those to leave in float, which "
            "takes minutes to an hour",
            checkpoint.spec.name,
            MOST_LOSS,
        )
        budget = Budget(pictures.check, score, MOST_LOSS)
        graph = quantize(source, pictures.train, checkpoint.spec.name, budget)
        return partial(save, graph), sorted(layers - source.layers(graph))

    return [everything, with_sensitive_layers_in_float]


def _graph(checkpoint: Checkpoint, settings: ExportSettings) -> ExportedGraph:
    """What is exported: without what the segmenter does for torch alone."""
    graph = calibrated_graph(checkpoint, fold(checkpoint.build()), settings.size)
    return ExportedGraph(graph, settings.outputs, settings.upsampling).eval().requires_grad_(False)
