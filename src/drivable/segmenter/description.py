"""What an exported file says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from drivable.checkpoint import Calibration
from drivable.errors import CheckpointError, one_line
from drivable.files import check_name
from drivable.labels import LabelSet
from drivable.reading import check_network_size, parse_json, reading

KEY = "drivable"
_FORMAT_VERSION = 1
_KNOWN = {
    "precision": ("fp32", "fp16", "bf16", "int8"),
    "outputs": ("ids", "probabilities"),
    "upsampling": ("exact", "fast"),
    "rest": ("fp32", "bf16"),
}


@dataclass(frozen=True)
class ExportDescription:
    """What travels inside an exported file.

    Args:
        labels: the classes of its ids.
        model: specification of the network, as in a recipe.
        checkpoint: fingerprint of the checkpoint's file.
        precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``.
        size: (height, width) the network works at; ``None`` works at each picture's own.
        outputs: ``ids`` or ``probabilities``.
        upsampling: ``exact`` or ``fast``.
        splits: folder of split files that it was trained by, where known.
        calibration: the checkpoint's, where it was calibrated.
        rest: of an int8 file, what computes the rest: ``fp32`` or ``bf16``.
        parity: what the check before writing measured, and whether it passed.

    Example:
        >>> OnnxSegmenter(Path("lite.onnx")).description.precision
        'fp32'
    """

    labels: LabelSet
    model: dict[str, Any]
    checkpoint: str
    precision: str
    size: tuple[int, int] | None
    outputs: str
    upsampling: str
    splits: str | None = None
    calibration: Calibration | None = None
    rest: str = "fp32"
    parity: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({**asdict(self), "labels": self.labels.to_dict(), "format_version": _FORMAT_VERSION})

    @staticmethod
    def from_json(text: str | None, where: Path) -> ExportDescription:
        """Read it back.

        Raises:
            CheckpointError: where a file has none, or a damaged one, or one of another version.
        """
        if not text:
            raise CheckpointError(
                f"{where}: nothing in it says that it was exported by this tool, so its classes and sizes are not "
                "known; export it with drivable export, or time it as it is with drivable benchmark --against"
            )
        with reading(where, CheckpointError, "its description is damaged", "export it again"):
            return _described(parse_json(text), where)


def _described(values: Any, where: Path) -> ExportDescription:
    values = dict(values)
    version = values.pop("format_version")
    if type(version) is not int or version != _FORMAT_VERSION:  # Python takes true and 1.0 for 1.
        raise CheckpointError(
            f"{where}: exported in format version {one_line(version)}, this release reads {_FORMAT_VERSION}; export "
            "again"
        )
    for name, known in _KNOWN.items():
        value = values.get(name, known[0])
        if value not in known:
            raise ValueError(f"{name} must be {' or '.join(known)}, got {one_line(value)}")
    splits, model, parity = values.get("splits"), values["model"], values.get("parity", {})
    if splits is not None:
        check_name(splits, "folder of split files")
    if not isinstance(model, dict) or not isinstance(model.get("name"), str) or not isinstance(parity, dict):
        raise ValueError("model must be a mapping with a name, parity a mapping")
    if not isinstance(values["checkpoint"], str):
        raise ValueError("checkpoint must be text")
    size, labels, calibration = values.pop("size"), values.pop("labels"), values.pop("calibration")
    height, width = size or (None, None)
    return ExportDescription(
        labels=LabelSet.from_dict(labels),
        size=None if size is None else check_network_size(height, width),
        calibration=None if calibration is None else Calibration(**calibration),
        **values,
    )
