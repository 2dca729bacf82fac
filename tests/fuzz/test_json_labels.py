"""Any JSON as labels of BDD100K's generations and COCO's: read and drawn, or refused in one line."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco_mask

from drivable.data.formats.label_json import read_frames

from .mutations import mutated, outcome
from .trees import changed

SQUARE = [[2.0, 3.0], [6.0, 3.0], [6.0, 8.0], [2.0, 8.0]]
PIXELS = np.zeros((10, 12), dtype=np.uint8, order="F")
PIXELS[3:8, 2:6] = 1
COUNTS = {"counts": coco_mask.encode(PIXELS)["counts"].decode(), "size": [10, 12]}
PLAIN = {"counts": [23, 5, 5, 5, 5, 5, 5, 5, 62], "size": [10, 12]}
POLY2D = [{"vertices": [*SQUARE, [1, 1], [2, 2], [3, 1]], "types": "LLLLCCC", "closed": True}]
FRAME = {"name": "b1c66a42-6f7d68ca.jpg", "attributes": {"weather": "rainy"}, "size": {"width": 12, "height": 10}}
VALID = [
    {
        "name": "b1c66a42-6f7d68ca",
        "attributes": {"weather": "rainy"},
        "size": {"width": 12, "height": 10},
        "frames": [{"objects": [{"category": "area/drivable", "poly2d": [[*point, "L"] for point in SQUARE]}]}],
    },
    [FRAME | {"labels": [{"category": "drivable area", "attributes": {"areaType": "direct"}, "poly2d": POLY2D}]}],
    [FRAME | {"labels": [{"category": "direct", "poly2d": POLY2D}, {"category": "alternative", "box2d": {}}]}],
    {"frames": [FRAME | {"labels": [{"category": "direct", "rle": COUNTS}, {"category": "unknown", "rle": PLAIN}]}]},
    {
        "images": [{"id": 7, "file_name": "x/a.JPG", "height": 10, "width": 12}],
        "categories": [{"id": 1, "name": "direct"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "segmentation": COUNTS},
            {"id": 2, "image_id": 7, "category_id": 1, "segmentation": [[2, 3, 6, 3, 6, 8.5]]},
        ],
    },
]
CLASSES = {"direct": 0, "alternative": 1, "ignore": 255}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVABLE_MAX_PIXELS", "100000")


@given(content=changed(VALID) | mutated([json.dumps(value).encode() for value in VALID]))
def test_any_json(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "labels_val.json").write_bytes(content)
        frames = outcome(lambda: read_frames(Path(folder) / "labels_val.json"))
    for frame in frames if isinstance(frames, list) else []:
        assert not set(frame.id) & set("/\\\0\n")
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            drawn = outcome(lambda frame=frame: frame.draw(CLASSES, frame.size or (10, 12), 2))
        if isinstance(drawn, np.ndarray):
            assert set(np.unique(drawn)) <= {0, 1, 2, 255}
