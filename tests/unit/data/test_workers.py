"""Processes that read pictures: in order, not too far ahead, and noticed when they are gone."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from drivable.curation.inspection import inspect
from drivable.curation.pack import pack
from drivable.data import open_data
from drivable.data.road_data import RoadData
from drivable.data.samples import NoImage, Sample, Size
from drivable.data.workers import in_workers
from drivable.errors import DrivableError
from drivable.imaging.images import Pixels

Make = Callable[..., Path]


@dataclass(frozen=True)
class Deadly:
    """A picture that ends the process that reads it, as the system does when memory runs out."""

    file: Path

    def read(self, at_least: Size | None = None) -> Pixels:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((36, 64, 3), dtype=np.uint8)

    def size(self) -> Size:
        """(height, width)."""
        return 36, 64


@pytest.fixture
def data(make_bdd100k: Make) -> RoadData:
    return open_data(make_bdd100k(ids=tuple(f"p{number:03d}" for number in range(100))))


@pytest.mark.parametrize("verb", ["pack", "inspect"])
def test_a_killed_worker_is_told_and_nothing_is_left(verb: str, data: RoadData, tmp_path: Path) -> None:
    samples = list(data.all_samples)
    samples[70] = replace(samples[70], image=Deadly(samples[70].image.file))
    hostile = replace(data, samples={"train": tuple(samples)})
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DrivableError, match="one of 2 worker processes was ended from outside") as fault:
        if verb == "pack":
            pack(hostile, tmp_path / "out", (18, 32), num_workers=2)
        else:
            inspect(hostile, num_workers=2)
    assert "\n" not in str(fault.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not multiprocessing.active_children()


def noted(sample: Sample) -> str:
    (Path(str(sample.image.file)).parent / f"{sample.id}.seen").touch()
    return sample.id


def test_results_come_in_order_and_not_too_far_ahead(tmp_path: Path) -> None:
    image = NoImage(tmp_path / "labels.json", (4, 4))
    samples = [Sample(f"{number:03d}", image, image) for number in range(200)]  # type: ignore[arg-type]
    with closing(in_workers(noted, samples, num_workers=2, chunk=4)) as results:
        assert next(results) == "000"
        time.sleep(0.3)
        assert len(list(tmp_path.glob("*.seen"))) <= 4 * 6
        assert [next(results) for _ in range(100)] == [f"{number:03d}" for number in range(1, 101)]
    # Closed before its end, it is ended at once.
    assert not multiprocessing.active_children()
    assert len(list(tmp_path.glob("*.seen"))) < 200
