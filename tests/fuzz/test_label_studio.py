"""Any JSON as an export of Label Studio: read and drawn, or refused in one line."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given

from drivable.data.formats.label_studio_json import read_label_studio

from .mutations import mutated, outcome
from .trees import changed

REGION = {"original_width": 12, "original_height": 10, "image_rotation": 0, "id": "a"}
PACKED = [0, 0, 1, 224, 57, 27, 254, 224, 0, 0, 0]
RESULT = [
    {**REGION, "type": "polygonlabels",
     "value": {"points": [[0, 50], [50, 50], [50, 100]], "closed": True, "polygonlabels": ["road"]}},
    {**REGION, "type": "brushlabels", "value": {"format": "rle", "rle": PACKED, "brushlabels": ["road"]}},
    {**REGION, "type": "rectanglelabels",
     "value": {"x": 5, "y": 5, "width": 50, "height": 20, "rotation": 30, "rectanglelabels": ["car"]}},
    {**REGION, "type": "ellipselabels",
     "value": {"x": 50, "y": 50, "radiusX": 20, "radiusY": 20, "rotation": 30, "ellipselabels": ["car"]}},
    {**REGION, "type": "keypointlabels", "id": "b", "value": {"x": 5, "y": 5, "width": 1, "keypointlabels": ["car"]}},
    {"type": "relation", "from_id": "a", "to_id": "b"},
]  # fmt: skip
VALID = [
    [{"id": 1, "annotations": [{"result": RESULT}], "data": {"image": "/data/upload/1/0123abcd-a.jpg"}}],
    [{"id": 2, "annotations": [{"was_cancelled": True}, {"result": RESULT[:1]}], "data": {"image": "?d=x\\b.png"}}],
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVABLE_MAX_PIXELS", "100000")


@given(content=changed(VALID) | mutated([json.dumps(value).encode() for value in VALID]))
def test_any_json(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "export.json").write_bytes(content)
        frames = outcome(lambda: read_label_studio(Path(folder) / "export.json", {"a.jpg": Path("a.jpg")}))
    for frame in frames if isinstance(frames, list) else []:
        assert not set(frame.id) & set("/\\\0\n")
        classes = {shape.name: 1 for shape in frame.shapes}
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            drawn = outcome(lambda frame=frame, classes=classes: frame.draw(classes, frame.size or (10, 12), 0))
        assert isinstance(drawn, Exception) or set(np.unique(drawn)) <= {0, 1}
