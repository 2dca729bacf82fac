"""The segmenter that runs an OpenVINO file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError, one_line
from drivable.models.finite import refuse_not_finite
from drivable.optional import first_line, need, num_cores
from drivable.reading import check_limit, limit, open_regular, reading, require_regular
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.protocol import Image

# Each holds the weights once more.
_MOST_FIXED = 4
# As in pyproject.toml.
_OLDEST = 2026
# Layers of exports of all architectures and precisions, and their near relatives: arithmetic and shapes. None
# branches, repeats, keeps a state, draws random numbers, has to do with text, or holds a graph of its own.
_LAYERS = {
    "Abs", "AdaptiveAvgPool", "AdaptiveMaxPool", "Add", "AvgPool", "BatchNormInference", "BatchToSpace",
    "Broadcast", "Ceiling", "Clamp", "Concat", "Const", "Constant", "Convert", "ConvertLike", "Convolution",
    "ConvolutionBackpropData", "Cos", "CumSum", "DepthToSpace", "Divide", "Einsum", "Elu", "Equal", "Erf",
    "Exp", "FakeConvert", "FakeQuantize", "Floor", "FloorMod", "Gather", "GatherElements", "GatherND", "Gelu",
    "Greater", "GreaterEqual", "GridSample", "GroupConvolution", "GroupConvolutionBackpropData",
    "GroupNormalization", "HSigmoid", "HSwish", "HardSigmoid", "Interpolate", "IsFinite", "IsInf", "IsNaN",
    "LRN", "Less", "LessEqual", "Log", "LogSoftmax", "LogicalAnd", "LogicalNot", "LogicalOr", "LogicalXor",
    "MVN", "MatMul", "MaxPool", "Maximum", "Minimum", "Mish", "Mod", "Multiply", "Negative", "NormalizeL2",
    "NotEqual", "OneHot", "PReLU", "Pad", "Parameter", "Power", "RMS", "Range", "ReLU", "ReduceL1", "ReduceL2",
    "ReduceLogicalAnd", "ReduceLogicalOr", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "Relu", "Reshape", "Result", "Reverse", "Roll", "Round", "ScaledDotProductAttention",
    "ScatterElementsUpdate", "ScatterNDUpdate", "ScatterUpdate", "Select", "Selu", "ShapeOf", "ShuffleChannels",
    "Sigmoid", "Sign", "Sin", "Slice", "SoftMax", "SoftPlus", "SoftSign", "Softmax", "SpaceToBatch",
    "SpaceToDepth", "Split", "Sqrt", "SquaredDifference", "Squeeze", "StridedSlice", "Subtract", "Swish", "Tan",
    "Tanh", "Tile", "TopK", "Transpose", "Unsqueeze", "VariadicSplit",
}  # fmt: skip
# The sizes of what they make may stand in a few bytes.
_ENLARGING = frozenset({"Broadcast", "Tile", "Range", "OneHot"})

# Two threads that ask for the first core at once would make two.
_MAKING_CORE = Lock()

_Runner = Callable[[Image], NDArray[Any]]


class OpenVINOSegmenter(ExportedSegmenter):
    """Run an exported ``.xml`` file with the ``.bin`` beside it.

    float32 files compute in float32, bf16 files in bfloat16 on a CPU that has it, int8 files the rest in what they say.
    The first size of pictures, and each that comes twice in a row, gets a graph compiled for it, which is faster than
    the one with free sizes that all others share; its first picture waits for that, and the few last used are kept. Of
    several pictures of one size each gets a stream on a CPU, up to as many as there are threads.

    Args:
        path: of the ``.xml``.
        device: of OpenVINO, such as ``cpu`` or ``gpu``; ``auto`` takes the CPU.
        num_threads: of one picture; all cores where not given.

    Raises:
        CheckpointError: where the files are missing, damaged or not of this tool.
        ConfigError: where OpenVINO or the device is not to be had.

    Example:
        >>> OpenVINOSegmenter(Path("lite.xml")).segment(image).shape
        (720, 1280)
    """

    def __init__(self, path: Path, device: str = "auto", num_threads: int | None = None) -> None:
        core = openvino_core()
        for file in (path, path.with_suffix(".bin")):
            if not file.exists():
                raise CheckpointError(f"{file}: no such file; OpenVINO needs .xml and .bin side by side")
        with reading(path, CheckpointError, "OpenVINO cannot read it", "export it again"):
            require_regular(path.with_suffix(".bin"))
            check_graph_text(path)
            graph = _read(core, path)
            _require_bounded(graph)
            text = graph.get_rt_info(KEY).astype(str) if graph.has_rt_info(KEY) else None
            description = ExportDescription.from_json(text, path)
            _require_finite(graph, description, path)
        super().__init__(path, description)
        self._graph = graph
        about = self.description
        floats = about.rest if about.precision == "int8" else about.precision
        place = openvino_device(device)
        self._options = (floats == "bf16", place, num_threads or num_cores())
        self._fixed: OrderedDict[tuple[tuple[int, ...], int], _Runner] = OrderedDict()
        self._last_kind: tuple[tuple[int, ...], int] | None = None
        self._free: _Runner | None = None
        self._lock = Lock()

    @property
    def runtime(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return "openvino"

    @property
    def on_cpu(self) -> bool:
        """See :class:`ExportedSegmenter`."""
        return self._options[1] == "CPU"

    @property
    def device_name(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return self._options[1].lower()

    @property
    def files(self) -> Sequence[Path]:
        """See :class:`ExportedSegmenter`."""
        return [self.path, self.path.with_suffix(".bin")]

    def run(self, images: Image) -> NDArray[Any]:
        """See :meth:`ExportedSegmenter.run`."""
        num_streams = min(len(images), self._options[2]) if self.on_cpu else 1
        shape = images.shape if num_streams == 1 else (1, *images.shape[1:])
        # A request is one place for its input and output. One for each thread would not be faster: the threads of the
        # processor belong to the streams of the compiled graph, which run one request each.
        with self._lock:
            return self._runner(shape, num_streams)(np.ascontiguousarray(images))

    def _runner(self, shape: tuple[int, ...], num_streams: int) -> _Runner:
        kind = (shape, num_streams)
        comes_again, self._last_kind = self._last_kind in (None, kind), kind
        if kind not in self._fixed and comes_again:
            graph = self._graph.clone()
            graph.reshape(shape)
            compiled = compile_graph(graph, *self._options, num_streams)
            self._fixed[kind] = _in_one(compiled) if num_streams == 1 else _in_streams(compiled, num_streams)
            if len(self._fixed) > _MOST_FIXED:
                self._fixed.popitem(last=False)
        if kind in self._fixed:
            self._fixed.move_to_end(kind)
            return self._fixed[kind]
        if self._free is None:
            self._free = _in_one(compile_graph(self._graph, *self._options))
        return self._free


def check_graph_text(path: Path) -> None:
    """Refuse the text of a graph that OpenVINO's own parser would not survive, or that holds what no export has.

    Raises:
        ValueError: where it declares a document type or entities, a number that is none, or a layer that exports do not
            have: those with graphs of their own would hold constants that nobody looks at.
        DataError: where it is nested more deeply than ``DRIVABLE_MAX_DEPTH``.
        xml.parsers.expat.ExpatError: where it is not XML.
    """
    depth = 0
    parser = expat.ParserCreate()

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        check_limit("DRIVABLE_MAX_DEPTH", depth, "levels of nesting")
        if name == "layer":
            _require_plain(attributes.get("type", "no type"))
        for key, value in attributes.items() if name == "data" else ():
            if value.strip().lstrip("+-").lower() in ("nan", "inf", "infinity"):
                raise ValueError(
                    f"{one_line(key, 80)} is {one_line(value, 24)}, which tells nothing of what is drivable"
                )

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise ValueError("declares a document type, which no export of this tool does")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler = refuse
    with open_regular(path) as stream:
        parser.ParseFile(stream)


def _require_plain(kind: str) -> None:
    if kind not in _LAYERS:
        raise ValueError(f"layers {one_line(kind, 80)}, which no export of this tool has")


def _read(core: Any, path: Path) -> Any:
    try:
        return core.read_model(path)
    # Everything: told without where in OpenVINO's code it was.
    except Exception as fault:
        raise ValueError(first_line(fault)) from fault


def _require_bounded(graph: Any) -> None:
    """Refuse what is computed from constants alone, or only enlarged, to more values than four images may have.

    Raises:
        ValueError: there, and where the size of what is computed from constants alone cannot be told, or the layer is
            none that exports have.
    """
    most = 4 * limit("DRIVABLE_MAX_PIXELS")
    constant: set[str] = set()
    for node in graph.get_ordered_ops():
        kind = node.get_type_name()
        _require_plain(kind)
        sources = [value.get_node().get_name() for value in node.input_values()]
        is_constant = kind != "Parameter" and constant.issuperset(sources)
        constant.update([node.get_name()] if is_constant else [])
        if not is_constant and kind not in _ENLARGING:
            continue
        for size in (output.get_partial_shape() for output in node.outputs()):
            if is_constant and size.is_dynamic:
                raise ValueError(f"{kind} makes constants of unknown size, which no export of this tool has")
            sides = [] if size.rank.is_dynamic else [side.get_length() for side in size if side.is_static]
            if prod(sides) > most:
                raise ValueError(
                    f"{kind} makes more than the limit of {most} values; DRIVABLE_MAX_PIXELS raises it fourfold"
                )


def _require_finite(graph: Any, description: ExportDescription, path: Path) -> None:
    for node in graph.get_ops():
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        # Of what numpy has no type for, such as bfloat16, a copy.
        values = node.get_data(dtype=np.float32)
        if not np.isfinite(values).all():
            refuse_not_finite(node.get_friendly_name(), description.labels, str(path))


def _in_one(compiled: Any) -> _Runner:
    """All pictures in one pass."""
    request = compiled.create_infer_request()
    # Copied: its memory is used again by the next picture.
    return lambda images: np.array(request.infer([images], share_inputs=True, share_outputs=True)[0])


def _in_streams(compiled: Any, num_streams: int) -> _Runner:
    """A picture in each stream at once. Streams share no memory, which is what slows threads on distant cores."""
    queue = need("openvino", "running .xml files").AsyncInferQueue(compiled, num_streams)

    def run(images: Image) -> NDArray[Any]:
        answers: dict[int, NDArray[Any]] = {}
        queue.set_callback(lambda request, index: answers.update({index: np.array(request.get_output_tensor(0).data)}))
        try:
            for index in range(len(images)):
                queue.start_async([images[index : index + 1]], index, share_inputs=True)
        finally:
            # It reads the pictures until then.
            queue.wait_all()
        return np.concatenate([answers[index] for index in range(len(images))])

    return run


def openvino_core() -> Any:
    """The ``openvino.Core`` of this process.

    One for all: a core's CPU plugin gives its thread a stack for signals and takes the memory back when it is let go,
    even where a younger core will put that stack in place again. The next signal then ends the process.

    Raises:
        ConfigError: where OpenVINO is not installed, or one that gives wrong classes.
    """
    with _MAKING_CORE:
        return _make_core()


@cache
def _make_core() -> Any:
    return current_openvino().Core()


def current_openvino() -> ModuleType:
    """The library, of a release that gives right classes.

    Raises:
        ConfigError: where OpenVINO is not installed, does not load, or is one that gives wrong classes.
    """
    openvino = need("openvino", "running .xml files")
    # Of older ones the resize inside the graph gives NaN, and no error.
    if int(openvino.__version__.split(".")[0]) < _OLDEST:
        raise ConfigError(
            f"OpenVINO {openvino.__version__} gives wrong classes; pip install --upgrade 'openvino>={_OLDEST}.0'"
        )
    return openvino


def openvino_device(name: str) -> str:
    """OpenVINO's name of a device; ``auto`` is the CPU.

    Raises:
        ConfigError: where it is not to be had.
    """
    available = openvino_core().available_devices
    device = "CPU" if name == "auto" else name.upper()
    if device.split(".")[0] not in {known.split(".")[0] for known in available}:
        raise ConfigError(f"device '{name}': OpenVINO here has {', '.join(available).lower()}")
    return device


def compile_graph(graph: Any, in_bf16: bool, device: str, num_threads: int, num_streams: int = 1) -> Any:
    """An ``openvino.CompiledModel``, in bfloat16 where that is asked for and to be had; streams share the threads."""
    core = openvino_core()
    has_bf16 = device == "CPU" and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY" if num_streams == 1 else "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 and has_bf16 else "f32",
    }
    if device == "CPU":
        options["INFERENCE_NUM_THREADS"] = num_threads
        options["NUM_STREAMS"] = num_streams
    return core.compile_model(graph, device, options)
