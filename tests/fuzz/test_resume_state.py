"""The state that a run is resumed from: whatever it holds, reading it works or says so in one line."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drivable.config import load_recipe
from drivable.errors import DrivableError
from drivable.labels import BDD100K_DRIVABLE
from drivable.training.state import check_resumable, describe_run, position_of, read_state

RECIPE = load_recipe("lite")
IDS = ("a", "b")


def state() -> dict[str, Any]:
    """A small one of the form that is read."""
    return {
        "epoch": 1, "global_step": 6, "pytorch-lightning_version": "2.6.0", "state_dict": {"w": torch.ones(3)},
        "loops": {"fit_loop": {"epoch_progress": {"current": {"completed": 1}}}},
        "callbacks": {
            "RunFolder": {
                "best_loss": 1.0, "validated_step": 6, "loader": {"num_batches": 0},
                "history": [{"epoch": 1, "step": 6, "seconds": 1.0, "learning_rate": 0.1}],
            }
        },
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}],
        "lr_schedulers": [{"last_epoch": 6}], "loss_sums": {"train_loss": torch.tensor(1.0)}, "num_summed": 2,
        **describe_run(RECIPE, BDD100K_DRIVABLE, IDS, num_steps=12, num_processes=1),
    }  # fmt: skip


def saved(values: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(values, stream)
    return stream.getvalue()


VALID = saved(state())


def fault_of(path: Path) -> str | None:
    """What is said where the state cannot be taken up; any error but ours passes."""
    try:
        read = read_state(path)
        check_resumable(read, path.parent, RECIPE, BDD100K_DRIVABLE, IDS, num_processes=1)
        position_of(read)
    except DrivableError as fault:
        return str(fault)
    return None


def check(path: Path) -> None:
    said = fault_of(path) or ""
    assert len(said.splitlines()) <= 1
    assert len(said) < 1500


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "resume.ckpt"


def test_a_sound_state_is_read(path: Path) -> None:
    path.write_bytes(VALID)
    assert fault_of(path) is None


@given(
    st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(VALID)).map(lambda end: VALID[:end]),
        st.tuples(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=8)).map(
            lambda change: VALID[: change[0]] + change[1] + VALID[change[0] + len(change[1]) :]
        ),
        st.tuples(st.integers(0, len(VALID)), st.binary(min_size=1, max_size=8)).map(
            lambda change: VALID[: change[0]] + change[1] + VALID[change[0] :]
        ),
    )
)
def test_bytes_that_are_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    check(path)


HOSTILE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**400), st.just("../../x\n"),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=4), st.floats(), max_size=2),
    st.just(torch.full((2,), float("nan"))), st.just(torch.zeros(2, dtype=torch.complex64)),
)  # fmt: skip


def places(values: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = values.keys() if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    return [place for key in keys for place in [(*above, key), *places(values[key], (*above, key))]]


@given(st.sampled_from(places(state())), st.one_of(st.just(...), HOSTILE))
def test_values_that_are_hostile(path: Path, place: tuple[Any, ...], value: Any) -> None:
    values = state()
    here: Any = values
    for key in place[:-1]:
        here = here[key]
    if value is ...:
        del here[place[-1]]
    else:
        here[place[-1]] = value
    path.write_bytes(saved(values))
    check(path)
