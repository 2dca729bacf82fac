"""No function is longer than a reader holds in mind, no room too large; verbs only parse, call and print."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/drivable"
MOST_LINES, MOST_OF_A_VERB, MOST_OF_A_ROOM = 60, 50, 0.2


def bodies() -> Iterator[tuple[Path, str, int]]:
    """Every function with the lines of its body, from the first statement after the docstring."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                if body:
                    yield file.relative_to(SOURCE), node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_functions_are_short() -> None:
    assert [found for found in bodies() if found[2] >= MOST_LINES] == []


def test_verbs_only_parse_call_and_print() -> None:
    assert [found for found in bodies() if found[0].parts[0] == "cli" and found[2] > MOST_OF_A_VERB] == []


def test_no_room_is_much_larger_than_the_others() -> None:
    lines: Counter[str] = Counter()
    for file in SOURCE.rglob("*.py"):
        lines[file.relative_to(SOURCE).parts[0]] += len(file.read_text(encoding="utf-8").splitlines())
    assert {room: num for room, num in lines.items() if num > MOST_OF_A_ROOM * lines.total()} == {}
