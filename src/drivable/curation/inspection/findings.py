"""What an inspection says: one finding a fault, each with what would mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth a look.

    Args:
        kind: such as ``unreadable-picture``; a key of :data:`REMEDIES`.
        path: the file or folder.
        message: what is there and what was expected.
        remedy: what to do.
        severity: ``error`` spoils a training, ``warning`` is very likely wrong, ``note`` may be meant so.
    """

    kind: str
    path: str
    message: str
    remedy: str
    severity: Severity

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return asdict(self)


_ERRORS = {
    "no-pairs": "give each picture a label of its name, in the places that the layout has for them",
    "missing-picture": "restore the picture or remove the label",
    "unreadable-picture": "replace the file, or leave it out with --skip-broken",
    "unreadable-mask": "replace the file, or leave it out with --skip-broken",
    "mask-format": "save it as an 8-bit grey or palette PNG without alpha",
    "unknown-ids": "say what they mean in a labels.yaml, or correct the mask",
    "size-mismatch": "make picture and mask one size",
    "rotated-ids": "the ids are those of another generation: read them with --ids, or data.ids in a recipe",
    "ids-0-255": "0 and 255 are a yes-or-no mask: read it with --ids 0-255, or data.ids=0-255 in a recipe",
    "no-class": "every pixel is ignored: correct the mask or remove the pair",
    "labels-all-alike": "no picture differs from background: are these the right labels?",
    "split-file": "correct the file, or make one anew with: drivable data split",
    "id-in-two-splits": "remove it from one of them",
    "duplicate-across-splits": "keep it in one split: a score on a picture that was trained on is no score",
    "near-duplicate-across-splits": "keep both in one split; drivable data split --by-drive does so for drives",
}
_WARNINGS = {
    "missing-label": "label the picture or remove it; it is not used",
    "absent-class": "if what is ignored is that class, say so under ids in a labels.yaml",
    "undrawn-regions": "draw areas as polygons, masks, boxes or ellipses; nothing, where these are no areas",
    "duplicate": "remove one of them",
    "near-duplicate": "keep them in one split, or remove one",
    "blank-picture": "the camera or the copy failed: remove the pair",
    "road-above-horizon": "look at it: is the mask upside down or another picture's?",
    "sliver": "look at it: remove regions that are no road",
    "hole": "look at it: fill the hole if the road goes on there",
}
_NOTES = {
    "no-road": "nothing, where there is no road to drive on",
    "dark": "nothing, for pictures of the night",
    "speck": "nothing, where a few pixels do not matter",
    "seam": "nothing, where a few pixels between two polygons do not matter",
    "drive-in-two-splits": "drivable data split --by-drive keeps the frames of one drive together",
}
REMEDIES = _ERRORS | _WARNINGS | _NOTES
SEVERITIES: dict[str, Severity] = {
    **dict.fromkeys(_ERRORS, "error"),
    **dict.fromkeys(_WARNINGS, "warning"),
    **dict.fromkeys(_NOTES, "note"),
}


def finding(
    kind: str, path: object, message: str, remedy: str | None = None, severity: Severity | None = None
) -> Finding:
    """A finding with the remedy and the severity of its kind, or better ones."""
    return Finding(kind, str(path), message, remedy or REMEDIES[kind], severity or SEVERITIES[kind])
