"""What is timed: trained models, exported files, architectures with random weights, files of other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from drivable.benchmark.ceiling import ON_GPU
from drivable.checkpoint import Checkpoint, Preprocessing, find_checkpoint
from drivable.config.models import ModelSpec
from drivable.errors import CheckpointError
from drivable.files import inside
from drivable.imaging.images import Pixels, resize_image
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.models import MODELS, build_model, default_spec
from drivable.models.cost import model_cost
from drivable.models.folding import fold
from drivable.optional import first_line, need
from drivable.reading import reading, require_regular
from drivable.segmenter import (
    ExportedSegmenter,
    Segmenter,
    TorchPrecision,
    TorchSegmenter,
    load,
)
from drivable.segmenter.onnx import open_session

Size = tuple[int, int]
# Of an input whose height and width are free, in a file of another tool.
_FREE_SIZE = (384, 640)


@dataclass(frozen=True)
class Contender:
    """One model in one runtime.

    Args:
        name: as the user named it.
        runtime: what runs it.
        precision: of its arithmetic or weights.
        segment_batch: pictures of one size -> something for each.
        size_mib: of its weights or files.
        gmacs: multiply-accumulates of one picture as it is run, in 1e9; ``None`` where they are not known.
        on_cpu: where it computes.
        segmenter: where its answers can be scored.
        is_foreign: whether another tool wrote it.
        torch_precision: what torch was told to compute in, where it runs the model.
    """

    name: str
    runtime: str
    precision: str
    segment_batch: Callable[[Sequence[Pixels]], Any]
    size_mib: float
    gmacs: float | None
    on_cpu: bool
    segmenter: Segmenter | None = None
    is_foreign: bool = False
    torch_precision: TorchPrecision | None = None

    @property
    def arithmetic(self) -> str:
        """What it computes in: weights in float16 are widened."""
        return "fp32" if self.precision == "fp16" else self.precision

    @property
    def limit(self) -> str:
        """The name of the limit that bounds it: a precision, and where it is computed if that is not the CPU."""
        return self.arithmetic if self.on_cpu else f"{self.arithmetic}{ON_GPU}"


def untrained(architecture: str | ModelSpec, size: Size) -> Checkpoint:
    """An architecture, by name or specification, with random weights, working at a size; time does not depend on them.

    Raises:
        ConfigError: where there is no such architecture.

    Example:
        >>> untrained("segformer_b3", (360, 640)).spec.name
        'segformer_b3'
    """
    spec = default_spec(architecture) if isinstance(architecture, str) else architecture
    weights = build_model(spec, BDD100K_DRIVABLE.num_classes).state_dict()
    return Checkpoint(weights, spec, BDD100K_DRIVABLE, Preprocessing(size, spec.published_normalization))


def open_contender(
    name: str,
    size: Size,
    device: str = "auto",
    num_threads: int | None = None,
    precision: TorchPrecision | None = None,
) -> Contender:
    """A run folder, a checkpoint or exported file, a shipped model's or an architecture's name.

    Args:
        name: which.
        size: (height, width) an architecture works at; trained models know their own.
        device: see :func:`~drivable.segmenter.load`.
        num_threads: of one picture, in runtimes that take it for each model.
        precision: of what torch runs, ``fp32`` where not given.

    Raises:
        CheckpointError: where there is no such model or its file is damaged.
        ConfigError: where the runtime or the device is not to be had.
    """
    if name in MODELS and not Path(name).exists():
        segmenter: Segmenter = TorchSegmenter(untrained(name, size), device, precision or "fp32")
    else:
        try:
            segmenter = load(name, device, num_threads, precision)
        except CheckpointError as fault:
            if Path(name).exists():
                raise
            raise CheckpointError(f"{fault}; architectures: {', '.join(MODELS)}") from fault
    if isinstance(segmenter, ExportedSegmenter):
        about = segmenter.description
        spec: ModelSpec = TypeAdapter(ModelSpec).validate_python(about.model)
        gmacs = _gmacs_as_run(spec, about.labels, about.size or size)
        mib = sum(file.stat().st_size for file in segmenter.files) / 2**20
        return Contender(
            name,
            segmenter.runtime,
            about.precision,
            segmenter.segment_batch,
            mib,
            gmacs,
            segmenter.on_cpu,
            segmenter,
        )
    assert isinstance(segmenter, TorchSegmenter)
    checkpoint = segmenter.checkpoint
    is_file = name not in MODELS or Path(name).exists()
    mib = find_checkpoint(name).stat().st_size / 2**20 if is_file else model_cost(checkpoint.spec).weights_mib
    return Contender(
        name,
        "torch",
        segmenter.precision,
        segmenter.segment_batch,
        mib,
        _gmacs_as_run(checkpoint.spec, checkpoint.labels, checkpoint.preprocessing.size),
        on_cpu=segmenter.device.type == "cpu",
        segmenter=segmenter if is_file else None,
        torch_precision=segmenter.precision,
    )


def _gmacs_as_run(spec: ModelSpec, labels: LabelSet, size: Size) -> float:
    """Of the folded network, which may be less than its architecture's."""
    with torch.device("meta"):
        model = fold(build_model(spec, labels.num_classes).eval())
    return model_cost(model, size).gmacs


def foreign(path: Path, num_threads: int | None = None) -> Contender:
    """An ONNX file of another tool, one picture at a time.

    What its answers mean is not known, so they are left as they are. Pictures are resized to its input, and divided by
    255 where it takes floats; channels stand where the input has three.

    Raises:
        CheckpointError: where it cannot be read or run, keeps weights outside its folder, or does not take one picture
            of three channels.
        ConfigError: where ONNX Runtime or onnx is not installed.
    """
    _refuse_data_of_others(path)
    session = open_session(path, "cpu", num_threads)
    entries = session.get_inputs()
    shape, kind = (list(entries[0].shape), entries[0].type) if len(entries) == 1 else ([], "")
    if len(shape) != 4 or 3 not in (shape[1], shape[3]) or kind not in _KINDS:
        told = ", ".join(f"{entry.type} {entry.shape}" for entry in entries) or "none"
        raise CheckpointError(
            f"{path}: its inputs are {told}, expected one of uint8 or float pictures of three channels"
        )
    if isinstance(shape[0], int) and shape[0] != 1:
        raise CheckpointError(f"{path}: takes {shape[0]} pictures at once, expected one or any number")
    planar = shape[1] == 3
    height, width = (
        side if isinstance(side, int) else free
        for side, free in zip(shape[2:] if planar else shape[1:3], _FREE_SIZE, strict=True)
    )

    def run(images: Sequence[Pixels]) -> Any:
        answers = []
        for image in images:
            resized = resize_image(image, (height, width))
            if kind != "tensor(uint8)":
                resized = (resized * np.float32(1 / 255)).astype(_KINDS[kind])
            pixels = np.ascontiguousarray(resized.transpose(2, 0, 1) if planar else resized)
            try:
                answers.append(session.run(None, {entries[0].name: pixels[None]})[0])
            # Everything: its errors have no parent of their own.
            except Exception as fault:
                raise CheckpointError(f"{path}: cannot take one picture: {first_line(fault)}") from fault
        return answers

    precision = {"tensor(float16)": "fp16", "tensor(uint8)": "as written"}.get(kind, "fp32")
    mib = path.stat().st_size / 2**20
    return Contender(str(path), "onnxruntime", precision, run, mib, None, on_cpu=True, is_foreign=True)


def _refuse_data_of_others(path: Path) -> None:
    """Refuse a file that names files outside its own folder as its weights, before a runtime reads them."""
    onnx = need("onnx", "timing ONNX files of other tools")
    with reading(path, CheckpointError, "not readable as ONNX"):
        require_regular(path)
        model = onnx.load(path, load_external_data=False)
        for tensor in _tensors(model.graph):
            for entry in tensor.external_data:
                if entry.key == "location":
                    require_regular(inside(path.parent, entry.value))


def _tensors(graph: Any) -> Iterator[Any]:
    """All that hold weights, those of graphs within the graph too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for within in (attribute.g, *attribute.graphs):
                yield from _tensors(within)


_KINDS: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
