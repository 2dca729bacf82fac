"""Archives of torch's own runtimes that would run code: refused before torch sees them."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from drivable.errors import CheckpointError
from drivable.export import program_file
from drivable.labels import BDD100K_DRIVABLE
from drivable.segmenter import ProgramSegmenter
from drivable.segmenter.description import ExportDescription

ABOUT = ExportDescription(BDD100K_DRIVABLE, {"name": "lite"}, "none", "fp32", (64, 96), "ids", "exact")
WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
PROGRAM = "models/model.json"


class Small(torch.nn.Module):
    """A graph that is exported in a moment: the ids of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3), requires_grad=False)
        self.register_buffer("scale", torch.ones(3), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = images.float() * self.weight + self.scale
        return (values.sum(dim=3) * 0.5).to(torch.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    graph: Any = Small().eval()
    program_file.save_program(program_file.to_program(graph), folder / "small.pt2", ABOUT)
    program_file.save_torchscript(program_file.to_torchscript(graph), folder / "small.torchscript", ABOUT)
    return {path.suffix: path for path in folder.iterdir()}


def rewritten(path: Path, target: Path, changes: dict[str, Any]) -> Path:
    """A copy with members changed by functions of their bytes, added, or (None) left out."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        root = source.namelist()[0].partition("/")[0]
        members = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
        for name in {**members, **changes}:
            change = changes.get(name, lambda content: content)
            content = change(members.get(name, b"")) if callable(change) else change
            if content is not None:
                copy.writestr(f"{root}/{name}", content)
    return target


def with_json(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        values = json.loads(content)
        change(values)
        return json.dumps(values).encode()

    return changed


class Exploit:
    """What a pickle can do: anything; here, to write a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


def poisoned(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(({"a": Exploit(marker)},), buffer)
    return buffer.getvalue()


def use_pickle(values: Any) -> None:
    for payload in values["config"].values():
        payload["use_pickle"] = True


def renamed(name: str) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        next(iter(values["config"].values())).update(path_name=name, use_pickle=False)

    return change


def call(target: str) -> Callable[[Any], None]:
    return lambda values: values["graph_module"]["graph"]["nodes"][0].update(target=target)


def _signature(values: Any) -> Any:
    return values["graph_module"]["module_call_graph"][0]["signature"]


EXPRESSION = '().__class__.__base__.__subclasses__() or __import__("pathlib").Path({marker!r}).touch()'


def test_what_we_export_is_read(exported: dict[str, Path]) -> None:
    for path in exported.values():
        images = torch.zeros(1, 4, 5, 3, dtype=torch.uint8).numpy()
        assert (ProgramSegmenter(path).segment(images[0]) == 1).all()


@pytest.mark.parametrize(
    "attack",
    [
        "pickled weights", "pickled constants", "sample inputs", "legacy weights", "legacy constants", "custom object",
        "opaque object", "compiled library", "guards", "sizes", "function", "other function", "types",
        "two of one name", "another header", "outside", "no folder", "not ours", "compressed",
    ],
)  # fmt: skip
def test_no_program_runs_code(exported: dict[str, Path], tmp_path: Path, attack: str) -> None:
    marker, target = tmp_path / "executed", tmp_path / "small.pt2"
    bad, source = poisoned(marker), exported[".pt2"]
    expression = EXPRESSION.format(marker=str(marker))
    spec = json.dumps([1, {"type": "collections.defaultdict", "context": json.dumps({"default_factory_module": "this",
        "default_factory_name": "s", "dict_context": []}), "children_spec": []}])  # fmt: skip
    size = {"as_expr": {"expr_str": expression, "hint": {"as_int": 2}}}
    changes: dict[str, dict[str, Any]] = {
        "pickled weights": {WEIGHTS: with_json(use_pickle), "data/weights/weight_0": bad},
        "pickled constants": {CONSTANTS: with_json(use_pickle), "data/constants/tensor_0": bad},
        "sample inputs": {"data/sample_inputs/model.pt": bad},
        "legacy weights": {"data/weights/model.pt": bad},
        "legacy constants": {"data/constants/model.pt": bad},
        "custom object": {CONSTANTS: with_json(renamed("custom_obj_0")), "data/constants/custom_obj_0": bad},
        "opaque object": {
            CONSTANTS: with_json(renamed("opaque_obj_0")),
            "data/constants/opaque_obj_0": pickle.dumps(Exploit(marker)),
        },
        "compiled library": {"data/aotinductor/model/model.so": b"\x7fELF"},
        "guards": {PROGRAM: with_json(lambda values: values.update(guards_code=[expression]))},
        "sizes": {PROGRAM: with_json(lambda v: v["graph_module"]["graph"]["sym_int_values"].update(x=size))},
        "function": {PROGRAM: with_json(call("torch.os.system"))},
        "other function": {PROGRAM: with_json(call("torch.ops.aten.from_file.default"))},
        "types": {PROGRAM: with_json(lambda v: _signature(v).update(in_spec=spec))},
        "outside": {"../../elsewhere": b""},
        "not ours": {"data/weights/weight_0.py": b"import os"},
    }
    rewritten(source, target, changes.get(attack, {}))
    if attack in ("two of one name", "no folder"):
        with zipfile.ZipFile(target, "a") as archive, pytest.warns() if attack == "two of one name" else nullcontext():
            archive.writestr(archive.namelist()[0] if attack == "two of one name" else "/data/weights/weight_0", bad)
    elif attack == "another header":
        target.write_bytes(target.read_bytes().replace(b"data/weights/weight_0", b"data/weights/weight_9", 1))
    elif attack == "compressed":
        with zipfile.ZipFile(source) as plain, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in plain.namelist():
                archive.writestr(name, plain.read(name))
    if attack in ("sample inputs", "guards"):
        ProgramSegmenter(target)  # What torch is given has none.
    else:
        with pytest.raises(CheckpointError, match=r"^[^\n]+$"):
            ProgramSegmenter(target)
    assert not marker.exists()


def test_torch_itself_runs_such_a_program(exported: dict[str, Path], tmp_path: Path) -> None:
    """The attacks are real: what is refused above is executed by torch."""
    marker = tmp_path / "executed"
    changes = {WEIGHTS: with_json(use_pickle), "data/weights/weight_0": poisoned(marker)}
    target = rewritten(exported[".pt2"], tmp_path / "small.pt2", changes)
    with suppress(Exception):  # Whatever it does with what it unpickled.
        torch.export.load(target)
    assert marker.exists()


def script(body: str, name: str = "forward") -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        lines = content.decode().rstrip("\n")
        return (
            f"{lines}\n  def {name}(self: __torch__.Other, x: Tensor) -> Tensor:\n    {body}\n    return x\n".encode()
        )

    return changed


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("torch.save(x, '{marker}')", "forward1"),
        ("torch.from_file('{marker}', True, 8)", "forward1"),
        ("ops.aten.save(x, '{marker}')", "forward1"),
        ("print('{marker}')", "forward1"),
        ("x = x", "__setstate__"),
        ("while True: x = x", "forward1"),
        ("__torch__.other.function(x)", "forward1"),
    ],
)
def test_no_script_calls_what_a_model_does_not(exported: dict[str, Path], tmp_path: Path, body: str, name: str) -> None:
    source, target, marker = exported[".torchscript"], tmp_path / "small.torchscript", tmp_path / "executed"
    with zipfile.ZipFile(source) as archive:
        code = next(n.partition("/")[2] for n in archive.namelist() if n.endswith("test_torch_archives.py"))
    rewritten(source, target, {code: script(body.format(marker=marker), name)})
    with pytest.raises(CheckpointError, match=r"(calls|defines|branches).*no export of this tool does"):
        ProgramSegmenter(target)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pt2", ".torchscript"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, suffix: str, value: float) -> None:
    for place in ("weight", "scale"):
        graph: Any = Small().eval()
        getattr(graph, place).fill_(value)
        path = tmp_path / f"small{suffix}"
        if suffix == ".pt2":
            program_file.save_program(program_file.to_program(graph), path, ABOUT)
        else:
            program_file.save_torchscript(program_file.to_torchscript(graph), path, ABOUT)
        with pytest.raises(CheckpointError, match="holds NaN or infinity"):
            ProgramSegmenter(path)


def with_argument(argument: Any) -> Callable[[bytes], bytes]:
    """The graph with another value for the 0.5 that ``Small`` multiplies by."""

    def change(values: Any) -> None:
        found = [
            given
            for node in values["graph_module"]["graph"]["nodes"]
            for given in node["inputs"]
            if given["arg"].get("as_float") == 0.5
        ]
        assert found
        for given in found:
            given["arg"] = argument

    return with_json(change)


@pytest.mark.parametrize(
    "argument",
    [{"as_float": value} for value in ("NaN", "nan", "inf", "-Infinity", "1e999", "0.5", True, None, [], 1e39, 10**400)]
    + [{"as_int": value} for value in ("2", True, 2.0, None, 2**63, 10**400)]
    + [{"as_sym_float": {"as_float": "NaN"}}, {"as_sym_float": "NaN"}, {"as_sym_int": {"as_int": "2"}}]
    + [{"as_floats": ["NaN"]}, {"as_floats": [0.5, float("1e300")]}, {"as_ints": [True]}, {"as_sym_ints": ["2"]}],
)
def test_a_number_of_a_program_is_a_number(exported: dict[str, Path], tmp_path: Path, argument: Any) -> None:
    target = rewritten(exported[".pt2"], tmp_path / "small.pt2", {PROGRAM: with_argument(argument)})
    with pytest.raises(CheckpointError, match=r"as_\w+ is [^\n]*no number that a model computes with[^\n]*$"):
        ProgramSegmenter(target)


def test_other_numbers_of_a_program_are_read(exported: dict[str, Path], tmp_path: Path) -> None:
    for argument in ({"as_float": 0.25}, {"as_float": 0}, {"as_int": 0}):
        target = rewritten(exported[".pt2"], tmp_path / "small.pt2", {PROGRAM: with_argument(argument)})
        images = torch.zeros(1, 4, 5, 3, dtype=torch.uint8).numpy()
        assert (ProgramSegmenter(target).segment(images[0]) == 0).all()


def inserted(*nodes: tuple[str, list[Any], dict[str, Any]]) -> Callable[[bytes], bytes]:
    """The graph with other nodes before its own."""

    def change(values: Any) -> None:
        values["graph_module"]["graph"]["nodes"][:0] = [
            {
                "target": target,
                "inputs": [{"name": "x", "arg": argument, "kind": 1} for argument in arguments],
                "outputs": [output],
                "metadata": {},
            }
            for target, arguments, output in nodes
        ]

    return with_json(change)


TENSOR, SIZE = {"as_tensor": {"name": "big"}}, {"as_sym_int": {"as_name": "many"}}
MANY: tuple[Any, ...] = ("_operator.mul", [{"as_sym_int": {"as_int": 60000}}, {"as_int": 60000}], SIZE)


@pytest.mark.parametrize(
    "nodes",
    [
        [("torch.ops.aten.zeros.default", [{"as_ints": [60000, 60000]}], TENSOR)],
        [("torch.ops.aten.ones.default", [{"as_ints": [10**9]}], TENSOR)],
        [("torch.ops.aten.full.default", [{"as_sym_ints": [{"as_int": 10**9}, SIZE["as_sym_int"]]}], TENSOR)],
        [MANY, ("torch.ops.aten.zeros.default", [{"as_sym_ints": [SIZE["as_sym_int"]]}], TENSOR)],
        [("torch.ops.aten.expand.default", [TENSOR, {"as_ints": [-1, 10**5, 10**5]}], TENSOR)],
        [("torch.ops.aten.pad.default", [TENSOR, {"as_ints": [0, 10**9]}], TENSOR)],
        [("torch.ops.aten.upsample_bilinear2d.vec", [TENSOR, {"as_floats": [1e5, 1e5]}], TENSOR)],
        [("torch.ops.aten.arange.default", [{"as_int": 10**10}], TENSOR)],
        [MANY, ("torch.ops.aten.arange.default", [SIZE], TENSOR)],
    ],
)
def test_no_program_makes_a_tensor_larger_than_any_image(
    exported: dict[str, Path], tmp_path: Path, nodes: list[Any]
) -> None:
    target = rewritten(exported[".pt2"], tmp_path / "small.pt2", {PROGRAM: inserted(*nodes)})
    with pytest.raises(CheckpointError, match=r"^[^\n]*DRIVABLE_MAX_PIXELS raises it$"):
        ProgramSegmenter(target)


@pytest.mark.parametrize(
    "body",
    [
        "x = torch.zeros([60000, 60000])",
        "x = torch.expand(x, [-1, 100000, int(100000)])",
        "x = torch.arange(annotate(number, 10000000000))",
        "_0 = 60000; _1 = torch.mul(_0, ops.prim.NumToTensor(60000)); x = torch.ones([int(_1)])",
    ],
)
def test_no_script_makes_a_tensor_larger_than_any_image(exported: dict[str, Path], tmp_path: Path, body: str) -> None:
    source, target = exported[".torchscript"], tmp_path / "small.torchscript"
    with zipfile.ZipFile(source) as archive:
        code = next(n.partition("/")[2] for n in archive.namelist() if n.endswith("test_torch_archives.py"))
    rewritten(source, target, {code: script(body, "forward1")})
    with pytest.raises(CheckpointError, match=r"^[^\n]*DRIVABLE_MAX_PIXELS raises it$"):
        ProgramSegmenter(target)


@pytest.mark.parametrize("suffix", [".pt2", ".torchscript"])
def test_counting_in_fractions_is_refused(exported: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"small{suffix}"
    if suffix == ".pt2":
        node = ("torch.ops.aten.arange.start_step", [{"as_int": 0}, {"as_int": 1}, {"as_float": 1e-12}], TENSOR)
        rewritten(exported[suffix], target, {PROGRAM: inserted(node)})
    else:
        with zipfile.ZipFile(exported[suffix]) as archive:
            code = next(n.partition("/")[2] for n in archive.namelist() if n.endswith("test_torch_archives.py"))
        rewritten(exported[suffix], target, {code: script("x = torch.arange(0, 1, 1e-12)", "forward1")})
    with pytest.raises(CheckpointError, match="counts in fractions"):
        ProgramSegmenter(target)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("Pow(Integer(10), Integer(100000000))", "computes a size by Pow"),
        ("Add(" + "Integer(1), " * 400 + "Integer(1))", "a formula of 4[0-9]{3} characters"),
    ],
)
def test_sizes_of_a_program_are_soon_computed(
    exported: dict[str, Path], tmp_path: Path, formula: str, message: str
) -> None:
    size = {"as_expr": {"expr_str": formula, "hint": {"as_int": 2}}}
    change = with_json(lambda v: v["graph_module"]["graph"]["sym_int_values"].update(x=size))
    target = rewritten(exported[".pt2"], tmp_path / "small.pt2", {PROGRAM: change})
    with pytest.raises(CheckpointError, match=message):
        ProgramSegmenter(target)


@pytest.mark.parametrize(("num", "length", "message"), [(3, 2**21, "its code has"), (10_001, 1, "members, more than")])
def test_the_code_of_a_script_is_bounded_as_a_whole(tmp_path: Path, num: int, length: int, message: str) -> None:
    path = tmp_path / "bomb.torchscript"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(num):
            archive.writestr(f"a/code/__torch__/m{k}.py", b"#" * length)
    with pytest.raises(CheckpointError, match=message):
        ProgramSegmenter(path)


def test_a_program_whose_weights_are_cut_off_is_told_in_one_line(
    exported: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for member in ("data/weights/weight_0", "data/constants/tensor_0"):
        target = rewritten(exported[".pt2"], tmp_path / "small.pt2", {member: lambda content: content[:-4]})
        with pytest.raises(CheckpointError, match=r"^[^\n]* has room for 2 values and states 3[^\n]*$"):
            ProgramSegmenter(target)
    assert capfd.readouterr() == ("", "")


def test_what_torch_logs_of_a_damaged_program_is_our_error(
    exported: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A name that no step gives."""
    changed = with_argument({"as_sym_float": {"as_name": "nowhere"}})
    target = rewritten(exported[".pt2"], tmp_path / "small.pt2", {PROGRAM: changed})
    with pytest.raises(CheckpointError, match=r"^[^\n]*nowhere[^\n]*$"):
        ProgramSegmenter(target)
    assert capfd.readouterr() == ("", "")


def test_weights_of_a_script_that_repeat_themselves_are_refused(tmp_path: Path) -> None:
    graph: Any = Small().eval()
    graph.scale = torch.ones(1).expand(3)
    path = tmp_path / "small.torchscript"
    program_file.save_torchscript(program_file.to_torchscript(graph), path, ABOUT)
    with pytest.raises(CheckpointError, match="scale has more values than it has bytes"):
        ProgramSegmenter(path)
