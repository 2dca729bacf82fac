"""A checkpoint to pass on: half the size, at the size it is to be used at, without the places it was trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from drivable.checkpoint import Checkpoint, save_checkpoint
from drivable.errors import CheckpointError
from drivable.export.parity import LEAST_AGREEMENT, agreement, rendered_pictures
from drivable.segmenter import TorchSegmenter

Precision = Literal["fp32", "fp16"]


def export_checkpoint(
    checkpoint: Checkpoint, path: Path, precision: Precision = "fp16", size: tuple[int, int] | None = None
) -> dict[str, float]:
    """Write a checkpoint to pass on, unless it would not be the same model.

    Args:
        checkpoint: what was trained.
        path: of the file to write.
        precision: of the convolutions' weights; statistics, scales and offsets stay float32.
        size: (height, width) that pictures are resized to, where it is not the one that it was validated at.

    Returns:
        Share of the pixels of rendered roads, 0..1, in which both give the same class, by size of picture.

    Raises:
        CheckpointError: where they agree in less than 99.9 % at a size; nothing is written then.
        OutputError: where the place is not writable or the disk is full.

    Example:
        >>> export_checkpoint(load_checkpoint(find_checkpoint("runs/lite")), Path("lite.safetensors"))
    """
    preprocessing = checkpoint.preprocessing
    sized = replace(checkpoint, preprocessing=replace(preprocessing, size=size or preprocessing.size))
    exported = replace(sized, weights=_rounded(sized.weights, precision), recipe=_without_places(sized.recipe))
    reference = TorchSegmenter(sized, "cpu")
    shares = agreement(reference.segment, TorchSegmenter(exported, "cpu"), rendered_pictures())
    worst = min(shares, key=lambda size: shares[size])
    if shares[worst] < LEAST_AGREEMENT:
        raise CheckpointError(
            f"{checkpoint.where}: in {precision} only {shares[worst]:.2%} of the pixels of rendered roads of {worst} "
            f"keep their class, expected {LEAST_AGREEMENT:.1%}; export it with --precision fp32"
        )
    save_checkpoint(path, exported)
    return shares


def _rounded(weights: Mapping[str, Tensor], precision: Precision) -> dict[str, Tensor]:
    if precision == "fp32":
        return dict(weights)
    return {name: tensor.to(torch.float16) if tensor.ndim > 1 else tensor for name, tensor in weights.items()}


def _without_places(recipe: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Without the data's place, and of teachers, weights and the like only the names."""
    if recipe is None:
        return None
    named: Mapping[str, Any] = _names_only(recipe)
    return {**named, "data": {**named["data"], "path": None}} if isinstance(named.get("data"), Mapping) else named


def _names_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _names_only(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_names_only(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
