"""Protocols against worked cases and torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
)

from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.metrics import ConfusionMatrix, compute_scores


def scores_of(counts: list[list[float]]) -> tuple[float, float, float, float]:
    """bdd-official, strict3, mean of direct and alternative, binary, all in percent."""
    scores = compute_scores(torch.tensor(counts), BDD100K_DRIVABLE)
    assert scores.bdd_official is not None
    assert scores.binary is not None
    two = (scores.classes[0].iou + scores.classes[1].iou) / 2
    return tuple(round(100 * value, 1) for value in (scores.bdd_official, scores.strict3, two, scores.binary))


# Shares of pixels solved from the published results of three kinds of error: rows truth, columns prediction.
@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Road bleeds into background: the official evaluator does not see it.
        ([[0.05, 0, 0], [0, 0.0935, 0], [0.046, 0.0337, 0.7768]], (100.0, 72.1, 62.8, 77.5)),
        # Half of alternative is called direct: the binary score does not see it.
        ([[608, 0, 0], [392, 392, 0], [0, 0, 10000]], (55.4, 70.3, 55.4, 100.0)),
        # Everything is drivable.
        ([[0.0994, 0, 0], [0, 0.0446, 0], [0.856, 0, 0]], (100.0, 36.8, 55.2, 7.2)),
    ],
)
def test_worked_cases(counts: list[list[float]], expected: tuple[float, ...]) -> None:
    assert scores_of(counts) == pytest.approx(expected, abs=0.11)


def test_official_evaluator_step_by_step() -> None:
    """The official steps on label maps, ignore ids and all, against the matrix."""
    generator = np.random.default_rng(0)
    truth = generator.choice([0, 1, 2, 255], size=(40, 50), p=[0.2, 0.1, 0.6, 0.1]).astype(np.uint8)
    guess = np.where(generator.random((40, 50)) < 0.7, np.minimum(truth, 2), generator.integers(0, 3, (40, 50)))
    official_truth = np.where(truth == 255, 2, truth).astype(int)
    kept = official_truth < 2
    hist = np.bincount(3 * official_truth[kept] + guess[kept], minlength=9).reshape(3, 3)
    ious = np.diag(hist) / (hist.sum(1) + hist.sum(0) - np.diag(hist))
    matrix = ConfusionMatrix(3, 255)
    matrix.update(torch.from_numpy(truth), torch.from_numpy(guess))
    assert compute_scores(matrix.counts, BDD100K_DRIVABLE).bdd_official == pytest.approx(ious[:2].mean())


def test_against_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 3, (4, 30, 40), generator=generator)
    truth[0, :5] = 255
    guess = torch.where(
        torch.rand(truth.shape, generator=generator) < 0.6,
        truth.clamp(max=2),
        torch.randint(0, 3, truth.shape, generator=generator),
    )
    matrix = ConfusionMatrix(3, 255)
    for t, g in zip(truth, guess, strict=True):
        matrix.update(t, g)
    scores = compute_scores(matrix.counts, BDD100K_DRIVABLE)
    options = {"num_classes": 3, "ignore_index": 255, "average": None}
    for metric, name in (
        (MulticlassJaccardIndex, "iou"), (MulticlassPrecision, "precision"), (MulticlassRecall, "recall"),
        (MulticlassF1Score, "f1"),
    ):  # fmt: skip
        expected = metric(**options)(guess, truth)
        assert [getattr(c, name) for c in scores.classes] == pytest.approx(expected.tolist())
    expected = MulticlassAccuracy(num_classes=3, ignore_index=255, average="micro")(guess, truth)
    assert scores.pixel_accuracy == pytest.approx(expected.item())
    assert scores.num_pixels == int((truth != 255).sum())


def test_binary_merges_the_lanes() -> None:
    scores = compute_scores(torch.tensor([[3, 7, 0], [5, 5, 0], [0, 0, 80]]), BDD100K_DRIVABLE)
    assert scores.binary == 1.0


def test_absent_classes_are_left_out_of_means() -> None:
    scores = compute_scores(torch.tensor([[5, 0, 5], [0, 0, 0], [0, 0, 90]]), BDD100K_DRIVABLE)
    assert scores.strict3 == pytest.approx((0.5 + 90 / 95) / 2)
    assert scores.to_dict()["classes"]["alternative"]["iou"] is None


def test_labels_without_background_have_no_road_scores() -> None:
    labels = LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1)))
    scores = compute_scores(torch.tensor([[5, 1], [1, 5]]), labels)
    assert scores.bdd_official is None
    assert scores.binary is None


def test_parts_add_up_and_bad_ids_are_refused() -> None:
    matrix = ConfusionMatrix(3, 255)
    matrix.update(torch.tensor([[0, 255]]), torch.tensor([[0, 1]]))
    matrix.update(torch.tensor([[1]]), torch.tensor([[2]]))
    assert matrix.counts.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    with pytest.raises(ValueError, match="below 3, got 3"):
        matrix.update(torch.tensor([[3]]), torch.tensor([[0]]))
    with pytest.raises(ValueError, match="shape"):
        matrix.update(torch.tensor([[0]]), torch.tensor([[0, 1]]))
