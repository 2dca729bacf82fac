"""Score against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from drivable.benchmark.measure import Row
from drivable.errors import plot_text
from drivable.files import written_whole


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """The scored rows that no other beats in both score and time, the fastest first.

    Example:
        >>> [row.model for row in pareto_front(rows)]
        ['lite8.xml', 'drivable-lite']
    """
    scored = [row for row in rows if row.strict3 is not None]
    front: list[Row] = []
    for row in sorted(scored, key=lambda row: (row.p50_ms, -(row.strict3 or 0))):
        if not front or (row.strict3 or 0) > (front[-1].strict3 or 0):
            front.append(row)
    return front


def write_pareto_plot(path: Path, rows: Sequence[Row]) -> None:
    """Every scored row as a dot, and the line of those that no other beats in both.

    Raises:
        OutputError: where the place is not writable.
    """
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"].colors)  # type: ignore[attr-defined]
    for row in rows:
        if row.strict3 is None:
            continue
        label = f"{Path(row.model).name}, {row.runtime}, {row.precision}"
        axes.scatter(row.p50_ms, 100 * row.strict3, s=20 + 3 * row.size_mib, alpha=0.7, label=plot_text(label))
    front = pareto_front(rows)
    axes.step([row.p50_ms for row in front], [100 * (row.strict3 or 0) for row in front], where="post", alpha=0.5)
    axes.set(xlabel="ms per picture here (median)", ylabel="strict3 (%)", xscale="log", title="Score against time")
    axes.grid(alpha=0.3)
    axes.margins(x=0.1, y=0.1)
    # Beside the plot: models of one network lie on top of each other.
    figure.legend(loc="outside right upper", fontsize=8)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)
