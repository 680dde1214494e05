"""Stage 5 of 7, evaluation: takes labels and probabilities, gives metrics with intervals; next: run."""

from headstart.evaluation.compare import Verdict, judge
from headstart.evaluation.metrics import METRICS, evaluate

__all__ = ["METRICS", "Verdict", "evaluate", "judge"]
