"""What an exported file says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from drivable.checkpoint import Calibration
from drivable.errors import CheckpointError, ConfigError
from drivable.labels import LabelSet

KEY = "drivable"
# Name of the values inside the graph that the network sees before they are normalised: (N, 3, h, w), 0..255.
PIXELS = "pixels"
_FORMAT_VERSION = 1


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
        try:
            values = dict(json.loads(text))
            version = values.pop("format_version")
            if version != _FORMAT_VERSION:
                raise CheckpointError(
                    f"{where}: exported in format version {version}, this release reads 1; export again"
                )
            size = values.pop("size")
            labels = LabelSet.from_dict(values.pop("labels"))
            calibration = values.pop("calibration")
            return ExportDescription(
                labels=labels,
                size=None if size is None else (size[0], size[1]),
                calibration=None if calibration is None else Calibration(**calibration),
                **values,
            )
        except (AttributeError, KeyError, TypeError, ValueError, ConfigError) as fault:
            raise CheckpointError(f"{where}: its description is damaged ({fault}); export it again") from fault
