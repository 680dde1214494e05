"""Bases compared by linear heads on their frozen features, cross-validated on training examples.

The first round ranks them by the sum of two ranks, by LogME and by the log loss of the head; later rounds by the log
loss.
"""

from functools import cached_property

import numpy as np

from headstart.commands.base_comparison import Row
from headstart.commands.successive_halving import Contender, SuccessiveHalving
from headstart.errors import InputError
from headstart.evaluation.transferability import log_evidence
from headstart.features import FeatureSet, extract
from headstart.tasks import ClassificationTask, classification_task
from headstart.training.head.linear import solve


class HeadComparison(SuccessiveHalving):
    """See :class:`headstart.commands.successive_halving.SuccessiveHalving`."""

    rounds = ((0.1, 2), (0.3, 4), (1.0, 10))

    @property
    def method(self) -> str:
        """What the figures are, in a sentence."""
        return (
            f"{self.task.deciding.title} of a linear head on the frozen features, cross-validated on a stratified "
            "sample of what headstart train would train on. Validation and test examples were not used."
        )

    @cached_property
    def task(self) -> ClassificationTask:
        """Of the data."""
        return classification_task(self.dataset.task)

    @cached_property
    def class_weights(self) -> np.ndarray:
        """As in training."""
        labels = self.dataset.labels[self.split.index("train")]
        return self.task.class_weights(labels, len(self.dataset.classes), "auto")

    def _try_all(self, size: int, *, is_last: bool) -> None:
        """Run all that are left over the first examples, and cross-validate the head on what comes out."""
        indices = self.order[:size]
        examples = [self.examples[i] for i in indices.tolist()]
        features_by_handle: dict[str, FeatureSet] = {}
        for candidate in [*self.running]:
            handle = candidate.base.handle
            with self.surviving(handle, candidate):
                features_by_handle[handle] = extract(
                    candidate.base, examples, cache=self.cache, label=handle, progress=self.progress
                )
        unreadable = {i for features in features_by_handle.values() for i in features.problems}
        usable_rows = np.array([i for i in range(len(indices)) if i not in unreadable])
        self.labels = self.dataset.labels[indices[usable_rows]]
        for candidate in [*self.running]:
            with self.surviving(candidate.base.handle, candidate):
                self._probe(
                    candidate,
                    features_by_handle[candidate.base.handle],
                    usable_rows,
                    self.split.groups[indices[usable_rows]],
                    is_last=is_last,
                )

    def _probe(
        self, candidate: Contender, features: FeatureSet, usable_rows: np.ndarray, groups: np.ndarray, *, is_last: bool
    ) -> None:
        solved = solve(
            features.rows, usable_rows, self.labels, len(self.dataset.classes), task=self.task,
            groups=groups, class_weights=self.class_weights, seed=self.seed,
        )  # fmt: skip
        if solved.out_of_fold is None:
            raise InputError("too few examples that differ")
        candidate.outputs = solved.out_of_fold
        if candidate.evidence is None:
            candidate.evidence = log_evidence(
                features.rows(usable_rows), self.labels, self.task, len(self.dataset.classes)
            )
        candidate.row = Row(
            handle=candidate.base.handle, size_mb=candidate.size_mb or 0.0, ms=candidate.ms, feature_dim=features.dim,
            evidence=candidate.evidence, examples=len(usable_rows),
            figure=self.figure_of(candidate.outputs),
            log_loss=float(self.task.log_losses(self.labels, candidate.outputs).mean()), finished=is_last,
        )  # fmt: skip

    def _ranked(self, *, is_first: bool) -> list[Contender]:
        ranked = sorted(self.running, key=lambda candidate: candidate.row.log_loss or 0.0)
        if is_first:
            # On 50 examples both judge badly, and together less so than either: where LogME takes a poor base for the
            # best, its head answers at random.
            places = {candidate.base.handle: place for place, candidate in enumerate(ranked)}
            by_logme = sorted(self.running, key=lambda candidate: -(candidate.evidence or 0.0))
            ranked = sorted(by_logme, key=lambda candidate: by_logme.index(candidate) + places[candidate.base.handle])
        return ranked
