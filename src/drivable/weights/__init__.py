"""Trained models that come with the package: a checkpoint and its model card each."""

from __future__ import annotations

from pathlib import Path

# What is meant where a model is wanted and none is named.
DEFAULT_MODEL = "drivable-lite"


def shipped_models() -> dict[str, Path]:
    """Checkpoints inside the package, by name; ``<name>.md`` beside each is its model card.

    Example:
        >>> list(shipped_models())
        ['drivable-base', 'drivable-lite']
    """
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.safetensors"))}
