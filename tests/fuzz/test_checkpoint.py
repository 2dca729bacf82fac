"""Checkpoints of others, as bytes and by their description: read, or refused as a :class:`CheckpointError`."""

import copy
import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from drivable.checkpoint import Checkpoint, Preprocessing, load_checkpoint, save_checkpoint
from drivable.config.models import IMAGENET, UNetSpec
from drivable.errors import CheckpointError
from drivable.labels import BDD100K_DRIVABLE
from drivable.models import build_model

SPEC = UNetSpec(widths=(1, 1, 1, 1, 1))
WEIGHTS = build_model(SPEC, 3).state_dict()
HOSTILE = st.sampled_from(
    [float("nan"), float("inf"), -float("inf"), 1e308, -1, 0, 2**63, 10**40, "", "\0\x1b[31m", "../../x", "x" * 5000,
     None, True, [], {}, [[[[]]]], {"a": {"b": {}}}, [float("nan")] * 3, [1e9, 1e9], [-64, 96], "unet"]
)  # fmt: skip


def written() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        save_checkpoint(path, Checkpoint(WEIGHTS, SPEC, BDD100K_DRIVABLE, Preprocessing((64, 96), IMAGENET)))
        return path.read_bytes()


WHOLE = written()
HEADER = json.loads(WHOLE[8 : 8 + int.from_bytes(WHOLE[:8], "little")])
DESCRIPTION = json.loads(HEADER["__metadata__"]["drivable"]) | {
    "calibration": {
        "temperature": 1.0,
        "threshold": 0.5,
        "accuracy": 0.9,
        "fitted_on": "val",
        "background_offset": 0.0,
    },
    "recipe": {"data": {"splits": "course"}},
}


def places(values: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [path for key, value in inner for path in [(*above, key), *places(value, (*above, key))]]


def changed(values: Any, path: tuple[Any, ...], value: Any) -> Any:
    values = here = copy.deepcopy(values)
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return values


def read(content: bytes) -> None:
    with TemporaryDirectory() as folder, suppress(CheckpointError):
        path = Path(folder) / "m.safetensors"
        path.write_bytes(content)
        load_checkpoint(path).build()


@given(
    at=st.integers(0, len(WHOLE)) | st.integers(0, 200),
    num=st.integers(0, 16),
    new=st.binary(max_size=16),
    cut=st.booleans(),
)
def test_bytes(at: int, num: int, new: bytes, cut: bool) -> None:
    read(WHOLE[:at] + new + (b"" if cut else WHOLE[at + num :]))


@given(content=st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    read(content)


@given(path=st.sampled_from(places(DESCRIPTION)), value=HOSTILE | st.floats() | st.integers() | st.text(max_size=20))
def test_descriptions(path: tuple[Any, ...], value: Any) -> None:
    described = changed(DESCRIPTION, path, value)
    read(save(WEIGHTS, metadata={"drivable": json.dumps(described)}))


@given(text=st.text(max_size=100) | st.integers(0, 5000).map(lambda depth: "[" * depth))
def test_texts(text: str) -> None:
    with suppress(UnicodeEncodeError):
        read(save({"a": torch.zeros(1)}, metadata={"drivable": text}))


@given(path=st.sampled_from(places(HEADER)), value=HOSTILE | st.integers())
def test_headers(path: tuple[Any, ...], value: Any) -> None:
    header = json.dumps(changed(HEADER, path, value)).encode()
    read(len(header).to_bytes(8, "little") + header + WHOLE[8 + int.from_bytes(WHOLE[:8], "little") :])
