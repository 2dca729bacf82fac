"""Going on from a trained model: its weights, its answers, what is left of it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.config import Recipe, load_recipe, parse_recipe
from drivable.config.recipe import DataSpec
from drivable.data import open_data
from drivable.errors import CheckpointError, ConfigError
from drivable.models import build_model, default_spec
from drivable.training import train
from drivable.training.repeats import repeats_of
from drivable.training.start import init_from, starting_model

SMALL = (
    "model.pretrained=null",
    "data.size=[64, 96]",
    "data.num_workers=0",
    "training.accelerator=cpu",
    "training.ema_decay=0.9",
    "training.epochs=1",
)


def one_epoch(data: Path, *changes: str) -> Recipe:
    return load_recipe("lite", [*SMALL, f"data.path={data}", *changes])


def test_a_run_goes_on_from_another_and_learns_from_it(rendered_data: Path, tmp_path: Path) -> None:
    train(one_epoch(rendered_data), tmp_path / "first")
    distilled = one_epoch(
        rendered_data, f"training.init_from={tmp_path / 'first'}", "optimizer.learning_rate=1e-9",
        "training.method.name=distillation", f"training.method.teacher={tmp_path / 'first'}",
    )  # fmt: skip
    result = train(distilled, tmp_path / "second")
    before, after = (load_checkpoint(find_checkpoint(tmp_path / name)).weights for name in ("first", "second"))
    learned = [name for name in before if name.endswith("weight")]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in learned)
    assert result.history[-1]["train_loss_teacher"] < 0.5 * result.history[-1]["train_loss_labels"]


def test_other_classes_start_the_last_layer_anew() -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    model = build_model(checkpoint.spec, 2)
    before = model.decoder.classify.weight.clone()  # type: ignore[union-attr, operator]
    init_from(model, checkpoint)
    assert torch.equal(model.decoder.classify.weight, before)  # type: ignore[union-attr, arg-type]
    stem = "backbone.stem.conv.weight"
    assert torch.equal(model.state_dict()[stem], checkpoint.weights[stem].float())


def test_another_architecture_is_not_gone_on_from() -> None:
    with pytest.raises(CheckpointError, match="a lite that differs"):
        init_from(build_model(default_spec("unet"), 3), load_checkpoint(find_checkpoint("drivable-lite")))


def test_a_pruned_run_is_smaller_and_runs_again_from_its_own_recipe(rendered_data: Path, tmp_path: Path) -> None:
    changes = ("training.init_from=drivable-lite", "training.pruning.share=0.5")
    train(one_epoch(rendered_data, *changes), tmp_path / "pruned")
    checkpoint = load_checkpoint(find_checkpoint(str(tmp_path / "pruned")))
    assert checkpoint.spec.hidden_channels == load_recipe(tmp_path / "pruned" / "recipe.yaml").model.hidden_channels  # type: ignore[union-attr]
    whole = load_checkpoint(find_checkpoint("drivable-lite"))
    num_weights = [sum(tensor.numel() for tensor in c.weights.values()) for c in (checkpoint, whole)]
    assert num_weights[0] < 0.6 * num_weights[1]
    again = load_recipe(tmp_path / "pruned" / "recipe.yaml")
    train(again, tmp_path / "again")
    repeated = load_checkpoint(find_checkpoint(str(tmp_path / "again")))
    assert all(torch.equal(tensor, repeated.weights[name]) for name, tensor in checkpoint.weights.items())

    # A recipe without widths goes on from a pruned model with what is left of it.
    model, recipe = starting_model(one_epoch(rendered_data, f"training.init_from={tmp_path / 'pruned'}"), 3)
    assert recipe.model == checkpoint.spec
    assert all(torch.equal(tensor, checkpoint.weights[name]) for name, tensor in model.state_dict().items())


def test_pruning_needs_a_trained_lite() -> None:
    pruning = {"pruning": {"share": 0.5}}
    with pytest.raises(ConfigError, match="give it by training.init_from"):
        parse_recipe({"model": {"name": "lite"}, "loss": [{"name": "dice"}], "training": pruning}, "test")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (torch.zeros(3, dtype=torch.complex64), "differs from the recipe's model in decoder.classify.bias"),
        (torch.full((3,), 1e300, dtype=torch.float64), "decoder.classify.bias holds NaN or infinity"),
    ],
)
def test_weights_that_are_no_numbers_here_are_no_start(values: torch.Tensor, said: str) -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    model = build_model(checkpoint.spec, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    faulty = replace(checkpoint, weights={**checkpoint.weights, "decoder.classify.bias": values})
    with pytest.raises(CheckpointError, match=said):
        init_from(model, faulty)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_images_of_an_attribute_are_seen_more_often(rendered_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(rendered_data, root)
    ids = [path.stem for path in sorted((root / "images").rglob("*")) if path.is_file() and path.parent.name == "train"]
    (root / "attributes.csv").write_text("id,weather\n" + "".join(f"{key},snowy\n" for key in ids[:4]))
    once = train(one_epoch(root, "training.batch_size=4"), tmp_path / "once").history[-1]["step"]
    changes = ("training.batch_size=4", "data.repeat={weather: {snowy: 3}}")
    assert train(one_epoch(root, *changes), tmp_path / "more").history[-1]["step"] == once + 2
    with pytest.raises(ConfigError, match="no training image .* has weather 'foggy'; the attributes have .*snowy"):
        train(one_epoch(root, "data.repeat={weather: {foggy: 3}}"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_images_without_road_are_found_by_their_labels(make_bdd100k: Callable[..., Path]) -> None:
    root = make_bdd100k(ids=("a", "b", "c"))
    for key, ids in (("a", [2, 255]), ("b", [0, 2]), ("c", [2])):
        label_map = np.resize(np.array(ids, dtype=np.uint8), (36, 64))
        Image.fromarray(label_map).save(root / f"labels/drivable/masks/train/{key}.png")
    data = open_data(root)
    spec = DataSpec(repeat={"road": {"none": 4}}, num_workers=0)
    assert repeats_of(spec, data, data.labels, data.all_samples) == [4, 1, 4]
    (root / "attributes.csv").write_text("id,road\na,wet\nb,none\n")
    data = open_data(root)
    assert repeats_of(spec, data, data.labels, data.all_samples) == [1, 4, 1]
