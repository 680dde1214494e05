"""The result of a comparison of bases: figures, verdict, what to do next."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headstart.config import (
    all_settings,
)
from headstart.data.tables import FRAME
from headstart.errors import counted
from headstart.tasks import Metric, get_task
from headstart.tasks.comparison import Comparison
from headstart.tasks.statistics import Interval

_FASTER = 1.2  # times as fast is worth a word
_NEAR = 0.1  # of the best figure


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
        examples: how many its last round was held on: in cross-validation, or to train on.
        figure: the metric that decides, with its interval.
        finished: whether it reached the last round.
        feature_dim: number of its features; None for a detector, as the next two.
        evidence: LogME of its features on the examples of the first round.
        log_loss: cross-validated log loss.
        on_front: whether it did, and none that is better is as fast.
        against_top: it against the one with the best figure, on the same examples; None for that one itself and for
            what did not reach the last round.
    """

    handle: str
    size_mb: float
    ms: float
    examples: int
    figure: Interval
    finished: bool
    feature_dim: int | None = None
    evidence: float | None = None
    log_loss: float | None = None
    on_front: bool = False
    against_top: Comparison | None = None

    def score(self, metric: Metric) -> tuple[float, float]:
        """The larger, the better by the metric of the figure; among equal figures the lower log loss counts."""
        return metric.rank(self.figure["value"]), -(self.log_loss or 0.0)

    def reaches(self, metric: Metric, required: float) -> bool:
        """Whether the figure is at least as good as a required one."""
        return metric.rank(self.figure["value"]) >= metric.rank(required)

    @property
    def is_worse(self) -> bool:
        """Whether the base with the best metric is significantly better."""
        return self.against_top is not None and self.against_top.favours_second

    @property
    def is_within_error(self) -> bool:
        """Whether the base with the best metric is better by at most one standard error of the difference.

        And by at most a tenth: where hardly anything is found, the standard error tells nothing.
        """
        if self.against_top is None:
            return True
        difference, best = self.against_top.gain, self.against_top.value[1]
        return difference <= min(self.against_top.standard_error, _NEAR * best)


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
        method: what the figures are, in a sentence.
        budget: that they had to meet.
        min_accuracy: required accuracy as a fraction, if any.
        rounds: how many examples each round was held on.
        rows: the bases that were tried: those of the last round first, each part from the best down.
        left_out: those that were not, with reasons.
        best: handle of the chosen one.
        judged: number of examples that the figures are on, if these are others than the trained ones.
        config: settings that differ from their defaults, to train with them as well.
        cost: of the comparison.
    """

    source: str
    modality: str
    task: str
    metric: str
    method: str
    budget: Budget
    min_accuracy: float | None
    rounds: list[int]
    rows: list[Row]
    left_out: list[LeftOut]
    best: str
    judged: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<headstart comparison of {counted(len(self.rows), 'base')} on {self.source}: {self.verdict()}>"

    @property
    def finalists(self) -> list[Row]:
        """The bases of the last round, from the best down."""
        return [row for row in self.rows if row.finished]

    @property
    def best_row(self) -> Row:
        """The best base."""
        return next(row for row in self.rows if row.handle == self.best)

    def format_figure(self, row: Row) -> str:
        """The figure of a base with its interval."""
        value, low, high = (row.figure[name] for name in ("value", "low", "high"))
        form = self._metric.format_value
        return form(value) if low is None or high is None else f"{form(value)} ({form(low)} to {form(high)})"

    @property
    def metric_title(self) -> str:
        """The name of the figure, within a sentence."""
        return self._metric.in_text

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
        difference, low, high = (scale * value for value in (against.gain, *against.gain_interval))
        return f"behind by {difference:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"

    def reasons(self) -> dict[str, list[str]]:
        """Why bases were left out: reason -> handles, with their figures."""
        handles: dict[str, list[str]] = {}
        for left_out in self.left_out:
            handles.setdefault(left_out.reason, []).append(str(left_out))
        return handles

    def verdict(self) -> str:
        """Which is the best, in one line."""
        row, title = self.best_row, f"best {self.budget}".strip()
        if row is not self.rows[0]:
            title = f"fastest {self.budget}".strip() + f" of those within one standard error of {self.rows[0].handle}"
        if self.min_accuracy is not None:
            min_accuracy = f"{self.min_accuracy:.1%}"
            is_reached = row.reaches(self._metric, self.min_accuracy)
            title = (
                f"fastest {self.budget} with {min_accuracy}" if is_reached else f"none reaches {min_accuracy}; {title}"
            )
            title = title.replace("  ", " ")
        figure = f"{self._metric.in_text} {self.format_figure(row)} on {self.judged or row.examples:,} examples"
        return f"{title}: {row.handle}, {figure}, {row.size_mb:,.1f} MB, {row.ms:.1f} ms"

    def caveats(self) -> list[str]:
        """What chance leaves open, and what follows from it; a sentence each."""
        top, *runners_up = self.finalists
        equals = [row for row in runners_up if not row.is_worse]
        if not equals:
            return []
        caveats = [f"Not significantly different from {top.handle}: {_join_handles([row.handle for row in equals])}."]
        fastest = min(equals, key=lambda row: row.ms)
        if self.best_row is top and fastest.ms < top.ms / _FASTER:
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
            "metric_title": self.metric_title,
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


def _join_handles(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _as_options(values: Mapping[str, Any]) -> Iterator[str]:
    """Settings as options of a command."""
    for name, value in values.items():
        yield f"--{name.replace('_', '-')}"
        yield all_settings()[name].text(value)
