"""Descriptions, lists and tables of others: read, or refused in one line."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drivable.curation.conversion import write_labels_yaml
from drivable.data.formats.camvid import open_camvid
from drivable.data.formats.mapillary import open_mapillary
from drivable.data.id_files import ids_text, read_ids
from drivable.data.labels_yaml import DescribedLabels, read_labels_yaml
from drivable.data.road_data import read_attributes
from drivable.errors import ConfigError
from drivable.labels import LabelSet

from .mutations import mutated, outcome

NAMES = b"names: [road, no, 0]\ncolors: [[219, 94, 86], [0, 0, 0], [1, 2, 0x3]]\nbackground: no\nignore_id: 255\n"
DESCRIPTIONS = [
    NAMES + b"ids: {7: road, 0: no, 9: ignore}\n",
    NAMES + b"mask_colors: [[[255, 0, 255], road], [[0, 0, 0], no], [[9, 9, 9], ignore]]\n",
    NAMES + b"classes: {direct: road, alternative: ignore, '*': no}\n",
]
HOSTILE = [
    *("nan", ".nan", ".inf", "-.inf", "1e308", "-1", "1" * 400, "0x7fffffffffffffff", "[" * 100, "{a: {b: 1}}", "*a"),
    *("&a [*a]", "!!python/object/apply:os.system [x]", "2026-13-45", '"\\0"', '"\\ud800"', '"\u202e"', "../../etc"),
    *("null", "~", "yes", "<<: 1", "? [1]", "x" * 3000, "[[[]]]", "9" * 5000, "!!int x", "!!float 1", "!!set {a, b}"),
    *("!!binary aGVsbG8=", "!!timestamp 2001-01-01", "!!null x", "[a, a]", "[[0, 0, 0]]", "{0: road, 00: no}", ""),
]
WORDS = [
    "yes",
    "no",
    "on",
    "Off",
    "null",
    "~",
    "0",
    "007",
    "0x1f",
    "1e3",
    ".nan",
    "2018-01-01",
    "<<",
    "=",
    "- a",
    "#",
    "'",
]


@st.composite
def described(draw: st.DrawFn) -> bytes:
    """A description with a value exchanged for a hostile one."""
    lines = draw(st.sampled_from(DESCRIPTIONS)).decode().splitlines()
    line = draw(st.integers(0, len(lines) - 1))
    lines[line] = f"{lines[line].partition(':')[0]}: {draw(st.sampled_from(HOSTILE))}"
    return "\n".join(lines).encode()


def in_a_file(file: Path, content: bytes, read: Callable[[Path], object]) -> object:
    file.write_bytes(content)
    return outcome(lambda: read(file))


@given(content=described() | mutated(DESCRIPTIONS))
def test_descriptions(content: bytes, tmp_path: Path) -> None:
    said = in_a_file(tmp_path / "labels.yaml", content, read_labels_yaml)
    if isinstance(said, DescribedLabels):
        ids = {*range(said.labels.num_classes), said.labels.ignore_id}
        assert set((said.convention.values or said.convention.colors or {}).values()) <= ids


@given(
    names=st.lists(st.text(max_size=8) | st.sampled_from(WORDS), min_size=2, max_size=4, unique=True), data=st.data()
)
def test_any_label_set_survives(names: list[str], data: st.DataObject, tmp_path: Path) -> None:
    background = data.draw(st.none() | st.sampled_from(names))
    try:
        labels = LabelSet(tuple(names), ((0, 0, 0),) * len(names), background, data.draw(st.integers(4, 255)))
    except ConfigError:
        return  # Of names that no table can show.
    write_labels_yaml(tmp_path, labels)
    assert read_labels_yaml(tmp_path / "labels.yaml").labels == labels


@given(content=mutated([b"a\nb\nc\n", "\ufeffstraße\r\n\r\nb c\r\n".encode(), b"stra\xdfe\n"]))
def test_lists(content: bytes, tmp_path: Path) -> None:
    ids = in_a_file(tmp_path / "ids.txt", content, read_ids)
    if isinstance(ids, list):
        text = ids_text(ids).encode(errors="surrogateescape")
        assert in_a_file(tmp_path / "ids.txt", text, read_ids) == ids


@given(content=mutated([b'id,weather\na,clear\nb,"rainy, dark"\n', "\ufeffweather,id\r\nclear,a\r\n".encode()]))
def test_tables(content: bytes, tmp_path: Path) -> None:
    said = in_a_file(tmp_path / "attributes.csv", content, read_attributes)
    if isinstance(said, dict):
        assert all(isinstance(value, str) for values in said.values() for value in values.values())


@given(content=mutated([b"64 128 64\tAnimal\n192 0 128\tArchway\n0 0 0 Void\n"]))
def test_lists_of_colours(content: bytes, tmp_path: Path) -> None:
    for place in ("701_StillsRaw_full", "LabeledApproved_full"):
        (tmp_path / place).mkdir(exist_ok=True)
    in_a_file(tmp_path / "label_colors.txt", content, lambda file: open_camvid(file.parent))


CONFIG = b"""{"labels": [{"name": "road", "color": [1, 2, 3], "evaluate": true}, {"name": "sky", "color": [4, 5, 6]},
{"name": "void", "color": [0, 0, 0], "evaluate": false}]}"""


@given(content=mutated([CONFIG]))
def test_configs_of_mapillary(content: bytes, tmp_path: Path) -> None:
    for place in ("images", "labels"):
        (tmp_path / "training" / place).mkdir(parents=True, exist_ok=True)
    in_a_file(tmp_path / "config.json", content, lambda file: open_mapillary(file.parent))
