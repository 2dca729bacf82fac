"""What a run may be resumed as, and by whom."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from drivable.config import load_recipe
from drivable.errors import CheckpointError, ConfigError, DataError, DrivableError, OutputError
from drivable.losses import SummedLoss
from drivable.training import resumed_recipe, train
from drivable.training.claim import LOCK, claimed
from drivable.training.state import read_state

SMALL = [
    "model.pretrained=null", "data.size=[32, 64]", "data.num_workers=0", "training.accelerator=cpu",
    "training.batch_size=8", "training.epochs=2",
]  # fmt: skip
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(rendered_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(load_recipe("lite", [*SMALL, f"data.path={rendered_data}"]), folder)
    return folder


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    subprocess.run(["cp", "-r", finished, tmp_path / "run"], check=True)
    return tmp_path / "run"


def test_more_epochs_stretch_the_schedule(again: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert run("train", "--resume", again, "--set", "training.epochs=4")[0] == 0
    assert "resumed in epoch 3 of 4; the schedule goes over 4 epochs (12 steps) in place of 2 (6)" in caplog.text
    state = read_state(again / "resume.ckpt")
    rows = state["callbacks"]["RunFolder"]["history"]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    # One cycle over 12 steps, at its end.
    peak = resumed_recipe(again).optimizer.learning_rate
    assert rows[1]["learning_rate"] < 0.05 * peak < rows[2]["learning_rate"]
    assert rows[3]["learning_rate"] < 0.05 * peak
    assert run("train", "--resume", again)[0] == 0
    assert "this run is finished, so nothing is trained; all its epochs are done" in caplog.text
    assert f"drivable train --resume {again} --set training.epochs=8" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.epochs=1", "training.epochs is 1, but the run is in epoch 2 already; set it to 2 or more"),
        ("training.batch_size=4", "training.batch_size was 8 and is now 4; .*only training.epochs, .* may change"),
        ("optimizer.learning_rate=0.1", "optimizer.learning_rate was .* and is now 0.1"),
        ("loss=[{name: dice}]", "loss was .* and is now"),
        ("training.max_steps=9", "training.max_steps was None and is now 9"),
    ],
)
def test_a_resumed_run_is_the_same_training(again: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        train(resumed_recipe(again, changes=[change]), again, resume=True)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_keeps_to_its_images(again: Path, rendered_data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", rendered_data, moved], check=True)
    victim = min((moved / "images/100k/train").iterdir())
    victim.unlink()
    (moved / f"labels/drivable/masks/train/{victim.stem}.png").unlink()
    with pytest.raises(DataError, match="the run has 24 training images, and the 23 that the data have now"):
        train(resumed_recipe(again, moved, ["training.epochs=3"]), again, resume=True)


def without(*keys: object) -> Callable[[Any], None]:
    def change(state: Any) -> None:
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


def wrong_shape(state: Any) -> None:
    state["state_dict"] = {name: torch.zeros(3) for name in state["state_dict"]}


def wrong_moment(state: Any) -> None:
    state["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(3)


def nan(state: Any) -> None:
    next(iter(state["state_dict"].values())).fill_(float("nan"))


def true_epoch(state: Any) -> None:
    state["epoch"] = True


@pytest.mark.parametrize(
    "change",
    [
        without("drivable"), without("state_dict"), without("callbacks", "RunFolder", "loader"),
        without("lr_schedulers"), without("loops", "fit_loop", "epoch_progress"),
        without("optimizer_states", 0, "param_groups"), without("pytorch-lightning_version"),
        wrong_shape, wrong_moment, nan, true_epoch,
    ],
)  # fmt: skip
def test_a_damaged_state_is_told_in_one_line(again: Path, change: Callable[[Any], None]) -> None:
    state = torch.load(again / "resume.ckpt", weights_only=True)
    change(state)
    torch.save(state, again / "resume.ckpt")
    with pytest.raises(CheckpointError, match=r"resume\.ckpt|run: corrupt") as caught:
        train(resumed_recipe(again, changes=["training.epochs=3"]), again, resume=True)
    assert len(str(caught.value).splitlines()) == 1
    assert not (again / LOCK).exists()


def test_patience_may_change_and_a_run_without_any_is_done(again: Path) -> None:
    state = torch.load(again / "resume.ckpt", weights_only=True)
    key = "_Patience{'monitor': 'val_loss', 'mode': 'min'}"
    state["callbacks"][key] = {
        "wait_count": 2, "stopped_epoch": 2, "best_score": torch.tensor(0.0), "patience": 2,
        "stopping_reason": 0, "stopping_reason_message": None,
    }  # fmt: skip
    torch.save(state, again / "resume.ckpt")
    stays = train(resumed_recipe(again, changes=["training.epochs=4", "training.early_stopping=2"]), again, resume=True)
    assert len(stays.history) == 2
    changes = ["training.epochs=4", "training.early_stopping=3"]
    assert len(train(resumed_recipe(again, changes=changes), again, resume=True).history) == 3


def test_a_run_that_stopped_early_stays_as_it_is_and_says_how_to_go_on(
    rendered_data: Path, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # Steps so long that some epoch is worse than the one before.
    changes = ["training.epochs=12", "training.early_stopping=1", "optimizer.learning_rate=0.3"]
    stopped = train(load_recipe("lite", [*SMALL, f"data.path={rendered_data}", *changes]), tmp_path / "run")
    num_epochs = len(stopped.history)
    assert num_epochs < 12
    again = train(resumed_recipe(tmp_path / "run"), tmp_path / "run", resume=True)
    assert again.history == stopped.history
    assert f"it stopped early, in epoch {num_epochs} of 12, 1 after its best" in caplog.text
    assert f"--resume {tmp_path / 'run'} --set training.early_stopping=2" in caplog.text
    assert run("train", "--resume", tmp_path / "run", "--set", "training.early_stopping=2")[0] == 0
    assert len(read_state(tmp_path / "run/resume.ckpt")["callbacks"]["RunFolder"]["history"]) > num_epochs


def test_a_run_that_ended_at_its_steps_says_how_to_go_on(
    rendered_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(load_recipe("lite", [*SMALL, f"data.path={rendered_data}", "training.max_steps=1"]), tmp_path / "run")
    assert "finished" not in caplog.text
    train(resumed_recipe(tmp_path / "run"), tmp_path / "run", resume=True)
    assert "this run is finished, so nothing is trained; it ended at training.max_steps=1" in caplog.text
    assert f"--set training.start_from={tmp_path / 'run'}" in caplog.text


HOLDS = """
import sys, time
from pathlib import Path
from drivable.training.claim import claimed
with claimed(Path(sys.argv[1]), resume=False):
    print("held", flush=True)
    time.sleep(300)
"""


def test_a_run_folder_belongs_to_one_training(rendered_data: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
    for resume in (False, True):
        with pytest.raises(OutputError, match="another training runs in this folder"), claimed(folder, resume):
            pytest.fail("both hold it")
    code, _, said = run("train", "lite", "--data", rendered_data, "--out", folder, *(f"--set={key}" for key in SMALL))
    assert (code, said.count("\n")) == (1, 1)
    assert "another training runs in this folder" in said
    holder.kill()
    holder.wait()
    assert (folder / LOCK).exists()
    (folder / "recipe.yaml").write_text("killed before its first step")
    with claimed(folder, resume=False):
        assert [entry.name for entry in folder.iterdir()] == [LOCK], "what the dead one left is cleared away"
        (folder / "resume.ckpt").touch()
    with pytest.raises(OutputError, match="not an empty folder.*--resume"), claimed(folder, resume=False):
        pytest.fail("it holds a run")
    with claimed(folder, resume=True):
        pass


def test_a_claim_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    with claimed(tmp_path / "new", resume=False):
        pass
    (tmp_path / "old").mkdir()
    with claimed(tmp_path / "old", resume=False):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["old"]
    # Somebody's recipe is no leftover.
    (tmp_path / "old/recipe.yaml").touch()
    with pytest.raises(OutputError, match="not an empty folder"), claimed(tmp_path / "old", resume=False):
        pytest.fail("it would be cleared")


def test_no_number_is_never_the_best(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = SummedLoss.forward
    bad: list[bool] = []

    def forward(self: SummedLoss, logits: torch.Tensor, label_maps: torch.Tensor) -> torch.Tensor:
        loss = original(self, logits, label_maps)
        return loss if self.training or not bad.pop(0) else loss * float("nan")

    monkeypatch.setattr(SummedLoss, "forward", forward)
    recipe = load_recipe("lite", [*SMALL, f"data.path={rendered_data}"])
    bad += [True, False]  # One validation batch an epoch.
    result = train(recipe, tmp_path / "once")
    assert result.best_loss == result.history[1]["val_loss"]
    assert "epoch 1 cannot be the best: the validation loss is nan" in caplog.text
    bad += [True, True]
    with pytest.raises(DrivableError, match="no validation gave a number"):
        train(recipe, tmp_path / "never")
    assert not (tmp_path / "never/best.safetensors").exists()
