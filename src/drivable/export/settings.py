"""What may be asked of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivable.errors import ConfigError
from drivable.export.graph import Outputs, Upsampling

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
ROUNDED = ("bf16", "int8")


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
        return self.precision in ROUNDED or self.upsampling == "fast"


def refuse(path: Path, settings: ExportSettings) -> None:
    """Refuse what cannot be exported so, before anything is computed.

    Raises:
        ConfigError: where the target has no such precision or suffix, the path is a folder, or settings contradict.
    """
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
