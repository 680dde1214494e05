"""Stage 5 of 7, evaluation: takes labels and probabilities, gives metrics with intervals; next: runs."""

from headstart.evaluation.calibration import Calibration, at_temperature, calibrate, held_out
from headstart.evaluation.change import Change, change_since
from headstart.evaluation.compare import Verdict, judge, judge_found
from headstart.evaluation.label_errors import LabelIssues, find_label_errors
from headstart.evaluation.learning_curve import Forecast, forecast
from headstart.evaluation.metrics import METRICS, evaluate
from headstart.evaluation.multi_label import MULTI_LABEL_METRICS, choose_thresholds, evaluate_labels, worst_labels
from headstart.evaluation.selective_prediction import (
    SelectivePrediction,
    answered,
    check_min_precision,
    choose_confidence_threshold,
)

__all__ = [
    "METRICS",
    "MULTI_LABEL_METRICS",
    "Calibration",
    "Change",
    "Forecast",
    "LabelIssues",
    "SelectivePrediction",
    "Verdict",
    "answered",
    "at_temperature",
    "calibrate",
    "change_since",
    "check_min_precision",
    "choose_confidence_threshold",
    "choose_thresholds",
    "evaluate",
    "evaluate_labels",
    "find_label_errors",
    "forecast",
    "held_out",
    "judge",
    "judge_found",
    "worst_labels",
]
