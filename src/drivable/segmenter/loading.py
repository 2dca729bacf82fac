"""Any model that a user can name, ready to segment."""

from __future__ import annotations

from pathlib import Path

from drivable.checkpoint import EXPORTED, find_checkpoint, load_checkpoint, nearest_model
from drivable.errors import CheckpointError, ConfigError
from drivable.segmenter.base import Segmenter
from drivable.segmenter.exported_program import PROGRAM, TORCHSCRIPT, ProgramSegmenter
from drivable.segmenter.onnx import OnnxSegmenter
from drivable.segmenter.openvino import OpenVINOSegmenter
from drivable.segmenter.torch import TorchPrecision, TorchSegmenter
from drivable.weights import DEFAULT_MODEL


def is_exported(model: str | Path) -> bool:
    """Whether the name is that of a file for another runtime, which computes in the precision it was exported with."""
    return Path(model).suffix in EXPORTED


def load(
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    num_threads: int | None = None,
    precision: TorchPrecision | None = None,
) -> Segmenter:
    """Load a trained or an exported model, ready to segment.

    Args:
        model: a run folder, a checkpoint file, a shipped model's name, or a file that ``drivable export`` wrote
            (``.onnx``, ``.xml``, ``.torchscript``, ``.pt2``); the model that is shipped where not given.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for a GPU where there is one.
        num_threads: of one picture in ONNX Runtime and OpenVINO, all cores where not given; torch has one number for
            its process, :func:`torch.set_num_threads`.
        precision: of what torch runs, ``fp32`` where not given; exported files have their own.

    Raises:
        CheckpointError: where there is no such model or its file is damaged.
        ConfigError: where the runtime or the device is not to be had, or an exported file is given a precision.

    Example:
        >>> load()("road.jpg").share("direct")
        0.17
    """
    path = Path(model)
    if precision is not None and is_exported(model):
        raise ConfigError(f"{path}: computes in the precision it was exported with; leave precision {precision} out")
    if is_exported(model) and not path.exists():
        raise CheckpointError(f"{path}: no such file; {nearest_model(model)}")
    if path.suffix == ".onnx":
        return OnnxSegmenter(path, device, num_threads)
    if path.suffix == ".xml":
        return OpenVINOSegmenter(path, device, num_threads)
    if path.suffix in (PROGRAM, TORCHSCRIPT):
        return ProgramSegmenter(path, device)
    return TorchSegmenter(load_checkpoint(find_checkpoint(model)), device, precision or "fp32")
