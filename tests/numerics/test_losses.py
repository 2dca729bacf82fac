"""Losses against hand-computed values, independent formulas and their gradients."""

import math

import pytest
import torch

from drivable.config.recipe import CrossEntropySpec, DiceSpec
from drivable.errors import ConfigError
from drivable.losses import LOSSES, SummedLoss, boundary, cross_entropy, dice, focal, tversky

IGNORE = 255


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    label_maps = torch.randint(0, 3, (2, 5, 7), generator=generator, dtype=torch.uint8)
    return logits, label_maps


def test_dice_by_hand() -> None:
    # Two pixels of class 0, predicted 0.9 and 0.6 for it, two classes, smooth 1.
    probabilities = torch.tensor([[0.9, 0.6], [0.1, 0.4]])
    logits = probabilities.log().reshape(1, 2, 1, 2)
    label_maps = torch.zeros(1, 1, 2, dtype=torch.uint8)
    score = (2 * 1.5 + 1) / (1.5 + 2 + 1)
    # Class 1 is absent: it adds nothing and is divided by all the same.
    assert dice(logits, label_maps, IGNORE).item() == pytest.approx((1 - score) / 2)
    assert dice(logits, label_maps, IGNORE, log=True).item() == pytest.approx(-math.log(score) / 2)


def test_tversky_by_hand() -> None:
    probabilities = torch.tensor([[0.9, 0.6, 0.3], [0.1, 0.4, 0.7]])
    logits = probabilities.log().reshape(1, 2, 1, 3)
    label_maps = torch.tensor([[[0, 0, 1]]], dtype=torch.uint8)
    first = (1.5 + 1) / (1.5 + 0.3 * 0.3 + 0.7 * 0.5 + 1)
    second = (0.7 + 1) / (0.7 + 0.3 * 0.5 + 0.7 * 0.3 + 1)
    expected = 1 - (first + second) / 2
    assert tversky(logits, label_maps, IGNORE, alpha=0.3, beta=0.7).item() == pytest.approx(expected)


def test_tversky_with_equal_halves_is_dice(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert torch.allclose(tversky(*batch, IGNORE, alpha=0.5, beta=0.5, smooth=0.5), dice(*batch, IGNORE, smooth=1.0))


@pytest.mark.parametrize("width", [1, 2])
def test_boundary_is_cross_entropy_near_another_class(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 9, 11, generator=generator)
    label_maps = torch.zeros(2, 9, 11, dtype=torch.uint8)
    label_maps[0, 6:, :4], label_maps[0, 5:, 7:], label_maps[1, :2] = (
        1,
        2,
        IGNORE,
    )  # In the second no class meets another.
    label_maps[0, 0, 0] = IGNORE
    by_pixel = torch.nn.functional.cross_entropy(logits, label_maps.long(), ignore_index=IGNORE, reduction="none")
    near = []
    for n, row, column in (label_maps != IGNORE).nonzero().tolist():
        around = label_maps[n, max(0, row - width) : row + width + 1, max(0, column - width) : column + width + 1]
        if ((around != IGNORE) & (around != label_maps[n, row, column])).any():
            near.append(by_pixel[n, row, column])
    assert 0 < len(near) < 99
    assert boundary(logits, label_maps, IGNORE, width).item() == pytest.approx(torch.stack(near).mean().item())
    assert boundary(logits[1:], label_maps[1:], IGNORE, width).item() == 0


def test_focal_without_focus_is_cross_entropy(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert torch.allclose(focal(*batch, IGNORE, gamma=0.0), cross_entropy(*batch, IGNORE))


def test_focal_by_hand() -> None:
    logits = torch.tensor([0.8, 0.2]).log().reshape(1, 2, 1, 1)
    target = torch.zeros(1, 1, 1, dtype=torch.uint8)
    assert focal(logits, target, IGNORE, gamma=2.0).item() == pytest.approx(-(0.2**2) * math.log(0.8))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_of_a_certain_pixel_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([60.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    focal(logits, torch.zeros(1, 1, 1, dtype=torch.uint8), IGNORE, gamma=gamma).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_cross_entropy_weighs_classes() -> None:
    logits = torch.tensor([[0.8, 0.4], [0.2, 0.6]]).log().reshape(1, 2, 1, 2)
    targets = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    weights = torch.tensor([3.0, 1.0])
    expected = -(3 * math.log(0.8) + math.log(0.6)) / 4
    assert cross_entropy(logits, targets, IGNORE, weights).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_change_nothing(name: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, label_maps = batch
    label_maps = label_maps.clone()
    label_maps[:, 2:] = IGNORE
    other = logits.clone()
    other[:, :, 2:] += 100 * torch.randn(2, 3, 3, 7)
    kept = LOSSES[name](logits[:, :, :2], label_maps[:, :2], IGNORE)
    assert torch.allclose(LOSSES[name](logits, label_maps, IGNORE), kept)
    assert torch.allclose(LOSSES[name](other, label_maps, IGNORE), kept)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_ignored_pixels_is_zero_and_trains_nothing(name: str) -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = LOSSES[name](logits, torch.full((1, 4, 4), IGNORE, dtype=torch.uint8), IGNORE)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.count_nonzero(logits.grad) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_reduced_in_float32(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 300, 300, generator=generator)
    label_maps = torch.randint(0, 3, (2, 300, 300), generator=generator, dtype=torch.uint8)
    half = LOSSES[name](logits.half(), label_maps, IGNORE)
    assert half.dtype == torch.float32
    assert torch.isfinite(half)
    assert torch.allclose(half, LOSSES[name](logits, label_maps, IGNORE), atol=1e-3)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("log", [False, True])
def test_gradients(name: str, log: bool) -> None:
    options = {"log": log} if name in ("dice", "tversky") else {}
    label_maps = torch.tensor([[[0, 1, 2], [2, 2, IGNORE]]], dtype=torch.uint8)
    logits = torch.randn(1, 3, 2, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    # The losses reduce in float32, so the differences are taken there too; gradcheck would rather have float64.
    assert torch.autograd.gradcheck(
        lambda x: LOSSES[name](x, label_maps, IGNORE, **options), (logits,), eps=1e-2, atol=2e-3, rtol=1e-2
    )


@pytest.mark.parametrize("name", LOSSES)
def test_right_is_better_than_wrong(name: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    label_maps = batch[1]
    right = 10.0 * torch.nn.functional.one_hot(label_maps.long(), 3).permute(0, 3, 1, 2).float()
    assert LOSSES[name](right, label_maps, IGNORE) < LOSSES[name](-right, label_maps, IGNORE)


def test_absent_classes_add_nothing_to_dice() -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    label_maps = torch.zeros(1, 4, 4, dtype=torch.uint8)
    probability = logits.softmax(dim=1)[:, 0].sum()
    expected = (1 - (2 * probability + 1) / (probability + 16 + 1)) / 3
    assert torch.allclose(dice(logits, label_maps, IGNORE), expected)


def test_terms_add_up(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    loss = SummedLoss([CrossEntropySpec(scale=2.0), DiceSpec(log=True, scale=0.5)], 3, IGNORE)
    expected = 2 * cross_entropy(*batch, IGNORE) + 0.5 * dice(*batch, IGNORE, log=True)
    assert torch.allclose(loss(*batch), expected)


def test_weights_from_the_data_lift_rare_classes(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    term = CrossEntropySpec(class_weights="from_data")
    loss = SummedLoss([term], 3, IGNORE, class_shares=[0.12, 0.05, 0.83])
    weights = loss.terms[0][2]["class_weights"]
    assert weights[1] > weights[0] > weights[2]
    assert weights.mean().item() == pytest.approx(1)
    with pytest.raises(ConfigError, match="class shares"):
        SummedLoss([term], 3, IGNORE)


def test_weights_must_fit_the_classes() -> None:
    with pytest.raises(ConfigError, match="2 weights for 3 classes"):
        SummedLoss([CrossEntropySpec(class_weights=(1.0, 2.0))], 3, IGNORE)
