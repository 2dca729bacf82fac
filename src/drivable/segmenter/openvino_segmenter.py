"""The segmenter that runs an OpenVINO file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.openvino_resize import resize_in_int8
from drivable.segmenter.protocol import Image
from drivable.segmenter.runtimes import first_line, need, num_cores

# Each holds the weights once more.
_MOST_FIXED = 4


class OpenVINOSegmenter(ExportedSegmenter):
    """Run an exported ``.xml`` file with the ``.bin`` beside it.

    float32 files compute in float32, bf16 files in bfloat16 on a CPU that has it, int8 files the rest in what they say.
    The first size of pictures, and each that comes twice in a row, gets a graph compiled for it, which is faster than
    the one with free sizes that all others share; its first picture waits for that, and the few last used are kept. Of
    int8 files, on a CPU, such a graph resizes pictures in int8 too.

    Args:
        path: of the ``.xml``.
        device: of OpenVINO, such as ``cpu`` or ``gpu``; ``auto`` takes the CPU.
        num_threads: of one picture; all cores where not given.
        as_written: whether the graph is run as other programs run the file, with nothing replaced.

    Raises:
        CheckpointError: where the files are missing, damaged or not of this tool.
        ConfigError: where OpenVINO or the device is not to be had.

    Example:
        >>> OpenVINOSegmenter(Path("lite.xml")).segment(image).shape
        (720, 1280)
    """

    def __init__(
        self, path: Path, device: str = "auto", num_threads: int | None = None, as_written: bool = False
    ) -> None:
        core = openvino_core()
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file():
                raise CheckpointError(f"{file}: no such file; OpenVINO needs .xml and .bin side by side")
        # Everything: its errors are bare RuntimeErrors.
        try:
            graph = core.read_model(path)
        except Exception as fault:
            raise CheckpointError(f"{path}: OpenVINO cannot read it: {first_line(fault)}") from fault
        text = graph.get_rt_info(KEY).astype(str) if graph.has_rt_info(KEY) else None
        super().__init__(path, ExportDescription.from_json(text, path))
        self._graph = graph
        about = self.description
        floats = about.rest if about.precision == "int8" else about.precision
        place = openvino_device(device)
        self._options = (floats == "bf16", place, num_threads)
        self._replaces_resize = (
            about.precision == "int8" and about.size is not None and place == "CPU" and not as_written
        )
        self._fixed: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._last_shape: tuple[int, ...] | None = None
        self._free: Any = None

    @property
    def runtime(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return "openvino"

    @property
    def on_cpu(self) -> bool:
        """See :class:`ExportedSegmenter`."""
        return self._options[1] == "CPU"

    @property
    def files(self) -> Sequence[Path]:
        """See :class:`ExportedSegmenter`."""
        return [self.path, self.path.with_suffix(".bin")]

    def run(self, images: Image) -> NDArray[Any]:
        """See :meth:`ExportedSegmenter.run`."""
        answer = self._request(images.shape).infer(
            [np.ascontiguousarray(images)], share_inputs=True, share_outputs=True
        )
        # Its memory is used again by the next picture.
        return np.array(answer[0])

    def _request(self, shape: tuple[int, ...]) -> Any:
        comes_again, self._last_shape = self._last_shape in (None, shape), shape
        if shape not in self._fixed and comes_again:
            graph = self._graph.clone()
            graph.reshape(shape)
            if self._replaces_resize:
                resize_in_int8(graph)
            self._fixed[shape] = compile_graph(graph, *self._options).create_infer_request()
            if len(self._fixed) > _MOST_FIXED:
                self._fixed.popitem(last=False)
        if shape in self._fixed:
            self._fixed.move_to_end(shape)
            return self._fixed[shape]
        if self._free is None:
            self._free = compile_graph(self._graph, *self._options).create_infer_request()
        return self._free


@cache
def openvino_core() -> Any:
    """The ``openvino.Core`` of this process.

    One for all: a core's CPU plugin gives its thread a stack for signals and takes the memory back when it is let go,
    even where a younger core will put that stack in place again. The next signal then ends the process.

    Raises:
        ConfigError: where OpenVINO is not installed.
    """
    return need("openvino", "running .xml files").Core()


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


def compile_graph(graph: Any, in_bf16: bool, device: str, num_threads: int | None) -> Any:
    """An ``openvino.CompiledModel`` for one picture at a time, in bfloat16 where that is asked for and to be had."""
    core = openvino_core()
    has_bf16 = device == "CPU" and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 and has_bf16 else "f32",
    }
    if device == "CPU":
        options["INFERENCE_NUM_THREADS"] = num_threads or num_cores()
    return core.compile_model(graph, device, options)
