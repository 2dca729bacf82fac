"""Data that nothing can be learned from, and what a run says of itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from drivable.config import load_recipe
from drivable.errors import ConfigError, DataError
from drivable.training import train
from drivable.training.run_folder import write_curves

SMALL = [
    "model.pretrained=null", "data.size=[36, 64]", "data.num_workers=0", "training.accelerator=cpu",
    "training.max_steps=1", "data.splits=a",
]  # fmt: skip


@pytest.fixture
def root(make_bdd100k: Callable[..., Path]) -> Path:
    """Three training pictures and one to validate with."""
    root = make_bdd100k(ids=("0", "1", "2", "3"))
    (root / "splits/a").mkdir(parents=True)
    (root / "splits/a/train.txt").write_text("0\n1\n2\n")
    (root / "splits/a/val.txt").write_text("3\n")
    return root


@pytest.mark.parametrize(("ids", "what"), [("012", "training"), ("3", "validation")])
def test_no_pixel_has_a_class(root: Path, tmp_path: Path, ids: str, what: str) -> None:
    for key in ids:
        Image.fromarray(np.full((36, 64), 255, np.uint8)).save(root / f"labels/drivable/masks/train/{key}.png")
    for loss in ("{name: dice}", "{name: cross_entropy, class_weights: from_data}"):
        with pytest.raises(DataError, match=f"no {what} pixel has a class: all of the {len(ids)} label maps"):
            train(load_recipe("lite", [*SMALL, f"loss=[{loss}]", f"data.path={root}"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_image_without_labels_leaves_the_validation_loss_as_it_is(root: Path, tmp_path: Path) -> None:
    recipe = load_recipe("lite", [*SMALL, "training.batch_size=1", f"data.path={root}"])
    alone = train(recipe, tmp_path / "alone").best_loss
    Image.new("RGB", (64, 36)).save(root / "images/100k/train/4.jpg")
    Image.new("L", (64, 36), 255).save(root / "labels/drivable/masks/train/4.png")
    (root / "splits/a/val.txt").write_text("3\n4\n")
    assert train(recipe, tmp_path / "both").best_loss == pytest.approx(alone, rel=1e-5)


def test_weights_from_data_where_a_class_never_occurs(root: Path, tmp_path: Path) -> None:
    for key in "012":
        path = root / f"labels/drivable/masks/train/{key}.png"
        Image.fromarray(np.where(np.asarray(Image.open(path)) == 1, 2, np.asarray(Image.open(path)))).save(path)
    loss = "loss=[{name: cross_entropy, class_weights: from_data}]"
    assert np.isfinite(train(load_recipe("lite", [*SMALL, loss, f"data.path={root}"]), tmp_path / "run").best_loss)
    # And TensorBoard has the recipe beside its events.
    kept = yaml.safe_load((tmp_path / "run/tensorboard/hparams.yaml").read_text())
    assert kept["loss"][0]["class_weights"] == "from_data"


@pytest.mark.parametrize("model", ["pspnet", "deeplabv3plus"])
def test_one_image_has_no_batch_statistics(root: Path, tmp_path: Path, model: str) -> None:
    (root / "splits/a/train.txt").write_text("0\n")
    recipe = load_recipe(f"course/{model}", [*SMALL, f"data.path={root}"])
    with pytest.raises(
        ConfigError, match=r"a batch of 1 image\(s\) .* batch normalisation .* raise training.batch_size"
    ):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "it may be given again"


def test_curves_of_classes_with_any_name(tmp_path: Path) -> None:
    row = {"epoch": 1, "learning_rate": 0.1, "train_loss": 1.0, "val_loss": float("nan"), r"val_iou_$\frac{$": 0.5}
    write_curves(tmp_path / "curves.png", [row])
    assert Image.open(tmp_path / "curves.png").size[0] > 500
