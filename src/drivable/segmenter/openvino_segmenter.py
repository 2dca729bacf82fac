"""The segmenter that runs an OpenVINO file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.protocol import Image
from drivable.segmenter.runtimes import need


class OpenVINOSegmenter(ExportedSegmenter):
    """Run an exported ``.xml`` file with the ``.bin`` beside it.

    float32 files compute in float32. bf16 and int8 files compute what is not int8 in bfloat16, on a CPU that has it.

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
        runtime = need("openvino", "running .xml files")
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file():
                raise CheckpointError(f"{file}: no such file; OpenVINO needs .xml and .bin side by side")
        core = runtime.Core()
        # Everything: its errors are bare RuntimeErrors.
        try:
            graph = core.read_model(path)
        except Exception as fault:
            raise CheckpointError(f"{path}: OpenVINO cannot read it: {_first_line(fault)}") from fault
        text = graph.get_rt_info(KEY).astype(str) if graph.has_rt_info(KEY) else None
        super().__init__(path, ExportDescription.from_json(text, path))
        self._request = compile_graph(graph, self.description.precision, device, num_threads).create_infer_request()

    def run(self, images: Image) -> NDArray[Any]:
        """See :meth:`ExportedSegmenter.run`."""
        answer = self._request.infer([np.ascontiguousarray(images)], share_inputs=True)
        # Its memory is used again by the next picture.
        return np.array(answer[0])


def compile_graph(graph: Any, precision: str, device: str = "auto", num_threads: int | None = None) -> Any:
    """An ``openvino.CompiledModel`` for one picture at a time.

    Raises:
        ConfigError: where the device is not to be had.
    """
    runtime = need("openvino", "running .xml files")
    core = runtime.Core()
    device = "CPU" if device == "auto" else device.upper()
    if device.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
        raise ConfigError(f"device '{device.lower()}': OpenVINO here has {', '.join(core.available_devices).lower()}")
    low = "bf16" if device == "CPU" and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32" if precision in ("fp32", "fp16") else low,
    }
    if device == "CPU":
        options["INFERENCE_NUM_THREADS"] = num_threads or os.cpu_count() or 1
    return core.compile_model(graph, device, options)


def _first_line(fault: Exception) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return lines[-1] if lines else type(fault).__name__
