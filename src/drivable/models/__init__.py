"""The models by name, built from a recipe's specification."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import TypeAdapter

from drivable.config.models import ModelSpec, Normalization, SegFormerSpec
from drivable.errors import ConfigError, nearest_match
from drivable.models.deeplabv3plus import build_deeplabv3plus
from drivable.models.fcn import build_fcn
from drivable.models.lite import build_lite
from drivable.models.pretrained import load_backbone_weights
from drivable.models.pspnet import build_pspnet
from drivable.models.segformer import build_segformer
from drivable.models.segmentation_model import SegmentationModel, TrainingLogits
from drivable.models.unet import build_unet

__all__ = [
    "MODELS",
    "SegmentationModel",
    "TrainingLogits",
    "build_model",
    "default_spec",
    "load_pretrained",
]

MODELS: dict[str, Callable[..., SegmentationModel]] = {
    "fcn": build_fcn,
    "unet": build_unet,
    "pspnet": build_pspnet,
    "deeplabv3plus": build_deeplabv3plus,
    "segformer_b0": build_segformer,
    "segformer_b1": build_segformer,
    "segformer_b2": build_segformer,
    "segformer_b3": build_segformer,
    "segformer_b4": build_segformer,
    "segformer_b5": build_segformer,
    "lite": build_lite,
}


def build_model(
    spec: ModelSpec,
    num_classes: int,
    normalization: Normalization | None = None,
) -> SegmentationModel:
    """Build a model with random weights; nothing is downloaded.

    Args:
        spec: which one and how.
        num_classes: K.
        normalization: of its pixels, ``None`` for the one that its published weights were trained with.

    Example:
        >>> build_model(default_spec("lite"), num_classes=3).stride
        32
    """
    return MODELS[spec.name](spec, num_classes, normalization or spec.published_normalization)


def default_spec(name: str) -> ModelSpec:
    """A model's specification with all its defaults.

    Raises:
        ConfigError: where there is no such model; the message has the nearest name and the list.
    """
    if name not in MODELS:
        raise ConfigError(f"model '{name}' is unknown; {nearest_match(name, MODELS)}")
    spec: ModelSpec = TypeAdapter(ModelSpec).validate_python({"name": name})
    return spec


def load_pretrained(model: SegmentationModel, spec: ModelSpec) -> None:
    """Load the backbone weights that the specification asks for, if it asks for any.

    Raises:
        CheckpointError: where they cannot be had or do not fit.
    """
    if spec.pretrained is None:
        return
    backbone = spec.name.replace("segformer", "mit") if isinstance(spec, SegFormerSpec) else spec.backbone
    load_backbone_weights(model.backbone, backbone, spec.pretrained)
