"""Choosing a base: all candidates are tried on a few examples of the user, and the better ones on more.

Running a base over examples is what takes time, so the choice is made by successive halving (Jamieson and Talwalkar,
arXiv 1502.07943): all candidates run over a few examples, the better half over more, and so on. The first round ranks
them by the sum of two ranks, by LogME and by the log loss of a cross-validated head; later rounds by the log loss. A
worse base stays while no better one is as fast: such bases cost little, and a budget may need them.

Only examples that `headstart train` would train on are used, so its test figures stay valid for the chosen base.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import Base, load_base
from headstart.bases.bundle import files_of
from headstart.bases.candidates import Candidate
from headstart.commands.base_comparison import Budget, LeftOut, Row
from headstart.data.audit import audit
from headstart.data.dataset import Dataset
from headstart.data.missing_files import check_usable
from headstart.data.readers import decode_example
from headstart.data.split import check_split, split_dataset
from headstart.errors import BadExample, HeadstartError, InputError, counted, field_name
from headstart.evaluation.transferability import log_evidence
from headstart.features import FeatureSet, extract
from headstart.features.engines import Prepared, last_error_line, latency_ms, prepare
from headstart.system.progress import Progress
from headstart.system.settings import is_offline
from headstart.tasks import classification_task
from headstart.tasks.comparison import Comparison
from headstart.tasks.statistics import Interval
from headstart.training.head.linear import solve

logger = logging.getLogger(__name__)

_ROUNDS = ((0.1, 2), (0.3, 4), (1.0, 10))
"""Of each, the share of the examples that it is held on, and how many of each class at least."""

_IN_TURNS = 10  # of each class, however rare
_FINALISTS = 3  # reach the last round with any score
_TIMED = 8  # examples that the latency is measured on
_REASONS_SHOWN = 10
_NOT_HERE = "not here, and the network must not be used"


@dataclass(eq=False)
class _Candidate:
    """A base that is compared.

    Attributes:
        base: itself.
        size_mb: in MB, as far as known.
        ms: for one example.
        evidence: LogME of its features in the first round.
        row: what the last round found.
        probabilities: out of fold, of the examples of that round.
    """

    base: Base
    size_mb: float | None
    ms: float = 0.0
    evidence: float | None = None
    row: Row = field(init=False)
    probabilities: np.ndarray = field(init=False)


class SuccessiveHalving:
    """Bases that are compared, and what is known of them so far."""

    def __init__(self, dataset: Dataset, budget: Budget, seed: int, cache: Path, progress: Progress) -> None:
        self.progress = progress
        self.dataset, self.budget, self.seed, self.cache = dataset, budget, seed, cache
        self.examples = dataset.examples
        self.task = classification_task(dataset.task)
        self.running: list[_Candidate] = []
        self.eliminated: list[Row] = []
        self.left_out: list[LeftOut] = []

    def load(self, candidates: Sequence[Candidate], **options: Any) -> None:
        """Make bases of the handles; those that cannot be had, or are known to be too large, are left out."""
        to_fetch = [
            candidate
            for candidate in candidates
            if candidate.is_local is False and self._excess(candidate.size_mb) is None
        ]
        if to_fetch and not is_offline():
            megabytes = sum(candidate.size_mb or 0 for candidate in to_fetch)
            logger.info(f"{counted(len(to_fetch), 'base')} will be downloaded, about {megabytes:,.0f} MB in all")
        for candidate in candidates:
            if excess := self._excess(candidate.size_mb):
                self._leave_out(candidate.handle, *excess)
            elif candidate in to_fetch and is_offline():
                self._leave_out(candidate.handle, _NOT_HERE)
            else:
                with self._surviving(candidate.handle):
                    base = load_base(
                        candidate.handle, texts=self.dataset.texts, cache=self.cache, progress=self.progress, **options
                    )
                    if base.modality.name != self.dataset.modality.name:
                        raise InputError(f"it is a base for {base.modality.plural}")
                    if all(base.handle != other.base.handle for other in self.running):
                        self.running.append(_Candidate(base, candidate.size_mb))
        self._check_any()

    def draw(self, *, val: float, test: float, shots: int | None) -> None:
        """Find out which examples may be looked at, and in which order."""
        features = extract(self.running[0].base, self.examples, only=[], cache=self.cache, progress=self.progress)
        checked = audit(self.dataset, features.digests, features.problems)
        check_usable(self.dataset, checked)
        split = split_dataset(
            self.dataset, checked.usable, features.digests, val=val, test=test, seed=self.seed, shots=shots
        )
        labels = self.dataset.labels[split.usable]
        check_split(
            self.task,
            labels,
            split.splits,
            self.dataset.classes,
            skipped=checked.skipped,
            plural=self.dataset.modality.plural,
            is_given=self.dataset.given_splits is not None,
        )
        train = split.index("train")
        self.order = train[_in_turns(self.task.strata(self.dataset.labels[train]), len(train), self.seed)]
        self.groups = split.groups
        self.class_weights = self.task.class_weights(self.dataset.labels[train], len(self.dataset.classes), "auto")

    def measure(self) -> None:
        """Size and speed of each; those beyond the budget are left out."""
        for candidate in [*self.running]:
            with self._surviving(candidate.base.handle, candidate):
                examples = self._decoded(candidate.base)
                prepared = prepare(candidate.base, self.cache, candidate.base.reader().batch(examples))
                candidate.size_mb = _size_mb(candidate.base, prepared)
                excess = self._excess(candidate.size_mb)
                if not excess:
                    candidate.ms = latency_ms(candidate.base, self.cache, examples)
                    excess = self._excess(candidate.size_mb, candidate.ms)
                if excess:
                    self._leave_out(candidate.base.handle, *excess, candidate=candidate)
        self._check_any()

    def run(self, examples: int) -> list[int]:
        """Hold the rounds; gives the number of examples in each."""
        n_classes = len(self.dataset.classes)
        sizes = [max(round(share * examples), fewest * n_classes) for share, fewest in _ROUNDS]
        *earlier, last = sorted({min(size, len(self.order)) for size in sizes})
        rounds: list[int] = []
        for size in earlier:
            if len(self.running) > _FINALISTS:
                self._judge(size)
                self._halve(by_evidence=not rounds)
                rounds.append(size)
        self._judge(last, is_last=True)
        return [*rounds, last]

    def rows(self) -> list[Row]:
        """What was found: those of the last round first, each round from the best down."""
        metric = self.task.deciding
        ranked = sorted(self.running, key=lambda candidate: candidate.row.score(metric), reverse=True)
        top, rows = ranked[0], []
        for place, candidate in enumerate(ranked):
            on_front = all(candidate.row.ms < better.row.ms for better in ranked[:place])
            rows.append(
                replace(
                    candidate.row,
                    on_front=on_front,
                    against_top=None if candidate is top else self._against(candidate, top),
                )
            )
        return rows + sorted(self.eliminated, key=lambda row: (row.examples, row.score(metric)), reverse=True)

    def _judge(self, size: int, *, is_last: bool = False) -> None:
        """Run all that are left over the first examples, and cross-validate the head on what comes out."""
        logger.info(f"{counted(len(self.running), 'base')} on {counted(size, self.dataset.modality.noun)} …")
        indices = self.order[:size]
        examples = [self.examples[i] for i in indices.tolist()]
        features_by_handle: dict[str, FeatureSet] = {}
        for candidate in [*self.running]:
            handle = candidate.base.handle
            with self._surviving(handle, candidate):
                features_by_handle[handle] = extract(
                    candidate.base, examples, cache=self.cache, label=handle, progress=self.progress
                )
        unreadable = {i for features in features_by_handle.values() for i in features.problems}
        usable_rows = np.array([i for i in range(len(indices)) if i not in unreadable])
        self.labels = self.dataset.labels[indices[usable_rows]]
        for candidate in [*self.running]:
            with self._surviving(candidate.base.handle, candidate):
                self._probe(
                    candidate,
                    features_by_handle[candidate.base.handle],
                    usable_rows,
                    self.groups[indices[usable_rows]],
                    is_last=is_last,
                )
        self._check_any()

    def _probe(
        self, candidate: _Candidate, features: FeatureSet, usable_rows: np.ndarray, groups: np.ndarray, *, is_last: bool
    ) -> None:
        solved = solve(
            features.rows, usable_rows, self.labels, len(self.dataset.classes), task=self.task,
            groups=groups, class_weights=self.class_weights, seed=self.seed,
        )  # fmt: skip
        if solved.out_of_fold is None:
            raise InputError("too few examples that differ")
        candidate.probabilities = solved.out_of_fold
        if candidate.evidence is None:
            candidate.evidence = log_evidence(
                features.rows(usable_rows), self.labels, self.task, len(self.dataset.classes)
            )
        candidate.row = Row(
            handle=candidate.base.handle, size_mb=candidate.size_mb or 0.0, ms=candidate.ms, feature_dim=features.dim,
            evidence=candidate.evidence, examples=len(usable_rows),
            figure=self._figure(candidate.probabilities),
            log_loss=float(self.task.log_losses(self.labels, candidate.probabilities).mean()), finished=is_last,
        )  # fmt: skip

    def _figure(self, probabilities: np.ndarray) -> Interval:
        figures = self.task.evaluate(self.labels, probabilities, self.dataset.classes, None, seed=self.seed)
        return figures[self.task.deciding_metric]

    def _halve(self, *, by_evidence: bool) -> None:
        """Keep the better half, and what is faster than all that are better."""
        ranked = sorted(self.running, key=lambda candidate: candidate.row.log_loss)
        if by_evidence:
            # On 50 examples both judge badly, and together less so than either: where LogME takes a poor base for the
            # best, its head answers at random.
            places = {candidate.base.handle: place for place, candidate in enumerate(ranked)}
            by_logme = sorted(self.running, key=lambda candidate: -candidate.row.evidence)
            ranked = sorted(by_logme, key=lambda candidate: by_logme.index(candidate) + places[candidate.base.handle])
        half = max(_FINALISTS, -(-len(ranked) // 2))
        survivors = [
            candidate
            for place, candidate in enumerate(ranked)
            if place < half or all(candidate.ms < better.ms for better in ranked[:place])
        ]
        self.eliminated += [candidate.row for candidate in ranked if candidate not in survivors]
        self.running = survivors

    def _against(self, candidate: _Candidate, top: _Candidate) -> Comparison:
        return self.task.compare(self.labels, candidate.probabilities, top.probabilities, seed=self.seed)

    def _decoded(self, base: Base) -> list[np.ndarray]:
        """A few examples as the base takes them; those that cannot be used are passed over."""
        arrays: list[np.ndarray] = []
        reader = base.reader()
        for i in self.order.tolist():
            with suppress(BadExample):
                arrays.append(decode_example(reader, self.examples[i]))
            if len(arrays) == _TIMED:
                break
        if not arrays:
            raise InputError("it can use none of the examples")
        return arrays

    def _excess(self, size_mb: float | None, ms: float | None = None) -> tuple[str, str] | None:
        """What of the budget a base exceeds, and by which figure."""
        for value, maximum, unit in ((size_mb, self.budget.max_mb, "MB"), (ms, self.budget.max_ms, "ms")):
            if value is not None and maximum is not None and value > maximum:
                return f"more than {maximum:g} {unit}", f"{value:,.1f} {unit}"
        return None

    def _leave_out(self, handle: str, reason: str, figure: str = "", candidate: _Candidate | None = None) -> None:
        self.left_out.append(LeftOut(handle, reason, figure))
        self.running = [other for other in self.running if other is not candidate]

    @contextmanager
    def _surviving(self, handle: str, candidate: _Candidate | None = None) -> Iterator[None]:
        """A failure of one base does not stop the others."""
        try:
            yield
        except HeadstartError as exc:
            first_sentence = str(exc).partition(". ")[0].rstrip(".")
            self._leave_out(handle, first_sentence.removeprefix(f"{handle} is "), candidate=candidate)
        except Exception as exc:  # noqa: BLE001 - a foreign model may fail in any way
            self._leave_out(handle, last_error_line(str(exc) or type(exc).__name__), candidate=candidate)

    def _check_any(self) -> None:
        if self.running:
            return
        reasons = "".join(f"\n  {candidate}: {candidate.reason}" for candidate in self.left_out[:_REASONS_SHOWN])
        more = len(self.left_out) - _REASONS_SHOWN
        reasons += f"\n  … and {more:,} more" if more > 0 else ""
        candidate_group = f"no base {self.budget}".strip()
        raise InputError(
            f"{candidate_group} can be compared:{reasons}\nSet other {field_name('bases')}, or higher limits."
            if self.left_out
            else f"no named base is on this machine: set {field_name('bases', 'all')}, or name handles."
        )


def _size_mb(base: Base, prepared: Prepared) -> float:
    """Of the weights as float32, or of the files where a graph does not tell."""
    weights = sum(block.params for block in prepared.blocks)
    return (4 * weights or sum(path.stat().st_size for path in files_of(base).values())) / 1e6


def _in_turns(strata: Sequence[np.ndarray], n: int, seed: int) -> np.ndarray:
    """An order of examples of which every beginning has each class in its share, but the first few of each in turns.

    Returns:
        int (n,), positions.
    """
    rng = np.random.default_rng(seed)
    place = np.full(n, np.inf)
    for members in strata:
        rank = rng.permutation(len(members))
        in_share = (rank + rng.random()) / max(len(members), 1)
        place[members] = np.minimum(place[members], np.where(rank < _IN_TURNS, rank - _IN_TURNS, in_share))
    return np.lexsort((rng.permutation(n), place))
