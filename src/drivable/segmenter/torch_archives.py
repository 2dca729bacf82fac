"""The archives of torch's own runtimes, checked before torch sees them.

Torch executes what such a file says: a ``.pt2`` may hold pickles, guards and sizes that Python evaluates, names of any
function and compiled libraries; code of a ``.torchscript`` cannot run Python, but some of its operators write files.
Only what this tool's own exports hold is let through, into a copy in memory, so that torch reads nothing unchecked.
"""

from __future__ import annotations

import ast
import io
import json
import math
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivable.errors import one_line
from drivable.reading import check_limit, parse_json, require_regular
from drivable.segmenter.description import KEY

_DESCRIPTION = f"extra/{KEY}"
_MOST_CODE = 2**22  # Bytes of all source files; our exports have 200,000.
_MOST_MEMBERS = 10_000
_MOST_EXPRESSION = 4096  # Characters of the formula of one size; our exports have 600.
_MOST_FLOAT = 3.4028234663852886e38  # Of float32.
_PROGRAM, _WEIGHTS, _CONSTANTS = (
    "models/model.json",
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
# By their numbers in a program: uint8, int8, int16, int32, int64, float16, float32, float64, bool, bfloat16.
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}
_OF_PROGRAM = re.compile(
    rf"{_PROGRAM}|{_WEIGHTS}|{_CONSTANTS}|data/weights/weight_\d+|data/constants/tensor_\d+|data/sample_inputs/model\.pt"
    rf"|{_DESCRIPTION}|archive_format|archive_version|\.data/(version|serialization_id)|byteorder|\.storage_alignment"
    r"|\.format_version"
)
_OF_SCRIPT = re.compile(
    rf"(data|constants|traced_inputs)(\.pkl|/\d+)|code/__torch__/[\w/]+\.py(\.debug_pkl)?|{_DESCRIPTION}"
    r"|version|\.data/(version|serialization_id)|byteorder|\.storage_alignment|\.format_version"
)

# What a program of a model of this package computes with.
_OPERATORS = {
    "__and__", "_assert_tensor_metadata", "_convolution", "_to_copy", "_upsample_bilinear2d_aa", "abs",
    "adaptive_avg_pool2d", "add", "add_", "arange", "batch_norm", "cat", "ceil", "clamp", "clone", "contiguous",
    "conv2d", "conv_transpose2d", "mean", "sigmoid",
    "detach", "detach_", "div", "div_", "dropout", "dropout_", "eq", "expand", "feature_dropout",
    "flatten", "floor_divide", "full", "full_like", "ge", "gelu", "gt", "hardtanh", "hardtanh_", "index_select",
    "layer_norm", "le", "lift_fresh_copy", "linear", "lt", "matmul", "max_pool2d", "maximum", "minimum", "mul",
    "mul_", "narrow", "neg", "ones", "pad", "permute", "pow", "relu", "relu_", "relu6", "relu6_", "remainder",
    "reshape", "round", "rsub", "scaled_dot_product_attention", "select", "size", "slice", "softmax", "split",
    "squeeze", "stack", "sub", "sub_", "sum", "sym_size", "t", "to", "transpose", "unflatten", "unsqueeze",
    "upsample_bilinear2d", "upsample_nearest2d", "view", "where", "zeros", "zeros_like",
}  # fmt: skip
_ARITHMETIC = {
    f"_operator.{name}"
    for name in (
        "add",
        "sub",
        "mul",
        "floordiv",
        "mod",
        "neg",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and_",
        "or_",
    )
}
_SYMBOLIC = {f"torch.{name}" for name in ("sym_max", "sym_min", "sym_int", "sym_not", "sym_float", "sym_sum")}
_ARGUMENTS = {
    "as_none", "as_tensor", "as_tensors", "as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools",
    "as_string", "as_sym_int", "as_sym_ints", "as_sym_bool", "as_sym_float", "as_scalar_type", "as_layout",
    "as_device", "as_memory_format", "as_optional_tensors", "as_name", "as_expr",
}  # fmt: skip
_SIZES = {
    "Symbol", "Integer", "Add", "Mul", "Max", "Min", "FloorDiv", "Mod", "PythonMod", "CleanDiv", "Rational", "Eq",
    "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan",
    "GreaterThan", "And", "Or", "Not",
}  # fmt: skip


def checked_program(path: Path) -> tuple[io.BytesIO, str | None]:
    """The copy of a ``.pt2`` that holds its checked parts and nothing else, and its description.

    Raises:
        ValueError: where it holds what no export of this tool does. A damaged file may raise anything; the caller is
            the boundary.
    """
    members = _members(path, _OF_PROGRAM)
    parts = {
        name: members[name] for name in members if re.fullmatch(r"data/(weights/weight|constants/tensor)_\d+", name)
    }
    for config, folder in ((_WEIGHTS, "data/weights"), (_CONSTANTS, "data/constants")):
        parts[config] = _checked_tensors(parse_json(members[config]), folder, members)
    parts[_PROGRAM] = _checked_graph(parse_json(members[_PROGRAM]))
    for name in ("archive_format", "archive_version", "byteorder", ".data/version"):
        parts[name] = members[name]
    parts["data/sample_inputs/model.pt"] = b""  # A pickle, and only an example.
    return _archive(parts), _text(members.get(_DESCRIPTION))


def checked_script(path: Path) -> tuple[io.BytesIO, str | None]:
    """The copy of a ``.torchscript`` that holds its checked parts and nothing else, and its description.

    Raises:
        ValueError: see :func:`checked_program`.
    """
    members = _members(path, _OF_SCRIPT)
    parts = {name: content for name, content in members.items() if not name.startswith(("traced_inputs", "extra"))}
    parts = {name: content for name, content in parts.items() if not name.endswith(".debug_pkl")}
    for name, content in parts.items():
        if name.endswith(".pkl"):
            _check_pickle(name, content)
        elif name.endswith(".py"):
            _check_code(ast.parse(content.decode()), name)
    return _archive(parts), _text(members.get(_DESCRIPTION))


def _members(path: Path, known: re.Pattern[str]) -> dict[str, bytes]:
    """Members by their name below the archive's one folder."""
    require_regular(path)
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > _MOST_MEMBERS:
            raise ValueError(f"holds {len(archive.infolist())} members, more than {_MOST_MEMBERS}")
        # Torch compresses code, and nothing else.
        code = [member for member in archive.infolist() if member.filename.endswith((".py", ".debug_pkl"))]
        if (size := sum(member.file_size for member in code)) > _MOST_CODE:
            raise ValueError(f"its code has {size} bytes, more than {_MOST_CODE}")
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED and not member.filename.endswith((".py", ".debug_pkl")):
                raise ValueError(f"'{one_line(member.filename, 80)}' is compressed, as no export of this tool is")
        names = [member.filename for member in archive.infolist()]
        if len(set(names)) < len(names):
            raise ValueError("two members of one name")
        folders = {name.partition("/")[0] for name in names}
        if len(folders) != 1:
            raise ValueError("members outside of its one folder")
        members = {}
        for name in names:
            own = name.partition("/")[2]
            if known.fullmatch(own) is None:
                raise ValueError(f"holds '{one_line(own, 80)}', which no export of this tool does")
            members[own] = archive.read(name)  # Refuses a header of its own that has another name.
    return members


def _archive(parts: Mapping[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(f"archive/{name}", content)
    buffer.seek(0)
    return buffer


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode()


def _checked_tensors(values: dict[str, Any], folder: str, members: Mapping[str, bytes]) -> bytes:
    for name, payload in values["config"].items():
        place, meta = f"{folder}/{payload['path_name']}", payload["tensor_meta"]
        if payload["use_pickle"] is not False:
            raise ValueError(f"{one_line(name, 80)} is a pickle, which could run anything")
        if not re.fullmatch(r"data/(weights/weight|constants/tensor)_\d+", place):
            raise ValueError(f"{one_line(name, 80)} is no tensor")
        sizes, strides = ([int(side["as_int"]) for side in meta[key]] for key in ("sizes", "strides"))
        last = int(meta["storage_offset"]["as_int"]) + sum(
            (size - 1) * stride for size, stride in zip(sizes, strides, strict=True)
        )
        num = max(math.prod(sizes), last + 1) if all(sizes) else 0
        most = len(members[place]) // _ITEM_BYTES[meta["dtype"]]
        if min(sizes + strides, default=0) < 0 or num > most:
            raise ValueError(f"{one_line(name, 80)} has room for {most} values and states {one_line(num, 24)}")
    return json.dumps(values).encode()


def _checked_graph(values: dict[str, Any]) -> bytes:
    module = values["graph_module"]
    for node in module["graph"]["nodes"]:
        target = node["target"]
        if not _is_operator(target):
            raise ValueError(f"calls {one_line(target, 80)}, which no export of this tool does")
        node["metadata"] = {}
    # Of the modules that it was traced from only the outermost is run.
    module["module_call_graph"] = [call for call in module["module_call_graph"] if call["fqn"] == ""]
    for call in module["module_call_graph"]:
        for key in ("in_spec", "out_spec"):
            _check_tree(parse_json(call["signature"][key]))
    module["metadata"], module["treespec_namedtuple_fields"] = {}, {}
    if module["graph"]["custom_obj_values"]:
        raise ValueError("holds objects other than tensors")
    _check_values(values)
    _check_sizes_of_graph(module["graph"]["nodes"])
    # Python would evaluate them; the sizes that they state are those that our own reader checks.
    values["guards_code"] = []
    return json.dumps(values, allow_nan=False).encode()


def _is_operator(target: str) -> bool:
    aten = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.\w+", target)
    return target in _ARITHMETIC | _SYMBOLIC or (aten is not None and aten[1] in _OPERATORS)


def _check_sizes_of_graph(nodes: list[dict[str, Any]]) -> None:
    """Refuse tensors that are larger than any image by the numbers that stand in the graph, whatever else they do."""
    known: dict[str, float] = {}  # Of sizes that are computed, what the graph's own numbers make of them.

    def least(argument: Any) -> float:
        kind, value = next(iter(argument.items())) if isinstance(argument, dict) and argument else (None, 1)
        if kind in ("as_sym_int", "as_sym_float"):
            return least(value)
        if kind == "as_name":
            return known.get(str(value), 1)
        return _magnitude(value) if kind in ("as_int", "as_float") else 1

    for node in nodes:
        arguments = [given["arg"] for given in node["inputs"]]
        operator = node["target"].removeprefix("torch.ops.aten.").partition(".")[0]
        for argument in arguments:
            for key in ("as_ints", "as_floats", "as_sym_ints"):
                listed = argument.get(key, [])
                _check_room(math.prod(least(item) if key == "as_sym_ints" else _magnitude(item) for item in listed))
        if operator == "arange":
            if any("as_float" in argument for argument in arguments):
                raise ValueError("counts in fractions, which no export of this tool does")
            _check_room(max(map(least, arguments), default=1))
        for output in node["outputs"]:
            if "as_sym_int" in output:
                is_product = node["target"] == "_operator.mul"
                is_sum = node["target"] in ("_operator.add", "torch.sym_max", "torch.sym_sum")
                numbers = list(map(least, arguments))
                known[output["as_sym_int"]["as_name"]] = (
                    math.prod(numbers) if is_product else max(numbers) if is_sum else 1
                )


def _magnitude(value: object) -> float:
    return max(1, abs(value)) if isinstance(value, int | float) else 1


def _check_room(num: float) -> None:
    """Of values of one tensor; a model has more of them than its image has pixels."""
    check_limit("DRIVABLE_MAX_PIXELS", int(min(num, 2**63)) // 4, "pixels (of a tensor in its graph)")


def _check_tree(values: Any) -> None:
    """How arguments are packed: in tuples and dictionaries, of which no type has to be imported."""
    for value in _all_values(values):
        if not isinstance(value, dict):
            continue
        packed = value.get("type"), value.get("context")
        if packed not in ((None, None), ("builtins.tuple", "null"), ("builtins.list", "null"), ("builtins.dict", "[]")):
            raise ValueError(f"packs its arguments as {one_line(packed, 80)}")


def _check_values(values: Any) -> None:
    for value in _all_values(values):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("holds NaN or infinity, which tells nothing of what is drivable")
        if not isinstance(value, dict):
            continue
        for key, argument in value.items():
            for number in argument if key.endswith("s") and isinstance(argument, list) else [argument]:
                _check_number(key, number)
        unknown = [key for key in value if key.startswith("as_") and key not in _ARGUMENTS]
        if unknown or "custom_obj" in value or "token" in value:
            raise ValueError(f"holds {one_line(unknown or 'an object', 80)}, which no export of this tool does")
        if "expr_str" in value:
            if len(value["expr_str"]) > _MOST_EXPRESSION:
                raise ValueError(f"computes a size by a formula of {len(value['expr_str'])} characters")
            _check_size(ast.parse(value["expr_str"], mode="eval").body)


def _check_number(key: str, value: Any) -> None:
    """Python would take "NaN" and true for numbers too; what float32 cannot hold becomes infinity."""
    if key in ("as_float", "as_floats"):
        is_known = type(value) in (int, float) and abs(value) <= _MOST_FLOAT
    elif key in ("as_int", "as_ints"):
        is_known = type(value) is int and -(2**63) <= value < 2**63
    elif key in ("as_sym_float", "as_sym_int", "as_sym_ints", "as_sym_bool"):
        is_known = isinstance(value, dict)
    else:
        return
    if not is_known:
        raise ValueError(f"{key} is {one_line(value, 80)}, which is no number that a model computes with")


def _all_values(values: Any) -> Iterator[Any]:
    waiting = [values]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _check_size(node: ast.expr) -> None:
    """A size as a formula of sizes, such as ``Add(Symbol('s34', integer=True), Integer(4))``."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            is_known = isinstance(part.func, ast.Name) and part.func.id in _SIZES
        elif isinstance(part, ast.Constant):
            is_known = isinstance(part.value, bool) or (isinstance(part.value, int) and abs(part.value) < 2**63)
            is_known = is_known or (isinstance(part.value, str) and bool(re.fullmatch(r"[a-z]+\d+", part.value)))
        elif isinstance(part, ast.Name):
            is_known = part.id in _SIZES or bool(re.fullmatch(r"[a-z]+\d+|true|false", part.id))
        else:
            is_known = isinstance(part, ast.Load | ast.keyword | ast.UnaryOp | ast.USub)
        if not is_known:
            raise ValueError(f"computes a size by {one_line(ast.unparse(node), 80)}")


# In TorchScript's own unpickler, which knows tensors, modules of the file's own code and plain values.
_PICKLED = re.compile(
    r"__torch__\.[\w.]+ \w+|torch\._utils _rebuild_tensor_v2|torch (\w+Storage|device)|collections OrderedDict"
    r"|torch\.jit\._pickle \w+"
)


def _check_pickle(name: str, content: bytes) -> None:
    for operation, argument, _ in pickletools.genops(content):
        is_global = operation.name in ("GLOBAL", "STACK_GLOBAL", "INST")
        if is_global and _PICKLED.fullmatch(str(argument)) is None:
            raise ValueError(f"{name} names {one_line(str(argument), 80)}, which no export of this tool does")


_STATEMENTS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Return, ast.Expr)
_BUILT_IN = {"annotate", "int", "float", "bool", "getattr", "unchecked_cast"}


def _check_code(code: ast.Module, name: str) -> None:
    """Classes whose one function computes without branches, by known operators: what a trace is."""
    for part in ast.walk(code):
        fault = None
        if isinstance(part, ast.stmt) and not isinstance(part, _STATEMENTS):
            fault = "branches"
        elif isinstance(part, ast.FunctionDef) and not re.fullmatch(r"forward\d*", part.name):
            fault = f"defines {part.name}"
        elif isinstance(part, ast.Call) and not _is_known_call(part.func):
            fault = f"calls {ast.unparse(part.func)}"
        if fault is not None:
            raise ValueError(f"{name} {one_line(fault, 80)}, which no export of this tool does")
        if isinstance(part, ast.FunctionDef):
            _check_sizes_of_code(part)


def _check_sizes_of_code(function: ast.FunctionDef) -> None:
    """See :func:`_check_sizes_of_graph`."""
    known: dict[str, float] = {}

    def least(value: ast.expr) -> float:
        if isinstance(value, ast.Constant):
            return _magnitude(value.value)
        if isinstance(value, ast.Name):
            return known.get(value.id, 1)
        if isinstance(value, ast.UnaryOp):
            return least(value.operand)
        if isinstance(value, ast.Call) and value.args:
            called = ast.unparse(value.func)
            if called == "torch.mul":
                return math.prod(map(least, value.args))
            if called == "torch.add":
                return max(map(least, value.args))
            if called in ("int", "float", "annotate", "ops.prim.NumToTensor"):
                return least(value.args[-1])
        return 1

    for statement in function.body:
        for part in ast.walk(statement):
            if isinstance(part, ast.List):
                _check_room(math.prod(map(least, part.elts)))
            elif isinstance(part, ast.Call) and ast.unparse(part.func) == "torch.arange":
                if any(isinstance(value, ast.Constant) and type(value.value) is float for value in part.args):
                    raise ValueError("counts in fractions, which no export of this tool does")
                _check_room(max(map(least, part.args), default=1))
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                if isinstance(target, ast.Name):
                    known[target.id] = least(statement.value)


def _is_known_call(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in _BUILT_IN
    if not isinstance(function, ast.Attribute):
        return False
    called = ast.unparse(function)
    if called.startswith("torch."):
        return called == "torch.device" or called.removeprefix("torch.") in _OPERATORS
    if called.startswith("ops."):
        return called == "ops.prim.NumToTensor"
    return bool(re.fullmatch(r"forward\d*", function.attr)) and not called.startswith("__torch__")
