from pathlib import Path

import pytest

from drivable.config import find_recipe, load_recipe, parse_recipe
from drivable.errors import ConfigError

MINIMAL = {"model": {"name": "unet"}, "loss": [{"name": "dice"}]}


def test_changes_win_over_the_file() -> None:
    recipe = load_recipe(
        "lite", ["training.epochs=3", "optimizer.learning_rate=3e-4", "loss.1.smooth=2", "data.path=x y"]
    )
    assert recipe.training.epochs == 3
    assert recipe.optimizer.learning_rate == 3e-4
    assert recipe.loss[1].smooth == 2  # type: ignore[union-attr]
    assert recipe.data.path == "x y"


def test_shipped_recipes_are_found_by_name_and_by_path() -> None:
    assert find_recipe("course/unet") == find_recipe("configs/course/unet.yaml").resolve()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trainig.epochs=1", "unknown key 'trainig'; did you mean 'training'"),
        ("training.epoch=1", "unknown key 'training.epoch'; did you mean 'epochs'"),
        ("model.name=unett", "unknown 'unett'; did you mean 'unet'"),
        ("loss.1.smoth=1", "unknown key 'loss.1.smoth'; did you mean 'smooth'"),
        ("schedule.ascend=1", "unknown key 'schedule.ascend'; did you mean 'ascent'"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate: .*greater than 0, got -1"),
        ("augmentation.scale_crop=[1, 0.5]", "augmentation: scale_crop must be two shares"),
        ("training.step=deep_supervision", "needs an auxiliary branch; lite has none"),
        ("name", "expected key=value"),
        ("name.first=1", "'name.first' leads nowhere"),
        ("name=[", "not YAML"),
    ],
)
def test_faults_name_the_key_and_the_way_out(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("lite", [change])


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("lite", ["training.epoch=1", "data.size=[8, 8]", "seed=-1"])
    assert all(word in str(caught.value) for word in ("training.epoch", "data.size", "seed"))


def test_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'lite'.*course/fcn"):
        load_recipe("litte")


@pytest.mark.parametrize("text", ["- a", "a: [", "\x00"])
def test_no_recipe_in_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        load_recipe(path)


def test_a_recipe_survives_its_plain_values() -> None:
    recipe = load_recipe("course/pspnet")
    assert parse_recipe(recipe.to_dict(), "again") == recipe


def test_an_auxiliary_branch_without_its_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="deep_supervision"):
        parse_recipe(MINIMAL | {"model": {"name": "pspnet"}}, "here")


@pytest.mark.parametrize("name", ["fcn", "unet", "pspnet", "deeplabv3plus", "segformer_b3"])
def test_course_recipes_are_the_course_to_the_letter(name: str) -> None:
    recipe = load_recipe(f"course/{name}")
    assert recipe.training.batch_size == 8
    assert recipe.training.epochs == 12
    assert recipe.optimizer.name == "adam"
    assert recipe.optimizer.learning_rate == 3e-4
    assert recipe.schedule.model_dump() == {
        "name": "one_cycle", "ascent": 0.3, "start_divisor": 10.0, "end_divisor": 1e4, "anneal": "cosine",
    }  # fmt: skip
    assert [term.model_dump() for term in recipe.loss] == [{"name": "dice", "log": True, "smooth": 1.0, "scale": 1.0}]
    assert recipe.augmentation.model_dump() == type(recipe.augmentation)().model_dump()
    assert recipe.normalization.mean == (0.485, 0.456, 0.406)
    assert recipe.normalization.std == (0.229, 0.224, 0.225)
    assert recipe.data.size == (360, 640)
    assert recipe.training.step == ("deep_supervision" if name == "pspnet" else "plain")
    assert recipe.model.pretrained == (None if name == "unet" else "imagenet")


def test_a_batch_of_one_has_no_statistics() -> None:
    with pytest.raises(ConfigError, match="batch_size must be 2 or more: deeplabv3plus"):
        load_recipe("course/deeplabv3plus", ["training.batch_size=1"])


@pytest.mark.parametrize("ids", ["2018", "current", "0-255"])
def test_ids_as_a_user_types_them(ids: str) -> None:
    assert load_recipe("lite", [f"data.ids={ids}"]).data.ids == ids
