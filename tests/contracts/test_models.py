"""What every model promises, whichever it is."""

from pathlib import Path

import pytest
import torch

from drivable.checkpoint import Checkpoint, Preprocessing, load_checkpoint, save_checkpoint
from drivable.config.models import DeepLabV3PlusSpec, FCNSpec, ModelSpec, Normalization, PSPNetSpec
from drivable.errors import ConfigError
from drivable.labels import BDD100K_DRIVABLE
from drivable.models import MODELS, build_model, default_spec
from drivable.models.cost import model_cost
from drivable.models.folding import fold, fold_padding

# The deeper ones repeat the blocks of those that are run here.
LIGHT = [name for name in MODELS if name not in ("segformer_b2", "segformer_b3", "segformer_b4", "segformer_b5")]
# float32 weights in MiB as the course's table gives them; FCN's without its backbone's classifier.
WEIGHTS_MIB = {"fcn": 126, "unet": 118, "pspnet": 187, "deeplabv3plus": 154, "segformer_b3": 170}


@pytest.fixture(params=[pytest.param(name, marks=[] if name in LIGHT else [pytest.mark.slow]) for name in MODELS])
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return default_spec(request.param)


def test_forward_and_backward_reach_every_parameter(spec: ModelSpec) -> None:
    torch.manual_seed(0)
    model = build_model(spec, num_classes=3).train()
    logits = model.training_logits(torch.rand(2, 3, 64, 64))
    assert logits.main.shape == (2, 3, 64, 64)
    loss = logits.main.square().mean()
    if logits.auxiliary is not None:
        assert logits.auxiliary.shape == (2, 3, 64, 64)
        loss = loss + logits.auxiliary.square().mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("size", [(61, 95), (90, 161), (63, 65), (33, 64)])
def test_any_size_comes_back_at_its_own(spec: ModelSpec, size: tuple[int, int]) -> None:
    model = build_model(spec, num_classes=5).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 3, *size)).shape == (1, 5, *size)


def test_pictures_do_not_depend_on_their_batch(spec: ModelSpec) -> None:
    torch.manual_seed(0)
    model = build_model(spec, num_classes=3).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        together, alone = model(images), torch.cat([model(image[None]) for image in images])
        assert torch.allclose(together, alone, atol=1e-4)
        assert torch.equal(together, model(images))


def test_folding_leaves_no_batch_norm_and_the_same_logits(spec: ModelSpec) -> None:
    torch.manual_seed(0)
    model = build_model(spec, num_classes=3).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        before = model(images)
        after = fold_padding(fold(model))(images)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4 * float(before.abs().max()) + 1e-5)


def test_the_top_that_is_cut_off_is_what_the_first_row_below_is(spec: ModelSpec) -> None:
    torch.manual_seed(0)
    whole = build_model(spec, num_classes=3).eval()
    cut = build_model(spec.model_copy(update={"cut_top": 0.3}), num_classes=3).eval()
    cut.load_state_dict(whole.state_dict())
    images = torch.rand(2, 3, 90, 96)
    with torch.inference_mode():
        logits = cut(images)
        torch.testing.assert_close(logits[:, :, 27:], whole(images[:, :, 27:]))
        assert torch.equal(logits[:, :, :27], logits[:, :, 27:28].expand(2, 3, 27, 96))
        images[:, :, :27] = 0
        assert torch.equal(cut(images), logits)
    assert cut.train().training_logits(images).main.shape == logits.shape


def test_a_checkpoint_rebuilds_the_model(spec: ModelSpec, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(spec, num_classes=3).eval()
    preprocessing = Preprocessing((64, 64), spec.published_normalization)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Checkpoint(model.state_dict(), spec, BDD100K_DRIVABLE, preprocessing))
    again = load_checkpoint(path).build()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(image), again(image))


@pytest.mark.parametrize(("name", "weights_mib"), WEIGHTS_MIB.items())
def test_weights_match_the_course_to_1_mib(name: str, weights_mib: int) -> None:
    assert model_cost(default_spec(name), (360, 640)).weights_mib == pytest.approx(weights_mib, abs=1)


@pytest.mark.parametrize(
    ("spec", "strides"),
    [
        (FCNSpec(), (4, 8, 16, 32)),
        (DeepLabV3PlusSpec(output_stride=8), (4, 8, 8, 8)),
        (DeepLabV3PlusSpec(output_stride=16), (4, 8, 16, 16)),
        (PSPNetSpec(output_stride=8), (4, 8, 8, 8)),
    ],
)
def test_output_stride_is_the_backbones(spec: ModelSpec, strides: tuple[int, ...]) -> None:
    backbone = build_model(spec, num_classes=3).eval().backbone
    assert backbone.strides == strides
    features = backbone(torch.rand(1, 3, 64, 64))
    assert tuple(64 // feature.shape[-1] for feature in features) == strides


def test_deeplab_rates_follow_the_output_stride() -> None:
    for output_stride, rates in ((8, [12, 24, 36]), (16, [6, 12, 18])):
        model = build_model(DeepLabV3PlusSpec(output_stride=output_stride), 3)  # type: ignore[arg-type]
        branches = model.decoder.aspp.branches  # type: ignore[union-attr]
        assert [branch[0].dilation[0] for branch in list(branches)[1:]] == rates  # type: ignore[arg-type, index]


def test_normalisation_is_inside_the_model() -> None:
    torch.manual_seed(0)
    spec = default_spec("lite")
    ours = build_model(spec, 3, Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1))).eval()
    plain = build_model(spec, 3, Normalization(mean=(0.0,) * 3, std=(1.0,) * 3)).eval()
    plain.load_state_dict(ours.state_dict())
    image = torch.rand(1, 3, 64, 64)
    normalised = (image - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.1]).view(3, 1, 1)
    with torch.inference_mode():
        assert torch.allclose(ours(image), plain(normalised), atol=1e-4)


def test_padding_is_the_mean_colour() -> None:
    torch.manual_seed(0)
    model = build_model(default_spec("lite"), 3).eval()
    image = torch.rand(1, 3, 60, 90)
    mean = model.mean
    padded = mean.expand(1, 3, 64, 96).clone()
    padded[..., :60, :90] = image
    with torch.inference_mode():
        assert torch.allclose(model(image), model(padded)[..., :60, :90], atol=1e-4)


def test_unknown_model_has_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'segformer_b3'"):
        default_spec("segformer-b3")


def test_cost_is_counted_without_weights() -> None:
    cost = model_cost(default_spec("segformer_b5"), (360, 640))
    assert cost.num_parameters == pytest.approx(82e6, rel=0.02)
    assert model_cost(default_spec("pspnet"), (360, 640)).gmacs == pytest.approx(155.6, abs=0.5)
