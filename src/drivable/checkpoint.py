"""One file that rebuilds itself: weights, model, labels, preprocessing, recipe and scores in safetensors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from drivable.config import ModelSpec, Normalization, Recipe, parse_recipe
from drivable.errors import CheckpointError, ConfigError
from drivable.files import written_whole
from drivable.labels import LabelSet
from drivable.models import SegmentationModel, build_model
from drivable.weights import shipped_models

FORMAT_VERSION = 1
BEST, LAST = "best.safetensors", "last.safetensors"
_KEY = "drivable"


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a picture before the network.

    Args:
        size: (height, width) in pixels that it is resized to.
        normalization: of its pixels.
    """

    size: tuple[int, int]
    normalization: Normalization


@dataclass(frozen=True)
class Calibration:
    """How sure the model may be, fitted on labelled pictures.

    Args:
        temperature: that logits are divided by before the softmax.
        threshold: confidence that as many pixels exceed as are right.
        accuracy: share of pixels that are right, 0..1.
        fitted_on: what the pictures were.
        background_offset: that is added to the background's logit before the class is chosen.
    """

    temperature: float
    threshold: float
    accuracy: float
    fitted_on: str
    background_offset: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A trained model as data.

    Args:
        weights: state dict of the :class:`~drivable.models.SegmentationModel`.
        spec: the model to rebuild.
        labels: the classes of its logits.
        preprocessing: what it expects of pictures.
        recipe: how it was trained, ``None`` where that is not known.
        scores: by split name, as :meth:`drivable.metrics.Scores.to_dict` gives them.
        calibration: ``None`` where it was not calibrated.
        where: the file, for messages.

    Example:
        >>> model = load_checkpoint(find_checkpoint("runs/lite")).build()
    """

    weights: dict[str, Tensor]
    spec: ModelSpec
    labels: LabelSet
    preprocessing: Preprocessing
    recipe: Recipe | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    where: str = "checkpoint"

    def build(self) -> SegmentationModel:
        """The model with its weights, in evaluation mode on the CPU.

        Raises:
            CheckpointError: where the weights do not fit the model.
        """
        model = build_model(self.spec, self.labels.num_classes, self.preprocessing.normalization)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as fault:
            raise CheckpointError(
                f"{self.where}: its weights do not fit {self.spec.name}: {' '.join(str(fault).split())[:300]}"
            ) from fault
        return model.eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all.

    Raises:
        OutputError: where the place is not writable or the disk is full.
    """
    description = {
        "format_version": FORMAT_VERSION,
        "model": checkpoint.spec.model_dump(mode="json"),
        "labels": checkpoint.labels.to_dict(),
        "preprocessing": {
            "size": checkpoint.preprocessing.size,
            "normalization": checkpoint.preprocessing.normalization.model_dump(mode="json"),
        },
        "recipe": None if checkpoint.recipe is None else checkpoint.recipe.to_dict(),
        "scores": checkpoint.scores,
        "calibration": None if checkpoint.calibration is None else asdict(checkpoint.calibration),
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    with written_whole(path) as temporary:
        # Not its save_file, which lets nobody else read the file.
        temporary.write_bytes(save(weights, metadata={_KEY: json.dumps(description)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        CheckpointError: where the file is missing, corrupt, not ours, or of another format version.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as fault:
        raise CheckpointError(f"{path}: corrupt or not a safetensors file ({fault}); copy or train it again") from fault
    if _KEY not in metadata:
        raise CheckpointError(
            f"{path}: holds weights but no model description, so it is not a checkpoint of this tool; as backbone "
            "weights it can be given to a recipe's model.pretrained"
        )
    try:
        description = json.loads(metadata[_KEY])
        version = description["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: checkpoint of format version {version}, this release reads {FORMAT_VERSION}; use the release "
                "that wrote it"
            )
        preprocessing = description["preprocessing"]
        height, width = preprocessing["size"]
        recipe = description["recipe"]
        return Checkpoint(
            weights=weights,
            spec=TypeAdapter(ModelSpec).validate_python(description["model"]),
            labels=LabelSet.from_dict(description["labels"]),
            preprocessing=Preprocessing(
                size=(int(height), int(width)),
                normalization=Normalization.model_validate(preprocessing["normalization"]),
            ),
            recipe=None if recipe is None else parse_recipe(recipe, str(path)),
            scores=description["scores"],
            calibration=_calibration(description.get("calibration")),
            where=str(path),
        )
    except (KeyError, TypeError, ValueError, ConfigError) as fault:
        raise CheckpointError(f"{path}: its description is damaged: {' '.join(str(fault).split())[:300]}") from fault


def _calibration(values: dict[str, Any] | None) -> Calibration | None:
    return None if values is None else Calibration(**values)


def find_checkpoint(model: str | Path) -> Path:
    """Path of the checkpoint that a user means.

    Args:
        model: a run folder (its best checkpoint), a checkpoint file, or a shipped model's name.

    Raises:
        CheckpointError: where there is none.
    """
    path = Path(model)
    if path.is_dir():
        found = next((path / name for name in (BEST, LAST) if (path / name).is_file()), None)
        if found is None:
            raise CheckpointError(
                f"{path}: no {BEST} or {LAST} in this folder; is it a run folder, and did it finish an epoch?"
            )
        return found
    if path.is_file():
        return path
    shipped = shipped_models()
    if str(model) in shipped:
        return shipped[str(model)]
    hint = f"shipped models: {', '.join(shipped)}" if shipped else "no model is shipped with this release"
    raise CheckpointError(f"model '{model}': no such run folder or checkpoint file; {hint}")
