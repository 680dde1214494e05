"""Stage 5 of 7, evaluation: takes labels and probabilities, gives metrics with intervals; next: runs."""

from headstart.evaluation.calibration import Calibration, calibrate, held_out_examples
from headstart.evaluation.class_changes import ClassChanges, class_changes
from headstart.evaluation.compare import Verdict, judge_fine_tuning, judge_search
from headstart.evaluation.label_issues import LabelIssues, examine_labels, find_label_issues, join_issues
from headstart.evaluation.learning_curve import Forecast, forecast, forecast_figure
from headstart.evaluation.selective_prediction import (
    Coverage,
    SelectivePrediction,
    choose_confidence_threshold,
    coverage,
)

__all__ = [
    "Calibration",
    "ClassChanges",
    "Coverage",
    "Forecast",
    "LabelIssues",
    "SelectivePrediction",
    "Verdict",
    "calibrate",
    "choose_confidence_threshold",
    "class_changes",
    "coverage",
    "examine_labels",
    "find_label_issues",
    "forecast",
    "forecast_figure",
    "held_out_examples",
    "join_issues",
    "judge_fine_tuning",
    "judge_search",
]
