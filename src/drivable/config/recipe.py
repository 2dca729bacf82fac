"""A recipe: everything that decides how a model is trained, complete in one YAML file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from drivable.config.models import ModelSpec, Normalization
from drivable.config.section import Name, Section
from drivable.errors import DataError, shown_address
from drivable.labels import LabelSet
from drivable.reading import check_network_size

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
# Of epochs, batches and whatever else is counted: no real one comes near it, and nothing overflows below.
Count = Annotated[int, Field(gt=0, le=1_000_000)]


def _within_limit(size: tuple[int, int]) -> tuple[int, int]:
    try:
        return check_network_size(*size)
    except DataError as fault:  # Of pydantic's, only such errors are told with their key.
        raise ValueError(str(fault)) from fault


# (height, width) in pixels; the network's pyramids need a few cells at stride 32.
Size = Annotated[
    tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]],
    AfterValidator(_within_limit),
]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=64)]
ClassWeights = Annotated[tuple[Positive, ...], Field(max_length=256)]


class LabelsSpec(Section):
    """The label set, where it is neither BDD100K's nor given by the data's own ``labels.yaml``."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    background: str | None = None
    ignore_id: int = 255

    def to_label_set(self) -> LabelSet:
        """The label set that this section describes."""
        return LabelSet(self.names, self.colors, self.background, self.ignore_id)


class DataSpec(Section):
    """Where the pictures are and how they reach the network."""

    path: str | None = Field(default=None, description="Data root; --data on the command line wins.")
    layout: str = Field(default="auto", description="A layout's name, or 'auto' to recognise it.")
    ids: Literal["current", "2018", "0-255"] | None = Field(
        default=None, description="What mask values mean, where it is not what their place says."
    )
    splits: str | None = Field(default=None, description="Folder of split files below splits/, such as 'course'.")
    size: Size = Field(default=(360, 640), description="(height, width) the network works at, in pixels.")
    normalization: Normalization | None = Field(
        default=None, description="Null for the one that the backbone's published weights were trained with."
    )
    limit: Positive | None = Field(
        default=None, description="Of each split: so many images, or below 1 such a share of them; null for all."
    )
    num_workers: int = Field(default=2, ge=0, le=1024)
    repeat: dict[str, dict[str, Annotated[int, Field(ge=1, le=100)]]] = Field(
        default={},
        max_length=16,
        description="How often an epoch has a training image, by attribute and value, such as {weather: {snowy: 2}}; "
        "the most where several fit. {road: {none: 2}} needs no attributes.",
    )

    @field_validator("ids", mode="before")
    @classmethod
    def _year_is_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value  # YAML reads 2018 as a number.


class AugmentationSpec(Section):
    """Random changes to training pictures; the defaults change nothing, as in the course recipes."""

    flip: Probability = 0.0
    scale_crop: tuple[float, float] | None = Field(
        default=None,
        description="Smallest and largest share of the picture's area that a random crop keeps, resized back.",
    )
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)
    saturation: float = Field(default=0.0, ge=0, lt=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    blur: Probability = 0.0
    gamma: float = Field(default=0.0, ge=0, lt=1, description="Exponents between 1 - gamma and 1 / (1 - gamma).")
    noise: Probability = 0.0
    night: Probability = 0.0
    rain: Probability = 0.0

    @model_validator(mode="after")
    def _crop_is_a_range(self) -> AugmentationSpec:
        if self.scale_crop is not None and not 0 < self.scale_crop[0] <= self.scale_crop[1] <= 1:
            raise ValueError(f"scale_crop must be two shares with 0 < low <= high <= 1, got {self.scale_crop}")
        return self


class _LossTerm(Section):
    scale: float = Field(default=1.0, gt=0, description="Factor of this term in the sum.")


class CrossEntropySpec(_LossTerm):
    """Pixel-wise cross entropy."""

    name: Literal["cross_entropy"] = "cross_entropy"
    class_weights: ClassWeights | Literal["from_data"] | None = None
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class FocalSpec(_LossTerm):
    """Focal loss (Lin et al. 2017)."""

    name: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=0)
    class_weights: ClassWeights | Literal["from_data"] | None = None


class DiceSpec(_LossTerm):
    """Soft Dice over the batch, plain (1 - Dice) or logarithmic (-log Dice)."""

    name: Literal["dice"] = "dice"
    log: bool = False
    smooth: float = Field(default=1.0, ge=0)


class TverskySpec(_LossTerm):
    """Tversky (Salehi et al. 2017): ``alpha`` weighs false positives, ``beta`` false negatives."""

    name: Literal["tversky"] = "tversky"
    alpha: float = Field(default=0.3, ge=0)
    beta: float = Field(default=0.7, ge=0)
    log: bool = False
    smooth: float = Field(default=1.0, ge=0)


class BoundarySpec(_LossTerm):
    """Cross entropy of the pixels within ``width`` pixels of a border between classes."""

    name: Literal["boundary"] = "boundary"
    width: int = Field(default=3, ge=1, le=64)


LossSpec = Annotated[CrossEntropySpec | FocalSpec | DiceSpec | TverskySpec | BoundarySpec, Field(discriminator="name")]


class OptimizerSpec(Section):
    """The optimiser; ``learning_rate`` is the schedule's peak."""

    name: Literal["adam", "adamw", "sgd", "adagrad"] = "adam"
    learning_rate: Positive = 3e-4
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Of sgd; the others do not have one.")
    backbone_factor: float = Field(default=1.0, gt=0, description="Backbone's learning rate over the decoder's.")


class OneCycleSpec(Section):
    """Up to the peak in ``warmup``, a share of all steps, then down (Smith 2018)."""

    name: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(default=0.3, gt=0, lt=1)
    start_divisor: float = Field(default=10.0, gt=0)
    end_divisor: float = Field(default=1e4, gt=0, description="The last rate is the first one over this.")
    anneal: Literal["cosine", "linear"] = "cosine"


class CosineSpec(Section):
    """Half a cosine from the peak to zero, after a linear warm-up."""

    name: Literal["cosine"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1, description="Share of all steps.")


class CosineRestartsSpec(Section):
    """Cosine with warm restarts (Loshchilov & Hutter 2017)."""

    name: Literal["cosine_restarts"] = "cosine_restarts"
    first_cycle: float = Field(default=0.25, gt=0, le=1, description="Length of the first cycle, share of all steps.")
    cycle_factor: int = Field(default=2, ge=1, le=1000)


class PolynomialSpec(Section):
    """Peak x (1 - progress) ** power, after a linear warm-up."""

    name: Literal["polynomial"] = "polynomial"
    power: float = Field(default=0.9, gt=0)
    warmup: float = Field(default=0.0, ge=0, lt=1, description="Share of all steps.")


class ConstantSpec(Section):
    """The peak throughout."""

    name: Literal["constant"] = "constant"


ScheduleSpec = Annotated[
    OneCycleSpec | CosineSpec | CosineRestartsSpec | PolynomialSpec | ConstantSpec,
    Field(discriminator="name"),
]


class SupervisedSpec(Section):
    """Learn from the labels alone."""

    name: Literal["supervised"] = "supervised"


class DeepSupervisionSpec(Section):
    """Learn from the labels at the main and at the auxiliary head (Zhao et al. 2017, sec. 3.3)."""

    name: Literal["deep_supervision"] = "deep_supervision"
    main_share: float = Field(default=0.6, gt=0, lt=1, description="Of the loss; the rest is auxiliary.")


class DistillationSpec(Section):
    """Learn from the labels and from trained models (Hinton et al. 2015)."""

    name: Literal["distillation"] = "distillation"
    teacher: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="A run folder, a checkpoint file or a shipped model's name; several are averaged.",
    )
    share: float = Field(default=0.5, gt=0, le=1, description="Of the loss, against that of the labels.")
    temperature: Positive = 2.0
    sizes: Sizes | None = Field(
        default=None,
        description="(height, width) at which each teacher sees images, averaged; null for the student's.",
    )
    flip: bool = Field(default=False, description="Whether teachers see each image's mirror image too.")

    @property
    def teachers(self) -> tuple[str, ...]:
        """Every model that the student learns from."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher


MethodSpec = Annotated[SupervisedSpec | DeepSupervisionSpec | DistillationSpec, Field(discriminator="name")]


class PruningSpec(Section):
    """Remove hidden channels of lite's backbone before training; ``model.hidden_channels`` then says what is left."""

    share: float = Field(gt=0, lt=1, description="Of the hidden channels of init_from's weights.")


class TrainingSpec(Section):
    """How long, how fast and on what."""

    epochs: Count = 12
    batch_size: Count = 8
    sizes: Sizes | None = Field(
        default=None,
        description="(height, width) of training pictures, each for an equal share of the epochs, where it is not "
        "data.size. Crops look larger than the whole pictures that a model is used on, so smaller ones cost less and "
        "suit it better (Touvron et al. 2019).",
    )
    init_from: str | None = Field(
        default=None,
        description="A run folder, a checkpoint file or a shipped model's name whose weights to go on from, instead of "
        "model.pretrained. The last layer starts anew where the classes are others.",
    )
    method: MethodSpec = SupervisedSpec()
    pruning: PruningSpec | None = None
    freeze_backbone: bool = False
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    early_stopping: Count | None = Field(default=None, description="Epochs without a better validation loss.")
    max_steps: int | None = Field(default=None, gt=0, le=10**12, description="Stop after so many optimiser steps.")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        default="32-true",
        description="auto is bf16-mixed where the device computes in bfloat16 itself, else 32-true; the run's recipe "
        "says which it was, and a resumed run keeps to it.",
    )
    accumulate_batches: Count = 1
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    channels_last: bool = True
    cuda_graphs: bool = Field(
        default=True,
        description="On one CUDA device, record the network's kernels and replay them for every batch; not with "
        "accumulate_batches or deep supervision.",
    )
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: Annotated[int, Field(ge=-1, le=1_000_000)] | Literal["auto"] = "auto"
    num_nodes: Count = 1
    strategy: str = "auto"


class Recipe(Section):
    """All of the above; frozen, and an unknown key is an error.

    Example:
        >>> Recipe(model={"name": "lite"}, loss=[{"name": "dice", "log": True}]).training.epochs
        12
    """

    name: Name = "unnamed"
    seed: int = Field(default=1, ge=0, lt=2**32)
    labels: LabelsSpec | None = None
    model: ModelSpec
    data: DataSpec = DataSpec()
    augmentation: AugmentationSpec = AugmentationSpec()
    loss: tuple[LossSpec, ...] = Field(min_length=1, max_length=32)
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = OneCycleSpec()
    training: TrainingSpec = TrainingSpec()

    @model_validator(mode="after")
    def _method_fits_model(self) -> Recipe:
        has_auxiliary = bool(getattr(self.model, "auxiliary", False))
        method = self.training.method.name
        if method == "deep_supervision" and not has_auxiliary:
            raise ValueError(f"training.method deep_supervision needs an auxiliary branch; {self.model.name} has none")
        if method == "supervised" and has_auxiliary:
            raise ValueError(
                "the auxiliary branch is trained by training.method.name=deep_supervision; set it, or "
                "model.auxiliary=false"
            )
        return self

    @model_validator(mode="after")
    def _pruning_has_something_to_prune(self) -> Recipe:
        if self.training.pruning is not None and (self.training.init_from is None or self.model.name != "lite"):
            raise ValueError(
                f"training.pruning removes channels of a trained lite; give it by training.init_from (model: "
                f"{self.model.name}, init_from: {self.training.init_from})"
            )
        return self

    @model_validator(mode="after")
    def _batch_has_statistics(self) -> Recipe:
        if self.training.batch_size == 1 and self.model.name in ("pspnet", "deeplabv3plus"):
            raise ValueError(f"training.batch_size must be 2 or more: {self.model.name} normalises one pooled cell")
        return self

    def training_size(self, epoch: int) -> Size:
        """(height, width) of training pictures in an epoch, counted from 0."""
        sizes = self.training.sizes or (self.data.size,)
        return sizes[min(epoch * len(sizes) // self.training.epochs, len(sizes) - 1)]

    @property
    def normalization(self) -> Normalization:
        """Mean and standard deviation that the network's pixels are normalised with."""
        return self.data.normalization or self.model.published_normalization

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON, every default written out; an address of data without its credentials."""
        values = self.model_dump(mode="json")
        if self.data.path is not None:
            values["data"]["path"] = shown_address(self.data.path)
        return values
