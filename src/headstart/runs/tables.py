"""The tables of a run."""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Skipped
from headstart.data.labels import cell
from headstart.evaluation import LabelIssues
from headstart.runs.answers import Answers

PREDICTIONS = ("split", "file", "label", "predicted", "probability", "label_probability", "sha256")
MULTI_LABEL_PREDICTIONS = ("split", "file", "label", "predicted", "worst", "sha256")
"""``worst`` is the wrong label that the model was surest of. ``p_…`` follow, the probabilities of all labels."""

SUSPECTS = ("split", "file", "label", "suggested", "probability", "label_probability", "sha256")
"""Header of ``suspects.csv``, which :mod:`headstart.data.corrections` reads back; texts have a column of their own."""

HISTORY = ("phase", "epoch", "l2", "loss", "accuracy", "val_loss", "val_accuracy")


def write_tables(
    folder: Path, classes: Sequence[str], answers: Answers, skipped: Sequence[Skipped], history: Sequence[Mapping] = ()
) -> None:
    """Write ``predictions.csv``, ``skipped.csv`` and, if there is a history, ``history.csv``."""
    header, columns = _predictions(classes, answers) if answers.thresholds is None else _labels(classes, answers)
    if answers.texts is not None:
        header, columns = [*header, "text"], [*columns, answers.texts]
    _write_csv(folder / "predictions.csv", header, zip(*columns, strict=True))
    _write_csv(folder / "skipped.csv", ("file", "reason"), skipped)
    if history:
        _write_csv(folder / "history.csv", HISTORY, ([row.get(name, "") for name in HISTORY] for row in history))


def write_suspects(folder: Path, dataset: Dataset, answers: Answers, usable: np.ndarray, suspects: LabelIssues) -> None:
    """Write ``suspects.csv``: examples whose label looks wrong, the surest first.

    Args:
        folder: of the run.
        dataset: the examples.
        answers: about those in use.
        usable: int (m,), their indices into the data set.
        suspects: the examples.
    """
    at = np.searchsorted(usable, suspects.indices).tolist()  # usable ones are in order
    columns: list[Iterable[Any]] = [
        answers.splits[at].tolist(),
        [answers.files[i] for i in at],
        [cell(label, dataset.classes) for label in answers.labels[at]],
        [cell(label, dataset.classes) for label in suspects.suggested],
        [f"{p:.6f}" for p in suspects.probability],
        [f"{p:.6f}" for p in suspects.label_probability],
        [answers.digests[i].hex() for i in at],
    ]
    texts = answers.texts
    header = list(SUSPECTS)
    if texts is not None:
        header, columns = [*header, "text"], [*columns, [texts[i] for i in at]]
    _write_csv(folder / "suspects.csv", header, zip(*columns, strict=True))


def _predictions(classes: Sequence[str], answers: Answers) -> tuple[list[str], list[Iterable[str]]]:
    """Header and columns of ``predictions.csv``."""
    predicted, rows = answers.probabilities.argmax(1), np.arange(len(answers.labels))
    return [*PREDICTIONS], [
        answers.splits.tolist(),
        answers.files,
        (classes[label] for label in answers.labels),
        (classes[label] for label in predicted),
        (f"{p:.6f}" for p in answers.probabilities[rows, predicted]),
        (f"{p:.6f}" for p in answers.probabilities[rows, answers.labels]),
        (digest.hex() for digest in answers.digests),
    ]


def _labels(classes: Sequence[str], answers: Answers) -> tuple[list[str], list[Iterable[str]]]:
    """Header and columns of the ``predictions.csv`` of multi-label data."""
    worst, _ = answers.mistakes()
    return [*MULTI_LABEL_PREDICTIONS, *(f"p_{name}" for name in classes)], [
        answers.splits.tolist(),
        answers.files,
        (cell(row, classes) for row in answers.labels),
        (cell(row, classes) for row in answers.probabilities >= answers.thresholds),
        (classes[number] if number >= 0 else "" for number in worst),
        (digest.hex() for digest in answers.digests),
        *([f"{p:.6f}" for p in column] for column in answers.probabilities.T),
    ]


def data_digest(dataset: Dataset, digests: Sequence[bytes | None], usable: np.ndarray, splits: np.ndarray) -> str:
    """Identifies what was trained on: hex SHA-256 over classes, splits and contents, whatever the files are called."""
    whole = hashlib.sha256()
    for i, side in zip(usable.tolist(), splits.tolist(), strict=True):
        digest = digests[i]
        name = cell(dataset.labels[i], dataset.classes)
        parts = (name, side, digest.hex() if digest else "")
        whole.update("\0".join(parts).encode("utf-8", "surrogateescape") + b"\n")
    return whole.hexdigest()


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
