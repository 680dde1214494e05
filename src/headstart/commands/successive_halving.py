"""Choosing a base: all candidates are tried on a few examples of the user, and the better ones on more.

Running a base over examples is what takes time, so the choice is made by successive halving (Jamieson and Talwalkar,
arXiv 1502.07943): all candidates are tried on a few examples, the better half on more, and so on. A worse base stays
while no better one is as fast: such bases cost little, and a budget may need them. What a trial is depends on what is
trained: see :mod:`.head_comparison` and :mod:`.detector_comparison`.

Test examples are not used, so the test figures of `headstart train` stay valid for the chosen base.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.bases import Base, load_base
from headstart.bases.bundle import files_of
from headstart.bases.candidates import Candidate
from headstart.commands.base_comparison import Budget, LeftOut, Row
from headstart.commands.data_preparation import load_for_input
from headstart.config import TrainConfig
from headstart.data.audit import audit
from headstart.data.dataset import Dataset
from headstart.data.missing_files import check_usable
from headstart.data.readers import decode_example
from headstart.data.split import check_split, split_dataset, stratified_order
from headstart.errors import BadExample, HeadstartError, InputError, counted, field_name
from headstart.features import extract
from headstart.features.engines import Prepared, last_error_line, latency_ms, prepare
from headstart.system.progress import Progress
from headstart.system.settings import is_offline
from headstart.tasks.comparison import Comparison
from headstart.tasks.statistics import Interval

logger = logging.getLogger(__name__)

_FINALISTS = 3  # reach the last round with any score
_TIMED = 8  # examples that the latency is measured on
_REASONS_SHOWN = 10
_NOT_HERE = "not here, and the network must not be used"


@dataclass(eq=False)
class Contender:
    """A base that is compared.

    Attributes:
        base: itself.
        size_mb: in MB, as far as known.
        ms: for one example.
        evidence: LogME of its features in the first round.
        row: what the last round found.
        outputs: about the judged examples of that round.
    """

    base: Base
    size_mb: float | None
    ms: float = 0.0
    evidence: float | None = None
    row: Row = field(init=False)
    outputs: np.ndarray = field(init=False)


class SuccessiveHalving(ABC):
    """Bases that are compared, and what is known of them so far.

    Args:
        dataset: the examples.
        config: how they are read and split, and the budget.
        cache: the cache folder.
        progress: follows the work.

    Attributes:
        rounds: of each, the share of the examples that it is held on, and how many of each class at least.
        labels: of the examples that the outputs are about, in the last round.
        n_judged: number of these examples, if they are others than those trained on.
    """

    rounds: ClassVar[Sequence[tuple[float, int]]]
    labels: np.ndarray
    n_judged: int | None = None

    def __init__(self, dataset: Dataset, config: TrainConfig, cache: Path, progress: Progress) -> None:
        self.progress, self.config = progress, config
        self.dataset, self.seed, self.cache = dataset, config.split.seed, cache
        self.budget = Budget(config.choice.max_mb, config.choice.max_ms)
        self.examples = dataset.examples
        self.running: list[Contender] = []
        self.eliminated: list[Row] = []
        self.left_out: list[LeftOut] = []

    @abstractmethod
    def _try_all(self, size: int, *, is_last: bool) -> None:
        """Try all that are left on the first examples; fills the row and the outputs of each."""

    @abstractmethod
    def _ranked(self, *, is_first: bool) -> list[Contender]:
        """Those that are left, from the best down, after the first round or a later one."""

    @property
    @abstractmethod
    def method(self) -> str:
        """What the figures are, in a sentence."""

    def choose(self, rows: Sequence[Row]) -> Row:
        """The best of the bases of the last round, which are in the order of their figures."""
        return rows[0]

    def _timed_base(self, contender: Contender, probe: np.ndarray) -> Base:
        """What runs for each example; ``probe`` are a few examples as the base takes them."""
        return contender.base

    def load(self, candidates: Sequence[Candidate], *, is_size_set: bool) -> None:
        """Make bases of the handles; those that cannot be had, or are known to be too large, are left out.

        Args:
            candidates: the handles.
            is_size_set: whether the user set the size of the input.
        """
        options: dict[str, Any] = {
            **asdict(self.config.input),
            "texts": self.dataset.texts,
            "cache": self.cache,
            "progress": self.progress,
        }
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
                with self.surviving(candidate.handle):
                    base = load_for_input(partial(load_base, candidate.handle), options, is_size_set=is_size_set)
                    if base.modality.name != self.dataset.modality.name:
                        raise InputError(f"it is a base for {base.modality.plural}")
                    if all(base.handle != other.base.handle for other in self.running):
                        self.running.append(Contender(base, candidate.size_mb))
        self._check_any()

    def draw(self) -> None:
        """Find out which examples may be looked at, and in which order."""
        features = extract(self.running[0].base, self.examples, only=[], cache=self.cache, progress=self.progress)
        checked = audit(self.dataset, features.digests, features.problems)
        check_usable(self.dataset, checked)
        split = split_dataset(self.dataset, checked.usable, features.digests, **asdict(self.config.split))
        labels = self.dataset.labels[split.usable]
        check_split(
            self.dataset.task,
            labels,
            split.splits,
            self.dataset.classes,
            skipped=checked.skipped,
            plural=self.dataset.modality.plural,
            is_given=self.dataset.given_splits is not None,
        )
        train = split.index("train")
        self.order = train[
            stratified_order(self.dataset.task.strata(self.dataset.labels[train]), len(train), self.seed)
        ]
        self.split, self.digests = split, features.digests

    def measure(self) -> None:
        """Size and speed of each; those beyond the budget are left out."""
        for candidate in [*self.running]:
            with self.surviving(candidate.base.handle, candidate):
                examples = self._decoded(candidate.base)
                probe = candidate.base.reader().batch(examples)
                prepared = prepare(candidate.base, self.cache, probe)
                candidate.size_mb = _size_mb(candidate.base, prepared)
                excess = self._excess(candidate.size_mb)
                if not excess:
                    candidate.ms = latency_ms(self._timed_base(candidate, probe), self.cache, examples)
                    excess = self._excess(candidate.size_mb, candidate.ms)
                if excess:
                    self._leave_out(candidate.base.handle, *excess, candidate=candidate)
        self._check_any()

    def run(self, examples: int) -> list[int]:
        """Hold the rounds; gives the number of examples in each."""
        n_classes = len(self.dataset.classes)
        sizes = [max(round(share * examples), fewest * n_classes) for share, fewest in self.rounds]
        *earlier, last = sorted({min(size, len(self.order)) for size in sizes})
        rounds: list[int] = []
        for size in earlier:
            if len(self.running) > _FINALISTS:
                self._judge(size)
                self._halve(is_first=not rounds)
                rounds.append(size)
        self._judge(last, is_last=True)
        return [*rounds, last]

    def rows(self) -> list[Row]:
        """What was found: those of the last round first, each round from the best down."""
        metric = self.dataset.task.deciding
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
        logger.info(f"{counted(len(self.running), 'base')} on {counted(size, self.dataset.modality.noun)} …")
        self._try_all(size, is_last=is_last)
        self._check_any()

    def _halve(self, *, is_first: bool) -> None:
        """Keep the better half, and what is faster than all that are better."""
        ranked = self._ranked(is_first=is_first)
        half = max(_FINALISTS, -(-len(ranked) // 2))
        survivors = [
            candidate
            for place, candidate in enumerate(ranked)
            if place < half or all(candidate.ms < better.ms for better in ranked[:place])
        ]
        self.eliminated += [candidate.row for candidate in ranked if candidate not in survivors]
        self.running = survivors

    def figure_of(self, outputs: np.ndarray) -> Interval:
        """The metric that decides, of outputs about the judged examples."""
        task = self.dataset.task
        return task.evaluate(self.labels, outputs, self.dataset.classes, None, seed=self.seed)[task.deciding_metric]

    def _against(self, candidate: Contender, top: Contender) -> Comparison:
        return self.dataset.task.compare(self.labels, candidate.outputs, top.outputs, seed=self.seed)

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

    def _leave_out(self, handle: str, reason: str, figure: str = "", candidate: Contender | None = None) -> None:
        self.left_out.append(LeftOut(handle, reason, figure))
        self.running = [other for other in self.running if other is not candidate]

    @contextmanager
    def surviving(self, handle: str, candidate: Contender | None = None) -> Iterator[None]:
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
