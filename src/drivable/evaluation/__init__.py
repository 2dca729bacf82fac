"""Score models and put them side by side."""

from drivable.evaluation.compare import ComparedModel, compared, measure_latency, write_comparison
from drivable.evaluation.evaluate import Evaluation, evaluate

__all__ = ["ComparedModel", "Evaluation", "compared", "evaluate", "measure_latency", "write_comparison"]
