import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drivable.errors import OutputError
from drivable.files import make_folder, refuse_used, write_json, write_table, write_text, written_whole


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_failed_block_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert (tmp_path / "a.json").read_text() == "old"


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), written_whole(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "x").touch()
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder() -> None:
    with pytest.raises(OutputError, match=r"/dev/null/scores.json: cannot be written"):
        write_json(Path("/dev/null/scores.json"), {})


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), written_whole(tmp_path / "a") as temporary:
        temporary.write_text("half")
        Path("/dev/full").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="choose another --out"):
        make_folder(tmp_path / "out")


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "scores.json", {"iou": [float("nan"), 0.5], "loss": float("inf")})
    assert json.loads((tmp_path / "scores.json").read_text()) == {"iou": [None, 0.5], "loss": None}


def test_the_current_folder_has_no_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="cannot be written"), written_whole(Path()) as temporary:
        temporary.write_text("kept out")


@pytest.mark.parametrize("used", ["a file", "a folder with a file"])
def test_used_places_are_refused(tmp_path: Path, used: str) -> None:
    place = tmp_path / "place"
    refuse_used(place)
    if used == "a file":
        place.touch()
    else:
        place.mkdir()
        refuse_used(place)
        (place / "file").touch()
    with pytest.raises(OutputError, match="not an empty folder; choose a new one"):
        refuse_used(place)


def test_a_missing_input_is_not_told_as_a_fault_of_the_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), written_whole(tmp_path / "out") as temporary:
        temporary.mkdir()
        (tmp_path / "absent.png").read_bytes()
    with pytest.raises(ConnectionResetError), written_whole(tmp_path / "out"):
        raise ConnectionResetError(errno.ECONNRESET, "reset by peer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "fault",
    [OSError("encoder error -2 when writing image file"), OSError(errno.EDQUOT, "Disk quota exceeded")],
    ids=["Pillow", "quota"],
)
def test_faults_of_writing_that_name_no_file(tmp_path: Path, fault: OSError) -> None:
    with pytest.raises(OutputError, match="cannot be written"), written_whole(tmp_path / "out"):
        raise fault


def test_a_fault_deep_inside_the_target_is_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="out: cannot be written"), written_whole(tmp_path / "out") as temporary:
        temporary.mkdir()
        (temporary / "absent" / "a.txt").write_text("x")


def killed_while_writing(target: Path, is_folder: bool = False) -> Path:
    """What is left of a process that had no time to clear away."""
    code = f"""
import os, signal
from pathlib import Path
from drivable.files import written_whole
with written_whole(Path({str(target)!r})) as temporary:
    temporary.mkdir() if {is_folder} else temporary.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = target.parent.glob(".*partial-*")
    return left


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path, is_folder: bool) -> None:
    left = killed_while_writing(tmp_path / "a.txt", is_folder)
    assert left.exists()
    write_text(tmp_path / "a.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_living_process_is_writing_stays(tmp_path: Path) -> None:
    left = killed_while_writing(tmp_path / "a.txt")
    pid = left.name.split("-")[1]
    living = left.with_name(left.name.replace(f"-{pid}-", f"-{os.getppid()}-"))
    elsewhere = left.with_name(left.name.replace(f"-{pid}-", f"-{pid}-0"))
    for place in (living, elsewhere):
        place.touch()
    write_text(tmp_path / "a.txt", "whole")
    assert living.exists(), "its process lives"
    assert elsewhere.exists(), "the process of another machine"
    assert not left.exists()


def test_a_folder_left_by_a_process_of_the_same_id_is_no_obstacle(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a") as temporary:
        temporary.mkdir()
    (tmp_path / "a").replace(temporary)
    with written_whole(tmp_path / "a") as temporary:
        temporary.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_names_of_any_length_that_a_file_may_have(tmp_path: Path) -> None:
    for name in ("n" * 251 + ".txt", "é" * 127, f"{'n' * 100}.{'s' * 150}"):
        write_text(tmp_path / name, "whole")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_a_stop_while_a_folder_is_tried_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch = Path.touch

    def stopped(path: Path) -> None:
        touch(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "touch", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_would_break_a_table_is_escaped(tmp_path: Path) -> None:
    write_table(tmp_path / "t", [{"a|b": "x|y", "path": "c:\\d|", "text": "two\r\nlines", "none": None}], "title")
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert lines[:3] == ["title", "", r"| a\|b | path | text | none |"]
    assert lines[3:] == ["| --- | --- | --- | --- |", r"| x\|y | c:\\d\| | two lines | - |"]
    with (tmp_path / "t.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [{"a|b": "x|y", "path": "c:\\d|", "text": "two\r\nlines", "none": ""}]
