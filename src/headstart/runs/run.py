"""Stage 6 of 7, run: takes everything a training gave, writes one folder that holds it; next: report, predict.

The folder is written beside its place and then renamed, so that a folder with its name is always complete; and it is
never overwritten: ``runs/photos``, then ``runs/photos-2``.
"""

import csv
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Skipped, list_images, read_text
from headstart.data.labels import cell
from headstart.data.readers import Example, Modality
from headstart.errors import InputError
from headstart.evaluation import METRICS, MULTI_LABEL_METRICS, LabelIssues, evaluate, evaluate_labels, worst_labels
from headstart.evaluation.metrics import LEVEL, METHOD
from headstart.reports.run import write_report
from headstart.runs.predictor import Answer, MinConfidence, Predictor, Problem, read_facts

PREDICTIONS = ("split", "file", "label", "predicted", "probability", "label_probability", "sha256")
MULTI_LABEL_PREDICTIONS = ("split", "file", "label", "predicted", "worst", "sha256")
"""``worst`` is the wrong label that the model was surest of. ``p_…`` follow, the probabilities of all labels."""

SUSPECTS = ("split", "file", "label", "suggested", "probability", "label_probability", "sha256")
"""Header of ``suspects.csv``, which :mod:`headstart.data.corrections` reads back; texts have a column of their own."""

HISTORY = ("phase", "epoch", "strength", "loss", "accuracy", "val_loss", "val_accuracy")
_PACKAGES = ("headstart", "keras", "openvino", "tensorflow", "torch", "jax", "numpy", "pillow")


class Run:
    """A finished run.

    Args:
        folder: as ``headstart train`` made it.

    Attributes:
        folder: where it is.
        facts: ``run.json``.
        figures: ``metrics.json``: every metric of every split with its interval.

    Raises:
        InputError: the folder is not a run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        self.figures: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    def __repr__(self) -> str:
        figures = [f"{self.figures['headline']} {name.replace('_', ' ')} {v:.3f}" for name, v in self.metrics.items()]
        figure = figures[0] if figures else "not yet evaluated"
        return f"<headstart run {self.folder}: {len(self.classes)} classes, {figure}>"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the model's outputs."""
        return self.facts["classes"]

    @property
    def metrics(self) -> dict[str, float]:
        """Metric -> value on the held-out split that counts (``figures["headline"]``); empty where it was adopted."""
        headline = self.figures["splits"].get(self.figures["headline"])
        return {name: headline[name]["value"] for name in self.figures["metrics"]}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Metric -> its 95 % interval, on the same split."""
        headline = self.figures["splits"].get(self.figures["headline"])
        return {name: (headline[name]["low"], headline[name]["high"]) for name in self.figures["metrics"]}

    @property
    def model_path(self) -> Path:
        """The Keras model: raw uint8 pixels in, probabilities out."""
        return self.folder / "model.keras"

    @cached_property
    def _predictors(self) -> dict[tuple[bool, MinConfidence], Predictor]:
        return {}

    def predict(
        self,
        given: str | Path | Iterable[str | Path],
        *,
        top_k: int | None = None,
        tta: bool = False,
        min_confidence: MinConfidence = 0.0,
    ) -> Any:
        """Predict pictures, or texts.

        Args:
            given: of a run on images, one file, for one :class:`~headstart.runs.predictor.Prediction` (or
                :class:`~headstart.runs.predictor.MultiLabelPrediction`); a folder, a pattern or several of them, for a
                list.
                Of a run on texts, a text as a string, or a text file as a Path, for one; several of these for a list.
            top_k: keep this many classes in each answer.
            tta: test-time augmentation: judge each picture together with its mirror image.
            min_confidence: an answer with a smaller probability is marked as ``unsure``; ``auto`` takes the run's own
                threshold, from which on its answers are as precise as was asked for in training.

        Raises:
            InputError: there is no such file; or the one file cannot be used; or the run has no threshold.
        """
        way = (tta, min_confidence)
        if way not in self._predictors:
            self._predictors[way] = Predictor(self.folder, tta=tta, min_confidence=min_confidence)
        predictor = self._predictors[way]
        examples, is_one = examples_in(given, predictor.modality)
        answers: list[Answer] = list(predictor.predict(examples, top_k=top_k))
        if is_one and isinstance(answers[0], Problem):
            raise InputError(f"{answers[0].file}: {answers[0].reason}.")
        return answers[0] if is_one else answers

    def report(self) -> Path:
        """Write ``report.html`` anew and give its path.

        Raises:
            InputError: nothing is known of how good it is, because it was adopted.
        """
        if not self.metrics:
            raise InputError(f"{self.folder} was adopted, and has no figures: `headstart evaluate` makes a report.")
        return write_report(self.folder)


def examples_in(given: str | Path | Iterable[str | Path], modality: Modality) -> tuple[list[Example], bool]:
    """What :meth:`Run.predict` is given, as image files or texts; and whether that is one by itself, not in a list.

    Raises:
        InputError: there is no such file.
    """
    several = [given] if isinstance(given, str | Path) else list(given)
    if modality == "text":
        return [one if isinstance(one, str) else read_text(one) for one in several], isinstance(given, str | Path)
    if isinstance(given, str | Path) and Path(given).expanduser().is_file():
        return [Path(given).expanduser()], True
    return [*list_images(several)], False


def load(folder: str | Path) -> Run:
    """Open a finished run.

    Raises:
        InputError: the folder is not a run.
    """
    return Run(folder)


@dataclass(frozen=True)
class Answers:
    """Labels and probabilities of evaluated examples: one row of ``predictions.csv`` each.

    Attributes:
        splits: str (n,).
        files: n names.
        labels: int (n,); for multi-label data 0 and 1 (n, classes).
        probabilities: float32 (n, classes).
        digests: content digest of each file.
        texts: n texts; None for images.
        thresholds: float (classes,), from which probability on a label is given; None where each has one class.
    """

    splits: np.ndarray
    files: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray
    digests: Sequence[bytes]
    texts: Sequence[str] | None = None
    thresholds: np.ndarray | None = None

    def metrics(self, where: np.ndarray, classes: Sequence[str], *, seed: int) -> dict[str, Any]:
        """Every metric of some of them, chosen by a mask; see :mod:`headstart.evaluation`."""
        labels, probabilities = self.labels[where], self.probabilities[where]
        if self.thresholds is None:
            return evaluate(labels, probabilities, classes, seed=seed)
        return evaluate_labels(labels, probabilities, classes, self.thresholds, seed=seed)

    def leak_free(
        self, leaked: np.ndarray, where: np.ndarray, classes: Sequence[str], *, seed: int
    ) -> dict[str, Any] | None:
        """Every metric without the examples that are, exactly or nearly, among those that were trained on.

        Args:
            leaked: bool (n,), those examples.
            where: bool (n,), what is evaluated.
            classes: class names.
            seed: of the resampling.

        Returns:
            How many are left and were removed, and the metrics, None where nothing is left; None if nothing is leaked.
        """
        if not (leaked & where).any():
            return None
        new = where & ~leaked
        metrics = self.metrics(new, classes, seed=seed) if new.any() else None
        return {"examples": int(new.sum()), "removed": int((leaked & where).sum()), "metrics": metrics}

    def mistakes(self) -> tuple[np.ndarray, np.ndarray]:
        """The wrong answer about each example that the model was surest of.

        Returns:
            Number of the class, int (n,), -1 where nothing is wrong; and how sure the model was, float (n,).
        """
        if self.thresholds is not None:
            return worst_labels(self.labels, self.probabilities, self.thresholds)
        said = self.probabilities.argmax(1)
        return np.where(said != self.labels, said, -1), self.probabilities.max(1)


def figures(splits: Mapping[str, Any], headline: str, leak_free: dict[str, Any] | None = None) -> dict[str, Any]:
    """The content of ``metrics.json`` from the metrics of each split, and what :meth:`Answers.leak_free` gave."""
    first = splits[headline]
    return {
        "headline": headline,
        "metrics": list(METRICS if "accuracy" in first else MULTI_LABEL_METRICS),
        "interval": {"level": LEVEL, "method": METHOD, "resamples": first["resamples"]},
        "splits": dict(splits),
        "leak_free": leak_free,
    }


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


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON; bytes in file names that are no text are escaped, and read back as they were."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_folder(parent: Path, name: str, fill: Callable[[Path, str], None]) -> Path:
    """Make ``parent/name`` (or ``name-2``, ``-3`` …) appear at once, complete.

    Args:
        parent: made if missing.
        name: wanted name.
        fill: called with the folder to fill and the name it will have; again with another name if someone was faster.
    """
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}-"))
    try:
        partial.chmod(0o777 & ~_umask())  # mkdtemp makes it private; a run is an ordinary folder
        while True:
            final = _free(parent, name)
            fill(partial, final.name)
            try:
                os.rename(partial, final)
            except OSError:
                if final.exists():
                    continue
                raise
            return final
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_name(name: str) -> str:
    """A name that can be that of a folder.

    Raises:
        InputError: it cannot.
    """
    if not name or name in (".", "..") or any(character in name for character in '/\\:*?"<>|\0'):
        raise InputError(f"--name {name!r} cannot be the name of a folder: use letters, digits, - and _.")
    return name


def name_of(data: Any, default: str) -> str:
    """What a run on these data is called unless told otherwise: the folder's or the table's own name."""
    if not isinstance(data, str | Path):
        return default
    path = Path(data).expanduser().absolute()
    return path.name if path.is_dir() else path.stem


def data_digest(dataset: Dataset, digests: Sequence[bytes | None], usable: np.ndarray, splits: np.ndarray) -> str:
    """Identifies what was trained on: hex SHA-256 over classes, splits and contents, whatever the files are called."""
    whole = hashlib.sha256()
    for i, side in zip(usable.tolist(), splits.tolist(), strict=True):
        digest = digests[i]
        name = cell(dataset.labels[i], dataset.classes)
        parts = (name, side, digest.hex() if digest else "")
        whole.update("\0".join(parts).encode("utf-8", "surrogateescape") + b"\n")
    return whole.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, where installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _free(parent: Path, name: str) -> Path:
    number = 1
    while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
