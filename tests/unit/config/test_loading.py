from pathlib import Path

import pytest

from drivable.config import find_recipe, load_recipe, load_study, parse_recipe
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
        ("schedule.warmup_=1", "unknown key 'schedule.warmup_'; did you mean 'warmup'"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate: .*greater than 0, got -1"),
        ("augmentation.scale_crop=[1, 0.5]", "augmentation: scale_crop must be two shares"),
        ("training.method.name=deep_supervision", "needs an auxiliary branch; lite has none"),
        ("name", "expected key=value"),
        ("name.first=1", "'name.first' leads nowhere"),
        ("name=[", "not YAML"),
        (f"name={'n' * 201}", "lite.yaml: name: .*at most 200 characters, got nnn"),
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
        "name": "one_cycle", "warmup": 0.3, "start_divisor": 10.0, "end_divisor": 1e4, "anneal": "cosine",
    }  # fmt: skip
    assert [term.model_dump() for term in recipe.loss] == [{"name": "dice", "log": True, "smooth": 1.0, "scale": 1.0}]
    assert recipe.augmentation.model_dump() == type(recipe.augmentation)().model_dump()
    assert recipe.normalization.mean == (0.485, 0.456, 0.406)
    assert recipe.normalization.std == (0.229, 0.224, 0.225)
    assert recipe.data.size == (360, 640)
    assert recipe.training.method.name == ("deep_supervision" if name == "pspnet" else "supervised")
    assert recipe.model.pretrained == (None if name == "unet" else "imagenet")


def test_a_batch_of_one_has_no_statistics() -> None:
    with pytest.raises(ConfigError, match="batch_size must be 2 or more: deeplabv3plus"):
        load_recipe("course/deeplabv3plus", ["training.batch_size=1"])


@pytest.mark.parametrize("ids", ["2018", "current", "0-255"])
def test_ids_as_a_user_types_them(ids: str) -> None:
    assert load_recipe("lite", [f"data.ids={ids}"]).data.ids == ids


@pytest.mark.parametrize(
    ("change", "data_path"),
    [("data.path='1e5'", "1e5"), ('data.path="2018"', "2018"), ("data.path=x", "x"), ("data.path='null'", "null")],
)
def test_what_a_user_quotes_stays_text(change: str, data_path: str) -> None:
    assert load_recipe("lite", [change]).data.path == data_path


def test_what_a_user_does_not_quote_is_a_number_as_everybody_reads_it() -> None:
    assert load_recipe("lite", ["optimizer.learning_rate=3e-4", 'data.ids="2018"']).data.ids == "2018"
    assert load_recipe("lite", ["training.epochs=1e1"]).training.epochs == 10
    with pytest.raises(ConfigError, match=r"data.path: .*string.*, got 100000.0"):
        load_recipe("lite", ["data.path=1e5"])


def test_a_study_hands_its_values_on_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\nrecipe: lite\nset: {data.path: '1e5', loss: [{name: dice, smooth: 1e-3}]}\n"
        "runs: {a: {data.ids: '2018', loss.0.scale: 3e-1}, b: {optimizer.learning_rate: 3e-4}}\n"
    )
    study = load_study(path)
    for run, scale in (("a", 0.3), ("b", 1.0)):
        recipe = study.recipe_of(run)
        assert (recipe.data.path, recipe.loss[0].scale, recipe.loss[0].smooth) == ("1e5", scale, 1e-3)  # type: ignore[union-attr]
    assert study.recipe_of("a").data.ids == "2018"
    assert study.set["loss"] == [{"name": "dice", "smooth": 1e-3}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.size=[20000, 20000]", "data.size: .*more than the limit.*DRIVABLE_MAX_NETWORK_PIXELS raises it"),
        ("data.size=[32, 16416]", "data.size: .*more than the limit.*DRIVABLE_MAX_NETWORK_SIDE raises it"),
        ("training.sizes=[[20000, 20000]]", "training.sizes.*DRIVABLE_MAX_NETWORK_PIXELS"),
        ("data.size=[-360, 640]", "data.size"),
        ("training.epochs=1e308", "training.epochs"),
        ("training.batch_size=99999999999", "training.batch_size"),
        ("seed=99999999999", "seed"),
        ("augmentation.hue=.nan", "augmentation.hue: .*finite number, got nan"),
        ("optimizer.weight_decay=.inf", "optimizer.weight_decay: .*finite number, got inf"),
        ("data.normalization={mean: [0, 0, 0], std: [1, 0, 1]}", "data.normalization.std.1"),
        ("data.normalization={mean: [0, .nan, 0], std: [1, 1, 1]}", "data.normalization.mean.1"),
        ("model.decoder_channels=1000000000", "model.decoder_channels"),
        ("training.epochs=true", "training: epochs cannot be true or false, got True"),
        ("data.size=[true, 640]", r"data: size cannot be true or false, got \[True, 640\]"),
        ("seed=false", "seed cannot be true or false"),
        ("loss=[{name: dice, smooth: true}]", "loss.0: smooth cannot be true or false"),
        ("data.normalization={mean: [0, 0, 0], std: [true, 1, 1]}", "std cannot be true or false"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("lite", [change])


def test_a_value_is_not_told_at_length() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("lite", [f"seed=[{'0, ' * 5000}0]", f"training.{'x' * 5000}=1", f"model.name={'y' * 5000}"])
    assert len(str(caught.value)) < 2500


def test_a_file_of_nonsense_is_told_in_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("".join(f"key{i}: 1\n" for i in range(1000)))
    with pytest.raises(ConfigError, match="and 982 more") as caught:
        load_recipe(path)
    assert len(str(caught.value).splitlines()) == 21


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", [BOMB, "[" * 3000, "a: &a [*a]", "size: [" + "1" * 5000 + "]", "2026-99-99: 1"])
def test_hostile_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    for read in (load_recipe, load_study):
        with pytest.raises(ConfigError) as caught:
            read(path)
        assert all(len(line) < 400 for line in str(caught.value).splitlines())


def test_what_may_be_true_or_false_stays_so() -> None:
    recipe = load_recipe("lite", ["training.channels_last=true", "loss=[{name: dice, log: true}]", f"name={'n' * 200}"])
    assert (recipe.training.channels_last, recipe.loss[0].log, len(recipe.name)) == (True, True, 200)  # type: ignore[union-attr]
