"""Choosing a base: candidates are tried on a few of the user's own examples, and the better ones on more.

What costs is running a base over examples, so the choice is a race by successive halving (Jamieson and Talwalkar,
arXiv 1502.07943): all run over a few examples, the better half over more, and so on. The first cut asks LogME and the
log loss of a cross-validated head, and adds up the places they give; later ones ask the log loss. A base that looks
worse stays in while no better one is as fast: such bases cost little, and they are what a budget may ask for.

Only examples that `headstart train` would train on are looked at. Its test figures stay honest when a base was chosen
so, whoever chose it.
"""

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from headstart.bases import Base, load_base
from headstart.bases.bundle import files_of
from headstart.bases.candidates import Candidate, candidates
from headstart.config import (
    AUTO,
    ChoiceConfig,
    Config,
    TrainConfig,
    all_settings,
    given_settings,
    merge_settings,
    names_in,
)
from headstart.config.commands import COMPARE, reading_settings, shows_settings
from headstart.config.keywords import CompareKeywords
from headstart.data.audit import audit
from headstart.data.dataset import FRAME, Dataset, load_dataset
from headstart.data.readers import Resize, decode_example
from headstart.data.split import check_split, split_dataset
from headstart.errors import BadExample, HeadstartError, InputError, counted, field_name
from headstart.evaluation.transferability import log_evidence
from headstart.features import FeatureSet, extract
from headstart.features.engines import Prepared, last_error_line, latency_ms, prepare
from headstart.system.cost import Cost
from headstart.system.display import shown
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder, is_offline
from headstart.tasks import Metric, get_task
from headstart.tasks.comparison import Comparison
from headstart.tasks.statistics import Interval
from headstart.training.head.linear import solve

logger = logging.getLogger(__name__)

_ROUNDS = ((0.1, 2), (0.3, 4), (1.0, 10))
"""Of each, the share of the examples that it is held on, and how many of each class at least."""

_IN_TURNS = 10  # of each class, however rare
_FINALISTS = 3  # reach the last round with any score
_TIMED = 8  # examples that the latency is measured on
_FASTER = 1.2  # times as fast is worth a word
_REASONS_SHOWN = 10
_NOT_HERE = "not here, and the network must not be used"
_OF_COMPARISON = ("base", *names_in(ChoiceConfig))


@dataclass(frozen=True)
class Budget:
    """What a base may cost.

    Args:
        max_mb: size of its weights, in MB.
        max_ms: time for one example by itself on this machine, in milliseconds.
    """

    max_mb: float | None = None
    max_ms: float | None = None

    def __str__(self) -> str:
        """``under 20 MB and 15 ms``, or nothing."""
        parts = [f"{value:g} {unit}" for value, unit in ((self.max_mb, "MB"), (self.max_ms, "ms")) if value is not None]
        return f"under {' and '.join(parts)}" if parts else ""


@dataclass(frozen=True)
class Row:
    """One base that was tried.

    Attributes:
        handle: of the base.
        size_mb: of its weights, in MB (float32).
        ms: for one example by itself on this machine.
        feature_dim: d.
        evidence: LogME of its features on the examples of the first round.
        examples: how many it was judged on, in cross-validation.
        figure: accuracy, or mean average precision of multi-label data, with its interval.
        log_loss: cross-validated log loss.
        finished: whether it reached the last round.
        on_front: whether it did, and none that is better is as fast.
        against_top: it against the one with the best figure, on the same examples; None for that one itself and for
            what did not reach the last round.
    """

    handle: str
    size_mb: float
    ms: float
    feature_dim: int
    evidence: float
    examples: int
    figure: Interval
    log_loss: float
    finished: bool
    on_front: bool = False
    against_top: Comparison | None = None

    @property
    def score(self) -> tuple[float, float]:
        """The larger, the better; among equal figures the lower log loss counts."""
        return self.figure["value"] or 0.0, -self.log_loss

    @property
    def is_worse(self) -> bool:
        """Whether the base with the best metric is significantly better."""
        return self.against_top is not None and self.against_top.favours_second


@dataclass(frozen=True)
class LeftOut:
    """A base that was not tried, and why not.

    Attributes:
        handle: of the base.
        reason: why.
        figure: its size or time, where that is the reason.
    """

    handle: str
    reason: str
    figure: str = ""

    def __str__(self) -> str:
        return f"{self.handle} ({self.figure})" if self.figure else self.handle


@dataclass(frozen=True)
class BaseComparison:
    """Bases, compared on someone's data.

    Attributes:
        source: of the data, as it was given.
        modality: ``image`` or ``text``.
        task: name of the task.
        metric: name of the figure that decides, such as ``accuracy``.
        budget: that they had to meet.
        min_accuracy: required accuracy as a fraction, if any.
        rounds: how many examples each round was held on.
        rows: the bases that were tried: those of the last round first, each part from the best down.
        left_out: those that were not, with reasons.
        best: handle of the chosen one.
        config: settings that differ from their defaults, to train with them as well.
        cost: of the comparison.
    """

    source: str
    modality: str
    task: str
    metric: str
    budget: Budget
    min_accuracy: float | None
    rounds: list[int]
    rows: list[Row]
    left_out: list[LeftOut]
    best: str
    config: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<headstart comparison of {counted(len(self.rows), 'base')} on {self.source}: {self.verdict()}>"

    @property
    def finalists(self) -> list[Row]:
        """The bases of the last round, from the best down."""
        return [row for row in self.rows if row.finished]

    @property
    def chosen(self) -> Row:
        """The best base."""
        return next(row for row in self.rows if row.handle == self.best)

    def format_figure(self, row: Row) -> str:
        """The figure of a base with its interval."""
        value, low, high = (row.figure[name] for name in ("value", "low", "high"))
        form = self._metric.format_value
        return form(value) if low is None or high is None else f"{form(value)} ({form(low)} to {form(high)})"

    @property
    def _metric(self) -> Metric:
        return get_task(self.task).metric(self.metric)

    def status(self, row: Row) -> str:
        """How a base stands to the one with the best figure, in a few words."""
        if not row.finished:
            return "eliminated"
        return "" if row.against_top is None else "worse" if row.is_worse else "not significant"

    def difference(self, row: Row) -> str:
        """By how much a base falls behind the one with the best figure, with its 95 % interval; empty for others."""
        against = row.against_top
        if against is None:
            return ""
        scale, digits, unit = (100, 1, " points") if self._metric.is_share else (1, 3, "")
        difference, low, high = (scale * value for value in (against.difference, *against.value_gain))
        return f"behind by {difference:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"

    def reasons(self) -> dict[str, list[str]]:
        """Why bases were left out: reason -> handles, with their figures."""
        found: dict[str, list[str]] = {}
        for one in self.left_out:
            found.setdefault(one.reason, []).append(str(one))
        return found

    def verdict(self) -> str:
        """Which is the best, in one line."""
        row, what = self.chosen, f"best {self.budget}".strip()
        if self.min_accuracy is not None:
            wanted = f"{self.min_accuracy:.1%}"
            is_reached = row.score[0] >= self.min_accuracy
            what = f"fastest {self.budget} with {wanted}" if is_reached else f"none reaches {wanted}; {what}"
            what = what.replace("  ", " ")
        return (
            f"{what}: {row.handle}, {self._metric.in_text} {self.format_figure(row)} on {row.examples:,} examples, "
            f"{row.size_mb:,.1f} MB, {row.ms:.1f} ms"
        )

    def caveats(self) -> list[str]:
        """What chance leaves open, and what follows from it; a sentence each."""
        top, *others = self.finalists
        equals = [row for row in others if not row.is_worse]
        if not equals:
            return []
        caveats = [f"Not significantly different from {top.handle}: {_listed([row.handle for row in equals])}."]
        fastest = min(equals, key=lambda row: row.ms)
        if self.chosen is top and fastest.ms < top.ms / _FASTER:
            caveats.append(
                f"{fastest.handle} is the fastest of these: {top.ms / fastest.ms:.1f} times as fast as the best."
            )
        return caveats

    def command(self) -> str:
        """What to go on with: a command, or for a DataFrame a call."""
        if self.source == FRAME:
            return f"headstart.train(data, base={self.best!r})"
        words = ["headstart", "train", self.source, "--base", self.best, *_as_options(self.config)]
        return shlex.join(words)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        rows = [{**asdict(row), "status": self.status(row), "difference": self.difference(row)} for row in self.rows]
        return {
            **asdict(self),
            "rows": rows,
            "reasons": self.reasons(),
            "verdict": self.verdict(),
            "caveats": self.caveats(),
            "command": self.command(),
        }

    def report(self, path: str | Path) -> Path:
        """Write all of it as one self-contained page, and give its path.

        Raises:
            InputError: the path is not that of a page.
        """
        from headstart.reports.comparison import write_comparison

        return write_comparison(self.to_json(), Path(path))


@shows_settings(COMPARE)
def compare(
    data: Any,
    *,
    config: Config = None,
    min_accuracy: float | None = None,
    examples: int = 500,
    cache: str | Path | None = None,
    progress: bool | Progress = True,
    **settings: Unpack[CompareKeywords],
) -> BaseComparison:
    """Compare pretrained bases on some data, and say which is the best one within a budget.

    Each is judged by the cross-validated linear head on its frozen features, on a stratified sample of the examples
    that :func:`headstart.train` would train on.

    Args:
        data: a folder, a table or a DataFrame.
        config: settings, as for :func:`headstart.train`; see :data:`headstart.config.commands.COMPARE`.
        min_accuracy: a share; the best base is then the fastest one that reaches it.
        examples: number of examples in the last round.
        cache: folder of the feature cache; the cache of the user when None.
        progress: as for :func:`headstart.train`.
        settings: settings by name; see ``config``.

    Raises:
        InputError: an argument or the data cannot be used, or no base is available or within the budget.
    """
    values = {"base": AUTO, **merge_settings(config, settings, allowed=COMPARE)}
    whole, cost = TrainConfig.from_settings(values), Cost()
    dataset = load_dataset(data, **reading_settings(whole))
    budget = Budget(whole.choice.max_mb, whole.choice.max_ms)
    with shown(progress) as followed:
        found = compare_on(
            dataset, whole.choice.bases, budget, min_accuracy=min_accuracy, examples=examples,
            **asdict(whole.split), **asdict(whole.input), cache=Path(cache).expanduser() if cache else None,
            progress=followed,
        )  # fmt: skip
    given = {name: value for name, value in given_settings(whole).items() if name not in _OF_COMPARISON}
    return replace(found, config=given, cost=cost.so_far())


def compare_on(
    dataset: Dataset,
    bases: str | Sequence[str],
    budget: Budget,
    *,
    min_accuracy: float | None = None,
    examples: int = 500,
    val: float,
    test: float,
    seed: int,
    shots: int | None = None,
    input_size: int | tuple[int, int] | None = None,
    resize: Resize | None = None,
    cache: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> BaseComparison:
    """Compare bases on a data set; see :func:`compare`, and for ``shots`` :func:`headstart.train`."""
    if examples < 1:
        raise InputError(f"expected at least 1, such as 500, got {examples}.", field="examples")
    if min_accuracy is not None and not 0 < min_accuracy <= 1:
        raise InputError(
            f"expected a share above 0 and up to 1, such as 0.9, got {min_accuracy:g}.", field="min_accuracy"
        )
    race = _SuccessiveHalving(dataset, budget, seed, cache or cache_folder(), progress)
    race.load(candidates(bases, dataset.modality), input_size=input_size, resize=resize)
    race.draw(val=val, test=test, shots=shots)
    race.measure()
    rounds = race.run(examples)
    rows = race.rows()
    good = [row for row in rows if row.finished and row.score[0] >= (min_accuracy or 0)]
    best = min(good, key=lambda row: row.ms) if min_accuracy and good else rows[0]
    return BaseComparison(
        dataset.source,
        dataset.modality.name,
        dataset.task.name,
        dataset.task.deciding_metric,
        budget,
        min_accuracy,
        rounds,
        rows,
        race.left_out,
        best.handle,
    )


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


class _SuccessiveHalving:
    """Bases that are compared, and what is known of them so far."""

    def __init__(self, dataset: Dataset, budget: Budget, seed: int, cache: Path, progress: Progress) -> None:
        self.progress = progress
        self.dataset, self.budget, self.seed, self.cache = dataset, budget, seed, cache
        self.examples = dataset.examples
        self.task = dataset.task
        self.running: list[_Candidate] = []
        self.beaten: list[Row] = []
        self.left_out: list[LeftOut] = []

    def load(self, chosen: Sequence[Candidate], **options: Any) -> None:
        """Make bases of the handles; those that cannot be had, or are known to be too large, are left out."""
        to_fetch = [one for one in chosen if one.is_local is False and self._excess(one.size_mb) is None]
        if to_fetch and not is_offline():
            megabytes = sum(one.size_mb or 0 for one in to_fetch)
            logger.info(f"{counted(len(to_fetch), 'base')} will be downloaded, about {megabytes:,.0f} MB in all")
        for one in chosen:
            if excess := self._excess(one.size_mb):
                self._leave_out(one.handle, *excess)
            elif one in to_fetch and is_offline():
                self._leave_out(one.handle, _NOT_HERE)
            else:
                with self._surviving(one.handle):
                    base = load_base(
                        one.handle, texts=self.dataset.texts, cache=self.cache, progress=self.progress, **options
                    )
                    if base.modality is not self.dataset.modality:
                        raise InputError(f"it is a base for {base.modality.plural}")
                    if all(base.handle != other.base.handle for other in self.running):
                        self.running.append(_Candidate(base, one.size_mb))
        self._check_any()

    def draw(self, *, val: float, test: float, shots: int | None) -> None:
        """Find out which examples may be looked at, and in which order."""
        features = extract(self.running[0].base, self.examples, only=[], cache=self.cache, progress=self.progress)
        checked = audit(self.dataset, features.digests, features.problems)
        split = split_dataset(
            self.dataset, checked.usable, features.digests, val=val, test=test, seed=self.seed, shots=shots
        )
        labels = self.dataset.labels[split.usable]
        check_split(self.task, labels, split.splits, self.dataset.classes, skipped=checked.skipped)
        train = split.index("train")
        self.order = train[_in_turns(self.task.strata(self.dataset.labels[train]), len(train), self.seed)]
        self.groups = split.groups
        self.class_weights = self.task.class_weights(self.dataset.labels[train], len(self.dataset.classes), "auto")

    def measure(self) -> None:
        """Size and speed of each; those beyond the budget are left out."""
        for one in [*self.running]:
            with self._surviving(one.base.handle, one):
                examples = self._decoded(one.base)
                prepared = prepare(one.base, self.cache, one.base.reader().batch(examples))
                one.size_mb = _size_mb(one.base, prepared)
                excess = self._excess(one.size_mb)
                if not excess:
                    one.ms = latency_ms(one.base, self.cache, examples)
                    excess = self._excess(one.size_mb, one.ms)
                if excess:
                    self._leave_out(one.base.handle, *excess, one=one)
        self._check_any()

    def run(self, examples: int) -> list[int]:
        """Hold the rounds; gives the number of examples in each."""
        n_classes = len(self.dataset.classes)
        sizes = [max(round(share * examples), fewest * n_classes) for share, fewest in _ROUNDS]
        *earlier, last = sorted({min(size, len(self.order)) for size in sizes})
        held: list[int] = []
        for size in earlier:
            if len(self.running) > _FINALISTS:
                self._judge(size)
                self._halve(by_evidence=not held)
                held.append(size)
        self._judge(last, is_last=True)
        return [*held, last]

    def rows(self) -> list[Row]:
        """What was found: those of the last round first, each round from the best down."""
        ranked = sorted(self.running, key=lambda one: one.row.score, reverse=True)
        top, rows = ranked[0], []
        for place, one in enumerate(ranked):
            on_front = all(one.row.ms < better.row.ms for better in ranked[:place])
            rows.append(
                replace(one.row, on_front=on_front, against_top=None if one is top else self._against(one, top))
            )
        return rows + sorted(self.beaten, key=lambda row: (row.examples, row.score), reverse=True)

    def _judge(self, size: int, *, is_last: bool = False) -> None:
        """Run all that are left over the first examples, and cross-validate the head on what comes out."""
        logger.info(f"{counted(len(self.running), 'base')} on {counted(size, self.dataset.modality.noun)} …")
        chosen = self.order[:size]
        examples = [self.examples[i] for i in chosen.tolist()]
        found: dict[str, FeatureSet] = {}
        for one in [*self.running]:
            handle = one.base.handle
            with self._surviving(handle, one):
                found[handle] = extract(one.base, examples, cache=self.cache, label=handle, progress=self.progress)
        bad = {i for features in found.values() for i in features.problems}
        kept = np.array([i for i in range(len(chosen)) if i not in bad])
        self.labels = self.dataset.labels[chosen[kept]]
        for one in [*self.running]:
            with self._surviving(one.base.handle, one):
                self._probe(one, found[one.base.handle], kept, self.groups[chosen[kept]], is_last=is_last)
        self._check_any()

    def _probe(
        self, one: _Candidate, features: FeatureSet, kept: np.ndarray, groups: np.ndarray, *, is_last: bool
    ) -> None:
        solved = solve(
            features.rows, kept, self.labels, len(self.dataset.classes), task=self.task,
            groups=groups, class_weights=self.class_weights, seed=self.seed,
        )  # fmt: skip
        if solved.out_of_fold is None:
            raise InputError("too few examples that differ")
        one.probabilities = solved.out_of_fold
        if one.evidence is None:
            one.evidence = log_evidence(features.rows(kept), self.labels, self.task, len(self.dataset.classes))
        one.row = Row(
            handle=one.base.handle, size_mb=one.size_mb or 0.0, ms=one.ms, feature_dim=features.dim,
            evidence=one.evidence, examples=len(kept),
            figure=self._figure(one.probabilities),
            log_loss=float(self.task.log_losses(self.labels, one.probabilities).mean()), finished=is_last,
        )  # fmt: skip

    def _figure(self, probabilities: np.ndarray) -> Interval:
        figures = self.task.evaluate(self.labels, probabilities, self.dataset.classes, None, seed=self.seed)
        return figures[self.task.deciding_metric]

    def _halve(self, *, by_evidence: bool) -> None:
        """Keep the better half, and what is faster than all that are better."""
        ranked = sorted(self.running, key=lambda one: one.row.log_loss)
        if by_evidence:
            # On 50 examples both judge badly, and together less so than either: where LogME takes a poor base for the
            # best, its head answers at random.
            places = {one.base.handle: place for place, one in enumerate(ranked)}
            by_logme = sorted(self.running, key=lambda one: -one.row.evidence)
            ranked = sorted(by_logme, key=lambda one: by_logme.index(one) + places[one.base.handle])
        half = max(_FINALISTS, -(-len(ranked) // 2))
        kept = [
            one
            for place, one in enumerate(ranked)
            if place < half or all(one.ms < better.ms for better in ranked[:place])
        ]
        self.beaten += [one.row for one in ranked if one not in kept]
        self.running = kept

    def _against(self, one: _Candidate, top: _Candidate) -> Comparison:
        return self.task.compare(self.labels, one.probabilities, top.probabilities, seed=self.seed)

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
        for value, most, unit in ((size_mb, self.budget.max_mb, "MB"), (ms, self.budget.max_ms, "ms")):
            if value is not None and most is not None and value > most:
                return f"more than {most:g} {unit}", f"{value:,.1f} {unit}"
        return None

    def _leave_out(self, handle: str, reason: str, figure: str = "", one: _Candidate | None = None) -> None:
        self.left_out.append(LeftOut(handle, reason, figure))
        self.running = [other for other in self.running if other is not one]

    @contextmanager
    def _surviving(self, handle: str, one: _Candidate | None = None) -> Iterator[None]:
        """A failure of one base does not stop the others."""
        try:
            yield
        except HeadstartError as exc:
            first_sentence = str(exc).partition(". ")[0].rstrip(".")
            self._leave_out(handle, first_sentence.removeprefix(f"{handle} is "), one=one)
        except Exception as exc:  # noqa: BLE001 - a foreign model may fail in any way
            self._leave_out(handle, last_error_line(str(exc) or type(exc).__name__), one=one)

    def _check_any(self) -> None:
        if self.running:
            return
        reasons = "".join(f"\n  {one}: {one.reason}" for one in self.left_out[:_REASONS_SHOWN])
        more = len(self.left_out) - _REASONS_SHOWN
        reasons += f"\n  … and {more:,} more" if more > 0 else ""
        what = f"no base {self.budget}".strip()
        raise InputError(
            f"{what} can be compared:{reasons}\nSet other {field_name('bases')}, or higher limits."
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


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _as_options(values: Mapping[str, Any]) -> Iterator[str]:
    """Settings as options of a command."""
    for name, value in values.items():
        yield f"--{name.replace('_', '-')}"
        yield all_settings()[name].text(value)
