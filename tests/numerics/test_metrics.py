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

from drivable.evaluation import Evaluation, PictureScore
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.metrics import COLUMNS, PROTOCOLS, ConfusionMatrix, compute_scores, count_pixels


def scores_of(counts: list[list[float]]) -> tuple[float, float, float, float]:
    """bdd-official, strict3, mean of direct and alternative, binary, all in percent."""
    scores = compute_scores(np.array(counts), BDD100K_DRIVABLE)
    two = (scores.classes[0].iou + scores.classes[1].iou) / 2
    assert scores.protocols["foreground2"] == pytest.approx(two)
    names = ("bdd-official", "strict3", "foreground2", "binary")
    return tuple(round(100 * scores.protocols[name], 1) for name in names)  # type: ignore[return-value]


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
    assert compute_scores(matrix.counts.numpy(), BDD100K_DRIVABLE).protocols["bdd-official"] == pytest.approx(
        ious[:2].mean()
    )


def official_mean(truth: np.ndarray, guess: np.ndarray) -> tuple[float, list[float]]:
    """What BDD100K's evaluator computes of label maps, written again from its description, in percent."""
    truth = np.where(truth == 255, 2, truth).astype(int)
    present = sorted(set(np.unique(truth).tolist()) - {2})
    kept = truth < 2
    hist = np.bincount(3 * truth[kept] + np.minimum(guess, 2)[kept], minlength=9).reshape(3, 3)
    union = hist.sum(1) + hist.sum(0) - np.diag(hist)
    ious = [hist[k, k] / union[k] if union[k] else 0.0 for k in (0, 1)]
    return (float(np.mean([ious[k] for k in present])) if present else float("nan")), ious


@pytest.mark.parametrize(
    ("counts", "mean", "ious"),
    [
        # A class without a label that is predicted: 90.5, where a mean over both would be 45.2.
        ([[905, 95, 0], [0, 0, 0], [0, 0, 0]], 0.905, (0.905, 0.0)),
        ([[0, 0, 0], [10, 80, 10], [0, 0, 50]], 0.8, (0.0, 0.8)),
        # Neither labelled nor predicted.
        ([[60, 0, 40], [0, 0, 0], [7, 0, 9]], 0.6, (0.6, 0.0)),
        # Labelled and never found.
        ([[60, 0, 40], [0, 0, 10], [0, 0, 9]], 0.3, (0.6, 0.0)),
        # Predicted on true background only, which is dropped.
        ([[60, 0, 40], [0, 0, 0], [0, 99, 9]], 0.6, (0.6, 0.0)),
        ([[0, 0, 0], [0, 0, 0], [5, 5, 9]], float("nan"), (0.0, 0.0)),
    ],
)
def test_official_mean_takes_the_classes_that_occur(
    counts: list[list[int]], mean: float, ious: tuple[float, float]
) -> None:
    table = np.array(counts)
    truth, guess = (np.repeat(ids.ravel(), table.ravel()) for ids in np.indices((3, 3)))
    assert official_mean(truth, guess) == (pytest.approx(mean, nan_ok=True), pytest.approx(list(ious)))
    official = PROTOCOLS["bdd-official"]
    assert compute_scores(table, BDD100K_DRIVABLE).protocols["bdd-official"] == pytest.approx(mean, nan_ok=True)
    assert official.class_ious(table.astype(float), BDD100K_DRIVABLE) == pytest.approx(np.array(ious))
    assert official.score(np.stack([table, table]).astype(float), BDD100K_DRIVABLE) == pytest.approx(mean, nan_ok=True)


def test_an_evaluation_gives_the_official_mean_and_its_interval() -> None:
    counts = np.array([[905, 95, 0], [0, 0, 0], [0, 50, 10]])
    pictures = tuple(PictureScore(key, counts, np.zeros(len(COLUMNS)), 100.0, {}, None, 0) for key in ("a", "b", "c"))
    evaluation = Evaluation(BDD100K_DRIVABLE, pictures, 0, None, None)
    assert vars(evaluation.protocols["bdd-official"]) == pytest.approx({"value": 0.905, "low": 0.905, "high": 0.905})
    assert evaluation.class_ious["bdd-official"]["alternative"].value == 0
    assert "bdd-official leaves it out of its mean" in evaluation.notes[0]


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
    scores = compute_scores(matrix.counts.numpy(), BDD100K_DRIVABLE)
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
    scores = compute_scores(np.array([[3, 7, 0], [5, 5, 0], [0, 0, 80]]), BDD100K_DRIVABLE)
    assert scores.protocols["binary"] == 1.0


def test_absent_classes_are_left_out_of_means() -> None:
    scores = compute_scores(np.array([[5, 0, 5], [0, 0, 0], [0, 0, 90]]), BDD100K_DRIVABLE)
    assert scores.strict3 == pytest.approx((0.5 + 90 / 95) / 2)
    assert scores.to_dict()["classes"]["alternative"]["iou"] is None


def test_labels_without_background_have_no_road_scores() -> None:
    labels = LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1)))
    assert list(compute_scores(np.array([[5, 1], [1, 5]]), labels).protocols) == ["strict3"]


def test_binary_per_batch_step_by_step() -> None:
    """As YOLOP's validation does it: a matrix a batch, absent sides as 0, the mean weighted by the batch's size."""
    generator = np.random.default_rng(1)
    counts = generator.integers(0, 50, (55, 3, 3))
    counts[48:] = 0
    counts[48:, 2, 2] = 9  # The last batch of seven holds no road and sees none.
    expected, num = 0.0, 0
    for start in range(0, 55, 24):
        batch = counts[start : start + 24].sum(axis=0)
        two = np.array([[batch[:2, :2].sum(), batch[:2, 2].sum()], [batch[2, :2].sum(), batch[2, 2]]])
        with np.errstate(invalid="ignore"):
            ious = np.diag(two) / (two.sum(0) + two.sum(1) - np.diag(two))
        ious[np.isnan(ious)] = 0
        size = len(counts[start : start + 24])
        expected, num = expected + ious.mean() * size, num + size
    assert float(PROTOCOLS["binary-per-batch"].score(counts.astype(float), BDD100K_DRIVABLE)) == pytest.approx(
        expected / num, abs=1e-12
    )


def test_protocols_of_many_matrices_at_once_are_those_of_each() -> None:
    tables = np.random.default_rng(2).integers(0, 99, (4, 5, 3, 3)).astype(float)
    for name, protocol in PROTOCOLS.items():
        together = protocol.score(tables, BDD100K_DRIVABLE)
        if name == "binary-per-batch":
            assert together.shape == (4,)
            assert together[2] == pytest.approx(float(protocol.score(tables[2], BDD100K_DRIVABLE)))
        else:
            assert together.shape == (4, 5)
            assert together[2, 3] == pytest.approx(float(protocol.score(tables[2, 3], BDD100K_DRIVABLE)))
            assert (
                len(protocol.class_names(BDD100K_DRIVABLE)) == protocol.class_ious(tables, BDD100K_DRIVABLE).shape[-1]
            )


def test_pixels_of_a_picture_are_counted_as_by_scikit_learn_with_ignored_ones() -> None:
    generator = np.random.default_rng(3)
    actual = generator.choice([0, 1, 2, 255], (31, 47)).astype(np.uint8)
    predicted = generator.integers(0, 3, (31, 47)).astype(np.uint8)
    counted = actual != 255
    expected = np.zeros((3, 3), dtype=int)
    np.add.at(expected, (actual[counted], predicted[counted]), 1)
    counts = count_pixels(actual, predicted, 3, 255)
    assert counts.tolist() == expected.tolist()
    matrix = ConfusionMatrix(3, 255)
    matrix.update(torch.from_numpy(actual), torch.from_numpy(predicted))
    assert matrix.counts.tolist() == expected.tolist()
    with pytest.raises(ValueError, match="shape"):
        count_pixels(actual, predicted[1:], 3, 255)
    predicted[0, :] = 7
    actual[0, 0] = 1
    with pytest.raises(ValueError, match="below 3, got . .true. and 7"):
        count_pixels(actual, predicted, 3, 255)
    actual[0, :] = 255
    assert count_pixels(actual, predicted, 3, 255).sum() == (actual != 255).sum(), "ignored pixels may hold anything"


def test_parts_add_up_and_bad_ids_are_refused() -> None:
    matrix = ConfusionMatrix(3, 255)
    matrix.update(torch.tensor([[0, 255]]), torch.tensor([[0, 1]]))
    matrix.update(torch.tensor([[1]]), torch.tensor([[2]]))
    assert matrix.counts.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    with pytest.raises(ValueError, match="below 3, got 3"):
        matrix.update(torch.tensor([[3]]), torch.tensor([[0]]))
    with pytest.raises(ValueError, match="shape"):
        matrix.update(torch.tensor([[0]]), torch.tensor([[0, 1]]))
