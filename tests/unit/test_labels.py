import io

import numpy as np
import pytest

from drivable.errors import ConfigError, nearest_match, plot_text
from drivable.labels import BDD100K_DRIVABLE, LabelSet


def test_bdd100k_ids_are_the_official_ones() -> None:
    assert BDD100K_DRIVABLE.names == ("direct", "alternative", "background")
    assert BDD100K_DRIVABLE.background_id == 2
    assert BDD100K_DRIVABLE.foreground_ids == (0, 1)
    assert BDD100K_DRIVABLE.ignore_id == 255


def test_palette_holds_the_class_colours() -> None:
    palette = BDD100K_DRIVABLE.palette()
    assert palette.shape == (256, 3)
    assert palette[0].tolist() == [219, 94, 86]
    assert np.array_equal(palette[255], [128, 128, 128])


def test_label_set_survives_plain_values() -> None:
    assert LabelSet.from_dict(BDD100K_DRIVABLE.to_dict()) == BDD100K_DRIVABLE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("a",), "colors": ((0, 0, 0),)}, "two or more"),
        ({"colors": ((0, 0, 0),)}, "1 colours for 2 names"),
        ({"colors": ((0, 0, 0), (0, 0, 300))}, "RGB triples"),
        ({"background": "sky"}, "'sky' is not one of"),
        ({"ignore_id": 1}, "ignore_id must be 2..255"),
        ({"ignore_id": float("inf")}, "ignore_id must be 2..255, got inf"),
        ({"colors": ((0, 0, float("nan")), (1, 1, 1))}, "RGB triples"),
        ({"colors": ((0, 0, True), (1, 1, 1))}, "RGB triples"),
        ({"names": ("a", " ")}, "one line of text"),
        ({"names": ("a", "b\n")}, "one line of text"),
        ({"names": ("a", "\ud800")}, "one line of text"),
        ({"names": ("a", 3)}, "one line of text"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {"names": ("a", "b"), "colors": ((0, 0, 0), (1, 1, 1))}
    with pytest.raises(ConfigError, match=message):
        LabelSet(**(fields | changes))  # type: ignore[arg-type]


def test_nearest_match_asks_only_where_something_is_close() -> None:
    assert nearest_match("unett", ["fcn", "unet"]) == "did you mean 'unet'? known: fcn, unet"
    assert nearest_match("zzz", ["fcn", "unet"]) == "known: fcn, unet"


@pytest.mark.parametrize(
    "change",
    [
        {"names": "abc"},
        {"names": None},
        {"names": [["direct"], 1, 2]},
        {"colors": "abc"},
        {"colors": [1, 2, 3]},
        {"colors": [[1, 2, float("inf")]] * 3},
        {"colors": [[1, 2, 10**400]] * 3},
        {"background": ["background"]},
        {"ignore_id": float("inf")},
        {"ignore_id": "255"},
        {"ignore_id": None},
    ],
)
def test_plain_values_that_are_no_label_set(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^labels: [^\n]{1,400}$"):
        LabelSet.from_dict(BDD100K_DRIVABLE.to_dict() | change)
    with pytest.raises(ConfigError, match="labels: expected lists of names"):
        LabelSet.from_dict([])  # type: ignore[arg-type]


@pytest.mark.parametrize("background", [None, "a", "b", "c"])
def test_what_is_no_number_is_never_more_probable_than_the_background(background: str | None) -> None:
    labels = LabelSet(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), background)
    rest = labels.background_id or 0
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), (40, 50)).transpose(2, 0, 1).astype(np.float32)
    before = labels.most_probable(probabilities)
    assert before.dtype == np.uint8
    assert (before == probabilities.argmax(axis=0)).all()
    for value in (np.nan, np.inf, -np.inf):
        for k in range(3):
            spoilt = probabilities.copy()
            spoilt[k, :, :25] = value
            for answer in (labels.most_probable(spoilt), labels.most_probable(spoilt[None])[0]):
                assert (answer[:, :25] == rest).all()
                assert (answer[:, 25:] == before[:, 25:]).all()
    assert (labels.most_probable(np.full((3, 2, 2), 1 / 3)) == rest).all()


@pytest.mark.parametrize("text", [r"$\frac{$", "a $x$ b", r"\$", "_hidden", "$", "two\nlines", r"$\\$$"])
def test_no_text_of_a_user_is_a_formula(text: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=plot_text(text))
    axes.set(title=plot_text(text), xlabel=plot_text(text))
    axes.annotate(plot_text(text), (0, 0))
    legend = axes.legend()
    figure.savefig(io.BytesIO())
    assert len(legend.get_texts()) == 1
