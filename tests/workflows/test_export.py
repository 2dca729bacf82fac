"""Exported models: the same model or none, in every runtime, and what they say of themselves."""

import json
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import drivable
from drivable.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from drivable.cli.main import app
from drivable.data import open_data, select_split
from drivable.errors import CheckpointError, ConfigError, OutputError
from drivable.evaluation import evaluate
from drivable.export import (
    SUFFIXES,
    ExportSettings,
    LabelledPictures,
    export_checkpoint,
    export_model,
    parity,
    program_file,
)
from drivable.export.conversion import _graph
from drivable.export.graph import ExportedGraph, Outputs
from drivable.export.settings import Target
from drivable.models.pooling import CellAverage, averaging
from drivable.segmenter import ExportedSegmenter, OpenVINOSegmenter, TorchSegmenter, load
from drivable.segmenter.graph import SegmenterGraph

SIZE = (96, 160)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(find_checkpoint("drivable-lite"))


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "lite.onnx"
    export_model(checkpoint, path, ExportSettings("onnx", "fp32", SIZE), pictures)
    return path


@pytest.mark.parametrize(("length", "cells"), [(9, 2), (16, 6), (5, 3), (3, 6)])
def test_averaging_by_matrices_is_torchs(length: int, cells: int) -> None:
    x = torch.rand(1, 2, length, length)
    matrix = averaging(length, cells, x)
    torch.testing.assert_close(matrix @ x @ matrix.T, CellAverage(cells)(x))


def test_an_exported_file_is_a_segmenter_and_knows_itself(exported: Path, checkpoint: Checkpoint) -> None:
    segmenter = load(exported)
    assert isinstance(segmenter, ExportedSegmenter)
    about = segmenter.description
    assert (about.labels, about.size, about.precision) == (checkpoint.labels, SIZE, "fp32")
    assert about.calibration == checkpoint.calibration
    assert about.parity["passed"] is True
    assert min(about.parity["agreement"].values()) >= parity.LEAST_AGREEMENT
    torch_segmenter = TorchSegmenter(
        replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, size=SIZE)), "cpu"
    )
    images = [
        np.random.default_rng(0).integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((90, 161), (8, 8), (90, 161))
    ]
    for ours, theirs in zip(segmenter.segment_batch(images), torch_segmenter.segment_batch(images), strict=True):
        assert (ours == theirs).mean() > 0.998
    with pytest.raises(ConfigError, match="--outputs probabilities"):
        segmenter.probabilities(images[0])


@pytest.mark.parametrize("background", ["background", None])
def test_classes_without_a_background_are_told(
    background: str | None,
    checkpoint: Checkpoint,
    pictures: LabelledPictures,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    labels = replace(checkpoint.labels, background=background)
    few = replace(pictures, labels=labels, check=pictures.check[:2])
    settings = ExportSettings("torchscript", "fp32", SIZE)
    export_model(replace(checkpoint, labels=labels, calibration=None), tmp_path / "m.torchscript", settings, few)
    told = [record.getMessage() for record in caplog.records if "no background" in record.getMessage()]
    expected = (
        f"{tmp_path / 'm.torchscript'}: its classes have no background, so where its network gives no number it says"
    )
    assert [said.startswith(f"{expected} 'direct'") for said in told] == [True] * (background is None)


def test_another_runtimes_probabilities_are_compared_too(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flat(checkpoint: Checkpoint, settings: ExportSettings) -> ExportedGraph:
        graph = SegmenterGraph(checkpoint.build(), settings.size, checkpoint.labels, temperature=50)
        return ExportedGraph(graph, settings.outputs, settings.upsampling).eval().requires_grad_(False)

    settings = ExportSettings("torchscript", "fp32", SIZE, "probabilities")
    about = export_model(checkpoint, tmp_path / "right.torchscript", settings, pictures)
    assert about.parity["probabilities off by"] < 1e-3
    monkeypatch.setattr("drivable.export.conversion._graph", flat)
    with pytest.raises(CheckpointError, match="probabilities are .* off"):
        export_model(checkpoint, tmp_path / "flat.torchscript", settings, pictures)


def test_fast_upsampling_is_judged_by_what_it_costs(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path
) -> None:
    settings = ExportSettings("torchscript", "fp32", (128, 224), upsampling="fast")
    exact = TorchSegmenter(replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, size=(128, 224))), "cpu")
    few = replace(pictures, check=[(image, exact.segment(image)) for image, _ in pictures.check[:6]])
    about = export_model(checkpoint, tmp_path / "f.torchscript", replace(settings, force=True), few)
    lost = about.parity["strict3 lost"]
    assert about.parity["strict3 in torch"] == 1
    assert lost > 0.001
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drivable.export.export.MOST_LOSS", lost / 2)
        with pytest.raises(CheckpointError, match="strict3 falls"):
            export_model(checkpoint, tmp_path / "g.torchscript", settings, few)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".torchscript", ".pt2"])
@pytest.mark.parametrize("size", [(128, 160), None])
def test_models_that_leave_the_top_out_are_the_same_everywhere(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path, suffix: str, size: tuple[int, int] | None
) -> None:
    spec = checkpoint.spec.model_copy(update={"cut_top": 0.25})
    cut = replace(checkpoint, spec=spec, preprocessing=replace(checkpoint.preprocessing, size=size or (128, 160)))
    target = next(target for target, known in SUFFIXES.items() if known == suffix)
    assert target != "checkpoint"
    export_model(cut, tmp_path / f"cut{suffix}", ExportSettings(target, "fp32", size), pictures)
    image = np.random.default_rng(0).integers(0, 256, (91, 160, 3), dtype=np.uint8)
    label_map = load(tmp_path / f"cut{suffix}").segment(image)
    assert (label_map[:22] == label_map[22]).all()
    image[:22] = 0
    assert (load(tmp_path / f"cut{suffix}").segment(image) == label_map).all()
    if size is not None:
        assert (label_map == TorchSegmenter(cut, "cpu").segment(image)).mean() > 0.998


def test_how_much_of_the_top_is_left_out_can_be_changed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    command = ["export", "drivable-lite", "--size", "64x96", "--out", str(tmp_path / "lite.safetensors")]
    for share in (0.5, 0.0):
        assert CliRunner().invoke(app, [*command, "--cut-top", str(share)]).exit_code == 0
        changed = load_checkpoint(tmp_path / "lite.safetensors")
        assert changed.spec == checkpoint.spec.model_copy(update={"cut_top": share})
        assert changed.build().num_seen(64) == 64 * (1 - share)
    assert CliRunner().invoke(app, [*command, "--cut-top", "0.6"]).exit_code == 2


@pytest.mark.slow
def test_openvino_compiles_for_sizes_that_stay(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path
) -> None:
    export_model(checkpoint, tmp_path / "lite.xml", ExportSettings("openvino", "fp32", SIZE), pictures)
    segmenter = load(tmp_path / "lite.xml")
    assert isinstance(segmenter, OpenVINOSegmenter)
    compiled = segmenter._fixed
    sizes = [(40 + side, 64) for side in range(6)]
    for height, width in sizes:
        assert segmenter.segment(np.zeros((height, width, 3), dtype=np.uint8)).shape == (height, width)
    assert [shape[1] for shape, _ in compiled] == [40]
    for height, width in sizes:
        for _ in range(2):
            segmenter.segment(np.zeros((height, width, 3), dtype=np.uint8))
    assert [shape[1] for shape, _ in compiled] == [42, 43, 44, 45]


@pytest.mark.slow
def test_openvino_gives_each_picture_of_a_batch_a_stream(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path
) -> None:
    export_model(checkpoint, tmp_path / "lite.xml", ExportSettings("openvino", "fp32", SIZE), pictures)
    segmenter = OpenVINOSegmenter(tmp_path / "lite.xml", num_threads=2)
    images = [np.roll(pictures.check[0][0], 40 * shift, axis=1) for shift in range(5)]
    alone = [segmenter.segment(image) for image in images]
    segmenter.segment_batch(images)  # Not yet: it may not come again.
    together = segmenter.segment_batch(images)
    assert [num_streams for _, num_streams in segmenter._fixed] == [1, 2]
    assert len({label_map.tobytes() for label_map in alone}) == len(images)
    for one, other in zip(together, alone, strict=True):
        assert (one == other).mean() > 0.999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["drivable-lite", "--out", "lite.zip"], "must end in .safetensors or .onnx"),
        (["drivable-lite", "--to", "checkpoint", "--out", "lite.onnx"], "for checkpoint must end in .safetensors"),
        (["lite.onnx", "--out", "lite.xml"], "an exported file; expected"),
        (["drivable-lite", "--out", "lite.xml", "--splits", "course"], "give it too"),
    ],
)
def test_a_command_that_means_nothing_is_refused(options: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["export", *options])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_a_description_of_another_graph_is_refused(exported: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    about = onnx.load(exported).metadata_props[0].value
    images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", "h", "w", 3])
    same = onnx.helper.make_tensor_value_info("same", onnx.TensorProto.UINT8, ["n", "h", "w", 3])
    identity = onnx.helper.make_node("Identity", ["images"], ["same"])
    graph = onnx.helper.make_graph([identity], "identity", [images], [same])
    for value, message in (
        (about, "another graph"),
        ('"abc"', "damaged"),
        (about.replace('"labels": {', '"l": {'), ""),
    ):
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
        onnx.helper.set_model_props(model, {"drivable": value})
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(CheckpointError, match=f"other.onnx.*{message}"):
            load(tmp_path / "other.onnx").segment(np.zeros((32, 48, 3), dtype=np.uint8))


def test_evaluate_takes_an_exported_file(exported: Path, rendered_data: Path) -> None:
    data = open_data(rendered_data)
    result = evaluate(load(exported), select_split(data, "test"), data.labels)
    assert result.reliability is None
    assert result.scores.strict3 > 0.3


def test_what_is_not_the_same_model_is_not_written(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivable.export.export.LEAST_AGREEMENT", 1.1)
    path = tmp_path / "lite.torchscript"
    settings = ExportSettings("torchscript", "fp32", SIZE)
    with pytest.raises(CheckpointError, match="not the same model"):
        export_model(checkpoint, path, settings, pictures)
    assert list(tmp_path.iterdir()) == []
    export_model(checkpoint, path, replace(settings, force=True), pictures)
    segmenter = load(path)
    assert isinstance(segmenter, ExportedSegmenter)
    assert segmenter.description.parity["passed"] is False
    assert "keep their class" in segmenter.description.parity["faults"][0]


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        (ExportSettings("onnx", "bf16", SIZE), "lite.onnx", "it has fp32, fp16, int8"),
        (ExportSettings("openvino", "fp32", SIZE), "lite.onnx", "must end in .xml"),
        (ExportSettings("onnx", "fp32", (90, 160), upsampling="fast"), "lite.onnx", "multiples of 32"),
        (ExportSettings("onnx", "fp32", SIZE, "probabilities", "fast"), "lite.onnx", "leave --outputs probabilities"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    checkpoint: Checkpoint,
    pictures: LabelledPictures,
    tmp_path: Path,
    settings: ExportSettings,
    name: str,
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=message):
        export_model(checkpoint, tmp_path / name, settings, pictures)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_tool_or_a_damaged_one_is_refused(exported: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match="exported by this tool"):
        load(tmp_path / "foreign.onnx")
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cannot read it"):
        load(tmp_path / "cut.onnx")
    with pytest.raises(CheckpointError, match="no such file"):
        load(tmp_path / "none.xml")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".torchscript", ".pt2"])
def test_a_file_says_nothing_of_where_it_was_made(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path, suffix: str
) -> None:
    target = next(target for target, known in SUFFIXES.items() if known == suffix)
    assert target != "checkpoint"
    path = tmp_path / f"lite{suffix}"
    export_model(checkpoint, path, ExportSettings(target, "fp32", SIZE, force=True), pictures)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = [archive.read(name) for name in archive.namelist()]
    else:
        parts = [file.read_bytes() for file in tmp_path.iterdir()]
    places = [Path(drivable.__file__).parents[1], Path(torch.__file__).parents[1], Path.home(), tmp_path]
    for told in (b'File "', b'File \\"', b"site-packages", *(str(place).encode() for place in places)):
        assert not any(told in part for part in parts), told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outputs", "axes", "told"),
    [
        ("ids", ["batch", "height", "width"], "ids uint8 (batch, height, width)"),
        ("probabilities", ["batch", 3, "height", "width"], "probabilities float32 (batch, class, height, width)"),
    ],
)
def test_an_onnx_file_names_its_axes_and_explains_itself(
    checkpoint: Checkpoint, pictures: LabelledPictures, tmp_path: Path, outputs: Outputs, axes: list[Any], told: str
) -> None:
    path = tmp_path / "lite.onnx"
    export_model(checkpoint, path, ExportSettings("onnx", "fp32", SIZE, outputs), pictures)
    model = pytest.importorskip("onnx").load(path)
    entries = [*model.graph.input, *model.graph.output]
    shapes = [[axis.dim_param or axis.dim_value for axis in entry.type.tensor_type.shape.dim] for entry in entries]
    assert shapes == [["batch", "height", "width", 3], axes]
    assert model.doc_string == model.graph.doc_string
    assert model.doc_string.endswith(f"{told} of that size come out: 0 direct, 1 alternative, 2 background.")
    assert (model.producer_name, model.producer_version) == ("drivable", drivable.__version__)
    assert [entry.key for entry in model.metadata_props] == ["drivable"]


def test_a_checkpoint_to_pass_on_keeps_names_and_no_places(checkpoint: Checkpoint, tmp_path: Path) -> None:
    recipe = {
        "data": {"path": "/data/bdd100k", "splits": "course"},
        "training": {"start_from": "/home/me/runs/first", "teacher": ["/home/me/b3.safetensors", "runs/b0"]},
    }
    export_checkpoint(replace(checkpoint, recipe=recipe), tmp_path / "lite.safetensors", "fp16", SIZE)
    assert load_checkpoint(tmp_path / "lite.safetensors").recipe == {
        "data": {"path": None, "splits": "course"},
        "training": {"start_from": "first", "teacher": ["b3.safetensors", "runs/b0"]},
    }


@pytest.mark.parametrize(
    ("target", "name", "error", "message"),
    [
        ("onnx", "conversion.onnx_file.to_onnx", CheckpointError, "exported to onnx in int8: RuntimeError: no such"),
        ("onnx", "conversion.quantize", CheckpointError, "exported to onnx in int8: RuntimeError: no such layer"),
        ("torchscript", "program_file.save_torchscript", OutputError, "cannot be written: RuntimeError: no such layer"),
    ],
)  # fmt: skip
def test_what_a_library_throws_is_one_line(
    checkpoint: Checkpoint,
    pictures: LabelledPictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Target,
    name: str,
    error: type[Exception],
    message: str,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Check failed at graph.cpp:1:\nno such layer\nmore")

    for step in ("onnx_file.to_onnx", "onnx_file.quantizable"):  # Not what fails here.
        monkeypatch.setattr(f"drivable.export.conversion.{step}", lambda _: None)
    monkeypatch.setattr(f"drivable.export.{name}", fail)
    settings = ExportSettings(target, "int8" if target == "onnx" else "fp32", SIZE)
    with pytest.raises(error) as caught:
        export_model(checkpoint, tmp_path / f"m{SUFFIXES[target]}", settings, pictures)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ms", "warns"), [(3.0, True), (1.0, False)])
def test_int8_that_is_slower_here_is_written_with_a_warning(
    checkpoint: Checkpoint,
    pictures: LabelledPictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ms: float,
    warns: bool,
) -> None:
    # A program in the place of an int8 file: what is tested is what follows from the times.
    traced = program_file.to_torchscript(_graph(checkpoint, ExportSettings("torchscript", "fp32", SIZE)))
    save = partial(program_file.save_torchscript, traced)
    monkeypatch.setattr("drivable.export.export.convert", lambda *_: ([lambda: (save, [])], save))
    monkeypatch.setattr("drivable.export.export.agreement", lambda *_: {"96x160": 1.0})
    monkeypatch.setattr("drivable.export.export.medians_ms", lambda *_: [ms, 2.0])
    path = tmp_path / "lite.torchscript"
    about = export_model(checkpoint, path, ExportSettings("torchscript", "fp32", SIZE), pictures)
    assert path.is_file()
    assert (about.parity["ms"], about.parity["ms in fp32"], about.parity["passed"]) == (ms, 2.0, True)
    assert ["3.0 ms against 2.0 ms" in record.getMessage() for record in caplog.records] == [True] * warns


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "precision"),
    [("openvino", "int8"), ("onnx", "int8"), ("torch-export", "fp32")],
)
def test_every_runtime(target: str, precision: str, tmp_path: Path) -> None:
    out, told = tmp_path / f"lite{SUFFIXES[target]}", tmp_path / "told.json"  # type: ignore[index]
    command = ["export", "drivable-lite", "--to", target, "--precision", precision, "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--json", str(told)])
    assert result.exit_code == 0, result.output
    assert json.loads(told.read_text())["parity"]["passed"] is True
    assert load(out).segment(np.zeros((50, 70, 3), dtype=np.uint8)).shape == (50, 70)
