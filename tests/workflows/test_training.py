"""Training from data folder to run folder: it learns, resumes exactly, and stops with a reason."""

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from drivable import progress
from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.config import Recipe, load_recipe, parse_recipe
from drivable.data import Batch
from drivable.errors import CheckpointError, ConfigError, DataError, DrivableError, OutputError
from drivable.losses import SummedLoss
from drivable.models import build_model
from drivable.training import resumed_recipe, train
from drivable.training.module import SegmentationTraining

SMALL = [
    "model.pretrained=null",
    "data.size=[64, 96]",
    "data.num_workers=0",
    "training.accelerator=cpu",
    "training.ema_decay=0.9",
]


def small_recipe(data: Path, *changes: str) -> Recipe:
    return load_recipe("lite", [*SMALL, f"data.path={data}", *changes])


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ctrl-C at an optimiser step."""

    def install(step: int) -> None:
        original = SegmentationTraining.training_step

        def training_step(self: SegmentationTraining, batch: object, batch_index: int) -> torch.Tensor:
            if self.trainer.global_step == step:
                raise KeyboardInterrupt
            return original(self, batch, batch_index)  # type: ignore[arg-type]

        monkeypatch.setattr(SegmentationTraining, "training_step", training_step)

    return install


def test_a_long_epoch_says_how_far_it_is(
    rendered_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    train(small_recipe(rendered_data, "training.epochs=2"), tmp_path / "run")
    told = [line.partition(" (")[0] for line in capsys.readouterr().err.splitlines() if " batches: " in line]
    batches = ["training batches: 1 of 3", "training batches: 2 of 3", "training batches: 3 of 3",
               "validation batches: 1 of 1"]  # fmt: skip
    assert told == [f"epoch {epoch}/2, {batch}" for epoch in (1, 2) for batch in batches]


def test_a_run_folder_is_complete(rendered_data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(rendered_data, "training.epochs=2")
    result = train(recipe, tmp_path / "run")
    assert [row["epoch"] for row in result.history] == [1, 2]
    assert result.history[-1]["step"] == 6
    names = sorted(entry.name for entry in (tmp_path / "run").iterdir())
    files = ["best.safetensors", "curves.png", "history.csv", "last.safetensors", "recipe.yaml", "resume.ckpt"]
    assert names == [*files, "tensorboard"]
    assert any((tmp_path / "run/tensorboard").iterdir())
    assert Image.open(tmp_path / "run/curves.png").size[0] > 500
    saved = yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())
    assert parse_recipe(saved, "saved") == recipe
    best = load_checkpoint(find_checkpoint(tmp_path / "run"))
    assert best.scores["val"]["epoch"] == 1 + int(np.argmin([row["val_loss"] for row in result.history]))
    assert result.best_loss == min(row["val_loss"] for row in result.history)
    assert best.recipe == recipe.to_dict()
    header = (tmp_path / "run/history.csv").read_text().splitlines()[0].split(",")
    assert {"train_loss", "val_loss", "val_strict3", "val_iou_direct", "learning_rate"} <= set(header)


def test_training_pictures_grow_over_the_epochs(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []
    original = SegmentationTraining.training_step
    validation = SegmentationTraining.validation_step

    def training_step(self: SegmentationTraining, batch: Batch, batch_index: int) -> torch.Tensor:
        seen.append(("train", tuple(batch["images"].shape[2:])))
        return original(self, batch, batch_index)

    def validation_step(self: SegmentationTraining, batch: Batch, batch_index: int) -> None:
        seen.append(("val", tuple(batch["images"].shape[2:])))
        validation(self, batch, batch_index)

    monkeypatch.setattr(SegmentationTraining, "training_step", training_step)
    monkeypatch.setattr(SegmentationTraining, "validation_step", validation_step)
    sizes = "training.sizes=[[32, 64], [64, 64]]"
    train(small_recipe(rendered_data, "training.epochs=4", sizes, "augmentation.scale_crop=[0.5, 1]"), tmp_path / "run")
    small, large, whole = ("train", (32, 64)), ("train", (64, 64)), ("val", (64, 96))
    assert list(dict.fromkeys(seen)) == [small, whole, large]
    assert seen.count(small) == seen.count(large) > 0
    assert load_checkpoint(find_checkpoint(tmp_path / "run")).preprocessing.size == (64, 96)


@pytest.mark.parametrize(("num_sizes", "expected"), [(1, "aaaaa"), (2, "aaabb"), (3, "aabbc"), (7, "abcde")])
def test_sizes_share_the_epochs(num_sizes: int, expected: str) -> None:
    sizes = [[32 * (i + 1), 32] for i in range(num_sizes)]
    recipe = load_recipe("lite", ["training.epochs=5", f"training.sizes={sizes}"])
    letters = "".join("abcdefg"[recipe.training_size(epoch)[0] // 32 - 1] for epoch in range(5))
    if num_sizes == 7:
        assert letters[0] == "a"
        assert list(letters) == sorted(set(letters)), "more sizes than epochs: some are left out"
    else:
        assert letters == expected


@pytest.mark.slow
def test_it_overfits_a_handful_of_pictures(rendered_data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        rendered_data, "model.pretrained=imagenet", "training.epochs=60", "augmentation.scale_crop=null",
        "augmentation.flip=0", "augmentation.blur=0", "training.batch_size=4", "data.splits=same",
        "data.size=[96, 160]",
    )  # fmt: skip
    data = tmp_path / "data"
    data.mkdir()
    for name in ("images", "labels"):
        (data / name).symlink_to(rendered_data / name)
    ids = sorted(path.stem for path in (rendered_data / "images/100k/train").iterdir())[:8]
    for split in ("train", "val"):
        (data / "splits/same").mkdir(parents=True, exist_ok=True)
        (data / f"splits/same/{split}.txt").write_text("\n".join(ids))
    result = train(
        recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": str(data)})}), tmp_path / "r"
    )
    assert result.history[-1]["val_strict3"] > 0.85


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["training.accumulate_batches=2"],
        ["augmentation.flip=0.5", "augmentation.scale_crop=[0.5, 1.0]", "training.ema_decay=0.9"],
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    rendered_data: Path, tmp_path: Path, interrupt_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch,
    changes: list[str],
) -> None:  # fmt: skip
    recipe = small_recipe(rendered_data, "training.epochs=3", *changes)
    whole = train(recipe, tmp_path / "whole")
    steps_per_epoch = int(whole.history[0]["step"])
    with monkeypatch.context():
        interrupt_at(2 * steps_per_epoch - 1)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "stopped")
    monkeypatch.undo()
    load_checkpoint(tmp_path / "stopped/last.safetensors").build()
    resumed = train(resumed_recipe(tmp_path / "stopped"), tmp_path / "stopped", resume=True)
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    want, got = (load_checkpoint(tmp_path / name / "last.safetensors").weights for name in ("whole", "stopped"))
    assert all(torch.equal(want[key], got[key]) for key in want)
    assert resumed.best_loss == whole.best_loss


@pytest.mark.parametrize(("changes", "stopped_at"), [([], 4), (["training.accumulate_batches=2"], 1)])
def test_ctrl_c_in_the_middle_of_an_epoch_resumes_from_there(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: list[str], stopped_at: int
) -> None:
    recipe = small_recipe(
        rendered_data, "training.epochs=2", "training.batch_size=4", "augmentation.flip=0.5", "data.num_workers=1",
        "augmentation.scale_crop=[0.5, 1.0]", *changes,
    )  # fmt: skip
    whole = train(recipe, tmp_path / "whole")
    original = SegmentationTraining.training_step
    seen: list[tuple[int, int]] = []
    pressed: list[bool] = []

    def training_step(self: SegmentationTraining, batch: Batch, batch_index: int) -> torch.Tensor:
        seen.append((self.current_epoch, batch_index))
        if self.trainer.global_step == stopped_at and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)
        return original(self, batch, batch_index)

    monkeypatch.setattr(SegmentationTraining, "training_step", training_step)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "stopped")
    assert 0 < len(seen) < 6
    resumed = train(resumed_recipe(tmp_path / "stopped"), tmp_path / "stopped", resume=True)
    # No batch came twice, none was left out.
    assert seen == [(epoch, index) for epoch in (0, 1) for index in range(6)]
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    want, got = (load_checkpoint(tmp_path / name / "last.safetensors").weights for name in ("whole", "stopped"))
    assert all(torch.equal(want[key], got[key]) for key in want)


def test_a_run_stopped_in_its_first_epoch_resumes(
    rendered_data: Path, tmp_path: Path, interrupt_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(rendered_data, "training.epochs=1")
    interrupt_at(1)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run")
    monkeypatch.undo()
    result = train(resumed_recipe(tmp_path / "run"), tmp_path / "run", resume=True)
    assert without_seconds(result.history) == without_seconds(train(recipe, tmp_path / "whole").history)


def test_a_corrupt_state_is_named(rendered_data: Path, tmp_path: Path) -> None:
    train(small_recipe(rendered_data, "training.max_steps=1"), tmp_path / "run")
    state = tmp_path / "run/resume.ckpt"
    state.write_bytes(state.read_bytes()[:20000])
    with pytest.raises(CheckpointError, match=r"resume\.ckpt: corrupt"):
        resumed_recipe(tmp_path / "run")


def test_a_loss_that_is_no_number_names_its_pictures(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SummedLoss, "forward", lambda *_: torch.tensor(float("nan")))
    ids = {path.stem for path in (rendered_data / "images/100k/train").iterdir()}
    with pytest.raises(DrivableError, match="the loss is nan in epoch 1, batch 1") as caught:
        train(small_recipe(rendered_data), tmp_path / "run")
    assert sum(key in str(caught.value) for key in ids) == 8


def test_a_run_that_diverges_in_its_first_epoch_leaves_its_place_free(
    rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, losses = SummedLoss.forward, iter([1.0, float("nan")])
    monkeypatch.setattr(SummedLoss, "forward", lambda self, *given: original(self, *given) * next(losses, 1.0))
    with pytest.raises(DrivableError, match="the loss is nan in epoch 1, batch 2"):
        train(small_recipe(rendered_data), tmp_path / "run")
    # A further training would come to the same loss, so there is nothing to go on from.
    assert train(small_recipe(rendered_data, "training.max_steps=1"), tmp_path / "run").history


@pytest.mark.parametrize(("max_steps", "num_epochs"), [(2, 1), (3, 1), (5, 2)])
def test_max_steps_ends_with_a_validation(rendered_data: Path, tmp_path: Path, max_steps: int, num_epochs: int) -> None:
    result = train(small_recipe(rendered_data, f"training.max_steps={max_steps}"), tmp_path / "run")
    assert [row["step"] for row in result.history] == [3, max_steps][-num_epochs:]
    last = load_checkpoint(tmp_path / "run/last.safetensors")
    assert last.scores["val"]["protocols"]["strict3"] == pytest.approx(result.history[-1]["val_strict3"])
    assert len({row["val_loss"] for row in result.history}) == num_epochs


def test_devices_that_are_not_there(rendered_data: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="training: .*gpu"):
        train(small_recipe(rendered_data, "training.accelerator=gpu"), tmp_path / "run")
    with pytest.raises(ConfigError, match="training: .*warp"):
        train(small_recipe(rendered_data, "training.strategy=warp"), tmp_path / "run")


def test_broken_pictures_stop_or_are_left_out(make_bdd100k: Callable[..., Path], tmp_path: Path) -> None:
    root = make_bdd100k(ids=tuple(f"{i}" for i in range(8)))
    (root / "splits/a").mkdir(parents=True)
    (root / "splits/a/train.txt").write_text("0\n1\n2\n3\n4\n5\n")
    (root / "splits/a/val.txt").write_text("6\n7\n")
    picture = root / "images/100k/train/3.jpg"
    picture.write_bytes(picture.read_bytes()[:-100])
    recipe = small_recipe(root, "training.epochs=1", "training.batch_size=2", "data.splits=a")
    with pytest.raises(DataError, match=r"3\.jpg: broken picture"):
        train(recipe, tmp_path / "stops")
    with pytest.raises(DataError, match=r"3\.jpg: broken picture") as caught:
        train(load_recipe_with_workers(recipe), tmp_path / "stops in a worker")
    assert len(str(caught.value).splitlines()) == 1
    result = train(recipe, tmp_path / "goes on", skip_broken=True)
    assert result.num_broken == 1
    assert result.history[-1]["step"] == 2


def load_recipe_with_workers(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"num_workers": 1})})


def test_wrong_use_leaves_no_folder(rendered_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data"):
        train(load_recipe("lite", SMALL), tmp_path / "run")
    with pytest.raises(DataError, match="no such data folder"):
        train(small_recipe(tmp_path / "nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(OutputError, match="exists and is not an empty folder.*--resume"):
        train(small_recipe(rendered_data), tmp_path / "full")


def test_a_frozen_backbone_stays(rendered_data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        rendered_data, "training.epochs=1", "training.freeze_backbone=true", "training.ema_decay=null"
    )
    torch.manual_seed(0)
    train(recipe, tmp_path / "run")
    trained = load_checkpoint(tmp_path / "run/last.safetensors").weights
    import lightning as L

    L.seed_everything(recipe.seed, workers=True, verbose=False)
    fresh = build_model(recipe.model, 3).state_dict()
    assert all(torch.equal(trained[key], fresh[key]) for key in fresh if key.startswith("backbone"))
    assert not torch.equal(trained["decoder.classify.weight"], fresh["decoder.classify.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn", "unet", "pspnet", "deeplabv3plus", "segformer_b3"])
def test_every_course_recipe_trains(name: str, rendered_data: Path, tmp_path: Path) -> None:
    recipe = load_recipe(
        f"course/{name}",
        [f"data.path={rendered_data}", "data.size=[64, 96]", "model.pretrained=null", "training.epochs=2",
         "data.num_workers=0", "training.accelerator=cpu"],
    )  # fmt: skip
    result = train(recipe, tmp_path / "run")
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
