"""Train the runs of a study one after the other, go on where it stopped, and put them side by side."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from drivable.config import Recipe, Study, with_data_path
from drivable.errors import ConfigError, DrivableError, one_line, plot_text
from drivable.files import make_folder, write_json, write_table, written_whole
from drivable.models.cost import model_cost
from drivable.signals import stop_asked
from drivable.training.run_folder import RECIPE, STATE
from drivable.training.train import resumed_recipe, train

RESULT = "result.json"
# What a run is judged by: the validation mean IoU of its checkpoint with the lowest validation loss.
SCORE = "val_strict3"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyRow:
    """One trained run of a study.

    Args:
        name: of the run.
        changes: what it changed of the study's recipe.
        folder: its run folder.
        values: of its best epoch, as in the history, with minutes, parameters (M) and GMACs; ``None`` is a score of
            nothing, and all are left out where it failed.
        fault: why it failed, or ``None``.
    """

    name: str
    changes: dict[str, Any]
    folder: Path
    values: dict[str, float | None] = field(default_factory=dict)
    fault: str | None = None

    def to_row(self) -> dict[str, Any]:
        """Flat values under the table's column names; scores in percent."""
        ious = {key: value for key, value in self.values.items() if key == SCORE or key.startswith("val_iou_")}
        return {
            "run": self.name,
            # A class that does not occur has no score.
            **{f"{_column(key)} (%)": None if value is None else round(100 * value, 2) for key, value in ious.items()},
            **({} if (loss := self.values.get("val_loss")) is None else {"val_loss": round(loss, 4)}),
            **{key: self.values[key] for key in ("epoch", "minutes", "parameters (M)", "GMACs") if key in self.values},
            "changes": self.fault or json.dumps(self.changes),
            "folder": self.folder.name,
        }


def sweep(
    study: Study, data_path: str | Path, out: Path, on_run: Callable[[str, int, int | None], None] | None = None
) -> list[StudyRow]:
    """Run a study.

    Every run has a folder under ``out/runs`` named by a fingerprint of its recipe: a finished run is not trained
    again, also where another study asks for the same, and a stopped one is resumed. A run that fails in any way is
    reported in its row and the others go on. ``out`` receives ``<study>.md``, ``.csv``, ``.json`` and ``.png`` after
    every run.

    Args:
        study: what to run.
        data_path: the data root.
        out: where everything goes.
        on_run: called before each run with its name, its number from 1 and how many there are.

    Returns:
        A row per run, in the study's order.

    Raises:
        ConfigError: where a search is asked for and Optuna is not installed.
        OutputError: where ``out`` is not writable.
        KeyboardInterrupt: where the user stops it, also where a library made another exception of that.

    Example:
        >>> sweep(load_study(Path("configs/studies/losses.yaml")), "bdd100k", Path("runs/studies"))
    """
    make_folder(out)
    rows: list[StudyRow] = []
    for row in _searched(study, data_path, out, on_run) if study.search else _listed(study, data_path, out, on_run):
        rows.append(row)
        _write(study, rows, out)
        # Came after the last batch, or was swallowed by a library.
        if stop_asked():
            raise KeyboardInterrupt
    return rows


def _listed(
    study: Study, data_path: str | Path, out: Path, on_run: Callable[[str, int, int | None], None] | None
) -> Iterator[StudyRow]:
    for number, (name, changes) in enumerate(study.runs.items(), start=1):
        if on_run is not None:
            on_run(name, number, len(study.runs))
        yield _trained(name, changes, with_data_path(study.recipe_of(name), data_path), out)


def _searched(
    study: Study, data_path: str | Path, out: Path, on_run: Callable[[str, int, int | None], None] | None
) -> Iterator[StudyRow]:
    """Trials drawn by Optuna's tree-structured Parzen estimator, kept in ``<study>.log``; one that was stopped in its
    middle is finished first."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError as fault:
        raise ConfigError(f"study {study.name}: a search needs Optuna: pip install 'drivable[search]'") from fault
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        key: optuna.distributions.CategoricalDistribution([json.dumps(choice) for choice in spec.choices])
        if hasattr(spec, "choices")
        else optuna.distributions.FloatDistribution(spec.low, spec.high, log=spec.log)
        for key, spec in study.search.items()
    }
    search = optuna.create_study(
        study_name=study.name,
        storage=JournalStorage(JournalFileBackend(str(out / f"{study.name}.log"))),
        direction="maximize",
        load_if_exists=True,
    )
    for number in range(study.trials):
        if number < len(search.trials):
            drawn = search.trials[number].params
            is_open = search.trials[number].state == optuna.trial.TrialState.RUNNING
        else:
            # Seeded by the trial, so that a search that was stopped draws what it would have drawn.
            search.sampler = optuna.samplers.TPESampler(seed=number)
            drawn, is_open = search.ask(space).params, True
        changes = {key: json.loads(value) if isinstance(value, str) else value for key, value in drawn.items()}
        name = f"trial-{number + 1:03d}"
        if on_run is not None:
            on_run(name, number + 1, study.trials)
        row = _trained(name, changes, with_data_path(study.recipe_of(name, changes), data_path), out)
        if is_open:
            score = row.values.get(SCORE)
            search.tell(number, score, state=None if score is not None else optuna.trial.TrialState.FAIL)
        yield row


def _trained(name: str, changes: dict[str, Any], recipe: Recipe, out: Path) -> StudyRow:
    folder = out / "runs" / _fingerprint(recipe)
    if not (folder / RESULT).is_file():
        can_resume = (folder / RECIPE).is_file() and (folder / STATE).is_file()
        try:
            result = train(resumed_recipe(folder, recipe.data.path) if can_resume else recipe, folder, can_resume)
        # Everything: the other runs may have hours of work before them, and this one's row says what happened.
        except Exception as fault:
            if stop_asked():
                raise KeyboardInterrupt from fault
            said = str(fault) if isinstance(fault, DrivableError) else f"{type(fault).__name__}: {one_line(fault)}"
            _log.warning("run %s failed: %s", name, said)
            _log.debug("run %s", name, exc_info=True)
            return StudyRow(name, changes, folder, fault=said)
        best = min(result.history, key=_loss_of)
        cost = model_cost(recipe.model, recipe.data.size)
        values = {
            **best,
            "minutes": round(sum(epoch["seconds"] for epoch in result.history) / 60, 1),
            "parameters (M)": round(cost.num_parameters / 1e6, 2),
            "GMACs": round(cost.gmacs, 2),
        }
        write_json(folder / RESULT, values)
    return StudyRow(name, changes, folder, json.loads((folder / RESULT).read_text(encoding="utf-8")))


def _loss_of(epoch: dict[str, float]) -> float:
    loss = epoch.get("val_loss", math.inf)
    return loss if math.isfinite(loss) else math.inf


def _fingerprint(recipe: Recipe) -> str:
    """Of all that decides what a training gives; neither its name nor where the data are does."""
    values = recipe.to_dict()
    del values["name"], values["data"]["path"], values["data"]["num_workers"]
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=6).hexdigest()


def _write(study: Study, rows: list[StudyRow], out: Path) -> None:
    table = [row.to_row() for row in rows]
    write_table(out / study.name, table, study.question)
    write_json(out / f"{study.name}.json", {"study": study.model_dump(mode="json"), "rows": table})
    with written_whole(out / f"{study.name}.png") as temporary:
        _plot(study, [row for row in rows if row.fault is None]).savefig(temporary, dpi=110)


def _plot(study: Study, rows: list[StudyRow]) -> Figure:
    """A bar per run; for a search, the score over each key that it drew."""
    scores = [math.nan if (score := row.values[SCORE]) is None else 100 * score for row in rows]
    if study.search:
        figure = Figure(figsize=(4 * len(study.search), 3.6), layout="constrained")
        panels = figure.subplots(1, len(study.search), sharey=True, squeeze=False)[0]
        for axes, (key, spec) in zip(panels, study.search.items(), strict=True):
            axes.scatter([_place(row.changes[key]) for row in rows], scores)
            axes.set(xlabel=plot_text(key), xscale="log" if getattr(spec, "log", False) else "linear")
            axes.grid(alpha=0.3)
        panels[0].set_ylabel(f"{_column(SCORE)} (%)")
    else:
        figure = Figure(figsize=(7, 1.4 + 0.4 * len(rows)), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh([row.name for row in rows], scores)
        axes.bar_label(bars, fmt="%.2f", padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(f"{_column(SCORE)} on val (%)")
    figure.suptitle(plot_text(study.question or study.name))
    return figure


def _place(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else plot_text(json.dumps(value))


def _column(key: str) -> str:
    return key.removeprefix("val_").replace("iou_", "IoU ")
