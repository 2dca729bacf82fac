import pytest
import torch
from torch.nn import functional as F

from drivable.config.models import LiteSpec
from drivable.models import build_model
from drivable.models.depthwise import DepthwiseConv2d
from drivable.models.light_decoders import LIGHT_DECODERS, _PyramidPooling


@pytest.mark.parametrize("decoder", LIGHT_DECODERS)
def test_every_light_decoder_reaches_every_parameter(decoder: str) -> None:
    model = build_model(LiteSpec(decoder=decoder), num_classes=5).train()  # type: ignore[arg-type]
    logits = model(torch.rand(2, 3, 70, 101))
    assert logits.shape == (2, 5, 70, 101)
    logits.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    names = {type(module).__name__ for module in model.decoder.modules()}
    assert ("Sigmoid" in names) == (decoder == "lraspp")


def test_a_depthwise_convolution_is_one_of_torch_and_keeps_its_gradients_in_bfloat16() -> None:
    torch.manual_seed(0)
    ours = DepthwiseConv2d(6, kernel=3, stride=2, padding=2, dilation=2)
    plain = torch.nn.Conv2d(6, 6, 3, stride=2, padding=2, dilation=2, groups=6, bias=False)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 9, 11)
    torch.testing.assert_close(ours(x), plain(x))
    plain(x).square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x)
        assert y.dtype == torch.bfloat16
        with torch.no_grad():
            assert ours(x).dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert ours.weight.grad is not None
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=0.02, atol=0.05)


def test_pooling_at_once_is_pooling_by_branches() -> None:
    pooling = _PyramidPooling(16)
    x = torch.rand(2, 16, 7, 10)
    apart = torch.cat([F.interpolate(branch(x), size=(7, 10), mode="bilinear") for branch in pooling.branches], dim=1)
    torch.testing.assert_close(pooling._at_once(x), apart)
