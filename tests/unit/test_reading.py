"""The boundary that every reader of other people's files has."""

import os
import signal
from pathlib import Path

import pytest

from drivable.errors import CheckpointError, ConfigError, DataError, one_line
from drivable.files import check_name, inside
from drivable.reading import (
    LIMITS,
    check_network_size,
    check_size,
    decimal,
    is_named,
    limit,
    open_regular,
    parse_json,
    parse_yaml,
    read_text,
    reading,
)
from drivable.signals import terminated_as_interrupted

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
MERGES = "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\nb: {<<: [" + "*a, " * 1000 + "]}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "DRIVABLE_MAX_YAML_NODES"),
        (MERGES, "DRIVABLE_MAX_YAML_NODES"),
        ("&a [*a]", "DRIVABLE_MAX_DEPTH"),
        ("[" * 300 + "]" * 300, "DRIVABLE_MAX_DEPTH"),
        ("[" * 100_000, "DRIVABLE_MAX_DEPTH"),
        ("# " + "x" * 2**20, "DRIVABLE_MAX_YAML_BYTES"),
    ],
)
def test_yaml_beyond_a_limit(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["{0: road, 0: other}", "a: 1\nb: 2\na: 3", "x: {<<: {a: 1}, a: 2, a: 3}"])
def test_yaml_that_says_a_thing_twice(text: str) -> None:
    with pytest.raises(DataError, match="r.yaml: .*stands there twice"), reading("r.yaml"):
        parse_yaml(text)
    assert parse_yaml("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: [*b, *a], x: 3}\n1: 1\n'1': 2")["c"] == {"x": 3}


def test_yaml_within_limits() -> None:
    assert parse_yaml("base: &b {x: 1}\nsize: &s [1, 2]\nother: {<<: *b, y: *s}")["other"] == {"x": 1, "y": [1, 2]}


@pytest.mark.parametrize("depth", [66, 100_000])
def test_json_too_deep(depth: int) -> None:
    with pytest.raises(DataError, match="DRIVABLE_MAX_DEPTH"):
        parse_json("[" * depth + "]" * depth)
    assert parse_json("[" * 64 + "]" * 64)


def test_a_key_that_stands_twice_in_json() -> None:
    with pytest.raises(ValueError, match="'a' stands there twice"):
        parse_json('{"b": [{"a": 1, "c": 2, "a": 3}]}')


def test_a_limit_may_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVABLE_MAX_DEPTH", "90")
    assert parse_json("[" * 80 + "]" * 80)
    monkeypatch.setenv("DRIVABLE_MAX_DEPTH", "many")
    told = pytest.raises(ConfigError, match="^DRIVABLE_MAX_DEPTH: expected a positive whole number, got 'many'")
    with told, reading("labels.json", DataError, "damaged"):
        limit("DRIVABLE_MAX_DEPTH")


@pytest.mark.parametrize(
    "size", [(50_000, 50_000), (0, 5), (-1, 5), (float("inf"), 5), ("720", 5), (True, 5), (2.5, 5)]
)
def test_sizes_refused(size: tuple[object, object]) -> None:
    with pytest.raises(DataError):
        check_size(*size)


def test_sizes_that_a_network_works_at() -> None:
    assert check_network_size(2160, 3840) == (2160, 3840)
    with pytest.raises(DataError, match="DRIVABLE_MAX_NETWORK_PIXELS raises it"):
        check_network_size(5792, 5792)
    with pytest.raises(DataError, match=r"16385 pixels on one side \(32x16385\).*DRIVABLE_MAX_NETWORK_SIDE raises it"):
        check_network_size(32, 16385)


def test_whatever_a_parser_throws_is_the_readers_own_error() -> None:
    for fault in (
        RecursionError(),
        MemoryError(),
        ZeroDivisionError("x\ny"),
        KeyError("k"),
        DataError("z"),
        OSError(5, "z"),
    ):
        told = pytest.raises(CheckpointError, match=r"^a\.onnx: not readable: .+; export it again$")
        with told, reading("a.onnx", CheckpointError, "not readable", "export it again"):
            raise fault
    with pytest.raises(DataError, match="^as it is$"), reading("a", DataError):
        raise DataError("as it is")


def test_what_a_parser_makes_of_a_stop_is_no_broken_file() -> None:
    with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt), reading("a.png"):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as stop:
            raise RuntimeError("Error calling __set_name__ on 'member' instance") from stop


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "loop", "zero", "."):
        with pytest.raises(OSError, match="."):
            open_regular(tmp_path / name)
    (tmp_path / "marked").write_text("a", encoding="utf-8-sig")
    assert read_text(tmp_path / "marked") == "a"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "a\nb", "a\x00", "a" * 256])
def test_names_that_could_lead_elsewhere(name: str) -> None:
    with pytest.raises(DataError, match="image id"):
        check_name(name, "image id")


def test_what_is_written_lies_inside(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path)
    assert inside(tmp_path / "out", "masks", "a.png") == tmp_path / "out/masks/a.png"
    for parts in (("..", "a"), ("/etc", "a"), ("link", "a"), (".",), ("masks", "../..")):
        with pytest.raises(DataError, match="outside"):
            inside(tmp_path / "out", *parts)


def test_the_guide_states_the_limits() -> None:
    guide = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    for name, (default, bounds) in LIMITS.items():
        assert f"| `{name}` | {default:,} | {bounds} |" in guide


def test_values_are_shown_short() -> None:
    assert len(one_line("x" * 10_000)) == 200
    assert one_line(10**5000) == "<int>"
    assert len(one_line([[list(range(100))] * 100] * 100)) <= 200
    assert one_line("a\x1b[31m\nb") == "a [31m b"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("-1E5", -1e5),
        (".5e1", 5.0),
        ("'3e-4'", "3e-4"),
        ('"1e5"', "1e5"),
        ("e5", "e5"),
        ("1e5x", "1e5x"),
    ],
)
def test_numbers_with_exponents_are_numbers_and_what_is_quoted_is_text(text: str, value: object) -> None:
    assert parse_yaml(text) == value


def test_the_boundary_adds_the_place_to_a_limit() -> None:
    said = r"^a\.yaml: YAML nested more deeply .* DRIVABLE_MAX_DEPTH"
    with pytest.raises(CheckpointError, match=said), reading("a.yaml", CheckpointError):
        parse_yaml("[" * 300 + "]" * 300)
    # A reader inside a reader says the place once.
    with pytest.raises(DataError, match=said), reading("b.yaml"), reading("a.yaml"):
        parse_yaml("[" * 300 + "]" * 300)
    with pytest.raises(DataError, match=r"^a\.png: a size of 0 x 5"), reading("a.png", DataError):
        check_size(0, 5)


def test_yaml_as_it_was_written() -> None:
    text = "a: &a {no: 007}\nb: [yes, null, '1', 0x1f, 1e3]\nc: {<<: *a, 255: on}"
    assert parse_yaml(text, as_text=True) == {
        "a": {"no": "007"},
        "b": ["yes", "null", "1", "0x1f", "1e3"],
        "c": {"no": "007", "255": "on"},
    }


def test_what_is_named_but_not_there(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert is_named(tmp_path / "loop")
    assert not is_named(tmp_path / "nothing")


def test_a_long_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\xff")
    assert read_text(tmp_path / "a.txt", errors="surrogateescape") == "a\udcff"
    monkeypatch.setenv("DRIVABLE_MAX_FILE_BYTES", "4")
    with pytest.raises(DataError, match="5 bytes, more than the limit of 4; DRIVABLE_MAX_FILE_BYTES raises it"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize(("text", "value"), [("12", 12), (" -1.50\n", -1.5), (".5", 0.5), ("+2.", 2), ("1e-3", 0.001)])
def test_numbers_of_a_text(text: str, value: float) -> None:
    assert decimal(text) == value


@pytest.mark.parametrize(
    "text", ["\uff11\uff12", "\u0661", "1_000", "nan", "inf", "-Infinity", "", " ", "0x1f", "1,5", "."]
)
def test_texts_that_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number, got '"):
        decimal(text)
