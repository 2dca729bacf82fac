"""What is done to valid JSON: values exchanged for hostile ones."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

NESTED: Any = []
for _ in range(200):
    NESTED = [NESTED]
HOSTILE = st.sampled_from(
    [
        None, True, 0, -1, 1, 2.5, 1e308, -1e308, float("nan"), float("inf"), 10**30, 10**400, 2**63, 50_000, 5e-324,
        "", "..", "../../../escaped", "/etc/passwd", "a\\b", "a\0b", "a\nb", "\ud800", "x" * 500, "LC", "5", "nan",
        [], {}, [[]], [{}], [None], {"a": 1}, [1, 2], [[1, 2]], [-5, 2**40], ["L"], NESTED,
    ]
)  # fmt: skip


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values below one."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(way for key, child in below for way in places(child, (*above, key)))]


@st.composite
def changed(draw: st.DrawFn, valid: Sequence[Any]) -> bytes:
    """JSON whose values, up to three, are others, gone, or there many times."""
    value = copy.deepcopy(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 3))):
        way = draw(st.sampled_from(places(value)))
        if not way:
            value = copy.deepcopy(draw(HOSTILE))
            continue
        parent = value
        for key in way[:-1]:
            parent = parent[key]
        match draw(st.sampled_from(["other", "gone", "many"])):
            case "other":
                parent[way[-1]] = copy.deepcopy(draw(HOSTILE))
            case "gone":
                del parent[way[-1]]
            case "many" if isinstance(parent, list):
                parent += [parent[way[-1]]] * draw(st.integers(1, 30))
    return json.dumps(value).encode()
