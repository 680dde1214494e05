"""Stage 6 of 7, run: takes everything a training gave, writes one folder that holds it; next: report, predict."""

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.runs.answer_list import AnswerList
from headstart.runs.files import read_facts, read_figures
from headstart.runs.inputs import examples_in
from headstart.runs.predictor import MinConfidence, MinScore, Predictor, Problem
from headstart.runs.schema import Interval
from headstart.runs.tables import read_history
from headstart.tasks import get_task


class RunFolder:
    """A finished run or an evaluation of one, read from its folder.

    Args:
        folder: as ``headstart train`` made it.

    Attributes:
        folder: where it is.
        facts: ``run.json``.
        figures: ``metrics.json``: every metric of every split with its interval.

    Raises:
        InputError: the folder is not a run, or a later version of headstart wrote it.
        IntegrityError: ``run.json`` or ``metrics.json`` is missing, damaged or edited.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        self.figures = read_figures(self.folder, self.facts)

    def __repr__(self) -> str:
        figures = [f"{self.figures.headline} {name.replace('_', ' ')} {v:.3f}" for name, v in self.metrics.items()]
        figure = figures[0] if figures else "not yet evaluated"
        return f"<headstart run {self.folder}: {len(self.classes)} classes, {figure}>"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the model's outputs."""
        return self.facts.classes

    @property
    def metrics(self) -> dict[str, float | None]:
        """Metric -> value on the held-out split that counts (``figures.headline``); empty where it was adopted."""
        return {name: figure.value for name, figure in self._headline_metrics().items()}

    @property
    def intervals(self) -> dict[str, tuple[float | None, float | None]]:
        """Metric -> its 95 % interval, on the same split."""
        return {name: (figure.low, figure.high) for name, figure in self._headline_metrics().items()}

    def _headline_metrics(self) -> dict[str, Interval]:
        split = self.figures.headline_figures
        return {name: split.metrics[name] for name in self.figures.metrics} if split else {}

    @property
    def model_path(self) -> Path:
        """The Keras model: raw uint8 pixels in, probabilities out."""
        return self.folder / "model.keras"

    @cached_property
    def _predictors(self) -> dict[tuple[bool, MinConfidence], Predictor]:
        return {}

    def predict(
        self,
        inputs: Any,
        *,
        top_k: int | None = None,
        tta: bool = False,
        min_confidence: MinConfidence = 0.0,
        min_score: MinScore | None = None,
    ) -> Any:
        """Predict images or texts.

        Args:
            inputs: of a run on images, an image file, a PIL image, an array of pixels (uint8 (h, w) or (h, w, 3), red
                first) or the content of a file as bytes, for one :class:`~headstart.Prediction` (or
                :class:`~headstart.MultiLabelPrediction`, or :class:`~headstart.DetectionPrediction`, which has
                ``boxes``); a folder, a pattern or several of all these, for a list. Of a run on texts, a text as a
                string, or a text file as a Path, for one; several of these for a list. Of both, a pandas Series or
                DataFrame, for a list with an answer for each row. A row or file that cannot be used has a
                :class:`Problem` as its answer.
            top_k: keep this many classes in each answer.
            tta: test-time augmentation: average over each image and its mirror image.
            min_confidence: an answer with a smaller probability is marked as ``unsure``; ``auto`` takes the run's own
                threshold, which reaches the precision set in training.
            min_score: of a run that detects objects, the score from which they are predicted: one for all classes, or
                some by class name. The run's own, which were chosen on validation images, when None.

        Raises:
            InputError: there is no such file; or the one example cannot be used; or something is no example; or the run
                has no threshold; or a setting is not for runs of this kind.
        """
        way = (tta, min_confidence)
        if way not in self._predictors:
            self._predictors[way] = Predictor(self.folder, tta=tta, min_confidence=min_confidence)
        predictor = self._predictors[way].at_min_score(min_score)
        predictor.check_top_k(top_k)
        examples, is_one = examples_in(inputs, predictor.modality, self.facts.config)
        answers = AnswerList(predictor.predict(examples, top_k=top_k), self.classes)
        if is_one and isinstance(answers[0], Problem):
            raise InputError(f"{answers[0].file}: {answers[0].reason}.")
        return answers[0] if is_one else answers

    def predict_proba(self, inputs: Any, *, tta: bool = False) -> np.ndarray:
        """The probabilities of all classes, as scikit-learn's classifiers give them.

        Args:
            inputs: as for :meth:`predict`; one example gives one row.
            tta: as for :meth:`predict`.

        Returns:
            float32 (n, classes), the columns in the order of :attr:`classes`.

        Raises:
            InputError: as :meth:`predict`; or an example cannot be used; or the run detects objects.
        """
        if get_task(self.facts.task).trains_on != "features":
            raise InputError(f"{self.folder} detects objects, which have scores: use predict().")
        answers = self.predict(inputs, tta=tta)
        answers = answers if isinstance(answers, list) else [answers]
        for answer in answers:
            if isinstance(answer, Problem):
                raise InputError(f"{answer.file}: {answer.reason}.")
        rows = [[answer.probabilities[name] for name in self.classes] for answer in answers]
        return np.array(rows, np.float32).reshape(-1, len(self.classes))

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts on the held-out split that counts (``figures.headline``), int (classes, classes); rows are true.

        Raises:
            InputError: the run has none: its examples have several labels or objects, or it is not yet evaluated.
        """
        split = self.figures.headline_figures
        if split is None or split.confusion_matrix is None:
            raise InputError(f"{self.folder} has no confusion matrix, which data with one class for each example have.")
        return np.array(split.confusion_matrix)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was measured epoch by epoch and trial by trial: the rows of ``history.csv``.

        Raises:
            IntegrityError: the file is missing or damaged.
        """
        return [asdict(row) for row in read_history(self.folder, self.facts)]


def folder_of(run: RunFolder | str | Path) -> Path:
    """The folder of a run that is given as itself or as its folder."""
    return run.folder if isinstance(run, RunFolder) else Path(run)
