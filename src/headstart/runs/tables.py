"""The tables of a run, the only place that writes and reads them.

========================  ==========================================================================================
``predictions.csv``       every evaluated example: its labels, what the run predicts, with which probability
``suspects.csv``          label issues, the surest first; an edited copy of it is a table for ``relabel``
``history.csv``           what was measured epoch by epoch, and by trials of l2
``skipped.csv``           files that were left out
========================  ==========================================================================================

What was damaged or edited so that it means nothing any more is refused by file, line and column.
"""

import csv
import hashlib
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from headstart.data.corrections import DROP
from headstart.data.dataset import Dataset
from headstart.data.example_rows import Skipped
from headstart.data.examples import Example
from headstart.data.modalities import Modality
from headstart.errors import IntegrityError
from headstart.evaluation import LabelIssues
from headstart.runs.answers import Answers
from headstart.runs.files import ADVICE, checked_file
from headstart.runs.migrations import migrate_header
from headstart.runs.schema import RunFacts
from headstart.tasks import Task, get_task
from headstart.tasks.answers import Scores

T = TypeVar("T")

PREDICTIONS, LABEL_ISSUES, HISTORY, SKIPPED = "predictions.csv", "suspects.csv", "history.csv", "skipped.csv"

_PREDICTION_COLUMNS = ("split", "file", "label", "predicted", "sha256")  # before those of the task
_ISSUE_COLUMNS = ("split", "file", "label", "suggested", "probability", "label_probability", "sha256")
_HISTORY_COLUMNS = ("phase", "epoch", "l2", "loss", "accuracy", "val_loss", "val_accuracy", "val_map")
_SKIPPED_COLUMNS = ("file", "reason")
_LONGEST = 60  # characters of a wrong cell that are shown


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionRow:
    """One example, and what the run predicts for it.

    Attributes:
        split: that it is in.
        file: its path below the root of the data, or what a text is called.
        labels: its class, or all its labels.
        predicted: the class, or all labels, that the run predicts.
        label_cell: its labels as the table has them; so ``predicted_cell``: what is predicted.
        predicted_cell: see :meth:`headstart.tasks.Task.to_cell`.
        sha256: of its content, hex; empty where unknown.
        text: its content, if tables hold it; else empty.
        scores: probabilities, and the worst mistake.
    """

    split: str
    file: str
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    label_cell: str
    predicted_cell: str
    sha256: str
    text: str
    scores: Scores


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelIssue:
    """An example whose label looks wrong.

    Attributes:
        split: that it is in.
        file: its path below the root of the data, or what a text is called.
        labels: its class, or all its labels.
        suggested: the class, or the labels, that it rather has.
        label_cell: its labels as the table has them; so ``suggested_cell``: those that it rather has.
        suggested_cell: see :meth:`headstart.tasks.Task.to_cell`.
        probability: of the suggestion, by a head that was trained without the example; of multi-label data, of the
            label that is likeliest to be wrong.
        label_probability: of the class that it is labelled with; of multi-label data, of that label being right.
        sha256: of its content, hex.
        text: its content, if tables hold it; else empty.
    """

    split: str
    file: str
    labels: tuple[str, ...]
    suggested: tuple[str, ...]
    label_cell: str
    suggested_cell: str
    probability: float
    label_probability: float
    sha256: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """What was measured once; None where it was not, or is not finite.

    Attributes:
        phase: ``cross-validation`` (of a solved head), ``head`` (of an mlp), ``search``, ``fine-tuning`` or
            ``detector``.
        epoch: of the phase, or number of the trial.
        l2: regularisation that was tried.
        loss: on the training examples; so is ``accuracy``.
        accuracy: share of right answers.
        val_loss: on examples that were not trained on; so is ``val_accuracy``.
        val_accuracy: share of right answers.
        val_map: mean average precision of detections.
    """

    phase: str
    epoch: int | None = None
    l2: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_map: float | None = None


# --- writing -------------------------------------------------------------------------------------------------------


def write_predictions(folder: Path, classes: Sequence[str], answers: Answers) -> None:
    """Write ``predictions.csv``."""
    task = answers.task
    predicted = task.decide(answers.outputs, answers.thresholds)
    header = [*_PREDICTION_COLUMNS, *task.table_columns(classes)]
    columns: list[Iterable[str]] = [
        answers.splits.tolist(),
        answers.files,
        (task.to_cell(label, classes) for label in answers.labels),
        (task.to_cell(label, classes) for label in predicted),
        (digest.hex() for digest in answers.digests),
        *task.table(answers.labels, answers.outputs, answers.thresholds, classes),
    ]
    texts = _text_column(answers.modality, answers.examples)
    _write(folder / PREDICTIONS, [*header, *texts], zip(*columns, *texts.values(), strict=True))


def write_no_predictions(folder: Path) -> None:
    """Write a ``predictions.csv`` without rows, of a run that was adopted."""
    _write(folder / PREDICTIONS, _PREDICTION_COLUMNS, ())


def write_skipped(folder: Path, skipped: Sequence[Skipped]) -> None:
    """Write ``skipped.csv``."""
    _write(folder / SKIPPED, _SKIPPED_COLUMNS, skipped)


def write_history(folder: Path, history: Iterable[HistoryRow]) -> None:
    """Write ``history.csv``."""
    rows = ([getattr(row, name) for name in _HISTORY_COLUMNS] for row in history)
    _write(folder / HISTORY, _HISTORY_COLUMNS, (["" if value is None else value for value in row] for row in rows))


def write_label_issues(
    folder: Path, dataset: Dataset, answers: Answers, usable: np.ndarray, issues: LabelIssues
) -> None:
    """Write ``suspects.csv``.

    Args:
        folder: of the run.
        dataset: the examples.
        answers: about those in use.
        usable: int (m,), their indices into the data set.
        issues: the examples whose label looks wrong, the surest first.
    """
    at = np.searchsorted(usable, issues.indices).tolist()  # usable ones are in order
    columns: list[Iterable[Any]] = [
        answers.splits[at].tolist(),
        [answers.files[i] for i in at],
        [dataset.task.to_cell(label, dataset.classes) for label in answers.labels[at]],
        [dataset.task.to_cell(label, dataset.classes) for label in issues.suggested],
        [f"{p:.6f}" for p in issues.probability],
        [f"{p:.6f}" for p in issues.label_probability],
        [answers.digests[i].hex() for i in at],
    ]
    texts = _text_column(answers.modality, [answers.examples[i] for i in at])
    _write(folder / LABEL_ISSUES, [*_ISSUE_COLUMNS, *texts], zip(*columns, *texts.values(), strict=True))


def _text_column(modality: Modality, examples: Sequence[Example]) -> dict[str, list[str]]:
    """The column with the content of examples; none if they are files."""
    return {"text": [example.text for example in examples]} if modality.is_in_tables else {}


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


# --- reading -------------------------------------------------------------------------------------------------------


def read_predictions(folder: Path, facts: RunFacts, splits: Collection[str] | None = None) -> list[PredictionRow]:
    """Read ``predictions.csv``.

    Args:
        folder: of the run or evaluation.
        facts: its ``run.json``.
        splits: only rows of these; None for all.

    Raises:
        IntegrityError: it is missing, damaged, or contradicts ``run.json``.
    """
    path, known_splits, task = folder / PREDICTIONS, _known_splits(facts), get_task(facts.task)
    columns = (
        _PREDICTION_COLUMNS if facts.kind == "adopted" else (*_PREDICTION_COLUMNS, *task.table_columns(facts.classes))
    )
    rows = [_prediction(cells, facts, task, known_splits) for cells in _read(path, columns, facts)]
    expected = facts.data.examples if facts.data else 0
    if len(rows) != expected:
        raise IntegrityError(f"{path}: expected {expected:,} rows, as run.json says, got {len(rows):,}. {ADVICE}")
    return rows if splits is None else [row for row in rows if row.split in splits]


def read_label_issues(folder: Path, facts: RunFacts) -> list[LabelIssue]:
    """Read ``suspects.csv``; empty where no labels were examined.

    Users edit it: rows may be gone, and a label may be empty or ``drop``.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    if facts.label_issues is None:
        return []
    known_splits = _known_splits(facts)
    return [
        LabelIssue(
            split=cells.one_of("split", known_splits),
            file=cells.filled("file"),
            labels=() if cells["label"] in ("", DROP) else cells.labels("label", facts),
            suggested=cells.labels("suggested", facts),
            label_cell=cells["label"],
            suggested_cell=cells["suggested"],
            probability=cells.probability("probability"),
            label_probability=cells.probability("label_probability"),
            sha256=cells.digest("sha256"),
            text=cells.get("text"),
        )
        for cells in _read(folder / LABEL_ISSUES, _ISSUE_COLUMNS, facts)
    ]


def read_history(folder: Path, facts: RunFacts) -> list[HistoryRow]:
    """Read ``history.csv``; empty for evaluations and adopted runs.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    path = folder / HISTORY
    if facts.kind != "trained" or (facts.format_version == 1 and not path.exists()):  # format 1 wrote no empty ones
        return []
    columns = _HISTORY_COLUMNS[: len(_HISTORY_COLUMNS) - (facts.format_version < 4)]  # the last one came with format 4
    return [
        HistoryRow(
            phase=cells.filled("phase"),
            epoch=cells.convert("epoch", int, "a whole number") if cells["epoch"] else None,
            **{name: cells.figure(name) for name in columns[2:]},
        )
        for cells in _read(path, columns, facts)
    ]


def read_skipped(folder: Path, facts: RunFacts) -> list[Skipped]:
    """Read ``skipped.csv``; empty for adopted runs.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    if facts.kind == "adopted":
        return []
    rows = _read(folder / SKIPPED, _SKIPPED_COLUMNS, facts)
    return [Skipped(cells.filled("file"), cells["reason"]) for cells in rows]


def read_outputs(rows: Sequence[PredictionRow], task: Task, classes: Sequence[str]) -> np.ndarray:
    """What ``predictions.csv`` says of the outputs of the model, an array (n, …)."""
    return task.outputs_of_table([row.scores for row in rows], [row.predicted_cell for row in rows], classes)


class _Cells:
    """One row of a table, its cells by the names of their columns."""

    def __init__(self, path: Path, line: int, cells: dict[str, str]) -> None:
        self._path, self._line, self._cells = path, line, cells

    def __getitem__(self, column: str) -> str:
        return self._cells[column]

    def get(self, column: str) -> str:
        """A cell, empty where there is no such column."""
        return self._cells.get(column, "")

    def wrong_value(self, column: str, expected: str) -> IntegrityError:
        """The error for a cell that cannot be what it is."""
        value = self._cells[column]
        value_text = repr(value if len(value) <= _LONGEST else f"{value[:_LONGEST]} …")
        return IntegrityError(
            f"{self._path}, line {self._line}, column {column}: expected {expected}, got {value_text}. {ADVICE}"
        )

    def convert(self, column: str, convert: Callable[[str], T], expected: str) -> T:
        """A cell as something else."""
        try:
            return convert(self._cells[column])
        except ValueError:
            raise self.wrong_value(column, expected) from None

    def filled(self, column: str) -> str:
        """A cell that is not empty."""
        if not self._cells[column]:
            raise self.wrong_value(column, "a text")
        return self._cells[column]

    def one_of(self, column: str, values: Sequence[str]) -> str:
        """A cell that is one of a few texts."""
        if self._cells[column] not in values:
            raise self.wrong_value(column, " or ".join(values))
        return self._cells[column]

    def labels(self, column: str, facts: RunFacts) -> tuple[str, ...]:
        """Classes of the run: one, or any number, as its task has it."""
        task = get_task(facts.task)
        label = self.convert(column, task.from_cell, task.wording.cell_form)
        names = (label,) if isinstance(label, str) else tuple(label)
        if not set(names) <= set(facts.classes):
            raise self.wrong_value(column, task.wording.cell_form)
        return names

    def probability(self, column: str) -> float:
        """A number from 0 to 1."""
        value = self.convert(column, float, "a probability")
        if not 0 <= value <= 1:
            raise self.wrong_value(column, "a probability")
        return value

    def figure(self, column: str) -> float | None:
        """A number; None for an empty cell, and for what is not finite."""
        value = self.convert(column, float, "a number") if self._cells[column] else math.nan
        return value if math.isfinite(value) else None

    def digest(self, column: str) -> str:
        """A SHA-256 in hex, or nothing; in a row with a text it has to be that of the text."""
        digest = self._cells[column]
        if digest and len(self.convert(column, bytes.fromhex, "a SHA-256")) != 32:
            raise self.wrong_value(column, "a SHA-256")
        if digest and "text" in self._cells:
            content = self._cells["text"].encode("utf-8", "surrogateescape")
            if hashlib.sha256(content).hexdigest() != digest.lower():
                raise self.wrong_value("text", f"the text whose SHA-256 is {digest}")
        return digest


def _known_splits(facts: RunFacts) -> list[str]:
    return list(facts.data.splits) if facts.data else []


def _prediction(cells: _Cells, facts: RunFacts, task: Task, splits: Sequence[str]) -> PredictionRow:
    common: dict[str, Any] = {
        "split": cells.one_of("split", splits),
        "file": cells.filled("file"),
        "labels": cells.labels("label", facts),
        "predicted": cells.labels("predicted", facts),
        "label_cell": cells["label"],
        "predicted_cell": cells["predicted"],
        "sha256": cells.digest("sha256"),
        "text": cells.get("text"),
    }
    scores = task.read_row(cells, common["labels"], common["predicted"], facts.classes)
    return PredictionRow(**common, scores=scores)


def _read(path: Path, columns: Sequence[str], facts: RunFacts) -> Iterator[_Cells]:
    """The rows of a table that has these columns, and one named ``text`` if they hold the examples."""
    if facts.modality.is_in_tables and path.name in (PREDICTIONS, LABEL_ISSUES) and facts.kind != "adopted":
        columns = (*columns, "text")
    with _reading(path), open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        _check_end(path)
        reader = csv.reader(file, strict=True)
        header = migrate_header(path.name, next(reader, []), facts.format_version)
        for name in columns:
            if name not in header:
                raise IntegrityError(f"{path}, line 1: the column {name} is missing. {ADVICE}")
        line = reader.line_num
        for row in reader:
            if len(row) != len(header):
                raise IntegrityError(f"{path}, line {line + 1}: expected {len(header)} cells, got {len(row)}. {ADVICE}")
            yield _Cells(path, line + 1, dict(zip(header, row, strict=True)))
            line = reader.line_num
    checked_file(path.parent, facts, path.name)  # last, because a wrong cell says more


def _check_end(path: Path) -> None:
    """See that a table ends with a whole line; what users edit may lack its last line break."""
    if path.name == LABEL_ISSUES or not path.stat().st_size:
        return
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise IntegrityError(f"{path}: its last line is not complete. {ADVICE}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns errors of the file into such as name it."""
    try:
        yield
    except FileNotFoundError:
        raise IntegrityError(f"{path} is missing. {ADVICE}") from None
    except (OSError, csv.Error) as exc:
        raise IntegrityError(f"{path} cannot be read ({exc}). {ADVICE}") from exc
