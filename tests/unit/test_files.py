import json
from pathlib import Path

import pytest

from drivable.errors import OutputError
from drivable.files import make_folder, refuse_used, write_json, written_whole


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
