"""Scores with intervals, slices, safety, calibration; the page; anyone's predictions; what goes wrong."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drivable.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from drivable.data import open_data, select_split
from drivable.data.attributes import attributes_for
from drivable.data.samples import Sample
from drivable.errors import ConfigError, DataError
from drivable.evaluation import StoredPredictions, differences, evaluate
from drivable.evaluation.drift import score_frames
from drivable.evaluation.label_errors import doubt, suspects
from drivable.evaluation.slices import widest_gap
from drivable.imaging.corruptions import CORRUPTIONS, corrupt
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.segmenter import Image as Pixels
from drivable.segmenter import LabelMap

Run = Callable[..., tuple[int, str, str]]


class Answers:
    """A predictor that gives the labels themselves, changed."""

    labels = BDD100K_DRIVABLE

    def __init__(self, change: Callable[[LabelMap], LabelMap], confidence: float | None = None) -> None:
        self.change = change
        self.confidence = confidence

    def answer(self, samples: Sequence[Sample], images: Sequence[Pixels]) -> list[tuple[LabelMap, np.ndarray | None]]:
        answers = []
        for sample in samples:
            label_map = self.change(sample.label.read())
            sure = None if self.confidence is None else np.full(label_map.shape, self.confidence, dtype=np.float32)
            answers.append((label_map, sure))
        return answers


def everything_direct(label_map: LabelMap) -> LabelMap:
    return np.zeros_like(label_map)


def swap_lanes(label_map: LabelMap) -> LabelMap:
    return np.array([1, 0, 2], dtype=np.uint8)[label_map]


@pytest.fixture
def predictions(rendered_data: Path, tmp_path: Path) -> Path:
    """The test split's own masks, as somebody's predictions."""
    folder = tmp_path / "predictions"
    shutil.copytree(rendered_data / "labels/drivable/masks/test", folder)
    return folder


def test_the_json_has_intervals_classes_slices_safety_and_calibration(
    run: Run, trained: Path, rendered_data: Path, tmp_path: Path
) -> None:
    code, out, _ = run("evaluate", trained, "--data", rendered_data, "--json", tmp_path / "s.json")
    assert code == 0
    found = json.loads((tmp_path / "s.json").read_text())
    names = ["strict3", "bdd-official", "foreground2", "binary", "binary-per-batch"]
    assert list(found["protocols"]) == names
    for name in names:
        protocol = found["protocols"][name]
        assert protocol["low"] <= protocol["value"] <= protocol["high"]
        assert name in out
    assert set(found["protocols"]["strict3"]["per_class"]) == {"direct", "alternative", "background"}
    assert set(found["protocols"]["binary"]["per_class"]) == {"road", "background"}
    by = {part["by"] for part in found["slices"]}
    assert {"weather", "timeofday", "brightness", "share of road"} <= by
    scores = [part["strict3"]["value"] for part in found["slices"]]
    assert scores == sorted(scores)
    assert {"leak rate", "missed road", "swap rate", "boundary IoU"} <= set(found["safety"])
    assert 0 <= found["calibration"]["expected_calibration_error"] <= 1
    assert len(found["data_fingerprint"]) == 16
    assert found["model"] == str(trained)
    assert found["made"]["command"].startswith("drivable evaluate ")
    assert found["made"]["data fingerprint"] == found["data_fingerprint"]


def test_a_perfect_answer_has_no_width(rendered_data: Path) -> None:
    data = open_data(rendered_data)
    found = evaluate(Answers(lambda label_map: label_map), data.samples["test"], data.labels)
    for value in found.protocols.values():
        assert (value.value, value.low, value.high) == (1.0, 1.0, 1.0)
    assert found.reliability is None
    assert found.safety["leak rate"].value == 0


def test_slices_leave_out_what_is_not_known_and_the_worst_comes_first(rendered_data: Path) -> None:
    data = open_data(rendered_data)
    samples = data.samples["train"]
    attributes = {sample.id: {"weather": "rainy" if i % 2 else "clear"} for i, sample in enumerate(samples)}
    attributes[samples[0].id] = {"weather": "undefined"}
    del attributes[samples[1].id]

    class WorseInRain(Answers):
        def answer(self, samples: Sequence[Sample], images: Sequence[Pixels]) -> list[tuple[LabelMap, None]]:
            return [
                (everything_direct(s.label.read()) if attributes.get(s.id, {}).get("weather") == "rainy" else
                 s.label.read(), None)
                for s in samples
            ]  # fmt: skip

    found = evaluate(WorseInRain(lambda x: x), samples, data.labels, attributes)
    weather = [part for part in found.slices if part.by == "weather"]
    assert [part.value for part in weather] == ["rainy", "clear"]
    assert sum(part.num_pictures for part in weather) == len(samples) - 2
    assert weather[1].strict3.value == 1.0
    assert weather[0].strict3.high < 0.5
    assert widest_gap(weather) is None, "fewer than twenty pictures make no headline"


def test_notes_speak_of_absent_classes(rendered_data: Path) -> None:
    data = open_data(rendered_data)

    class OnlyBackground(Answers):
        def answer(self, samples: Sequence[Sample], images: Sequence[Pixels]) -> list[tuple[LabelMap, None]]:
            return [(np.full(image.shape[:2], 2, dtype=np.uint8), None) for image in images]

    roads = [s for s in data.samples["train"] if not (s.label.read() == 1).any()]
    found = evaluate(OnlyBackground(lambda x: x), roads, data.labels)
    assert found.notes == ["alternative: no pixel of it is labelled; absent, so no mean has it"]
    assert found.class_ious["strict3"]["alternative"].to_dict()["value"] is None
    assert found.scores.strict3 == pytest.approx(np.mean([0, found.scores.classes[2].iou]))


def test_anyones_predictions_get_the_same_scores_as_the_model(
    run: Run, trained: Path, rendered_data: Path, tmp_path: Path
) -> None:
    images = rendered_data / "images/100k/test"
    assert run("predict", images, "--model", trained, "--out", tmp_path / "seen")[0] == 0
    for name, source in (("model", [trained]), ("stored", ["--predictions", tmp_path / "seen/label_maps"])):
        code, _, err = run("evaluate", *source, "--data", rendered_data, "--json", tmp_path / f"{name}.json")
        assert code == 0, err
    model, stored = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("model", "stored"))
    for key in ("protocols", "safety", "slices", "confusion", "data_fingerprint"):
        assert stored[key] == model[key]
    assert stored["calibration"] is None


def test_the_page_is_one_file_that_needs_no_network(
    run: Run, trained: Path, rendered_data: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    code, out, _ = run("evaluate", trained, "--data", rendered_data, "--report", page)
    assert code == 0
    assert str(page) in out
    text = page.read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    for word in ("strict3", "binary-per-batch", "What a driver would mind", "Where it fails", "Worst pictures",
                 "Best pictures", "drivable evaluate", "fingerprint", "Reliability diagram"):  # fmt: skip
        assert word in text, word
    assert text.count("<figure>") >= 4 * 12


def test_a_fault_leaves_no_page(run: Run, predictions: Path, rendered_data: Path, tmp_path: Path) -> None:
    next(predictions.iterdir()).unlink()
    page = tmp_path / "report.html"
    code, _, err = run("evaluate", "--predictions", predictions, "--data", rendered_data, "--report", page)
    assert code == 1
    assert "no label map" in err
    assert not page.exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: Image.fromarray(np.zeros((5, 5), np.uint8)).save(p), "label map is 5x5, its picture 96x160"),
        (lambda p: Image.fromarray(np.full((96, 160), 9, np.uint8)).save(p), "holds id 9; the labels know 0..2"),
        (lambda p: Image.fromarray(np.zeros((96, 160, 3), np.uint8)).save(p), "label map of mode RGB"),
        (lambda p: p.write_bytes(p.read_bytes()[:60]), "broken picture"),
        (lambda p: p.unlink(), "no label map"),
    ],
)
def test_faults_of_predictions(
    predictions: Path, rendered_data: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(min(predictions.iterdir()))
    data = open_data(rendered_data)
    with pytest.raises(DataError, match=message):
        evaluate(StoredPredictions(predictions, data.labels), data.samples["test"], data.labels)


def test_predictions_of_other_pictures_are_told(
    run: Run, predictions: Path, rendered_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = open_data(rendered_data)
    num = len(list(predictions.iterdir()))
    evaluate(StoredPredictions(predictions, data.labels), data.samples["test"], data.labels)
    assert not caplog.records
    first = min(predictions.iterdir())
    for name in ("other-b.png", "other-a.png"):
        shutil.copy(first, predictions / name)
    evaluate(StoredPredictions(predictions, data.labels), data.samples["test"], data.labels)
    said = f"2 of {num + 2} label maps belong to none of the {num} labelled pictures and are not scored, 'other-a.png'"
    assert said in caplog.text
    code, _, _ = run("evaluate", "--predictions", predictions, "--data", rendered_data)
    assert (code, caplog.text.count(said)) == (0, 2)


def test_a_folder_without_predictions(tmp_path: Path, predictions: Path) -> None:
    with pytest.raises(DataError, match="no label map"):
        StoredPredictions(tmp_path / "nowhere", BDD100K_DRIVABLE)
    (predictions / ".thumbnails").mkdir()
    shutil.copy(min(predictions.glob("*.png")), predictions / ".thumbnails")
    first = min(predictions.glob("*.png"))
    first.rename(first.with_suffix(".PNG"))
    assert len(StoredPredictions(predictions, BDD100K_DRIVABLE).files) == len(list(predictions.iterdir())) - 1
    (predictions / "deeper").mkdir()
    shutil.copy(min(predictions.glob("*.png")), predictions / "deeper")
    with pytest.raises(DataError, match="two label maps are named"):
        StoredPredictions(predictions, BDD100K_DRIVABLE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "Missing option '--data'"),
        (["drift"], "Missing argument"),
        (["evaluate", "m", "--predictions", "p", "--data", "x"], "a model or --predictions, not both"),
        (["evaluate", "--predictions", "p", "--data", "x", "--size", "9x9"], "--size does not go with"),
        (["evaluate", "--data", "x", "--camera", "1,2"], "expected FOCAL_PX,HEIGHT_M,HORIZON_ROW"),
        (["evaluate", "--data", "x", "--camera", "nan,1,2"], "expected FOCAL_PX,HEIGHT_M,HORIZON_ROW"),
        (["evaluate", "--data", "x", "--camera", "0,1,2"], "must be above 0"),
    ],
)
def test_wrong_use(run: Run, arguments: list[str], message: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err


def test_attributes_come_from_tables_and_from_label_files(
    run: Run, trained: Path, rendered_data: Path, tmp_path: Path
) -> None:
    data = open_data(rendered_data)
    ids = [sample.id for sample in data.samples["test"]]
    table, frames, foreign = tmp_path / "a.csv", tmp_path / "a.json", tmp_path / "b.csv"
    with table.open("w", newline="") as text:
        csv.writer(text).writerows([["id", "weather"], *([key, "snowy" if i else ""] for i, key in enumerate(ids))])
    frames.write_text(json.dumps([{"name": f"{key}.jpg", "attributes": {"weather": "snowy"}} for key in ids[1:]]))
    foreign.write_text("id,weather\nsomebody,clear\n")
    for file in (table, frames):
        assert attributes_for(file, ids)[ids[1]] == {"weather": "snowy"}
        assert attributes_for(file, ids).get(ids[0], {}) == {}
    code, out, _ = run("evaluate", trained, "--data", rendered_data, "--attributes", table)
    assert code == 0
    assert re.search(r"weather\s+snowy\s+7", out)
    for file, message in ((foreign, "none of its 1 ids is one of the 8"), (tmp_path / "no.csv", "no such")):
        code, _, err = run("evaluate", trained, "--data", rendered_data, "--attributes", file)
        assert code == 1
        assert message in err


@pytest.mark.real
def test_attributes_of_every_generation(real_data: Path) -> None:
    formats = real_data / "bdd100k-formats"
    for file in ("json-2018-08-aggregated/bdd100k_labels_images_val.json", "json-2021-det20/det_train.json"):
        path = formats / file
        ids = [entry["name"].removesuffix(".jpg") for entry in json.loads(path.read_text())]
        said = attributes_for(path, ids)
        assert all("timeofday" in said[key] for key in ids)


def test_all_pixels_ignored_and_no_pictures(make_bdd100k: Callable[..., Path]) -> None:
    root = make_bdd100k()
    data = open_data(root)
    for mask in (root / "labels/drivable/masks/train").iterdir():
        Image.fromarray(np.full((36, 64), 255, dtype=np.uint8)).save(mask)
    with pytest.raises(DataError, match="every pixel of 3 pictures is ignored"):
        evaluate(Answers(everything_direct), data.all_samples, data.labels)
    with pytest.raises(DataError, match="none of 0 pictures"):
        evaluate(Answers(everything_direct), [], data.labels)
    with pytest.raises(DataError, match="must be the same classes"):
        evaluate(Answers(everything_direct), data.all_samples, LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1))))


def test_two_models_on_the_same_pictures(rendered_data: Path) -> None:
    data = open_data(rendered_data)
    samples = data.samples["train"]
    good, bad = (evaluate(Answers(change), samples, data.labels) for change in (lambda x: x, everything_direct))
    (test,) = differences({"good": good, "bad": bad})
    assert test.test.is_real
    row = test.to_row()
    assert row["second less first (points)"] < -30
    assert row["real"] == "yes"
    assert differences({"good": good, "again": good})[0].to_row()["real"] == "no"
    half = evaluate(Answers(lambda x: x), samples[:4], data.labels)
    with pytest.raises(DataError, match="different pictures"):
        differences({"good": good, "half": half})


def test_compare_tests_the_difference(run: Run, trained: Path, rendered_data: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes((trained / "best.safetensors").read_bytes())
    code, out, _ = run("compare", trained, twin, "--data", rendered_data, "--out", tmp_path / "t")
    assert code == 0
    assert "is the difference real?" in out
    assert "| no |" in (tmp_path / "t/differences.md").read_text()


def test_labels_in_doubt_are_listed_and_exported(run: Run, rendered_data: Path, tmp_path: Path) -> None:
    data = open_data(rendered_data)
    samples = data.samples["train"]
    found = evaluate(Answers(swap_lanes, confidence=0.97), samples, data.labels)
    listed = suspects([(p.id, p.doubt) for p in found.pictures if p.doubt is not None])
    assert listed
    assert {suspect.kind for suspect in listed} == {"swapped lanes"}
    assert [s.share for s in listed] == sorted((s.share for s in listed), reverse=True)
    unsure = evaluate(Answers(swap_lanes, confidence=0.6), samples, data.labels)
    assert not suspects([(p.id, p.doubt) for p in unsure.pictures if p.doubt is not None])
    actual = np.array([[0, 1, 2, 2, 0, 255]], dtype=np.uint8)
    predicted = np.array([[1, 1, 0, 2, 2, 0]], dtype=np.uint8)
    doubted = doubt(actual, predicted, np.full((1, 6), 0.95, dtype=np.float32), BDD100K_DRIVABLE)
    assert (doubted.swapped, doubted.missing, doubted.surplus) == (0.2, 0.2, 0.2)


@pytest.mark.parametrize("form", ["scalabel", "cvat"])
def test_label_issues(run: Run, rendered_data: Path, tmp_path: Path, form: str) -> None:
    shifted = tmp_path / "data"
    shutil.copytree(rendered_data, shifted)
    # The masks of one split in reverse order: some picture's label is certainly not its own.
    masks = sorted((shifted / "labels/drivable/masks/test").iterdir())
    contents = [mask.read_bytes() for mask in masks]
    for mask, content in zip(masks, reversed(contents), strict=True):
        mask.write_bytes(content)
    path = tmp_path / "work"
    code, out, _ = run("data", "label-issues", shifted, "--split", "test", "--out", path, "--for", form)
    assert code == 0
    assert re.search(r"[1-8] of 8 images", out)
    text = path.read_text()
    files = [entry["url"] for entry in json.loads(text)] if form == "scalabel" else text.splitlines()
    assert files
    assert all(Path(file).is_file() for file in files)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_grows_with_its_strength_and_repeats(name: str) -> None:
    image = np.asarray(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)).resize((160, 96))
    )
    changes = [np.abs(corrupt(image, name, strength, "a").astype(int) - image).mean() for strength in (1, 3, 5)]
    assert 0 < changes[0] < changes[2]
    assert changes[0] <= changes[1] * 1.1
    again = corrupt(image, name, 3, "a")
    assert np.array_equal(again, corrupt(image, name, 3, "a"))
    assert again.shape == image.shape
    assert again.dtype == np.uint8


def test_robustness(run: Run, trained: Path, rendered_data: Path, tmp_path: Path) -> None:
    arguments = ["robustness", trained, "--data", rendered_data, "--limit", 3, "--json", tmp_path / "r.json"]
    code, out, _ = run(*arguments, "--only", "jpeg", "--only", "fog", "--strengths", "1,5")
    assert code == 0
    found = json.loads((tmp_path / "r.json").read_text())
    assert set(found["corrupted"]) == {"jpeg", "fog"}
    assert set(found["corrupted"]["fog"]) == {"1", "5"}
    assert found["num_pictures"] <= 3
    mean = np.mean([1 - np.mean(list(by.values())) / found["clean"] for by in found["corrupted"].values()])
    assert found["mean_relative_drop"] == pytest.approx(mean)
    assert "mean relative drop" in out
    for wrong, message in ((["--only", "hail"], "expected one of night"), (["--strengths", "9"], "expected 1 to 5"),
                           (["--strengths", "x"], "expected numbers")):  # fmt: skip
        code, _, err = run(*arguments, *wrong)
        assert code == 2
        assert message in err


def test_a_model_that_sees_nothing_is_not_calibrated(run: Run, rendered_data: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    name = "decoder.classify.weight"
    weights = {**checkpoint.weights, name: torch.full(checkpoint.weights[name].shape, 3e38)}
    save_checkpoint(tmp_path / "blind.safetensors", replace(checkpoint, weights=weights))
    out = tmp_path / "mended.safetensors"
    code, _, err = run(
        "calibrate", tmp_path / "blind.safetensors", "--data", rendered_data, "--split", "train", "--out", out
    )
    assert code == 1
    assert "there is nothing to calibrate" in err
    assert not out.exists()


def test_calibrating_mends_the_confidence_and_the_binary_score(
    run: Run, trained: Path, rendered_data: Path, tmp_path: Path
) -> None:
    mended = tmp_path / "mended.safetensors"
    code, out, _ = run("calibrate", trained, "--data", rendered_data, "--split", "train", "--out", mended)
    assert code == 0
    assert "temperature" in out
    before, after = load_checkpoint(find_checkpoint(trained)), load_checkpoint(mended)
    assert before.calibration is None
    assert after.calibration is not None
    assert after.calibration.fitted_on == "train, 24 pictures"
    assert 0 < after.calibration.accuracy < 1
    for name, tensor in before.weights.items():
        assert torch.equal(tensor, after.weights[name])
    for file, name in ((trained, "before"), (mended, "after")):
        run("evaluate", file, "--data", rendered_data, "--split", "train", "--json", tmp_path / f"{name}.json")
    raw, tempered = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("before", "after"))
    # Its labels are what the offset was fitted on.
    assert tempered["protocols"]["binary"]["value"] >= raw["protocols"]["binary"]["value"]
    if after.calibration.background_offset == 0:
        assert tempered["confusion"] == raw["confusion"]
    assert (
        tempered["calibration"]["expected_calibration_error"] <= raw["calibration"]["expected_calibration_error"] + 0.05
    )
    code, _, err = run("drift", rendered_data / "images/100k/test", "--model", trained)
    assert code == 2
    assert "drivable calibrate" in err
    code, out, _ = run("drift", rendered_data / "images/100k/test", "--model", mended, "--json", tmp_path / "f.json")
    assert code == 0
    found = json.loads((tmp_path / "f.json").read_text())["images"]
    assert found["num_frames"] == 8
    assert found["stability"]["value"] is None, "pictures do not follow each other"
    assert 0 < found["estimated_accuracy"]["value"] <= 1
    assert found["out_of_domain"] == pytest.approx(1 - found["estimated_accuracy"]["value"] / found["accuracy_at_home"])


class Stripes:
    """A segmenter whose road moves with the picture, or flickers."""

    labels = BDD100K_DRIVABLE

    def __init__(self, flickers: bool) -> None:
        self.flickers = flickers
        self.num_seen = 0

    def segment(self, image: Pixels) -> LabelMap:
        return self.probabilities(image).argmax(axis=0).astype(np.uint8)

    def segment_batch(self, images: Sequence[Pixels]) -> list[LabelMap]:
        return [self.segment(image) for image in images]

    def probabilities(self, image: Pixels) -> np.ndarray:
        self.num_seen += 1
        is_road = image[..., 0] > 127
        road_id = 1 if self.flickers and self.num_seen % 2 else 0
        label_map = np.where(is_road, road_id, 2)
        return (0.02 + 0.94 * np.eye(3)[label_map]).transpose(2, 0, 1).astype(np.float32)


def moving_frames() -> list[Pixels]:
    texture = np.random.default_rng(0).integers(0, 60, (180, 420, 3), dtype=np.uint8)
    texture[60:, 100:300] += 150
    blurred = np.asarray(Image.fromarray(texture).resize((210, 90)).resize((420, 180)))
    return [np.ascontiguousarray(blurred[:, 4 * i : 4 * i + 320]) for i in range(12)]


def test_what_moves_with_the_picture_is_steady_and_what_flickers_is_not() -> None:
    from drivable.checkpoint import Calibration

    calibration = Calibration(1.0, threshold=0.9, accuracy=0.95, fitted_on="nothing")
    steady = score_frames(Stripes(flickers=False), calibration, moving_frames(), are_consecutive=True)
    flickering = score_frames(Stripes(flickers=True), calibration, moving_frames(), are_consecutive=True)
    assert steady.stability.value > 0.9
    assert steady.flicker.value < 0.03
    assert flickering.flicker.value > 0.2
    assert flickering.stability.value < 0.5
    assert steady.estimated_accuracy.value == 1.0
    assert steady.out_of_domain == pytest.approx(1 - 1 / 0.95)
    with pytest.raises(DataError, match="no frame"):
        score_frames(Stripes(flickers=False), calibration, [], are_consecutive=True)


def test_without_a_background_nothing_is_said_of_road() -> None:
    from drivable.checkpoint import Calibration

    stripes = Stripes(flickers=False)
    stripes.labels = replace(BDD100K_DRIVABLE, background=None)
    calibration = Calibration(1.0, threshold=0.9, accuracy=0.95, fitted_on="nothing")
    found = score_frames(stripes, calibration, moving_frames()[:2], are_consecutive=True)
    assert found.to_dict()["road"] is None
    assert found.stability.value > 0.9


def test_a_shipped_model_is_not_overwritten(
    run: Run, rendered_data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivable.weights.shipped_models", lambda: {"best": trained / "best.safetensors"})
    code, _, err = run("calibrate", trained, "--data", rendered_data)
    assert code == 2
    assert "part of the package" in err


def test_select_split_of_an_id_without_a_file(rendered_data: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("nobody\n")
    with pytest.raises((DataError, ConfigError), match="nobody"):
        select_split(open_data(rendered_data), str(ids))
