"""Predictions with explanations for single images and texts, by runs that stay loaded for the next request."""

from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from headstart.data.examples import FileExample, TextExample
from headstart.errors import InputError
from headstart.explanation.explain import Explainer, Explanation
from headstart.reports.explanation import explanation_content
from headstart.runs.files import read_facts

_MAX_LOADED_RUNS = 2


class Answers:
    """Runs that predict, one request at a time.

    Args:
        scratch: folder for temporary files.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._explainers: dict[tuple[Path, float], Explainer] = {}
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
        with self._lock:
            explainer = self._load(folder)
            predictor = explainer.predictor
            if isinstance(content, str) != predictor.modality.is_in_tables:
                raise InputError(f"the run {folder.name} predicts labels for {predictor.modality.plural}.")
            file = self._scratch / uuid4().hex
            try:
                if isinstance(content, bytes):
                    file.write_bytes(content)
                (answer,) = explainer.explain(
                    [TextExample(content) if isinstance(content, str) else FileExample(str(file))]
                )
                if not isinstance(answer, Explanation):
                    raise InputError(f"{name}: {answer.reason}.")
                explained = explanation_content(answer, predictor)
            finally:
                file.unlink(missing_ok=True)
        return {
            "explanation": {**explained, "title": name, "file": name},
            "explanations": [explained],
            "noun": predictor.modality.noun,
            "task": predictor.task,
            "unsure": predictor.min_confidence if answer.answer.unsure else None,
        }

    def _load(self, folder: Path) -> Explainer:
        key = (folder, (folder / "run.json").stat().st_mtime)
        explainer = self._explainers.pop(key, None)
        if explainer is None:
            explainer = Explainer(folder, min_confidence="auto" if read_facts(folder).min_confidence else 0.0)
        self._explainers[key] = explainer  # at the end: most recently used
        while len(self._explainers) > _MAX_LOADED_RUNS:
            self._explainers.pop(next(iter(self._explainers)))
        return explainer
