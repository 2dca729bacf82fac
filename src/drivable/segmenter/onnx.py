"""The segmenter that runs an ONNX file in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError
from drivable.optional import first_line, need, num_cores
from drivable.reading import reading
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.onnx_check import checked_onnx, require_finite_onnx
from drivable.segmenter.protocol import Image

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class OnnxSegmenter(ExportedSegmenter):
    """Run an exported ``.onnx`` file.

    Args:
        path: of the file.
        device: ``cpu``, ``cuda`` or ``tensorrt``; ``auto`` takes CUDA where ONNX Runtime has it.
        num_threads: of one picture; all cores where not given.

    Raises:
        CheckpointError: where the file is missing, damaged or not of this tool.
        ConfigError: where ONNX Runtime or the device is not to be had.

    Example:
        >>> OnnxSegmenter(Path("lite.onnx")).segment(image).shape
        (720, 1280)
    """

    def __init__(self, path: Path, device: str = "auto", num_threads: int | None = None) -> None:
        need("onnxruntime", "running .onnx files")
        if not path.exists():
            raise CheckpointError(f"{path}: no such file")
        with reading(path, CheckpointError, "cannot read it as an exported graph", "export it again"):
            model = checked_onnx(path)
            metadata = {entry.key: entry.value for entry in model.metadata_props}
            description = ExportDescription.from_json(metadata.get(KEY), path)
            require_finite_onnx(model, description.labels, str(path))
        del model
        self._session = open_session(path, device, num_threads)
        super().__init__(path, description)
        self._input = self._session.get_inputs()[0].name

    @property
    def runtime(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return "onnxruntime"

    @property
    def on_cpu(self) -> bool:
        """See :class:`ExportedSegmenter`."""
        return bool(self._session.get_providers()[0] == _PROVIDERS["cpu"])

    @property
    def device_name(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return next(name for name, provider in _PROVIDERS.items() if provider == self._session.get_providers()[0])

    def run(self, images: Image) -> NDArray[Any]:
        """See :meth:`ExportedSegmenter.run`."""
        return np.asarray(self._session.run(None, {self._input: np.ascontiguousarray(images)})[0])


def open_session(path: Path, device: str = "auto", num_threads: int | None = None) -> Any:
    """An ``onnxruntime.InferenceSession`` of any ONNX file.

    Raises:
        CheckpointError: where the file is missing or damaged.
        ConfigError: where ONNX Runtime or the device is not to be had.
    """
    runtime = need("onnxruntime", "running .onnx files")
    available = runtime.get_available_providers()
    if device == "auto":
        device = "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    provider = _PROVIDERS.get(device)
    if provider is None or provider not in available:
        hint = (
            ""
            if provider is None
            else f"; {provider} needs an NVIDIA driver and: pip uninstall onnxruntime; pip install onnxruntime-gpu"
        )
        raise ConfigError(f"device '{device}': ONNX Runtime here has {', '.join(available)}{hint}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = num_threads or num_cores()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(path, options, providers=list(dict.fromkeys([provider, _PROVIDERS["cpu"]])))
    # Everything: its errors have no parent of their own.
    except Exception as fault:
        raise CheckpointError(f"{path}: ONNX Runtime cannot read it: {first_line(fault)}") from fault
    # A provider whose libraries cannot be loaded is left out with no more than a warning.
    if provider not in session.get_providers():
        raise ConfigError(
            f"device '{device}': {provider} could not be started, most often because NVIDIA's libraries of the version "
            "that onnxruntime-gpu was built for are missing; install them, or choose --device cpu"
        )
    return session
