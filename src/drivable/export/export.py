"""Write a trained model for another runtime, and prove that it is the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from drivable.checkpoint import Checkpoint
from drivable.errors import CheckpointError, ConfigError
from drivable.export import onnx_file, openvino_file, program_file
from drivable.export.graph import ExportedGraph, Outputs, Upsampling
from drivable.export.parity import (
    LEAST_AGREEMENT,
    MOST_LOSS,
    LabelledPictures,
    agreement,
    medians_ms,
    strict3,
    strict3_of,
)
from drivable.files import file_fingerprint, written_whole
from drivable.models.folding import fold_batch_norm
from drivable.segmenter import Segmenter, TorchSegmenter, load
from drivable.segmenter.description import ExportDescription
from drivable.segmenter.graph import SegmenterGraph

Target = Literal["onnx", "openvino", "torchscript", "torch-export"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
SUFFIXES: dict[str, str] = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "torchscript": ".torchscript",
    "torch-export": ".pt2",
}
PRECISIONS: dict[str, tuple[str, ...]] = {
    "onnx": ("fp32", "fp16", "int8"),
    "openvino": ("fp32", "fp16", "bf16", "int8"),
    "torchscript": ("fp32",),
    "torch-export": ("fp32",),
}
# Rounding alone changes pixels at every border; what counts is the score.
_SCORED = ("bf16", "int8")

Save = Callable[[Path, ExportDescription], None]


@dataclass(frozen=True)
class ExportSettings:
    """How to export.

    Args:
        target: runtime.
        precision: of the weights (``fp16``), of the arithmetic (``bf16``), or of both (``fp32``, ``int8``).
        size: (height, width) the network works at; ``None`` works at each picture's own.
        outputs: ``ids`` or ``probabilities``.
        upsampling: see :class:`~drivable.export.graph.ExportedGraph`.
        force: write it even if it is not the same model, with the failure recorded inside.
    """

    target: Target
    precision: Precision
    size: tuple[int, int] | None
    outputs: Outputs = "ids"
    upsampling: Upsampling = "exact"
    force: bool = False


def export_model(
    checkpoint: Checkpoint, path: Path, settings: ExportSettings, pictures: LabelledPictures
) -> ExportDescription:
    """Export a model, unless what came out is another model.

    The exported file and torch segment the same pictures of several sizes. In float32, and with float16 weights, 99.9 %
    of the pixels of every size must get the same class. In bf16 and int8 ``strict3`` may be one point lower; int8 must
    also be faster than float32 in the same runtime.

    Args:
        checkpoint: what was trained.
        path: of the file to write.
        settings: how.
        pictures: to calibrate and to check on.

    Returns:
        What the file says of itself, the check included.

    Raises:
        ConfigError: where the runtime is not installed, or the target has no such precision or suffix.
        CheckpointError: where the check fails; nothing is written then.
        OutputError: where the place is not writable or the disk is full.

    Example:
        >>> export_model(checkpoint, Path("lite.onnx"), ExportSettings("onnx", "fp32", (288, 512)), rendered_pictures())
    """
    _refuse(path, settings)
    description = ExportDescription(
        labels=checkpoint.labels,
        model=checkpoint.spec.model_dump(mode="json"),
        checkpoint=file_fingerprint(Path(checkpoint.where)) if Path(checkpoint.where).is_file() else "not a file",
        precision=settings.precision,
        size=settings.size,
        outputs=settings.outputs,
        upsampling=settings.upsampling,
        splits=None if checkpoint.recipe is None else checkpoint.recipe.data.splits,
        calibration=checkpoint.calibration,
    )
    reference = _Reference(checkpoint, settings)
    with torch.no_grad():
        save, save_float = _converted(reference.exported, description, settings, pictures, checkpoint)
    with _files(path) as temporary:
        save(temporary, description)
        parity, faults = _checked(reference, load(temporary, "cpu"), settings, pictures, save_float, path)
        if faults and not settings.force:
            raise CheckpointError(f"{path}: not written, it is not the same model: {'; '.join(faults)}")
        description = replace(description, parity={**parity, "passed": not faults, "faults": faults})
        save(temporary, description)
    return description


class _Reference(TorchSegmenter):
    """The model in torch, by the very graph that is exported."""

    def __init__(self, checkpoint: Checkpoint, settings: ExportSettings) -> None:
        super().__init__(checkpoint, "cpu")
        # Batch normalisation only: other runtimes pad one side as they are told.
        model = fold_batch_norm(checkpoint.build())
        graph = SegmenterGraph(model, settings.size, self.graph.temperature)
        stride = model.stride
        if settings.upsampling == "fast" and (settings.size is None or any(side % stride for side in settings.size)):
            raise ConfigError(f"fast upsampling needs a --size of multiples of {stride}, got {settings.size}")
        graph.rounds = False
        self.exported = ExportedGraph(graph, settings.outputs, settings.upsampling).eval().requires_grad_(False)
        self.exact = graph
        self.graph = _Ids(self.exported, settings.outputs)  # type: ignore[assignment]


class _Ids(torch.nn.Module):
    def __init__(self, exported: ExportedGraph, outputs: Outputs) -> None:
        super().__init__()
        self.exported = exported
        self.outputs = outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.exported(images)
        return answer.argmax(dim=1).to(torch.uint8) if self.outputs == "probabilities" else answer


def _refuse(path: Path, settings: ExportSettings) -> None:
    if settings.precision not in PRECISIONS[settings.target]:
        raise ConfigError(
            f"{settings.target} in {settings.precision}: not to be had; it has {', '.join(PRECISIONS[settings.target])}"
        )
    suffix = SUFFIXES[settings.target]
    if path.suffix != suffix:
        raise ConfigError(f"{path}: the name of a file for {settings.target} must end in {suffix}")


def _converted(
    graph: ExportedGraph,
    description: ExportDescription,
    settings: ExportSettings,
    pictures: LabelledPictures,
    checkpoint: Checkpoint,
) -> tuple[Save, Save | None]:
    """How to write the file, and for int8 how to write its float32 twin."""
    if settings.target == "torchscript":
        traced = program_file.to_torchscript(graph)
        return lambda path, about: program_file.save_torchscript(traced, path, about), None
    if settings.target == "torch-export":
        program = program_file.to_program(graph)
        return lambda path, about: program_file.save_program(program, path, about), None
    model = onnx_file.to_onnx(graph)
    if settings.target == "onnx":

        def save_float(path: Path, about: ExportDescription) -> None:
            onnx_file.save_onnx(model, path, about)

        if settings.precision == "fp32":
            return save_float, None
        if settings.precision == "fp16":
            half = onnx_file.with_half_weights(model)
            return lambda path, about: onnx_file.save_onnx(half, path, about), None
        int8 = onnx_file.quantized(model, pictures.train)
        return lambda path, about: onnx_file.save_onnx(int8, path, about), save_float

    converted = openvino_file.to_openvino(model)
    halve = settings.precision in ("fp16", "bf16")
    if settings.precision != "int8":
        return lambda path, about: openvino_file.save_openvino(converted, path, about, halve), None
    small = openvino_file.quantized(converted, pictures.train, checkpoint.spec.name)
    return (
        lambda path, about: openvino_file.save_openvino(small, path, about, False),
        lambda path, about: openvino_file.save_openvino(converted, path, about, False),
    )


def _checked(
    reference: _Reference,
    exported: Segmenter,
    settings: ExportSettings,
    pictures: LabelledPictures,
    save_float: Save | None,
    path: Path,
) -> tuple[dict[str, Any], list[str]]:
    """What was measured, and what is wrong."""
    shares = agreement(reference, exported, pictures)
    parity: dict[str, Any] = {"agreement": shares, "pictures": pictures.name}
    faults = []
    if settings.precision not in _SCORED:
        worst = min(shares, key=lambda size: shares[size])
        if shares[worst] < LEAST_AGREEMENT:
            faults.append(
                f"only {shares[worst]:.3%} of the pixels of pictures of {worst} keep their class, expected "
                f"{LEAST_AGREEMENT:.1%}"
            )
    if settings.precision in _SCORED or settings.upsampling == "fast":
        parity["strict3 in torch"] = before = strict3(reference, pictures)
        parity["strict3"] = after = strict3(exported, pictures)
        if before - after > MOST_LOSS:
            faults.append(
                f"strict3 falls from {before:.4f} to {after:.4f} on {len(pictures.check)} pictures ({pictures.name}), "
                f"{MOST_LOSS} may be lost"
            )
    if settings.upsampling == "fast":
        with torch.inference_mode():
            parity["strict3 with exact upsampling"] = strict3_of(
                lambda image: reference.exact(torch.from_numpy(image[None]))[0].numpy(), pictures
            )
    if save_float is not None:
        with TemporaryDirectory() as folder:
            twin = Path(folder) / path.name
            save_float(twin, replace(exported.description, precision="fp32"))  # type: ignore[attr-defined]
            fast, slow = medians_ms([exported, load(twin, "cpu")], pictures.check[0][0])
        parity["ms"], parity["ms in fp32"] = fast, slow
        if fast >= slow:
            faults.append(f"int8 is not faster than float32 in the same runtime: {fast:.1f} ms against {slow:.1f} ms")
    return parity, faults


@contextmanager
def _files(path: Path) -> Iterator[Path]:
    """A temporary name for the file; OpenVINO's second file goes with it."""
    if path.suffix != SUFFIXES["openvino"]:
        with written_whole(path) as temporary:
            yield temporary
        return
    with written_whole(path.with_suffix(".bin")), written_whole(path) as temporary:
        yield temporary
