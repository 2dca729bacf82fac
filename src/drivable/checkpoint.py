"""One file that rebuilds itself: weights, model, labels, preprocessing, recipe and scores in safetensors."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from drivable.config import ModelSpec, Normalization
from drivable.errors import CheckpointError, ConfigError, DataError, nearest_match, one_line
from drivable.files import check_name, written_whole
from drivable.labels import LabelSet
from drivable.metrics.calibration import MOST_OFFSET
from drivable.models import SegmentationModel, build_model
from drivable.models.finite import misfit, require_finite
from drivable.models.pretrained import read_weights
from drivable.reading import check_network_size, parse_json, reading, require_regular
from drivable.weights import shipped_models

FORMAT_VERSION = 1
BEST, LAST = "best.safetensors", "last.safetensors"
# Of files for other runtimes, which hold graphs and no checkpoint.
EXPORTED = (".onnx", ".xml", ".torchscript", ".pt2")
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

    Raises:
        ValueError: where a number is none, or out of its range.
    """

    temperature: float
    threshold: float
    accuracy: float
    fitted_on: str
    background_offset: float = 0.0

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (0.01, 100),
            "threshold": (0, 1),
            "accuracy": (0, 1),
            "background_offset": (-MOST_OFFSET, MOST_OFFSET),
        }
        for name, (low, high) in ranges.items():
            value: object = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not low <= value <= high:  # type: ignore[operator]
                raise ValueError(f"calibration: {name} must be a number of {low}..{high}, got {one_line(value)}")
        if not isinstance(self.fitted_on, str):
            raise ValueError(f"calibration: fitted_on must be text, got {one_line(self.fitted_on)}")


@dataclass(frozen=True)
class Checkpoint:
    """A trained model as data.

    Args:
        weights: state dict of the :class:`~drivable.models.SegmentationModel`.
        spec: the model to rebuild.
        labels: the classes of its logits.
        preprocessing: what it expects of pictures.
        recipe: how it was trained, as plain values: nothing that runs a model depends on its keys, so that a checkpoint
            stays readable when they change. ``None`` where it is not known.
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
    recipe: Mapping[str, Any] | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    where: str = "checkpoint"

    @property
    def splits(self) -> str | None:
        """Folder of split files that it was trained by, where known."""
        data = {} if self.recipe is None else self.recipe.get("data")
        name = data.get("splits") if isinstance(data, Mapping) else None
        try:
            return check_name(name, "folder of split files") if isinstance(name, str) else None
        except DataError:
            return None  # Of no folder below splits/; what a user does not ask for is not looked for elsewhere.

    def build(self) -> SegmentationModel:
        """The model with its weights, in evaluation mode on the CPU.

        Raises:
            CheckpointError: where the weights do not fit the model, or are no numbers.
        """
        with reading(self.where, CheckpointError, f"its weights do not fit {self.spec.name}"):
            # Without memory first: the widths that a file states are only believed where its weights have them.
            with torch.device("meta"):
                self._check_fit(self._build())
            model = self._build()
            model.load_state_dict(self.weights)
        require_finite(model.state_dict(), self.labels, self.where)
        return model.eval()

    def _build(self) -> SegmentationModel:
        return build_model(self.spec, self.labels.num_classes, self.preprocessing.normalization)

    def _check_fit(self, model: SegmentationModel) -> None:
        own = model.state_dict()
        names = sorted(own.keys() ^ self.weights.keys())
        faults = [f"{one_line(name, 80)} {'missing' if name in own else 'unknown'}" for name in names]
        misfits = (misfit(name, self.weights[name], own[name]) for name in own if name in self.weights)
        faults += [fault for fault in misfits if fault is not None]
        if faults:
            raise ValueError(f"{'; '.join(faults[:3])} ({len(faults)} in all)")


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
        "recipe": None if checkpoint.recipe is None else dict(checkpoint.recipe),
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
        CheckpointError: where the file is missing, corrupt, not ours, of another format version, or holds what is no
            number. Somebody's weights without a description are told as what they are.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint")
    with reading(path, CheckpointError, "corrupt or not a safetensors file", "copy or train it again"):
        require_regular(path)
        if _is_of_torch(path):
            read_weights(path)  # Where it is damaged, that is what is told.
            raise _without_description(path)
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    if _KEY not in metadata:
        raise _without_description(path)
    with reading(path, CheckpointError, "its description is damaged"):
        checkpoint = _described(parse_json(metadata[_KEY]), weights, path)
    require_finite(weights, checkpoint.labels, str(path))
    return checkpoint


def _is_of_torch(path: Path) -> bool:
    """Whether a file is one of ``torch.save``: a zip archive, or a pickle; a checkpoint begins with a length."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return head.startswith(b"PK\x03\x04") or (head.startswith(b"\x80") and head[8:] != b"{")


def _without_description(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: holds weights but no model description, so it is not a checkpoint of this tool; as backbone "
        f"weights it can be given to a recipe: --set model.pretrained={path}"
    )


def _described(description: dict[str, Any], weights: dict[str, Tensor], path: Path) -> Checkpoint:
    version = description["format_version"]
    # Python takes true and 1.0 for 1.
    if type(version) is not int or version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: checkpoint of format version {one_line(version)}, this release reads {FORMAT_VERSION}; use the "
            "release that wrote it"
        )
    preprocessing = description["preprocessing"]
    recipe, scores, calibration = description["recipe"], description["scores"], description.get("calibration")
    if not isinstance(recipe, dict | None) or not isinstance(scores, dict):
        raise ValueError("recipe and scores must be mappings")
    height, width = preprocessing["size"]
    return Checkpoint(
        weights=weights,
        spec=TypeAdapter(ModelSpec).validate_python(description["model"]),
        labels=LabelSet.from_dict(description["labels"]),
        preprocessing=Preprocessing(
            size=check_network_size(height, width),
            normalization=Normalization.model_validate(preprocessing["normalization"]),
        ),
        recipe=recipe,
        scores=scores,
        calibration=None if calibration is None else Calibration(**calibration),
        where=str(path),
    )


def find_checkpoint(model: str | Path) -> Path:
    """Path of the checkpoint that a user means.

    Args:
        model: a run folder (its best checkpoint), a checkpoint file, or a shipped model's name.

    Raises:
        CheckpointError: where there is none.
        ConfigError: where it is an exported file.
    """
    path = Path(model)
    if path.suffix in EXPORTED:
        raise ConfigError(
            f"{path}: an exported file; expected the model that it was exported from: a run folder, a checkpoint "
            f"({BEST}) or a shipped model's name"
        )
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
    raise CheckpointError(f"model '{model}': no such run folder or checkpoint file; {nearest_model(model)}")


def nearest_model(model: str | Path) -> str:
    """Phrase the hint that follows a model that is not there: the closest of those that are, then the shipped ones.

    Args:
        model: what the user wrote.

    Example:
        >>> nearest_model("drivabl-lite")
        "did you mean 'drivable-lite'? known: drivable-base, drivable-lite"
    """
    path = Path(model)
    hint = nearest_match(str(model), [*shipped_models(), *_similar_models(path)])
    suffixes = (".safetensors", *EXPORTED)
    meant = difflib.get_close_matches(path.suffix, suffixes, n=1, cutoff=0.7)
    if meant and path.suffix not in suffixes and "did you mean" not in hint:
        return f"no model's file ends in {path.suffix}, did you mean {meant[0]}? {hint}"
    return hint


def _similar_models(path: Path) -> list[str]:
    """Models of similar names in the same folder, as the user would name them."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []
    similar = (path.with_name(name) for name in difflib.get_close_matches(path.name, names, n=8))
    return [
        str(near)
        for near in similar
        if near.suffix in (".safetensors", *EXPORTED) or any((near / name).is_file() for name in (BEST, LAST))
    ]
