import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from drivable.checkpoint import Checkpoint, Preprocessing, find_checkpoint, load_checkpoint, save_checkpoint
from drivable.config import load_recipe
from drivable.config.models import IMAGENET
from drivable.errors import CheckpointError, OutputError
from drivable.labels import BDD100K_DRIVABLE
from drivable.models import build_model


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    recipe = load_recipe("lite")
    return Checkpoint(
        weights=build_model(recipe.model, 3).state_dict(),
        spec=recipe.model,
        labels=BDD100K_DRIVABLE,
        preprocessing=Preprocessing((64, 96), IMAGENET),
        recipe=recipe,
        scores={"val": {"protocols": {"strict3": 0.5}}},
    )


def test_everything_comes_back(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    again = load_checkpoint(path)
    assert (again.spec, again.labels, again.preprocessing) == (
        checkpoint.spec,
        checkpoint.labels,
        checkpoint.preprocessing,
    )
    assert again.recipe == checkpoint.recipe
    assert again.scores == checkpoint.scores
    assert all(torch.equal(value, again.weights[key]) for key, value in checkpoint.weights.items())


def rewritten(path: Path, **changes: object) -> None:
    """Change the description inside a checkpoint file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as opened:
        description = json.loads(opened.metadata()["drivable"])
    save_file(load_file(path), path, metadata={"drivable": json.dumps(description | changes)})


def test_another_version_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    rewritten(path, format_version=99)
    with pytest.raises(CheckpointError, match="format version 99, this release reads 1"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "changes", [{"model": {"name": "nothing"}}, {"preprocessing": {}}, {"labels": {"names": ["a"]}}]
)
def test_a_damaged_description_is_refused(checkpoint: Checkpoint, tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    rewritten(path, **changes)
    with pytest.raises(CheckpointError, match="description is damaged"):
        load_checkpoint(path)


def test_weights_of_another_model_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    rewritten(path, model={"name": "segformer_b0"})
    with pytest.raises(CheckpointError, match="weights do not fit segformer_b0"):
        load_checkpoint(path).build()


def test_a_cut_file_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="corrupt or not a safetensors file"):
        load_checkpoint(path)


def test_plain_weights_are_told_from_a_checkpoint(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="no model description"):
        load_checkpoint(tmp_path / "w.safetensors")


def test_what_cannot_be_found(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run folder or checkpoint file"):
        find_checkpoint("nothing")
    with pytest.raises(CheckpointError, match="no best.safetensors or last.safetensors"):
        find_checkpoint(tmp_path)


def test_a_failed_write_keeps_the_old_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            save_checkpoint(path, checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]


def test_others_may_read_a_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.safetensors", checkpoint)
    (tmp_path / "other").write_text("")
    assert (tmp_path / "m.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
