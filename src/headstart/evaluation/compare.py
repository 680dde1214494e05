"""Which of two models to keep: the head alone or the fine-tuned model, the default head or one that a search found.

The comparison itself is the task's: a paired test on the same examples, see :mod:`headstart.tasks.comparison`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.config import Keep
from headstart.tasks.comparison import Comparison
from headstart.training import CrossValidated, FineTuneResult, Head, NotTried, SearchResult, TrainingData

_FINE_TUNING = "On {} validation examples, fine-tuning"
_CONTRASTIVE = "Cross-validated on the {} training examples, contrastive fine-tuning"
_SEARCH = "On {} validation examples, which the search did not use, the head that it found"


@dataclass(frozen=True)
class Verdict:
    """Whether a fine-tuned model replaces the head alone, or a head that a search found replaces the default one.

    Attributes:
        outcome: ``kept``, ``not better`` or ``not tried``.
        reason: in a sentence or two.
        on_folds: both in cross-validation on the training examples; it decides if there is one.
        on_val: both on the validation examples, which decide otherwise.
        on_test: both on the test examples, which are not used for the decision.
    """

    outcome: Literal["kept", "not better", "not tried"]
    reason: str
    on_folds: Comparison | None = None
    on_val: Comparison | None = None
    on_test: Comparison | None = None


def judge_fine_tuning(
    data: TrainingData, head: Head, result: FineTuneResult | NotTried, *, keep: Keep, seed: int = 0
) -> Verdict:
    """Decide between the head alone and the fine-tuned model.

    Args:
        data: the examples.
        head: trained on the features of the frozen base.
        result: of fine-tuning.
        keep: ``better`` requires a proof of the gain, or, where cross-validation on few examples decides, better
            figures; ``fine-tuned`` requires nothing.
        seed: of the bootstrap.
    """
    if isinstance(result, NotTried):
        return Verdict("not tried", result.reason)
    if isinstance(result.held_out, CrossValidated):
        on_folds = data.task.compare(data.labels[data.train], *result.held_out, seed=seed)
        reason = on_folds.verdict(_CONTRASTIVE, few=True)
        return Verdict(*_decide(on_folds.leans_to_second, reason, keep), on_folds=on_folds)
    held_out = np.concatenate([data.val, data.test])
    before, after = head.over(data.features, held_out), result.head.over(result.held_out, np.arange(len(held_out)))
    on_val, on_test = _compare_held_out(data, before, after, seed)
    return Verdict(*_decide(on_val.favours_second, on_val.verdict(_FINE_TUNING), keep), on_val=on_val, on_test=on_test)


def judge_search(data: TrainingData, head: Head, result: SearchResult, *, seed: int = 0) -> Verdict:
    """Decide between the default head and the best one of a search; see :func:`judge_fine_tuning`."""
    held_out = np.concatenate([data.val, data.test])
    before, after = head.over(data.features, held_out), result.head.over(result.features, held_out)
    on_val, on_test = _compare_held_out(data, before, after, seed)
    decision = _decide(on_val.favours_second, on_val.verdict(_SEARCH), "better")
    return Verdict(*decision, on_val=on_val, on_test=on_test)


def _compare_held_out(
    data: TrainingData, before: np.ndarray, after: np.ndarray, seed: int
) -> tuple[Comparison, Comparison | None]:
    """Compare on validation and on test examples; the rows of the probabilities are in this order."""
    n_val = len(data.val)
    on_val = data.task.compare(data.labels[data.val], before[:n_val], after[:n_val], seed=seed)
    if not len(data.test):
        return on_val, None
    return on_val, data.task.compare(data.labels[data.test], before[n_val:], after[n_val:], seed=seed)


def _decide(is_better: bool, reason: str, keep: Keep) -> tuple[Literal["kept", "not better"], str]:
    if is_better:
        return "kept", reason
    if keep == "fine-tuned":
        return "kept", f"{reason} It was kept because the settings say so (keep: fine-tuned)."
    return "not better", reason
