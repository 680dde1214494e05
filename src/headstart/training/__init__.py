"""Stage 4 of 7, training: takes features and labels, gives a Head and maybe a fine-tuned Base; next: evaluation."""

from headstart.training.fine_tuning.fine_tune import (
    FEW,
    CrossValidated,
    FineTuneResult,
    NotTried,
    check_finished,
    fine_tune,
)
from headstart.training.head.count_choice import CountComparison, TokenSource, compare_counts
from headstart.training.head.feature_choice import FeatureComparison, compare_features
from headstart.training.head.head import Head, fit_head
from headstart.training.head.search import SearchResult, check_search_installed, feature_sources, search_heads
from headstart.training.training_data import TrainingData

__all__ = [
    "FEW",
    "CountComparison",
    "CrossValidated",
    "FeatureComparison",
    "FineTuneResult",
    "Head",
    "NotTried",
    "SearchResult",
    "TokenSource",
    "TrainingData",
    "check_finished",
    "check_search_installed",
    "compare_counts",
    "compare_features",
    "feature_sources",
    "fine_tune",
    "fit_head",
    "search_heads",
]
