"""What a run can be resumed from, checked before anything is made of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drivable.checkpoint import BEST, LAST
from drivable.config import Recipe
from drivable.errors import CheckpointError, ConfigError, DataError, one_line
from drivable.labels import LabelSet
from drivable.reading import open_regular, reading

# What may differ between a run and its resumption: its length, its patience, and where it runs.
MAY_CHANGE = (
    "training.epochs",
    "training.early_stopping",
    "data.path",
    "data.num_workers",
    "training.accelerator",
    "training.devices",
    "training.num_nodes",
    "training.strategy",
)
_KEY, _FOLDER = "drivable", "RunFolder"


def describe_run(
    recipe: Recipe, labels: LabelSet, train_ids: Sequence[str], num_steps: int, num_processes: int
) -> dict[str, Any]:
    """What a state says of its run, to be kept under the key that :func:`read_state` looks for."""
    return {
        _KEY: {
            "recipe": recipe.to_dict(),
            "labels": list(labels.names),
            "num_images": len(train_ids),
            "images": _digest(train_ids),
            "num_steps": num_steps,
            "num_processes": num_processes,
        }
    }


def read_state(path: Path) -> dict[str, Any]:
    """Read the state of a run; nothing in it is executed.

    Raises:
        CheckpointError: where it is missing, damaged, or not written by this tool.
    """
    hint = f"{BEST} and {LAST} beside it may still be used"
    with reading(path, CheckpointError, "corrupt", hint):
        with open_regular(path) as stream:
            state = torch.load(stream, "cpu", weights_only=True)
        _check_form(state)
    return state  # type: ignore[no-any-return]


def _check_form(state: Any) -> None:
    """See that everything is there that a resumption takes up, of the kind that it must be."""
    form: dict[tuple[str, ...], type | tuple[type, ...]] = {
        ("epoch",): int, ("global_step",): int, ("state_dict",): dict, ("loops",): dict, ("loops", "fit_loop"): dict,
        ("callbacks",): dict, ("optimizer_states",): list, ("lr_schedulers",): list, ("loss_sums",): dict,
        ("num_summed",): int, (_KEY, "recipe"): dict, (_KEY, "labels"): list, (_KEY, "num_images"): int,
        (_KEY, "images"): str, (_KEY, "num_steps"): int, (_KEY, "num_processes"): int,
        ("callbacks", _FOLDER, "best_loss"): float, ("callbacks", _FOLDER, "history"): list,
        ("callbacks", _FOLDER, "validated_step"): int, ("callbacks", _FOLDER, "loader", "num_batches"): int,
    }  # fmt: skip
    for keys, kind in form.items():
        here = state
        for depth, key in enumerate(keys):
            if not isinstance(here, dict) or key not in here:
                raise DataError(f"no key {'.'.join(keys[: depth + 1])}")
            here = here[key]
        if not isinstance(here, kind) or isinstance(here, bool):  # Python takes true for 1.
            raise DataError(f"{'.'.join(keys)} is {one_line(here, 40)}")
    json.dumps([state[_KEY]["recipe"], state[_KEY]["labels"]])  # Plain values, which can be compared.
    position = state["lr_schedulers"][0]["last_epoch"]
    if type(position) is not int or position < 0 or state["callbacks"][_FOLDER]["loader"]["num_batches"] < 0:
        raise DataError("a negative position")
    if math.isnan(state["callbacks"][_FOLDER]["best_loss"]):
        raise DataError("a best loss that is no number")
    for row in history_of(state):
        if not {"epoch", "step", "seconds", "learning_rate"} <= row.keys():
            raise DataError("a row of the history without its columns")
        if not all(isinstance(key, str) and isinstance(value, int | float) for key, value in row.items()):
            raise DataError("a row of the history that is not of numbers")
    for name, tensor in [*state["state_dict"].items(), *state["loss_sums"].items()]:
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError("weights that are none")
        if not torch.isfinite(tensor).all():
            raise DataError(f"weights that are not numbers, in {one_line(name, 80)}")


def history_of(state: dict[str, Any]) -> list[dict[str, float]]:
    """A row for each epoch that is done."""
    return state["callbacks"][_FOLDER]["history"]  # type: ignore[no-any-return]


def num_waited_of(state: dict[str, Any]) -> int:
    """Epochs since the last better validation loss, of a run that stops early; 0 of others."""
    counts = (kept.get("wait_count") for kept in state["callbacks"].values() if isinstance(kept, dict))
    return next((count for count in counts if type(count) is int), 0)


@dataclass(frozen=True)
class Position:
    """Where on its schedule a run was when its state was kept.

    Args:
        num_steps_done: of the schedule.
        num_steps: that the schedule had.
        epochs: that the run was to have.
        num_epochs_done: whole epochs, that of ``training.max_steps`` among them.
        global_step: steps of the optimiser.
    """

    num_steps_done: int
    num_steps: int
    epochs: object
    num_epochs_done: int
    global_step: int


def position_of(state: dict[str, Any]) -> Position:
    """Where a run is."""
    told = state[_KEY]
    return Position(
        num_steps_done=state["lr_schedulers"][0]["last_epoch"],
        num_steps=told["num_steps"],
        epochs=_flat(told["recipe"]).get("training.epochs"),
        num_epochs_done=len(history_of(state)),
        global_step=state["global_step"],
    )


def check_resumable(
    state: dict[str, Any], where: Path, recipe: Recipe, labels: LabelSet, train_ids: Sequence[str], num_processes: int
) -> None:
    """Refuse to go on with a run as another one.

    Args:
        state: from :func:`read_state`.
        where: the run folder, for messages.
        recipe: how to go on.
        labels: the classes of the data.
        train_ids: ids of the training images, in order.
        num_processes: that share the work.

    Raises:
        ConfigError: where the recipe differs in what may not change, or has fewer epochs than are done.
        DataError: where classes or training images are others.
    """
    told = state[_KEY]
    before, after = _flat(told["recipe"]), _flat(recipe.to_dict())
    # A key that one of them lacks is of another release.
    for key in sorted(before.keys() & after.keys() - {*MAY_CHANGE, "name"}):
        if before[key] != after[key]:
            raise ConfigError(
                f"{where}: {key} was {one_line(before[key], 60)} and is now {one_line(after[key], 60)}; a resumed run "
                f"is the same training, so only {', '.join(MAY_CHANGE)} may change. For another one begin anew with "
                f"--set training.init_from={where}"
            )
    num_begun = len(history_of(state)) + (state["callbacks"][_FOLDER]["loader"]["num_batches"] > 0)
    if recipe.training.epochs < num_begun:
        raise ConfigError(
            f"{where}: training.epochs is {recipe.training.epochs}, but the run is in epoch {num_begun} already; set "
            f"it to {num_begun} or more"
        )
    if told["labels"] != list(labels.names):
        raise DataError(
            f"{where}: the run learns {one_line(told['labels'], 80)}, and the data have {list(labels.names)}; resume "
            "it with its own data"
        )
    if (told["num_images"], told["images"]) != (len(train_ids), _digest(train_ids)):
        raise DataError(
            f"{where}: the run has {one_line(told['num_images'])} training images, and the {len(train_ids)} that the "
            "data have now are not the same ones in the same order; resume it with its own data (and --skip-broken "
            f"where it began with it), or begin anew with --set training.init_from={where}"
        )
    if told["num_processes"] != num_processes:
        raise ConfigError(
            f"{where}: the run shares its batches among {one_line(told['num_processes'])} devices, and here are "
            f"{num_processes}; set training.devices and training.num_nodes so that they are as many"
        )


def check_optimizer(optimizer: torch.optim.Optimizer, where: Path) -> None:
    """See that a restored optimiser's moments have their weights' shapes.

    Raises:
        CheckpointError: where they do not.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            for name, value in optimizer.state.get(weight, {}).items():
                if isinstance(value, Tensor) and value.ndim and value.shape != weight.shape:
                    raise CheckpointError(f"{where}: corrupt: the optimiser's {name} does not fit its weight")


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _digest(train_ids: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(train_ids).encode(errors="surrogatepass"), digest_size=12).hexdigest()
