"""Data that many tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# One test process per core beats one process with two threads; of the commands that tests start too. Before torch is
# imported, which reads it then.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image

from drivable.synthetic import write_rendered_dataset

torch.set_num_threads(1)

# Without a deadline: a busy machine is no fault of a reader's. Derandomised: a fault shows in the run that made it.
_UNHURRIED = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "derandomize": True}
settings.register_profile("ci", max_examples=300, **_UNHURRIED)
settings.register_profile("fuzz", max_examples=10_000, **_UNHURRIED | {"derandomize": False})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", action="store_true", help="10,000 inputs for each reader in place of 300")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("fuzz" if config.getoption("--fuzz") else "ci")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves anything in the user's cache, or finds something there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def rendered_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered data set of 24 train, 8 val and 8 test pictures, 96x160, in BDD100K's layout. Not to be changed."""
    root = tmp_path_factory.mktemp("rendered") / "data"
    write_rendered_dataset(root, {"train": 24, "val": 8, "test": 8}, seed=7, size=(96, 160))
    return root


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures; tests that ask for it are skipped where there is none."""
    folder = os.environ.get("DRIVABLE_REAL_DATA")
    if not folder:
        pytest.skip("DRIVABLE_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture
def make_bdd100k(tmp_path: Path) -> Callable[..., Path]:
    """Write a small data set of flat pictures in BDD100K's current layout."""

    def make(ids: tuple[str, ...] = ("a", "b", "c"), split: str = "train", size: tuple[int, int] = (36, 64)) -> Path:
        root = tmp_path / "bdd100k"
        images, masks = root / "images/100k" / split, root / "labels/drivable/masks" / split
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index, key in enumerate(ids):
            Image.fromarray(np.full((*size, 3), 40 * index % 255, dtype=np.uint8)).save(images / f"{key}.jpg")
            label_map = np.full(size, 2, dtype=np.uint8)
            label_map[size[0] // 2 :, : size[1] // 2] = 0
            label_map[size[0] // 2 :, -size[1] // 4 :] = 1
            Image.fromarray(label_map).save(masks / f"{key}.png")
        return root

    return make
