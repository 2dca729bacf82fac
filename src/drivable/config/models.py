"""What a recipe may say about a model: one specification per architecture, defaults as in its paper or the course."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from drivable.config.section import Section

ResNetName = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
LiteBackboneName = Literal["lite0", "lite1", "lite2"]


# No layer of any of the models has a hundredth of the highest.
Channels = Annotated[int, Field(gt=0, le=65_536)]
_Mean = Annotated[float, Field(ge=-1000, le=1000)]
_Deviation = Annotated[float, Field(ge=1e-4, le=1000)]


class Normalization(Section):
    """Per-channel mean and standard deviation of RGB in [0, 1]; a network sees ``(rgb - mean) / std``."""

    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Deviation, _Deviation, _Deviation]


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# EfficientNet-Lite was trained on (rgb - 127) / 128 with rgb in 0..255.
TENSORFLOW = Normalization(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


class ModelSpecBase(Section):
    """Common to all models."""

    published_normalization: ClassVar[Normalization] = IMAGENET

    pretrained: str | None = Field(
        default=None,
        description="Backbone weights: 'imagenet', the path of a file of weights (a whole model's too), or null for a "
        "random start.",
    )
    cut_top: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of a picture's height, at its top, that the network does not look at; the class of the "
        "first row below goes on there, background as a rule.",
    )


class FCNSpec(ModelSpecBase):
    """FCN (Long et al. 2015) on a ResNet."""

    name: Literal["fcn"] = "fcn"
    backbone: ResNetName = "resnet50"
    output_stride: Literal[8, 16, 32] = 32
    dropout: float = Field(default=0.1, ge=0, lt=1)


class UNetSpec(ModelSpecBase):
    """UNet (Ronneberger et al. 2015) with batch normalisation; it has no pretrained backbone."""

    name: Literal["unet"] = "unet"
    pretrained: None = None
    widths: tuple[Channels, Channels, Channels, Channels, Channels] = (64, 128, 256, 512, 1024)


class PSPNetSpec(ModelSpecBase):
    """PSPNet (Zhao et al. 2017); the auxiliary branch hangs on the backbone's third stage."""

    name: Literal["pspnet"] = "pspnet"
    backbone: ResNetName = "resnet50"
    output_stride: Literal[8, 16] = 8
    bins: tuple[Annotated[int, Field(gt=0, le=64)], ...] = Field(default=(1, 2, 3, 6), min_length=1, max_length=16)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    auxiliary: bool = True


class DeepLabV3PlusSpec(ModelSpecBase):
    """DeepLabv3+ (Chen et al. 2018); atrous rates follow the output stride: 8 -> 12, 24, 36; 16 -> 6, 12, 18."""

    name: Literal["deeplabv3plus"] = "deeplabv3plus"
    backbone: ResNetName = "resnet50"
    output_stride: Literal[8, 16] = 8
    dropout: float = Field(default=0.5, ge=0, lt=1)


class SegFormerSpec(ModelSpecBase):
    """SegFormer (Xie et al. 2021): a Mix Transformer and an all-MLP head of ``decoder_channels``."""

    name: Literal["segformer_b0", "segformer_b1", "segformer_b2", "segformer_b3", "segformer_b4", "segformer_b5"]
    decoder_channels: Channels = Field(
        default=256, description="256 as in the course; the authors' larger ones, from B2 on, have 768."
    )
    drop_path: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class LiteSpec(ModelSpecBase):
    """The small model: EfficientNet-Lite and a light decoder, by default pyramid pooling and top-down additions."""

    published_normalization: ClassVar[Normalization] = TENSORFLOW

    name: Literal["lite"] = "lite"
    backbone: LiteBackboneName = "lite0"
    hidden_channels: tuple[Channels, ...] | None = Field(
        default=None,
        max_length=64,
        description="Of the backbone's expanding blocks, fine to coarse: what training.pruning left, or fewer than "
        "model.pretrained has, of which the most important are taken; null for those of training.init_from, or its "
        "own.",
    )
    decoder: Literal["pyramid", "atrous", "mlp", "lraspp"] = "pyramid"
    decoder_channels: Channels = 96
    dropout: float = Field(default=0.1, ge=0, lt=1)


ModelSpec = Annotated[
    FCNSpec | UNetSpec | PSPNetSpec | DeepLabV3PlusSpec | SegFormerSpec | LiteSpec,
    Field(discriminator="name"),
]
