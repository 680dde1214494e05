"""Stage 5 of 7, evaluation: takes labels and probabilities, gives metrics with intervals; next: run."""

from headstart.evaluation.compare import Verdict, judge
from headstart.evaluation.metrics import METRICS, evaluate
from headstart.evaluation.multi_label import MULTI_LABEL_METRICS, choose_thresholds, evaluate_labels, worst_labels

__all__ = [
    "METRICS",
    "MULTI_LABEL_METRICS",
    "Verdict",
    "choose_thresholds",
    "evaluate",
    "evaluate_labels",
    "judge",
    "worst_labels",
]
