"""Stage 6 of 7, run: takes everything a training gave, writes one folder that holds it; next: report, predict."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from headstart.data.examples import Example
from headstart.data.modalities import Modality
from headstart.errors import InputError
from headstart.runs.files import read_facts, read_figures
from headstart.runs.predictor import Answer, MinConfidence, MinScore, Predictor, Problem
from headstart.runs.schema import Interval


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
        inputs: str | Path | Iterable[str | Path],
        *,
        top_k: int | None = None,
        tta: bool = False,
        min_confidence: MinConfidence = 0.0,
        min_score: MinScore | None = None,
    ) -> Any:
        """Predict images or texts.

        Args:
            inputs: of a run on images, one file, for one :class:`~headstart.Prediction` (or
                :class:`~headstart.MultiLabelPrediction`, or :class:`~headstart.DetectionPrediction`, which has
                ``boxes``); a folder, a pattern or several of them, for a list.
                Of a run on texts, a text as a string, or a text file as a Path, for one; several of these for a list.
            top_k: keep this many classes in each answer.
            tta: test-time augmentation: average over each image and its mirror image.
            min_confidence: an answer with a smaller probability is marked as ``unsure``; ``auto`` takes the run's own
                threshold, which reaches the precision set in training.
            min_score: of a run that detects objects, the score from which they are predicted: one for all classes, or
                some by class name. The run's own, which were chosen on validation images, when None.

        Raises:
            InputError: there is no such file; or the one file cannot be used; or the run has no threshold; or a setting
                is not for runs of this kind.
        """
        way = (tta, min_confidence)
        if way not in self._predictors:
            self._predictors[way] = Predictor(self.folder, tta=tta, min_confidence=min_confidence)
        predictor = self._predictors[way].at_min_score(min_score)
        predictor.check_top_k(top_k)
        examples, is_one = examples_in(inputs, predictor.modality)
        answers: list[Answer] = list(predictor.predict(examples, top_k=top_k))
        if is_one and isinstance(answers[0], Problem):
            raise InputError(f"{answers[0].file}: {answers[0].reason}.")
        return answers[0] if is_one else answers


def examples_in(inputs: str | Path | Iterable[str | Path], modality: Modality) -> tuple[list[Example], bool]:
    """Examples of what :meth:`RunFolder.predict` gets; and whether it is a single one and not a list.

    Raises:
        InputError: there is no such file.
    """
    is_one = isinstance(inputs, str | Path)
    items = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    return modality.find_examples(items), is_one and modality.is_single(items[0])
