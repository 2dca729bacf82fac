"""Put trained models side by side: what they score, what they weigh, what they cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from drivable.checkpoint import Checkpoint
from drivable.errors import DataError, plot_text
from drivable.evaluation.evaluate import Evaluation
from drivable.files import write_table, written_whole
from drivable.metrics import PROTOCOLS, PairedTest, paired_test
from drivable.models.cost import model_cost
from drivable.segmenter import Segmenter, TorchSegmenter


@dataclass(frozen=True)
class ComparedModel:
    """One row of the comparison.

    Args:
        name: of the run.
        model: of the architecture.
        scores: as an evaluation's or a validation's ``to_dict`` gives them, empty where none are known.
        scored_on: what these scores were taken on.
        size: (height, width) the network works at.
        num_parameters: of the network.
        weights_mib: float32 weights.
        gmacs: multiply-accumulates of one picture at ``size``, in 1e9.
        latency_ms: median time for one picture here, from RGB at ``size`` to the label map.
    """

    name: str
    model: str
    scores: dict[str, Any]
    scored_on: str
    size: tuple[int, int]
    num_parameters: int
    weights_mib: float
    gmacs: float
    latency_ms: float

    def to_row(self) -> dict[str, Any]:
        """Flat values under the table's column names; scores in percent."""
        protocols = self.scores.get("protocols", {})
        classes = self.scores.get("classes", {})
        return {
            "run": self.name,
            "model": self.model,
            **{f"{name} (%)": _percent(_value(protocol)) for name, protocol in protocols.items()},
            **{f"IoU {name} (%)": _percent(values["iou"]) for name, values in classes.items()},
            "weights (MiB)": round(self.weights_mib, 1),
            "parameters (M)": round(self.num_parameters / 1e6, 2),
            "GMACs": round(self.gmacs, 2),
            "ms per image": round(self.latency_ms, 1),
            "size": f"{self.size[0]}x{self.size[1]}",
            "scored on": self.scored_on,
        }


def compared(
    name: str,
    checkpoint: Checkpoint,
    segmenter: TorchSegmenter,
    scores: dict[str, Any] | None,
    scored_on: str,
) -> ComparedModel:
    """Measure one model.

    Args:
        name: of the run.
        checkpoint: what was trained.
        segmenter: the same, ready to run; timed on its device.
        scores: fresh ones, or ``None`` to take the checkpoint's own of its validation.
        scored_on: what fresh scores were taken on.
    """
    size = checkpoint.preprocessing.size
    cost = model_cost(checkpoint.spec, size, checkpoint.labels.num_classes)
    recorded = checkpoint.scores.get("val", {})
    return ComparedModel(
        name=name,
        model=checkpoint.spec.name,
        scores=recorded if scores is None else scores,
        scored_on="val, while training" if scores is None and recorded else scored_on,
        size=size,
        num_parameters=cost.num_parameters,
        weights_mib=cost.weights_mib,
        gmacs=cost.gmacs,
        latency_ms=measure_latency(segmenter, size),
    )


def measure_latency(segmenter: Segmenter, size: tuple[int, int], num_runs: int = 11) -> float:
    """Median time in ms to segment one picture of ``size`` (height, width), after two unmeasured runs."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    times_ms = []
    for _ in range(num_runs + 2):
        start = time.perf_counter()
        segmenter.segment(image)
        times_ms.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times_ms[2:])


@dataclass(frozen=True)
class Difference:
    """Two models on the same pictures.

    Args:
        first: name of one.
        second: name of the other.
        test: whether their ``strict3`` differ.
    """

    first: str
    second: str
    test: PairedTest

    def to_row(self) -> dict[str, Any]:
        """Flat values under the table's column names; points of 100."""
        difference = self.test.difference
        return {
            "first": self.first,
            "second": self.second,
            "second less first (points)": _percent(difference.value),
            "95 % from": _percent(difference.low),
            "to": _percent(difference.high),
            "p": round(self.test.p_value, 4),
            "real": "yes" if self.test.is_real else "no",
        }


def differences(evaluations: Mapping[str, Evaluation]) -> list[Difference]:
    """Test the first of several models against each of the others.

    Raises:
        DataError: where they were not scored on the same pictures.
    """
    if not evaluations:
        return []
    (first, base), *others = evaluations.items()
    strict3 = PROTOCOLS["strict3"]
    tests = []
    for second, other in others:
        if [p.id for p in base.pictures] != [p.id for p in other.pictures]:
            raise DataError(f"{first} and {second} were scored on different pictures; a paired test needs the same")
        test = paired_test(base.counts, other.counts, lambda sums: strict3.score(sums, base.labels))
        tests.append(Difference(first, second, test))
    return tests


def write_comparison(folder: Path, models: Sequence[ComparedModel], tests: Sequence[Difference] = ()) -> None:
    """Write ``comparison.md``, ``comparison.csv`` and ``comparison.png``, and where there are tests
    ``differences.md`` and ``differences.csv``.

    Raises:
        OutputError: where the folder is not writable.
    """
    write_table(folder / "comparison", [model.to_row() for model in models])
    if tests:
        write_table(folder / "differences", [test.to_row() for test in tests])
    with written_whole(folder / "comparison.png") as temporary:
        _plot(models).savefig(temporary, dpi=120)


def _plot(models: Sequence[ComparedModel]) -> Figure:
    """Score over time per image; the area of a dot is the size of the weights."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for model in models:
        score = _value(model.scores.get("protocols", {}).get("strict3"))
        if score is None:
            continue
        axes.scatter(model.latency_ms, 100 * score, s=20 + 3 * model.weights_mib, alpha=0.6)
        axes.annotate(
            plot_text(f"{model.name} ({model.weights_mib:.0f} MiB)"),
            (model.latency_ms, 100 * score),
            textcoords="offset points",
            xytext=(6, 6),
        )
    axes.set(xlabel="ms per image here", ylabel="strict3 (%)", xscale="log", title="Score, time and weight")
    axes.grid(alpha=0.3)
    axes.margins(x=0.4, y=0.2)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    return figure


def _value(protocol: Mapping[str, float | None] | float | None) -> float | None:
    """An evaluation gives a protocol with its interval, a training's validation the number alone."""
    return protocol.get("value") if isinstance(protocol, Mapping) else protocol


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)
