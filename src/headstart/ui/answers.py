"""Predictions for single images and texts, by runs that stay loaded for the next request."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from headstart.data.examples import Example, FileExample, TextExample
from headstart.errors import BadExample, InputError
from headstart.explanation.explain import Explainer, Explanation
from headstart.reports.explanation import explanation_content
from headstart.reports.regions import boxes_on_image, detection_marks
from headstart.runs.files import read_facts
from headstart.runs.predictor import Predictor
from headstart.tasks import get_task

_MAX_LOADED_RUNS = 2
_LEAST_SCORE = 0.05  # of a box that the slider can show

Answer = Callable[[Example, str], dict[str, Any]]
"""Takes an example and its name, and gives the values for ``answer.html.j2``."""


class Answers:
    """Runs that predict, one request at a time.

    Args:
        scratch: folder for temporary files.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._answers: dict[tuple[Path, float], Answer] = {}
        self._lock = Lock()

    def __call__(self, folder: Path, content: bytes | str, name: str) -> dict[str, Any]:
        """The values for ``answer.html.j2``.

        Args:
            folder: the run.
            content: of an image file, or a text.
            name: file name of the image.

        Raises:
            InputError: the example cannot be used, or it is a text and the run is on images, or vice versa.
            IntegrityError: the predictions of the run have changed.
        """
        modality = read_facts(folder).modality
        if isinstance(content, str) != modality.is_in_tables:
            raise InputError(f"the run {folder.name} predicts labels for {modality.plural}.")
        with self._lock:
            answer = self._load(folder)
            if isinstance(content, str):
                return answer(TextExample(content), name)
            file = self._scratch / uuid4().hex
            try:
                file.write_bytes(content)
                return answer(FileExample(str(file)), name)
            finally:
                file.unlink(missing_ok=True)

    def _load(self, folder: Path) -> Answer:
        key = (folder, (folder / "run.json").stat().st_mtime)
        answer = self._answers.pop(key, None)
        if answer is None:
            facts = read_facts(folder)
            if get_task(facts.task).has_boxes:
                answer = _DetectedObjects(Predictor(folder, expected=1))
            else:
                answer = _ExplainedAnswer(Explainer(folder, min_confidence="auto" if facts.min_confidence else 0.0))
        self._answers[key] = answer  # at the end: most recently used
        while len(self._answers) > _MAX_LOADED_RUNS:
            self._answers.pop(next(iter(self._answers)))
        return answer


class _ExplainedAnswer:
    """A run of classification: the answer with its explanation."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer

    def __call__(self, example: Example, name: str) -> dict[str, Any]:
        predictor = self._explainer.predictor
        (answer,) = self._explainer.explain([example])
        if not isinstance(answer, Explanation):
            raise InputError(f"{name}: {answer.reason}.")
        explained = explanation_content(answer, predictor)
        return {
            "explanation": {**explained, "title": name, "file": name},
            "explanations": [explained],
            "noun": predictor.modality.noun,
            "task": predictor.task,
            "unsure": predictor.min_confidence if answer.answer.unsure else None,
        }


class _DetectedObjects:
    """A run of detection: the boxes on the image, those below the thresholds of the run among them but hidden."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(self, example: Example, name: str) -> dict[str, Any]:
        predictor = self._predictor
        try:
            (output,) = predictor.compute([predictor.read(example.read())])
        except BadExample as exc:
            raise InputError(f"{name}: {exc}.") from exc
        marks = detection_marks(output.value, predictor.classes, predictor.thresholds, _LEAST_SCORE)
        return {
            "detected": {
                "image": boxes_on_image(predictor.modality, example, marks),
                "label": name,
                "predicted": predictor.answer(name, output).label(),
                "start": _LEAST_SCORE,
            },
            "name": name,
            "noun": predictor.modality.noun,
        }
