"""Stage 4 of 7, training: takes features and labels, gives a Head and, if it pays, a tuned Base; next: evaluation."""

from headstart.training.fine_tuning.fine_tune import CrossValidated, FineTuneResult, NotTried, check_finished, fine_tune
from headstart.training.head.head import Head, fit_head, weights_of_classes
from headstart.training.head.search import Found, check_search, places_of, search_heads
from headstart.training.training_data import FineTuneConfig, HeadConfig, TrainingData

__all__ = [
    "CrossValidated",
    "FineTuneConfig",
    "FineTuneResult",
    "Found",
    "Head",
    "HeadConfig",
    "NotTried",
    "TrainingData",
    "check_finished",
    "check_search",
    "fine_tune",
    "fit_head",
    "places_of",
    "search_heads",
    "weights_of_classes",
]
