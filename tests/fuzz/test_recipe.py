"""Recipes, changes and studies of others: read, or refused as a :class:`ConfigError`."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from drivable.config import find_recipe, load_recipe, load_study
from drivable.errors import ConfigError

HOSTILE = st.sampled_from(
    ["nan", ".nan", ".inf", "-.inf", "1e308", "-1", "1" * 400, "0x7fffffffffffffff", "[" * 100, "{a: {b: 1}}", "*a",
     "&a [*a]", "!!python/object/apply:os.system [x]", "2026-13-45", "'\\0'", '"\\u202e"', "../../etc/passwd", "null",
     "~", "yes", "<<: 1", "? [1]", "x" * 3000, "[[[]]]", "9" * 5000]
)  # fmt: skip
STUDY = """name: s
question: why
recipe: lite
set: {training.epochs: 1}
runs:
  a: {optimizer.learning_rate: 3e-4}
  b: {loss: [{name: dice, log: true}], data.size: [64, 96]}
"""
SEARCH = """name: s
recipe: lite
search: {optimizer.learning_rate: {low: 1e-5, high: 1e-2, log: true}, training.epochs: {choices: [1, 2]}}
trials: 2
"""


def mutated(text: str) -> st.SearchStrategy[str]:
    """A valid file with a value replaced, or characters flipped, cut and inserted."""
    lines = text.splitlines()
    values = st.builds(
        lambda line, value: "\n".join([*lines[:line], f"{lines[line].partition(':')[0]}: {value}", *lines[line + 1 :]]),
        st.integers(0, len(lines) - 1),
        HOSTILE,
    )
    cut = st.builds(
        lambda at, num, new: text[:at] + new + text[at + num :],
        st.integers(0, len(text)),
        st.integers(0, 8),
        st.text(max_size=8) | HOSTILE,
    )
    return values | cut


def readable(read: Callable[[Path], object], text: str | bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        with suppress(ConfigError):
            read(path)


@given(text=mutated(find_recipe("lite").read_text()) | st.binary(max_size=200))
def test_recipes(text: str | bytes) -> None:
    readable(load_recipe, text)


@given(text=mutated(STUDY) | mutated(SEARCH) | st.binary(max_size=200))
def test_studies(text: str | bytes) -> None:
    readable(load_study, text)


KEYS = st.sampled_from(
    ["data.size", "data.size.0", "data.normalization", "model", "model.name", "model.hidden_channels", "loss", "loss.0",
     "loss.-1.scale", "loss.99999999999999999999.scale", "training.sizes", "training.epochs", "labels.colors", "seed",
     "name", "a.b.c", ".", "..", "optimizer.learning_rate", "schedule", "data.path", "\u0661.x"]
)  # fmt: skip


@given(key=KEYS | st.text(max_size=10), value=HOSTILE | st.text(max_size=20) | st.floats().map(str))
def test_changes(key: str, value: str) -> None:
    with suppress(ConfigError):
        load_recipe("lite", [f"{key}={value}"])


@given(
    key=KEYS,
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
        ),
    ),
)
def test_values_of_a_study(key: str, value: object) -> None:
    with suppress(ConfigError):
        load_recipe("lite", {key: value})
