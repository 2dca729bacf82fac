import json
import os
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from drivable.checkpoint import Checkpoint, Preprocessing, find_checkpoint, load_checkpoint, save_checkpoint
from drivable.config import load_recipe
from drivable.config.models import IMAGENET, LiteSpec, ModelSpec, SegFormerSpec, UNetSpec
from drivable.errors import CheckpointError, ConfigError, OutputError
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.models import build_model
from drivable.models.finite import require_finite
from drivable.segmenter import load


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    recipe = load_recipe("lite")
    return Checkpoint(
        weights=build_model(recipe.model, 3).state_dict(),
        spec=recipe.model,
        labels=BDD100K_DRIVABLE,
        preprocessing=Preprocessing((64, 96), IMAGENET),
        recipe=recipe.to_dict(),
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
    assert again.splits is None
    assert all(torch.equal(value, again.weights[key]) for key, value in checkpoint.weights.items())


def rewritten(path: Path, **changes: object) -> None:
    """Change the description inside a checkpoint file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as opened:
        description = json.loads(opened.metadata()["drivable"])
    save_file(load_file(path), path, metadata={"drivable": json.dumps(description | changes)})


@pytest.mark.parametrize("version", [99, True, 1.0, "1", None])
def test_another_version_is_refused(checkpoint: Checkpoint, tmp_path: Path, version: object) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    rewritten(path, format_version=version)
    with pytest.raises(CheckpointError, match=f"format version {version}, this release reads 1"):
        load_checkpoint(path)


LABELS = BDD100K_DRIVABLE.to_dict()
NORMALIZATION = IMAGENET.model_dump()
CALIBRATION = {"temperature": 1.0, "threshold": 0.5, "accuracy": 0.9, "fitted_on": "val", "background_offset": 0.0}
DEEP: dict[str, object] = {}
for _ in range(200):
    DEEP = {"a": DEEP}
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "nothing"}},
        {"model": {"name": "lite", "decoder_channels": 10**9}},
        {"model": {"name": "lite", "cut_top": NAN}},
        {"model": {"name": "unet", "widths": [-64, 128, 256, 512, 1024]}},
        {"preprocessing": {}},
        *({"preprocessing": {"size": size, "normalization": NORMALIZATION}}
          for size in ([20000, 20000], [2896, 2897], [32, 16385],
                       [-64, 96], [0, 96], [INF, 96], [NAN, 96], [64.5, 96], ["64", 96], [1e9, 1], 64)),
        *({"preprocessing": {"size": [64, 96], "normalization": NORMALIZATION | change}}
          for change in ({"mean": [0, NAN, 0]}, {"std": [1, INF, 1]}, {"std": [1, 0, 1]}, {"std": [1, -1, 1]},
                         {"std": [1, 1e-300, 1]}, {"mean": [1e308, 0, 0]})),
        *({"calibration": CALIBRATION | change}
          for change in ({"temperature": 0}, {"temperature": -1}, {"temperature": NAN}, {"temperature": 1e308},
                         {"temperature": "1"}, {"background_offset": NAN}, {"background_offset": -INF},
                         {"background_offset": -1000}, {"background_offset": -1.01}, {"background_offset": 2},
                         {"threshold": NAN}, {"threshold": 2}, {"accuracy": INF}, {"fitted_on": 1}, {"more": 1})),
        {"labels": {"names": ["a"]}},
        {"labels": LABELS | {"ignore_id": INF}},
        {"labels": LABELS | {"colors": [[INF, 0, 0], [0, 0, 0], [0, 0, 0]]}},
        {"recipe": ["a"]},
        {"scores": None},
        {"scores": DEEP},
        {"labels": "x" * 100_000},
    ],
)  # fmt: skip
def test_a_damaged_description_is_refused(checkpoint: Checkpoint, tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    rewritten(path, **changes)
    said = "description is damaged|expected pixels, height x width|raises it$"
    with pytest.raises(CheckpointError, match=rf"^{path}: .*({said})") as caught:
        load_checkpoint(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *((value, dtype) for value in (NAN, INF, -INF) for dtype in (torch.float32, torch.float16, torch.bfloat16)),
        (NAN, torch.float8_e4m3fn),  # It has no infinity.
    ],
)
def test_weights_that_are_no_numbers_are_refused(
    checkpoint: Checkpoint, tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    name = "decoder.classify.bias"
    weights = {**checkpoint.weights, name: torch.full_like(checkpoint.weights[name], value).to(dtype)}
    save_checkpoint(tmp_path / "m.safetensors", replace(checkpoint, weights=weights))
    with pytest.raises(CheckpointError, match=f"{name} holds NaN or infinity"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_any_single_tensor_that_holds_nan_is_refused(checkpoint: Checkpoint) -> None:
    names = [name for name, tensor in checkpoint.weights.items() if tensor.is_floating_point()]
    for name in names:
        spoilt = checkpoint.weights[name].clone()
        spoilt.view(-1)[-1] = NAN
        # What loading does, without writing a file for each.
        with pytest.raises(CheckpointError, match=re.escape(f"{name} holds NaN")):
            require_finite({**checkpoint.weights, name: spoilt}, checkpoint.labels, "here")
    with pytest.raises(CheckpointError, match="holds NaN"):
        replace(checkpoint, weights={**checkpoint.weights, name: spoilt}).build()


def test_without_a_background_the_message_says_so(checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = {**checkpoint.weights, "decoder.classify.bias": torch.full((3,), NAN)}
    labels = replace(checkpoint.labels, background=None)
    save_checkpoint(tmp_path / "m.safetensors", replace(checkpoint, weights=weights, labels=labels))
    with pytest.raises(CheckpointError, match="its classes have no background to fall back on"):
        load_checkpoint(tmp_path / "m.safetensors")


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32, torch.bool])
def test_weights_that_are_not_floating_point_are_refused(checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    weights = {**checkpoint.weights, "decoder.classify.bias": torch.ones(3).to(dtype)}
    with pytest.raises(CheckpointError, match=r"decoder.classify.bias is \w+, expected floating point"):
        replace(checkpoint, weights=weights).build()
    halves = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in checkpoint.weights.items()}
    replace(checkpoint, weights=halves).build()


@pytest.mark.parametrize("value", [-1.0, -1e-6])
def test_variances_below_zero_are_refused(checkpoint: Checkpoint, tmp_path: Path, value: float) -> None:
    name = "backbone.stem.bn.running_var"
    weights = {**checkpoint.weights, name: torch.full_like(checkpoint.weights[name], value)}
    save_checkpoint(tmp_path / "m.safetensors", replace(checkpoint, weights=weights))
    with pytest.raises(CheckpointError, match=f"{name} holds -1.*expected variances"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_a_complex_variance_is_refused_in_one_line(checkpoint: Checkpoint, tmp_path: Path) -> None:
    name = "backbone.stem.bn.running_var"
    weights = {**checkpoint.weights, name: checkpoint.weights[name].to(torch.complex64)}
    save_checkpoint(tmp_path / "m.safetensors", replace(checkpoint, weights=weights))
    with pytest.raises(CheckpointError, match=f"{name} is complex64"):
        load_checkpoint(tmp_path / "m.safetensors").build()


def test_any_recipe_may_stand_in_a_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for recipe in ({"a key of tomorrow": [1]}, {}, {"data": None}, {"data": {"splits": "../../elsewhere"}}, None):
        save_checkpoint(tmp_path / "m.safetensors", replace(checkpoint, recipe=recipe))
        again = load_checkpoint(tmp_path / "m.safetensors")
        assert (again.recipe, again.splits) == (recipe, None)
    assert replace(checkpoint, recipe={"data": {"splits": "course"}}).splits == "course"


@pytest.mark.parametrize(
    "spec",
    [
        UNetSpec(widths=(65536, 65536, 65536, 65536, 65536)),
        LiteSpec(decoder_channels=65536),
        LiteSpec(hidden_channels=(65536,) * 64),
        SegFormerSpec(name="segformer_b5", decoder_channels=65536),
    ],
)
def test_widths_that_the_weights_do_not_have_take_no_memory(checkpoint: Checkpoint, spec: ModelSpec) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=f"weights do not fit {spec.name}"):
        replace(checkpoint, spec=spec).build()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # Kilobytes.


def test_a_number_of_classes_that_the_weights_do_not_have(checkpoint: Checkpoint) -> None:
    labels = LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1)))
    with pytest.raises(CheckpointError, match=r"classify.*expected \(2"):
        replace(checkpoint, labels=labels).build()


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": {"dtype": "F32", "shape": [1000000000, 1000000000], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4000000000000]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("stated", [None, 2**63, 10**8])
def test_headers_that_promise_what_is_not_there(tmp_path: Path, header: bytes, stated: int | None) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes((stated or len(header)).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match="corrupt or not a safetensors file"):
        load_checkpoint(path)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_an_exported_file_is_no_checkpoint() -> None:
    for name in ("lite.onnx", "lite.xml", "lite.pt2", "lite.torchscript"):
        with pytest.raises(ConfigError, match="an exported file; expected the model that it was exported from"):
            find_checkpoint(name)


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


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w"])
@pytest.mark.parametrize("is_old", [False, True], ids=["zip", "pickle"])
@pytest.mark.parametrize("is_wrapped", [False, True], ids=["plain", "wrapped"])
def test_somebodys_weights_are_told_as_what_they_are(name: str, is_old: bool, is_wrapped: bool, tmp_path: Path) -> None:
    weights = build_model(UNetSpec(widths=(8, 8, 8, 8, 8)), 3).state_dict()
    values = {"state_dict": weights, "epoch": 3} if is_wrapped else weights
    torch.save(values, tmp_path / name, _use_new_zipfile_serialization=not is_old)
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(find_checkpoint(tmp_path / name))
    assert "holds weights but no model description" in str(told.value)
    assert f"--set model.pretrained={tmp_path / name}" in str(told.value)


def test_damaged_weights_are_not_told_as_healthy(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="not a readable file of weights"):
        load_checkpoint(tmp_path / "w.pth")


def test_a_header_whose_length_looks_like_a_pickle_is_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    padding = -(length - 0x80) % 0x100
    path.write_bytes(
        (length + padding).to_bytes(8, "little") + data[8 : 8 + length] + b" " * padding + data[8 + length :]
    )
    assert path.read_bytes()[:1] == b"\x80"
    assert load_checkpoint(path).spec == checkpoint.spec


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("drivabl-lite", "did you mean 'drivable-lite'? known: drivable-base"),
        ("lite.onx", "did you mean 'lite.onnx'? known: "),
        ("lit.onnx", "did you mean 'lite.onnx'? known: "),
        ("runs/lit", "did you mean 'runs/lite'? known: "),
        ("other.safetensor", "no model's file ends in .safetensor, did you mean .safetensors? known: "),
        ("nothing", "; known: drivable-base, drivable-lite"),
    ],
)
def test_the_nearest_model_is_named(model: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/lite").mkdir(parents=True)
    Path("runs/list").mkdir()
    Path("runs/lite/last.safetensors").touch()
    Path("lite.onnx").touch()
    Path("lite.onx.txt").touch()
    with pytest.raises(CheckpointError) as told:
        load(model)
    assert hint in str(told.value)
    assert ("no such file" if model == "lit.onnx" else "no such run folder or checkpoint file") in str(told.value)


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
