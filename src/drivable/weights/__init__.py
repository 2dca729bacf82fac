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


def licence(name: str) -> str:
    """What the weights of a shipped model may be used for, as its model card says.

    Args:
        name: of the model.

    Returns:
        A line; ``not stated`` where the card has none.

    Raises:
        KeyError: where no model of that name is shipped.

    Example:
        >>> licence("drivable-lite")
        'research, educational and not-for-profit use only'
    """
    card = shipped_models()[name].with_suffix(".md")
    cells = (line.strip("| ").split(" | ") for line in card.read_text(encoding="utf-8").splitlines())
    stated = next((row[1] for row in cells if row[0] == "licence of the weights" and len(row) > 1), "not stated")
    return stated.removesuffix(", see below").strip()
