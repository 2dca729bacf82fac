import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from drivable.curation.inspection import inspect
from drivable.curation.splits import balanced_split, drive_of, write_split
from drivable.data import open_data, select_split
from drivable.data.splits import seeded_split
from drivable.errors import ConfigError, DataError

Make = Callable[..., Path]


def test_the_courses_exact_split() -> None:
    ids = [f"{i:04d}" for i in range(3430)]
    split = seeded_split(reversed(ids))  # type: ignore[arg-type]
    assert {name: len(part) for name, part in split.items()} == {"train": 2401, "val": 686, "test": 343}
    assert sorted(key for part in split.values() for key in part) == ids
    # The first picture that torch.Generator().manual_seed(1) deals to the test set's start, for good.
    import torch

    order = torch.randperm(3430, generator=torch.Generator().manual_seed(1)).tolist()
    assert split["test"] == sorted(ids[i] for i in order[2401 + 686 :])


def test_another_seed_is_another_split() -> None:
    ids = [f"{i:04d}" for i in range(100)]
    assert seeded_split(ids, seed=1) == seeded_split(ids)
    assert seeded_split(ids, seed=2) != seeded_split(ids)


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.1), (0.8, 0.2, 0.0), (1.2, -0.1, -0.1)])
def test_shares_must_add_up(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        seeded_split([str(i) for i in range(10)], shares)


def test_no_drive_straddles_and_strata_are_spread() -> None:
    # 60 drives of 1 to 9 pictures; every third drive is at night.
    ids = [f"{drive:08x}-{frame:08x}" for drive in range(60) for frame in range(1 + drive % 9)]
    night = {key: int(key[:8], 16) % 3 == 0 for key in ids}
    split = balanced_split(ids, seed=3, group_of=drive_of, stratum_of=night.__getitem__)
    assert sorted(key for part in split.values() for key in part) == ids
    drives = {name: {drive_of(key) for key in part} for name, part in split.items()}
    assert not drives["train"] & drives["val"]
    assert not drives["train"] & drives["test"]
    assert not drives["val"] & drives["test"]
    for name, share in zip(("train", "val", "test"), (0.7, 0.2, 0.1), strict=True):
        for stratum in (True, False):
            members = [key for key in ids if night[key] == stratum]
            got = sum(night[key] == stratum for key in split[name])
            assert abs(got / len(members) - share) < 0.04, (name, stratum)
    assert split == balanced_split(list(reversed(ids)), seed=3, group_of=drive_of, stratum_of=night.__getitem__)
    assert split != balanced_split(ids, seed=4, group_of=drive_of, stratum_of=night.__getitem__)


@pytest.mark.parametrize(
    ("key", "attributes", "drive"),
    [
        ("0a0a0b1a-27d9fc44", {}, "0a0a0b1a"),
        ("0001TP_006690", {}, "0001TP"),
        ("umm_000012", {"drive": "monday"}, "monday"),
        ("000012", {}, "000012"),
        ("frame0012", {}, "frame"),
    ],
)
def test_drives(key: str, attributes: dict[str, str], drive: str) -> None:
    assert drive_of(key, attributes) == drive


def test_too_few_to_split() -> None:
    with pytest.raises(DataError, match="too few"):
        seeded_split(["a", "b"])


def test_split_files_decide_over_folders(make_bdd100k: Make) -> None:
    root = make_bdd100k(ids=("a", "b", "c", "d"))
    write_split(root / "splits" / "mine", {"train": ["a", "b"], "val": ["c"], "test": ["d"]})
    data = open_data(root)
    assert [s.id for s in select_split(data, "train", "mine")] == ["a", "b"]
    assert [s.id for s in select_split(data, "mine/test")] == ["d"]
    assert [s.id for s in select_split(data, "test")] == ["d"]
    assert [s.id for s in select_split(data, "train")] == ["a", "b", "c", "d"]
    assert [s.id for s in select_split(data, str(root / "splits/mine/val.txt"))] == ["c"]
    assert len(select_split(data, "all")) == 4


def test_an_official_folder_alone_has_no_test(make_bdd100k: Make) -> None:
    with pytest.raises(DataError, match=r"no split 'test' \(there are: train\).*drivable data split"):
        select_split(open_data(make_bdd100k()), "test")


def test_a_named_set_must_exist(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    write_split(root / "splits" / "mine", {"val": ["a"]})
    with pytest.raises(DataError, match="no split file splits/mine/test.txt"):
        select_split(open_data(root), "test", "mine")
    # No official folder of that name stands in for it.
    with pytest.raises(DataError, match=r"no split file splits/nime/train.txt \(there are: mine/val\)"):
        select_split(open_data(root), "train", "nime")
    assert len(select_split(open_data(root), "all", "mine")) == 3


def test_a_file_of_ids_needs_no_suffix(make_bdd100k: Make, tmp_path: Path) -> None:
    (tmp_path / "chosen").write_text("a\nc\n")
    assert [s.id for s in select_split(open_data(make_bdd100k()), str(tmp_path / "chosen"))] == ["a", "c"]


def test_an_id_without_a_picture_is_named(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "ids.txt").write_text("a\nnobody\n")
    with pytest.raises(DataError, match="1 of 2 ids have no labelled picture.*'nobody' first"):
        select_split(open_data(root), str(root / "ids.txt"))


@pytest.mark.parametrize(("text", "message"), [("", "no ids"), ("a\nb\na\n", "'a' stands there 2 times")])
def test_bad_files_of_ids(make_bdd100k: Make, text: str, message: str) -> None:
    root = make_bdd100k()
    (root / "ids.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        select_split(open_data(root), str(root / "ids.txt"))
    with pytest.raises(DataError, match="not a readable file of ids"):
        select_split(open_data(root), str(root / "nowhere.txt"))


@pytest.mark.real
def test_the_real_course_split(real_data: Path) -> None:
    data = open_data(real_data / "bdd100k")
    parts = {name: select_split(data, name, "course") for name in ("train", "val", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 2401, "val": 686, "test": 343}
    assert len({sample.id for part in parts.values() for sample in part}) == 3430


@pytest.mark.parametrize("other", ["valid", "validation", "Valid"])
def test_other_names_of_val(other: str, make_bdd100k: Make) -> None:
    root = make_bdd100k()
    make_bdd100k(("d", "e"), other)
    data = open_data(root)
    assert [s.id for s in select_split(data, "val")] == ["d", "e"]
    assert [s.id for s in select_split(data, "validation")] == ["d", "e"]
    assert [s.id for s in select_split(data, "training")] == ["a", "b", "c"]
    write_split(root / "splits/mine", {other: ["a"], "testing": ["b"]})
    assert [s.id for s in select_split(data, "val", "mine")] == ["a"]
    assert [s.id for s in select_split(data, "test")] == ["b"]
    assert [s.id for s in select_split(data, "mine/val")] == ["a"]


def test_two_other_names_of_val(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    for key, name in (("d", "valid"), ("e", "validation")):
        make_bdd100k((key,), name)
    with pytest.raises(DataError, match="valid and validation may both be meant"):
        select_split(open_data(root), "val")
    make_bdd100k(("f",), "val")
    assert [s.id for s in select_split(open_data(root), "val")] == ["f"]


def test_a_list_saved_by_notepad(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "ids.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    assert [s.id for s in select_split(open_data(root), str(root / "ids.txt"))] == ["a", "b"]
    (root / "ids.txt").write_bytes("a\nb\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"ids\.txt: not a readable file of ids: .*save it as UTF-8"):
        select_split(open_data(root), str(root / "ids.txt"))


def test_names_that_are_not_utf8_are_listed(make_bdd100k: Make) -> None:
    key = os.fsdecode(b"stra\xdfe")
    root = make_bdd100k((key, "b"))
    data = open_data(root)
    assert [s.id for s in data.all_samples] == ["b", key]
    write_split(root / "splits/mine", {"val": [key]})
    assert (root / "splits/mine/val.txt").read_bytes() == b"stra\xdfe\n"
    assert [s.id for s in select_split(data, "val", "mine")] == [key]


@pytest.mark.parametrize("key", ["two\nlines", " a", "", "a\r"])
def test_ids_that_do_not_fit_on_a_line(key: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a list of ids has one a line"):
        write_split(tmp_path / "mine", {"val": ["b", key]})
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "", "..", "a/b"])
def test_names_of_splits_lead_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="split '.*': expected a file name"):
        write_split(tmp_path / "mine", {name: ["a"]})


def test_a_pipe_is_no_list(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    os.mkfifo(root / "ids.txt")
    with pytest.raises(DataError, match=r"ids\.txt: not a readable file of ids: not a regular file"):
        select_split(open_data(root), str(root / "ids.txt"))


@pytest.mark.parametrize(
    ("listed", "hint"), [("a.jpg", "without folder and suffix, such as 'a'$"), ("x.jpg", "first$")]
)
def test_lists_of_file_names_are_told(listed: str, hint: str, make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "splits").mkdir()
    (root / "splits/train.txt").write_text(f"images/{listed}\n")
    data = open_data(root)
    with pytest.raises(DataError, match=f"1 of 1 ids have no labelled picture .*{hint}"):
        select_split(data, "train")
    (fault,) = [fault for fault in inspect(data, num_workers=1).errors if fault.kind == "split-file"]
    assert re.search(hint, fault.message)


LIMITS = [(None, "abcdefgh"), (3, "acf"), (0.5, "aceg"), (0.001, "a"), (99, "abcdefgh")]


@pytest.mark.parametrize(("limit", "ids"), LIMITS)
def test_a_part_of_a_split_is_spaced_evenly(make_bdd100k: Make, limit: float | None, ids: str) -> None:
    data = open_data(make_bdd100k(ids=tuple("abcdefgh")))
    assert "".join(sample.id for sample in select_split(data, "train", limit=limit)) == ids
    with pytest.raises(ConfigError, match=r"limit of 1\.5"):
        select_split(data, "train", limit=1.5)
