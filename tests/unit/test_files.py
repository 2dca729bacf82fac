from pathlib import Path

import pytest

from drivable.errors import OutputError
from drivable.files import make_folder, write_json, written_whole


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
