"""Studies: one command trains their runs, goes on where it stopped, and shows them side by side."""

import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from PIL import Image

from drivable.config import Recipe, load_study
from drivable.errors import ConfigError, DrivableError
from drivable.signals import terminated_as_interrupted
from drivable.training import resumed_recipe, sweep, train
from drivable.training.module import SegmentationTraining

Run = Callable[..., tuple[int, str, str]]
sweep_module = import_module("drivable.training.sweep")

SET = {
    "model.pretrained": None,
    "data.size": [64, 96],
    "data.num_workers": 0,
    "training.accelerator": "cpu",
    "training.epochs": 1,
    "training.max_steps": 2,
}


def write_study(folder: Path, **changes: object) -> Path:
    path = folder / f"{changes.get('name', 'study')}.yaml"
    path.write_text(yaml.safe_dump({"name": "study", "recipe": "lite", "set": SET, **changes}, sort_keys=False))
    return path


def test_a_study_trains_its_runs_and_compares_them(rendered_data: Path, tmp_path: Path) -> None:
    path = write_study(tmp_path, question="Which?", runs={"plain": {}, "dice": {"loss": [{"name": "dice"}]}})
    seen: list[tuple[str, int, int | None]] = []
    rows = sweep(load_study(path), rendered_data, tmp_path / "out", lambda *run: seen.append(run))
    assert seen == [("plain", 1, 2), ("dice", 2, 2)]
    assert [row.name for row in rows] == ["plain", "dice"]
    assert all(row.fault is None and row.values["val_strict3"] > 0 for row in rows)
    assert resumed_recipe(rows[1].folder).loss[0].name == "dice"
    written = json.loads((tmp_path / "out/study.json").read_text())
    assert [row["run"] for row in written["rows"]] == ["plain", "dice"]
    assert written["rows"][0]["strict3 (%)"] == round(100 * rows[0].values["val_strict3"], 2)
    lines = (tmp_path / "out/study.md").read_text().splitlines()
    assert lines[0] == "Which?"
    assert lines[2].startswith("| run | strict3 (%) | IoU direct (%) |")
    assert len((tmp_path / "out/study.csv").read_text().splitlines()) == 3
    assert Image.open(tmp_path / "out/study.png").size[0] > 500


def test_a_finished_run_is_not_trained_again(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sweep(load_study(write_study(tmp_path, runs={"a": {}})), rendered_data, tmp_path / "out")
    monkeypatch.setattr(sweep_module, "train", lambda *_: pytest.fail("trained again"))
    other = write_study(tmp_path, name="other", runs={"same": {"name": "renamed", "data.num_workers": 1}})
    second = sweep(load_study(other), rendered_data, tmp_path / "out")
    assert second[0].folder == first[0].folder
    assert second[0].values == first[0].values


def test_a_stopped_study_goes_on(rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_study(write_study(tmp_path, runs={"a": {"training.max_steps": 3}, "b": {"seed": 2}}))
    original = SegmentationTraining.training_step

    def stops(self: SegmentationTraining, batch: object, batch_index: int) -> object:
        if self.trainer.global_step == 1:
            raise KeyboardInterrupt
        return original(self, batch, batch_index)  # type: ignore[arg-type]

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(SegmentationTraining, "training_step", stops)
        sweep(study, rendered_data, tmp_path / "out")
    resumed: list[bool] = []

    def spy(recipe: object, folder: object, resume: bool) -> object:
        resumed.append(resume)
        return train(recipe, folder, resume)  # type: ignore[arg-type]

    monkeypatch.setattr(sweep_module, "train", spy)
    rows = sweep(study, rendered_data, tmp_path / "out")
    assert resumed == [True, False]
    whole = sweep(study, rendered_data, tmp_path / "whole")
    assert rows[0].values["val_loss"] == pytest.approx(whole[0].values["val_loss"], rel=1e-5)


def test_a_failed_run_is_told_and_the_others_go_on(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(write_study(tmp_path, runs={"bad": {"optimizer.learning_rate": 5.0}, "good": {}}))
    original = SegmentationTraining.training_step

    def fails(self: SegmentationTraining, batch: object, batch_index: int) -> object:
        if self.recipe.optimizer.learning_rate == 5.0:
            raise DrivableError("the loss is nan")
        return original(self, batch, batch_index)  # type: ignore[arg-type]

    monkeypatch.setattr(SegmentationTraining, "training_step", fails)
    rows = sweep(study, rendered_data, tmp_path / "out")
    assert rows[0].fault == "the loss is nan"
    assert rows[1].fault is None
    assert "the loss is nan" in (tmp_path / "out/study.md").read_text()


def test_a_search_draws_and_remembers(rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    search = {
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "loss": {"choices": [[{"name": "dice"}], [{"name": "cross_entropy"}]]},
    }
    rows = sweep(load_study(write_study(tmp_path, search=search, trials=1)), rendered_data, tmp_path / "out")
    assert 1e-4 <= rows[0].changes["optimizer.learning_rate"] <= 1e-2
    assert rows[0].changes["loss"][0]["name"] in ("dice", "cross_entropy")
    longer = load_study(write_study(tmp_path, search=search, trials=2))
    again = sweep(longer, rendered_data, tmp_path / "out")
    assert again[0].values == rows[0].values
    assert [row.name for row in again] == ["trial-001", "trial-002"]
    assert again[1].changes["optimizer.learning_rate"] != again[0].changes["optimizer.learning_rate"]
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'drivable\[search\]'"):
        sweep(longer, rendered_data, tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "either runs, or search and trials"),
        ({"runs": {"a": {}}, "trials": 3}, "either runs, or search and trials"),
        ({"runs": {"a": {"trainig.epochs": 1}}}, "study study, run a: .*unknown key 'trainig'; did you mean"),
        ({"runs": {"a/b": {}}}, "match pattern"),
        ({"name": "s" * 201, "runs": {"a": {}}}, "name: .*at most 200 characters"),
        ({"runs": {"r" * 201: {}}}, "runs.rrr.*at most 200 characters"),
        ({"name": "s" * 100, "runs": {"r" * 100: {}}}, "study sss.*at most 200 characters"),
        ({"search": {"seed": {"low": 2, "high": 1}}, "trials": 1}, "a range needs low < high"),
        ({"runs": {"a": {}}, "reccipe": "lite"}, "reccipe: Extra inputs"),
        ({"recipe": "litte", "runs": {"a": {}}}, "did you mean 'lite'"),
    ],
)
def test_faults_of_a_study(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_study(write_study(tmp_path, **changes))
    with pytest.raises(ConfigError, match="not readable"):
        load_study(tmp_path / "missing.yaml")


def test_any_fault_of_a_run_is_its_own(rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_study(write_study(tmp_path, runs={"bad": {}, "wrong": {"seed": 2}, "large": {"seed": 3}}))
    faults = {1: RuntimeError("sizes\ndiffer"), 2: ConfigError("not for these data"), 3: DrivableError("out of memory")}

    def fails(recipe: Recipe, folder: Path, resume: bool) -> None:
        raise faults[recipe.seed]

    monkeypatch.setattr(sweep_module, "train", fails)
    rows = sweep(study, rendered_data, tmp_path / "out")
    assert [row.fault for row in rows] == ["RuntimeError: sizes differ", "not for these data", "out of memory"]
    assert "RuntimeError: sizes differ" in (tmp_path / "out/study.md").read_text()


def pressed_and_made_a_fault() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as stop:
        raise RuntimeError("Error calling __set_name__ on 'member' instance") from stop


def pressed_and_swallowed() -> None:
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("before", "at_the_end", "after", "finished"),
    [
        (pressed_and_made_a_fault, nothing, nothing, 0),
        (pressed_and_swallowed, nothing, nothing, 0),
        # Here the handler of the training has it, and no batch comes after it.
        (nothing, pressed_and_swallowed, nothing, 1),
        (nothing, nothing, pressed_and_swallowed, 1),
    ],
)
def test_a_stop_that_a_library_swallows_stops_the_study(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    before: Callable[[], None], at_the_end: Callable[[], None], after: Callable[[], None], finished: int,
) -> None:  # fmt: skip
    begun: list[str] = []

    def trains(recipe: Recipe, folder: Path, resume: bool) -> object:
        begun.append(folder.name)
        before()
        result = train(recipe, folder, resume)
        after()
        return result

    monkeypatch.setattr(sweep_module, "train", trains)
    monkeypatch.setattr(SegmentationTraining, "on_validation_end", lambda _: at_the_end(), raising=False)
    study = load_study(write_study(tmp_path, runs={"a": {}, "b": {"seed": 2}}))
    with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt):
        sweep(study, rendered_data, tmp_path / "out")
    assert len(begun) == 1
    assert len(list((tmp_path / "out/runs").glob("*/result.json"))) == finished
    rows = json.loads((tmp_path / "out/study.json").read_text())["rows"] if finished else []
    assert [row["run"] for row in rows] == ["a"] * finished


def test_a_stopped_study_says_how_to_go_on(
    run: Run, rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "train", lambda *_: pressed_and_made_a_fault())
    study = write_study(tmp_path, runs={"a": {}, "b": {"seed": 2}})
    code, _, err = run("sweep", study, "--data", rendered_data, "--out", tmp_path / "out")
    assert (code, err.strip().splitlines()) == (
        1, ["study: run 1 of 2, a", "stopped; give the same command again to go on"],
    )  # fmt: skip


def test_a_class_without_a_score_is_a_dash(tmp_path: Path) -> None:
    row = sweep_module.StudyRow("a", {}, tmp_path, {"val_strict3": 0.5, "val_iou_direct": None, "val_loss": None})
    assert row.to_row() == {
        "run": "a", "strict3 (%)": 50.0, "IoU direct (%)": None, "changes": "{}", "folder": tmp_path.name,
    }  # fmt: skip
