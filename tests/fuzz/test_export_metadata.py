"""What exported files of others say of themselves: read, or refused as a :class:`CheckpointError`.

The runtimes themselves are not given such files here: they are C++, and may end the process.
"""

import json
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from drivable.checkpoint import Calibration
from drivable.errors import CheckpointError
from drivable.labels import BDD100K_DRIVABLE
from drivable.reading import reading
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.onnx_check import checked_onnx, require_finite_onnx
from drivable.segmenter.openvino import check_graph_text
from drivable.segmenter.torch_archives import checked_program

WHERE = Path("lite.onnx")
ABOUT = ExportDescription(
    BDD100K_DRIVABLE,
    {"name": "lite"},
    "none",
    "fp32",
    (64, 96),
    "ids",
    "exact",
    "course",
    Calibration(1.0, 0.5, 0.9, "val"),
)
VALUES = json.loads(ABOUT.to_json())
HOSTILE = st.sampled_from(
    [float("nan"), float("inf"), 1e308, -1, 0, 2**63, 10**40, "", "\0", "../../x", "x" * 5000, None, True, [], {},
     [[[[]]]], [float("nan")] * 3, [1e9, 1e9], [-64, 96], ["64", 96], {"name": None}]
)  # fmt: skip
CUT = st.tuples(st.integers(0, 10**6), st.integers(0, 16), st.binary(max_size=16))


def described(text: str) -> None:
    with suppress(CheckpointError):
        ExportDescription.from_json(text, WHERE)


@given(key=st.sampled_from([*VALUES, "more"]), value=HOSTILE | st.floats() | st.integers() | st.text(max_size=10))
def test_descriptions(key: str, value: Any) -> None:
    described(json.dumps(VALUES | {key: value}))


@given(
    key=st.sampled_from(["labels", "calibration", "model"]),
    inner=st.sampled_from(["names", "colors", "background", "ignore_id", "temperature", "threshold", "name"]),
    value=HOSTILE | st.floats(),
)
def test_parts_of_descriptions(key: str, inner: str, value: Any) -> None:
    described(json.dumps(VALUES | {key: VALUES[key] | {inner: value}}))


@given(text=st.text(max_size=100) | st.integers(0, 5000).map(lambda depth: '{"a":' * depth))
def test_texts(text: str) -> None:
    described(text)


def mutated(content: bytes, cut: tuple[int, int, bytes]) -> bytes:
    at = cut[0] % (len(content) + 1)
    return content[:at] + cut[2] + content[at + cut[1] :]


def small_onnx() -> bytes:
    constant = numpy_helper.from_array(torch.ones(3).numpy(), "constant")
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", "h", "w", 3])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", "h", "w", 3])
    node = helper.make_node("Mul", ["images", "constant"], ["out"])
    model = helper.make_model(helper.make_graph([node], "small", [images], [out], [constant]))
    helper.set_model_props(model, {KEY: ABOUT.to_json()})
    content: bytes = model.SerializeToString()
    return content


ONNX = small_onnx()


@given(cut=CUT, whole=st.booleans())
def test_onnx(cut: tuple[int, int, bytes], whole: bool) -> None:
    with TemporaryDirectory() as folder, suppress(CheckpointError):
        path = Path(folder) / "small.onnx"
        path.write_bytes(mutated(ONNX, cut) if whole else cut[2])
        with reading(path, CheckpointError):
            model = checked_onnx(path)
            texts = [entry.value for entry in model.metadata_props]
            ExportDescription.from_json(texts[0] if texts else None, path)
            require_finite_onnx(model, BDD100K_DRIVABLE, str(path))


def small_program() -> bytes:
    buffer = BytesIO()
    program = torch.export.export(torch.nn.Linear(3, 3), (torch.zeros(1, 3),))
    torch.export.save(program, buffer, extra_files={KEY: ABOUT.to_json()})
    return buffer.getvalue()


PROGRAM = small_program()
with zipfile.ZipFile(BytesIO(PROGRAM)) as _archive:
    MEMBERS = {name: _archive.read(name) for name in _archive.namelist()}


def checked(content: bytes) -> None:
    with TemporaryDirectory() as folder, suppress(CheckpointError):
        path = Path(folder) / "small.pt2"
        path.write_bytes(content)
        with reading(path, CheckpointError):
            checked_program(path)


def test_the_program_itself_passes(tmp_path: Path) -> None:
    (tmp_path / "small.pt2").write_bytes(PROGRAM)
    assert checked_program(tmp_path / "small.pt2")[1] == ABOUT.to_json()


@given(cut=CUT)
def test_archives(cut: tuple[int, int, bytes]) -> None:
    checked(mutated(PROGRAM, cut))


@given(name=st.sampled_from(list(MEMBERS)), cut=CUT)
def test_members(name: str, cut: tuple[int, int, bytes]) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for own, content in MEMBERS.items():
            archive.writestr(own, mutated(content, cut) if own == name else content)
    checked(buffer.getvalue())


TEXT = b"""<?xml version="1.0"?><net name="a" version="11"><layers><layer id="0" name="c" type="Const">
<data element_type="f32" shape="3" offset="0" size="12"/><output><port id="0"><dim>3</dim></port></output>
</layer></layers>
<edges/><rt_info><drivable value="{}"/></rt_info></net>"""
INSERTED = st.sampled_from(
    [b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<a>" * 100, b"&b;", b"&#0;", b'min="nan"', b"\xff\xfe", b"]]>", b"<?x?>"]
)


@given(cut=CUT, inserted=st.none() | INSERTED)
def test_openvino_text(cut: tuple[int, int, bytes], inserted: bytes | None) -> None:
    with TemporaryDirectory() as folder, suppress(CheckpointError):
        path = Path(folder) / "small.xml"
        path.write_bytes(mutated(TEXT, cut if inserted is None else (cut[0], cut[1], inserted)))
        with reading(path, CheckpointError):
            check_graph_text(path)
