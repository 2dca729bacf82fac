"""The commands as a user types them: what they print, write and return."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from drivable.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from drivable.cli.tables import format_cell
from drivable.imaging.video import Frame, video_writer
from drivable.synthetic import render_drive

Run = Callable[..., tuple[int, str, str]]
SMALL = [
    "--set", "model.pretrained=null", "--set", "data.size=[64, 96]", "--set", "data.num_workers=0",
    "--set", "training.epochs=1", "--set", "training.accelerator=cpu",
]  # fmt: skip


def test_help_does_not_import_torch() -> None:
    code = "import sys; sys.argv = ['drivable', '--help']\nfrom drivable.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'lightning', 'cv2', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]")
    assert "train" in out


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("drivable 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "which recipe?"),
        (["train", "litte"], "did you mean 'lite'"),
        (["train", "lite", "--set", "training.epoch=1"], "did you mean 'epochs'"),
        (["train", "lite", "--set", "model.name=lit"], "did you mean 'lite'"),
        (["train", "lite", "--resume", "run"], "leave out RECIPE"),
        (["train", "lite"], "no data"),
        (["evaluate", "x", "--data", "y", "--size", "big"], "expected HEIGHTxWIDTH"),
        (["compare", "x", "--ids", "2018"], "how to read --data"),
        (["compare", "x", "--size", "36x64"], "how to score on --data"),
        (["benchmark", "x", "--layout", "npy"], "how to read --data"),
        (["nothing"], "No such command"),
        (["predict"], "Missing argument"),
        (["data", "inspect", "x", "--layout", "bdd"], "data layout 'bdd' is unknown"),
    ],
)
def test_wrong_use_exits_with_2(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert message in err
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "lite", "--data", "nowhere"], "nowhere: no such data folder"),
        (["train", "--resume", "nowhere"], "nothing to resume"),
        (["evaluate", "nowhere", "--data", "x"], "model 'nowhere': no such run folder"),
        (["predict", "nowhere.jpg", "--model", "m", "--out", "o"], "nowhere.jpg: no such file"),
        (["data", "inspect", "nowhere"], "nowhere: no such data folder"),
    ],
)
def test_faults_exit_with_1_in_one_line(
    run: Run, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_evaluate(run: Run, trained: Path, rendered_data: Path, tmp_path: Path) -> None:
    code, out, _ = run("evaluate", trained, "--data", rendered_data, "--split", "test", "--json", tmp_path / "s.json")
    assert code == 0
    for word in ("strict3", "bdd-official", "binary", "direct", "alternative", "background", "8 pictures"):
        assert word in out
    assert "mIoU" not in out
    scores = json.loads((tmp_path / "s.json").read_text())
    assert set(scores["protocols"]) == {"strict3", "bdd-official", "foreground2", "binary", "binary-per-batch"}
    assert scores["num_pictures"] == 8


def test_compare(run: Run, trained: Path, rendered_data: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes((trained / "best.safetensors").read_bytes())
    out_folder = tmp_path / "table"
    code, out, _ = run("compare", trained, twin, "--out", out_folder, "--json", tmp_path / "c.json")
    assert code == 0
    assert "strict3 (%)" in out
    rows = json.loads((tmp_path / "c.json").read_text())["models"]
    assert [row["run"] for row in rows] == ["one", "twin"]
    assert rows[0]["weights (MiB)"] == pytest.approx(12.0, abs=0.1)
    assert rows[0]["ms per image"] > 0
    assert rows[0]["GMACs"] > 0
    assert (out_folder / "comparison.md").read_text().startswith("| run | model | strict3 (%)")
    with (out_folder / "comparison.csv").open() as table:
        assert [row["run"] for row in csv.DictReader(table)] == ["one", "twin"]
    assert Image.open(out_folder / "comparison.png").size[0] > 300
    code, out, _ = run("compare", trained, "--data", rendered_data, "--out", out_folder)
    assert code == 0
    assert "test" in out
    code, _, err = run("compare", trained, trained, "--out", out_folder)
    assert (code, "twice" in err) == (2, True)


def test_compared_models_must_agree_on_the_splits(
    run: Run, trained: Path, make_bdd100k: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_bdd100k()
    (root / "splits/mine").mkdir(parents=True)
    (root / "splits/mine/test.txt").write_text("a\nb\n")
    other = load_checkpoint(trained / "best.safetensors")
    assert other.recipe is not None
    recipe = {**other.recipe, "data": {**other.recipe["data"], "splits": "mine"}}
    save_checkpoint(tmp_path / "other.safetensors", replace(other, recipe=recipe))
    arguments = ["compare", trained, tmp_path / "other.safetensors", "--data", root, "--out", tmp_path / "table"]
    code, _, err = run(*arguments)
    assert (code, "different splits (None, mine)" in err) == (2, True)
    code, _, _ = run(*arguments, "--splits", "mine")
    assert code == 0
    # What a recipe remembers does not bind data without that folder, a name that is asked for does.
    shutil.rmtree(root / "splits")
    code, out, _ = run("evaluate", tmp_path / "other.safetensors", "--data", root, "--split", "train")
    assert (code, "3 pictures" in out) == (0, True)
    code, _, err = run("evaluate", trained, "--data", root, "--split", "train", "--splits", "mien")
    assert (code, "no split file splits/mien/train.txt" in err) == (1, True)


def test_predict(run: Run, trained: Path, tmp_path: Path) -> None:
    frame = next(iter(render_drive(1, 1, (96, 160), 10)))
    Image.fromarray(frame.image).save(tmp_path / "road.jpg")
    code, out, _ = run("predict", tmp_path / "road.jpg", "--model", trained, "--out", tmp_path / "seen")
    assert code == 0
    assert out.startswith(f"1 image segmented into {tmp_path / 'seen'}, ")
    assert Image.open(tmp_path / "seen/label_maps/road.png").size == (160, 96)
    assert Image.open(tmp_path / "seen/overlays/road.jpg").size == (160, 96)


def test_predict_without_a_folder_says_where_results_are_and_how_fast_it_was(
    run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = list(render_drive(1, 3, (96, 160), 10))
    Image.fromarray(frames[0].image).save("road.jpg")
    with video_writer(Path("drive.mp4"), (96, 160), Fraction(10)) as write:
        for index, frame in enumerate(frames):
            write(Frame(frame.image, Fraction(index, 10), Fraction(1, 10)))
    code, out, _ = run("predict", "road.jpg", "drive.mp4", "--model", trained, "--json", "result.json")
    assert code == 0
    told = re.fullmatch(r"1 image and 3 frames segmented into predictions, ([0-9.]+) a second\n", out)
    assert told is not None
    assert float(told[1]) == pytest.approx(4 / json.loads(Path("result.json").read_text())["seconds"], rel=0.01)
    assert Path("predictions/label_maps/road.png").is_file()
    assert Path("predictions/drive.mp4").is_file()


def test_predict_into_a_file_is_refused(run: Run, trained: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "road.png")
    code, _, err = run("predict", tmp_path / "road.png", "--model", trained, "--out", tmp_path / "road.png")
    assert code == 1
    assert "not a writable folder" in err


def test_train_into_a_file_is_refused(run: Run, rendered_data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, err = run("train", "lite", "--data", rendered_data, "--out", tmp_path / "file", *SMALL)
    assert (code, "file: exists and is not an empty folder" in err) == (1, True)
    assert (tmp_path / "file").read_text() == "mine"


def test_data_paths_are_taken_as_they_are(run: Run, make_bdd100k: Callable[..., Path], tmp_path: Path) -> None:
    place = tmp_path / "roads: 2 #old"
    make_bdd100k().rename(place)
    code, _, err = run("train", "lite", "--data", place, "--out", tmp_path / "run", *SMALL)
    assert (code, f"{place}: no split 'val'" in err) == (1, True)


def test_train_resumes_and_refuses_a_full_folder(run: Run, trained: Path, rendered_data: Path) -> None:
    code, _, err = run("train", "lite", "--data", rendered_data, "--out", trained, *SMALL)
    assert (code, "not an empty folder" in err) == (1, True)
    before = (trained / "last.safetensors").stat().st_mtime_ns
    code, out, _ = run("train", "--resume", trained)
    assert code == 0
    assert str(trained) in out
    # It was finished; nothing is left to do.
    assert (trained / "last.safetensors").stat().st_mtime_ns == before


def test_data_inspect(run: Run, rendered_data: Path, tmp_path: Path) -> None:
    sheet, report = tmp_path / "sheet.jpg", tmp_path / "i.json"
    page = tmp_path / "page.html"
    code, out, _ = run("data", "inspect", rendered_data, "--sheet", sheet, "--json", report, "--page", page)
    assert code == 0
    assert "test 8, train 24, val 8" in out
    assert "Nothing to find fault with" in page.read_text() or "note" in page.read_text()
    assert page.read_text().count("data:image/") >= 4
    found = json.loads(report.read_text())
    assert sum(found["class_shares"].values()) == pytest.approx(1)
    assert Image.open(sheet).size[0] > 1000


def test_data_inspect_fails_on_faults(run: Run, make_bdd100k: Callable[..., Path], tmp_path: Path) -> None:
    root = make_bdd100k()
    (root / "images/100k/train/b.jpg").write_bytes(b"")
    (root / "images/100k/train/a.jpg").unlink()
    code, out, err = run("data", "inspect", root, "--page", tmp_path / "page.html", "--json", tmp_path / "i.json")
    assert code == 1
    assert "unreadable-picture" in out
    assert "error: missing-picture" in err
    assert "a.png: label without its picture" in err
    assert "2 faults would spoil a training" in err
    faults = json.loads((tmp_path / "i.json").read_text())["faults"]
    assert {(fault["kind"], Path(fault["path"]).name) for fault in faults} == {
        ("missing-picture", "a.png"),
        ("unreadable-picture", "b.jpg"),
        ("blank-picture", "c.jpg"),
    }
    assert all(fault["message"] and fault["remedy"] for fault in faults)
    assert "b.jpg" in (tmp_path / "page.html").read_text()


def test_ctrl_c_in_an_inspection(
    run: Run, rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("drivable.curation.inspection.inspect", stop)
    code, _, err = run("data", "inspect", rendered_data, "--page", tmp_path / "page.html")
    assert (code, err.strip()) == (1, "stopped; the same command goes on from here")
    monkeypatch.setattr("drivable.curation.pack.pack", stop)
    code, _, err = run("data", "pack", rendered_data, tmp_path / "small")
    assert (code, err.strip()) == (130, "drivable: stopped; nothing is left half-written")
    assert list(tmp_path.iterdir()) == []


def test_data_split_and_pack(run: Run, make_bdd100k: Callable[..., Path], tmp_path: Path) -> None:
    root = make_bdd100k(ids=tuple(f"{i:02d}" for i in range(20)))
    code, out, _ = run("data", "split", root, "--name", "mine")
    assert code == 0
    assert len((root / "splits/mine/train.txt").read_text().split()) == 14
    code, _, err = run("data", "split", root, "--name", "mine")
    assert (code, "exists already" in err) == (1, True)
    code, out, _ = run("data", "pack", root, tmp_path / "small", "--size", "18x32")
    assert code == 0
    assert "20 pairs of 18x32" in out
    assert (tmp_path / "small/splits/mine/test.txt").is_file()
    dropped = (root / "splits/mine/test.txt").read_text().split()[0]
    (root / f"images/100k/train/{dropped}.jpg").write_bytes(b"")
    code, out, err = run("data", "pack", root, tmp_path / "rest", "--size", "18x32", "--skip-broken")
    assert (code, f"{dropped}.jpg" in err) == (0, True)
    assert "19 pairs" in out
    assert len((tmp_path / "rest/splits/mine/test.txt").read_text().split()) == 1
    code, _, err = run("data", "split", root, "--name", "odd", "--shares", "0.5", "0.4", "0.2")
    assert (code, "add up to 1" in err) == (2, True)


@pytest.mark.parametrize("link", ["splits", "splits/mine"])
def test_a_split_does_not_follow_a_link_out_of_the_data(
    link: str, run: Run, make_bdd100k: Callable[..., Path], tmp_path: Path
) -> None:
    root, elsewhere = make_bdd100k(ids=tuple(f"{i:02d}" for i in range(20))), tmp_path / "elsewhere"
    (root / "splits/mine").parent.mkdir() if link == "splits/mine" else elsewhere.mkdir()
    (root / link).symlink_to(elsewhere)
    code, _, err = run("data", "split", root, "--name", "mine")
    assert (code, f"splits/mine: lies outside of {root}" in err, len(err.splitlines())) == (1, True, 1)
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_data_split_obeys_ids(run: Run, make_bdd100k: Callable[..., Path]) -> None:
    root = make_bdd100k(ids=tuple(f"{i:02d}" for i in range(20)))
    for mask in (root / "labels/drivable/masks/train").iterdir():
        Image.fromarray(np.array([1, 2, 0], dtype=np.uint8)[np.asarray(Image.open(mask))]).save(mask)  # As in 2018.
    code, _, err = run("data", "split", root, "--name", "mine")
    assert (code, "--ids 2018" in err) == (1, True)
    assert run("data", "split", root, "--name", "mine", "--ids", "2018")[0] == 0
    code, _, err = run("data", "split", root, "--name", "more", "--ids", "2019")
    assert (code, "ids '2019' are unknown" in err) == (2, True)


@pytest.mark.parametrize("name", ["../mine", "a/b", "", "..", "{root}/elsewhere"])
def test_a_split_has_a_plain_name(name: str, run: Run, make_bdd100k: Callable[..., Path]) -> None:
    root = make_bdd100k(ids=tuple(f"{i:02d}" for i in range(20)))
    before = sorted(root.parent.rglob("*"))
    code, _, err = run("data", "split", root, "--name", name.format(root=root.parent))
    assert (code, "expected a file name" in err) == (2, True)
    assert sorted(root.parent.rglob("*")) == before


def test_data_pack_into_the_current_folder(
    run: Run, make_bdd100k: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    root = make_bdd100k()
    monkeypatch.chdir(tmp_path / "here")
    code, _, err = run("data", "pack", root, ".")
    assert (code, "is the current folder" in err) == (1, True)
    assert not list((tmp_path / "here").iterdir())


def test_models(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("models", "--json", tmp_path / "m.json")
    assert code == 0
    listed = {entry["name"]: entry for entry in json.loads((tmp_path / "m.json").read_text())["models"]}
    assert {"fcn", "unet", "pspnet", "deeplabv3plus", "lite", *(f"segformer_b{i}" for i in range(6))} == set(listed)
    assert listed["segformer_b3"]["weights_mib"] == pytest.approx(170, abs=1)
    assert all(name in out for name in listed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_keeps_the_last_epoch_and_resumes(
    number: signal.Signals, rendered_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "drivable"]
    arguments = ["train", "lite", "--data", str(rendered_data), "--out", str(folder), *SMALL, "--set",
                 "training.epochs=3"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 240
    while not (folder / "last.safetensors").is_file() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert f"drivable train --resume {folder}" in err
    assert "Traceback" not in err
    assert not [entry for entry in folder.iterdir() if "partial" in entry.name]
    done = subprocess.run([*command, "train", "--resume", str(folder)], env=environment, check=True, timeout=240)
    assert done.returncode == 0
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["training"]["epochs"] == 3
    assert len((folder / "history.csv").read_text().splitlines()) == 4


@pytest.mark.slow
def test_ctrl_c_before_the_first_step_leaves_nothing(rendered_data: Path, tmp_path: Path) -> None:
    code = (
        "import sys, lightning as L\n"
        "from drivable.cli.main import main\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "L.LightningModule.on_fit_start = stop\n"
        "main()\n"
    )
    arguments = ["train", "lite", "--data", str(rendered_data), "--out", str(tmp_path / "run"), *SMALL]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=240)
    assert (done.returncode, "nothing was begun" in done.stderr) == (1, True), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cell", "text"), [(None, "-"), (float("nan"), "-"), (0.76543, "0.7654"), (12, "12"), (1e6, "1,000,000")]
)
def test_cells(cell: float | None, text: str) -> None:
    assert format_cell(cell) == text


def test_five_classes_from_training_to_overlay(run: Run, rendered_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "five"
    code, _, _ = run("data", "convert", rendered_data, root, "--to", "folder")
    assert code == 0
    for mask in root.glob("masks/*/*.png"):
        pixels = np.array(Image.open(mask))
        pixels[:30] = 3
        pixels[60:66, :40] = 4
        Image.fromarray(pixels).save(mask)
    names = ["road", "other road", "rest", "sky", "kerb"]
    colors = [[128, 64, 128], [250, 170, 160], [70, 70, 70], [70, 130, 180], [244, 35, 232]]
    (root / "labels.yaml").write_text(yaml.safe_dump({"names": names, "colors": colors}))
    code, _, err = run("train", "lite", "--data", root, "--out", tmp_path / "run", *SMALL)
    assert code == 0, err
    code, out, _ = run("evaluate", tmp_path / "run", "--data", root, "--json", tmp_path / "scores.json")
    assert code == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores["classes"]) == names
    # Without a background there is no road against background.
    assert list(scores["protocols"]) == ["strict3"]
    assert scores["safety"] == {}
    picture = next(root.glob("images/test/*.jpg"))
    code, _, _ = run("predict", picture, "--model", tmp_path / "run", "--out", tmp_path / "seen")
    assert code == 0
    assert np.asarray(Image.open(next(tmp_path.glob("seen/label_maps/*.png")))).max() <= 4
    code, out, _ = run("data", "inspect", root, "--page", tmp_path / "page.html")
    assert code == 0
    assert "kerb" in out


@pytest.mark.slow
def test_two_processes_share_a_training(rendered_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "drivable", "train", "lite", "--data", str(rendered_data), "--out",
               str(tmp_path / "run"), *SMALL]  # fmt: skip
    for change in ("training.devices=2", "training.strategy=ddp", "training.batch_size=4"):
        command += ["--set", change]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.count("val_strict3") == 1
    assert (tmp_path / "run/best.safetensors").is_file()
    assert (tmp_path / "run/history.csv").read_text().splitlines()[1].startswith("1,3,")


@pytest.mark.real
def test_real_pictures_from_pack_to_overlay(run: Run, real_data: Path, tmp_path: Path) -> None:
    native, small, folder = real_data / "bdd100k-native", tmp_path / "small", tmp_path / "run"
    assert run("data", "pack", native, small, "--size", "96x160")[0] == 0
    assert run("data", "split", small, "--name", "mine")[0] == 0
    steps = ("--set", "training.max_steps=2", "--set", "data.splits=mine")
    assert run("train", "lite", "--data", small, "--out", folder, *SMALL, *steps)[0] == 0
    code, out, _ = run("evaluate", folder, "--data", small, "--split", "test")
    assert code == 0
    assert "strict3" in out
    picture = min((native / "images/100k/val").iterdir())
    assert run("predict", picture, "--model", folder, "--out", tmp_path / "seen")[0] == 0
    assert Image.open(tmp_path / f"seen/label_maps/{picture.stem}.png").size == (1280, 720)


def test_a_recipe_of_another_release_stops_nothing(run: Run, rendered_data: Path, tmp_path: Path) -> None:
    lite = load_checkpoint(find_checkpoint("drivable-lite"))
    recipe = {"a key of tomorrow": 1, "data": {"path": "/home/somebody", "another": [2]}, "training": None}
    model = tmp_path / "other.safetensors"
    save_checkpoint(model, replace(lite, recipe=recipe))
    image = next((rendered_data / "images/100k/test").iterdir())
    for command in (
        ("predict", image, "--model", model, "--out", tmp_path / "seen"),
        ("evaluate", model, "--data", rendered_data, "--split", "test"),
        ("export", model, "--size", "64x96", "--out", tmp_path / "small.safetensors"),
        ("average", model, model, "--out", tmp_path / "both.safetensors"),
    ):
        code, _, error = run(*command)
        assert code == 0, error
    passed_on = load_checkpoint(tmp_path / "small.safetensors").recipe
    assert passed_on == {**recipe, "data": {"path": None, "another": [2]}}


@pytest.mark.parametrize("verb", ["compare", "average", "calibrate", "export"])
def test_a_command_that_needs_a_checkpoint_says_so(run: Run, tmp_path: Path, verb: str) -> None:
    options = {"average": ["--out", "x"], "calibrate": ["--data", tmp_path], "export": ["--out", tmp_path / "x.onnx"]}
    code, _, error = run(verb, "lite.xml", *options.get(verb, []))
    assert code == 2
    assert error.count("\n") == 1
    assert "lite.xml: an exported file; expected the model that it was exported from" in error
