"""Data at an address with a password: it stands in nothing that a command writes or says."""

from pathlib import Path

import pytest

from drivable.config import load_recipe, with_data_path
from drivable.data.open import data_root
from drivable.errors import ConfigError
from drivable.files import write_json, write_table
from drivable.training import resumed_recipe
from drivable.training.run_folder import RECIPE, STATE, write_recipe

ADDRESS = "s3://anna:pass-word@bucket/roads?token=pass-word"


def test_a_run_folder_keeps_no_credentials_and_a_resumed_run_is_given_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = with_data_path(load_recipe("lite"), ADDRESS)
    assert recipe.data.path == ADDRESS
    write_recipe(tmp_path, recipe)
    assert "pass-word" not in (tmp_path / RECIPE).read_text() + str(recipe.to_dict())
    (tmp_path / STATE).touch()
    monkeypatch.setitem(resumed_recipe.__globals__, "read_state", lambda _: {})
    with pytest.raises(ConfigError, match="give the data's address again with --data"):
        resumed_recipe(tmp_path)
    assert resumed_recipe(tmp_path, ADDRESS).data.path == ADDRESS


def test_results_hold_none(tmp_path: Path) -> None:
    write_json(
        tmp_path / "scores.json", {"data": ADDRESS, "made": {"command": f"drivable evaluate --data '{ADDRESS}'"}}
    )
    write_table(tmp_path / "table", [{"on": ADDRESS}])
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert len(written) == 3
    for text in written:
        assert "s3://***@bucket/roads?token=***" in text
        assert "pass-word" not in text


def test_unknown_addresses_are_told_without(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as fault:
        data_root(ADDRESS.replace("s3", "nowhere"))
    assert "pass-word" not in str(fault.value)
