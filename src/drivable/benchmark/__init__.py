"""How fast models are, side by side, against what the machine can do."""

from drivable.benchmark.ceiling import Ceiling
from drivable.benchmark.contenders import Contender, foreign, open_contender, untrained
from drivable.benchmark.measure import WARM_S, Row, Settings, benchmark, machine
from drivable.benchmark.plot import write_pareto_plot

__all__ = [
    "WARM_S",
    "Ceiling",
    "Contender",
    "Row",
    "Settings",
    "benchmark",
    "foreign",
    "machine",
    "open_contender",
    "untrained",
    "write_pareto_plot",
]
