"""Write a trained model for another runtime, and prove that it is the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from numpy.typing import NDArray

from drivable.checkpoint import Checkpoint
from drivable.data.pictures import Pixels
from drivable.errors import CheckpointError, ConfigError
from drivable.export import onnx_file, openvino_file, program_file
from drivable.export.graph import ExportedGraph, Outputs, Upsampling
from drivable.export.parity import (
    LEAST_AGREEMENT,
    MOST_LOSS,
    MOST_OFF,
    LabelledPictures,
    agreement,
    medians_ms,
    most_off,
    strict3,
)
from drivable.export.quantization import Budget, Quantizable, is_transformer, quantize
from drivable.files import file_fingerprint, written_whole
from drivable.models.folding import fold_batch_norm
from drivable.segmenter import ExportedSegmenter, OpenVINOSegmenter, TorchSegmenter, load
from drivable.segmenter.description import ExportDescription
from drivable.segmenter.graph import SegmenterGraph, calibrated_graph

Target = Literal["onnx", "openvino", "torchscript", "torch-export"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
SUFFIXES: dict[Literal["checkpoint", Target], str] = {
    "checkpoint": ".safetensors",
    "onnx": ".onnx",
    "openvino": ".xml",
    "torchscript": ".torchscript",
    "torch-export": ".pt2",
}
PRECISIONS: dict[Target, tuple[str, ...]] = {
    "onnx": ("fp32", "fp16", "int8"),
    "openvino": ("fp32", "fp16", "bf16", "int8"),
    "torchscript": ("fp32",),
    "torch-export": ("fp32",),
}
# Rounding alone changes pixels at every border; what counts is the score.
_ROUNDED = ("bf16", "int8")

Save = Callable[[Path, ExportDescription], None]
# Converts, and says which layers stay in float although the rest does not.
Candidate = Callable[[], tuple[Save, list[str]]]


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

    @property
    def is_scored(self) -> bool:
        """Whether the check compares ``strict3``, and not pixels alone."""
        return self.precision in _ROUNDED or self.upsampling == "fast"


def export_model(
    checkpoint: Checkpoint, path: Path, settings: ExportSettings, pictures: LabelledPictures
) -> ExportDescription:
    """Export a model, unless what came out is another model.

    The exported file and torch segment the same pictures of several sizes. In float32, and with float16 weights, 99.9 %
    of the pixels of every size must get the same class. In bf16 and int8, and with fast upsampling, ``strict3`` may be
    one point lower; int8 must also be faster than float32 in the same runtime.

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
        # Hardly anything but the resizes of the others is left.
        rest="bf16" if is_transformer(checkpoint.spec.name) else "fp32",
    )
    reference = calibrated_graph(checkpoint, TorchSegmenter(checkpoint, "cpu").graph.model, settings.size)
    stride = reference.model.stride
    if settings.upsampling == "fast" and (settings.size is None or any(side % stride for side in settings.size)):
        raise ConfigError(f"fast upsampling needs a --size of multiples of {stride}, got {settings.size}")
    with torch.no_grad():
        candidates, save_float = _converted(_graph(checkpoint, settings), settings, pictures, checkpoint)
    with _files(path) as temporary:
        for candidate in candidates:
            save, kept_in_float = candidate()
            save(temporary, description)
            parity, faults = _checked(reference, temporary, settings, pictures, save_float)
            if kept_in_float:
                parity["kept in float"] = kept_in_float
            if not _loses_too_much(parity):
                break
        if faults and not settings.force:
            raise CheckpointError(f"{path}: not written, it is not the same model: {'; '.join(faults)}")
        description = replace(description, parity={**parity, "passed": not faults, "faults": faults})
        save(temporary, description)
    return description


def _graph(checkpoint: Checkpoint, settings: ExportSettings) -> ExportedGraph:
    """What is exported: without what the segmenter does for torch alone."""
    graph = calibrated_graph(checkpoint, fold_batch_norm(checkpoint.build()), settings.size)
    if settings.outputs == "ids":
        graph.fold_relative_to_first()
    return ExportedGraph(graph, settings.outputs, settings.upsampling).eval().requires_grad_(False)


def _refuse(path: Path, settings: ExportSettings) -> None:
    if settings.precision not in PRECISIONS[settings.target]:
        raise ConfigError(
            f"{settings.target} in {settings.precision}: not to be had; it has {', '.join(PRECISIONS[settings.target])}"
        )
    suffix = SUFFIXES[settings.target]
    if path.suffix != suffix:
        raise ConfigError(f"{path}: the name of a file for {settings.target} must end in {suffix}")
    for file in (path, path.with_suffix(".bin")) if settings.target == "openvino" else (path,):
        if file.is_dir():
            raise ConfigError(f"{file}: a folder, expected the name of a file to write")
    if settings.upsampling == "fast" and settings.outputs == "probabilities":
        raise ConfigError("fast upsampling enlarges ids; leave --outputs probabilities or --upsampling fast out")


def _converted(
    graph: ExportedGraph, settings: ExportSettings, pictures: LabelledPictures, checkpoint: Checkpoint
) -> tuple[Sequence[Candidate], Save | None]:
    """Ways to convert, to be tried one after the other until the score is kept, and for int8 how to write its float32
    twin."""
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
        budget = Budget(pictures.check, score, MOST_LOSS)
        graph = quantize(source, pictures.train, checkpoint.spec.name, budget)
        return partial(save, graph), sorted(layers - source.layers(graph))

    return [everything, with_sensitive_layers_in_float]


def _checked(
    reference: SegmenterGraph,
    file: Path,
    settings: ExportSettings,
    pictures: LabelledPictures,
    save_float: Save | None,
) -> tuple[dict[str, Any], list[str]]:
    """What was measured, and what is wrong."""
    exported = load(file, "cpu")
    assert isinstance(exported, ExportedSegmenter)
    # What other programs run of the file, where this one replaces a part of it.
    as_written = OpenVINOSegmenter(file, "cpu", as_written=True) if settings.target == "openvino" else exported
    shares = agreement(_in_torch(ExportedGraph(reference, "ids", settings.upsampling)), as_written, pictures)
    parity: dict[str, Any] = {"agreement": shares, "pictures": pictures.name}
    faults = []
    if settings.precision not in _ROUNDED:
        worst = min(shares, key=lambda size: shares[size])
        if shares[worst] < LEAST_AGREEMENT:
            faults.append(
                f"only {shares[worst]:.3%} of the pixels of pictures of {worst} keep their class, expected "
                f"{LEAST_AGREEMENT:.1%}"
            )
    if settings.outputs == "probabilities":
        probabilities = _in_torch(ExportedGraph(reference, "probabilities", "exact"))
        parity["probabilities off by"] = most_off(probabilities, as_written, pictures)
        limit = MOST_OFF[settings.precision in _ROUNDED]
        if parity["probabilities off by"] > limit:
            faults.append(f"probabilities are {parity['probabilities off by']:.4f} off on average, expected {limit}")
    if settings.is_scored:
        parity["strict3 in torch"] = strict3(_in_torch(reference), pictures.check, pictures.labels)
        parity["strict3"] = min(
            strict3(segmenter.segment, pictures.check, pictures.labels)
            for segmenter in dict.fromkeys((exported, as_written))
        )
        parity["strict3 lost"] = parity["strict3 in torch"] - parity["strict3"]
        if _loses_too_much(parity):
            faults.append(
                f"strict3 falls from {parity['strict3 in torch']:.4f} to {parity['strict3']:.4f} on "
                f"{len(pictures.check)} pictures ({pictures.name}), {MOST_LOSS} may be lost"
            )
    if save_float is not None:
        with TemporaryDirectory() as folder:
            twin = Path(folder) / f"float{SUFFIXES[settings.target]}"
            save_float(twin, replace(exported.description, precision="fp32"))
            fast, slow = medians_ms([exported, load(twin, "cpu")], pictures.check[0][0])
        parity["ms"], parity["ms in fp32"] = fast, slow
        if fast >= slow:
            faults.append(f"int8 is not faster than float32 in the same runtime: {fast:.1f} ms against {slow:.1f} ms")
    return parity, faults


def _in_torch(graph: torch.nn.Module) -> Callable[[Pixels], NDArray[Any]]:
    """A picture (H, W, 3) -> what a graph gives for it."""

    @torch.inference_mode()
    def run(image: Pixels) -> NDArray[Any]:
        answer: NDArray[Any] = graph(torch.from_numpy(image[None]))[0].numpy()
        return answer

    return run


def _loses_too_much(parity: dict[str, Any]) -> bool:
    return bool(parity.get("strict3 lost", 0) > MOST_LOSS)


@contextmanager
def _files(path: Path) -> Iterator[Path]:
    """A temporary name for the file; OpenVINO's second file goes with it, and is there before what refers to it."""
    if path.suffix != SUFFIXES["openvino"]:
        with written_whole(path) as temporary:
            yield temporary
        return
    with written_whole(path) as temporary, written_whole(path.with_suffix(".bin")):
        yield temporary
