"""The trained model that comes with the package: small, documented, and sensible on whatever it is shown."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import drivable
from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.data import open_data
from drivable.errors import CheckpointError
from drivable.evaluation import evaluate
from drivable.imaging.sources import find_sources
from drivable.models import build_model
from drivable.prediction import predict
from drivable.segmenter import TorchSegmenter
from drivable.weights import DEFAULT_MODEL, shipped_models

DIRECT, ALTERNATIVE, BACKGROUND = 0, 1, 2


@pytest.fixture(scope="module")
def segmenter() -> TorchSegmenter:
    return drivable.load()


@pytest.mark.parametrize(
    ("name", "mib", "millions"), [(DEFAULT_MODEL, 8, 4), ("drivable-base", 12, 6)], ids=lambda value: str(value)
)
def test_it_is_small_and_knows_no_place_it_was_trained_in(name: str, mib: int, millions: int) -> None:
    path = shipped_models()[name]
    assert find_checkpoint(name) == path
    assert path.stat().st_size < mib * 2**20
    checkpoint = load_checkpoint(path)
    model = build_model(checkpoint.spec, checkpoint.labels.num_classes)
    assert sum(p.numel() for p in model.parameters()) < millions * 1e6
    assert checkpoint.recipe is not None
    assert checkpoint.recipe["data"]["path"] is None
    assert checkpoint.recipe["model"]["pretrained"] in (None, "imagenet")


@pytest.mark.parametrize("name", shipped_models())
def test_its_card_says_what_one_must_know(name: str) -> None:
    card = shipped_models()[name].with_suffix(".md").read_text(encoding="utf-8")
    for word in (name, "BDD100K", "research", "not-for-profit", "strict3", "bdd-official", "binary", "night", "rain"):
        assert word in card
    assert re.search(rf"^drivable train {name} ", card, flags=re.MULTILINE)


def test_a_name_that_is_not_shipped_lists_those_that_are() -> None:
    with pytest.raises(CheckpointError, match=f"known: .*{DEFAULT_MODEL}"):
        find_checkpoint("drivable-large")


@pytest.mark.parametrize("value", [0, 255])
def test_there_is_no_road_in_black_or_white(segmenter: TorchSegmenter, value: int) -> None:
    label_map = segmenter.segment(np.full((360, 640, 3), value, dtype=np.uint8))
    assert (label_map == BACKGROUND).mean() > 0.95


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 2000), (360, 640), (640, 360)])
def test_any_size(segmenter: TorchSegmenter, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert segmenter.segment(image).shape == size


@pytest.mark.slow
def test_a_picture_of_48_megapixels(segmenter: TorchSegmenter) -> None:
    assert segmenter.segment(np.zeros((6000, 8000, 3), dtype=np.uint8)).shape == (6000, 8000)


def test_pictures_of_every_kind_through_the_command(segmenter: TorchSegmenter, tmp_path: Path) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    picture = Image.fromarray(image)
    picture.save(source / "rgb.png")
    picture.convert("L").save(source / "grey.png")
    picture.convert("RGBA").save(source / "rgba.png")
    Image.fromarray(image[..., 0].astype(np.uint16) * 257).save(source / "sixteen-bit.png")
    turned = Image.Exif()
    turned[274] = 6
    picture.save(source / "turned.jpg", exif=turned)
    result = predict(segmenter, find_sources([str(source)]), tmp_path / "out")
    assert (result.num_pictures, result.broken) == (5, [])
    sizes = {path.stem: Image.open(path).size for path in (tmp_path / "out/label_maps").iterdir()}
    assert sizes == {name: (48, 80) if name == "turned" else (80, 48) for name in sizes}
    assert len(sizes) == 5


@pytest.mark.real
def test_it_finds_real_roads_it_never_saw(segmenter: TorchSegmenter, real_data: Path) -> None:
    data = open_data(real_data / "bdd100k-native", ids="current")
    scores = evaluate(segmenter, data.all_samples, data.labels).scores
    assert scores.strict3 > 0.7
