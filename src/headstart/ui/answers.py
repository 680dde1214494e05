"""Answers about single pictures and texts with their reasons, by runs that stay open for the next question."""

from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from headstart.data.examples import FileExample, TextExample
from headstart.data.readers import NOUNS
from headstart.errors import InputError
from headstart.explanation.explain import Explainer, Explanation
from headstart.reports.explanation import explanation_content
from headstart.runs.predictor import Prediction

_OPEN = 2  # runs that are kept open


class Answers:
    """Runs that answer, one question at a time.

    Args:
        scratch: folder for what is asked about, while it is.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._open: dict[tuple[Path, float], Explainer] = {}
        self._lock = Lock()

    def __call__(self, folder: Path, asked: bytes | str, name: str) -> dict[str, Any]:
        """What ``explanation_body.html.j2`` is given.

        Args:
            folder: the run.
            asked: content of a picture, or a text.
            name: what the picture is called.

        Raises:
            InputError: it cannot be used; or it is a text and the run is on pictures, or the other way round.
            IntegrityError: the run does not compute what it did.
        """
        with self._lock:
            explainer = self._opened(folder)
            predictor = explainer.predictor
            if isinstance(asked, str) != (predictor.modality == "text"):
                raise InputError(f"the run {folder.name} answers about {NOUNS[predictor.modality]}s.")
            file = self._scratch / uuid4().hex
            try:
                if isinstance(asked, bytes):
                    file.write_bytes(asked)
                (answer,) = explainer.explain(
                    [TextExample(asked) if isinstance(asked, str) else FileExample(str(file))]
                )
                if not isinstance(answer, Explanation):
                    raise InputError(f"{name}: {answer.reason}.")
                told = explanation_content(answer, Path(predictor.facts.data_root))
            finally:
                file.unlink(missing_ok=True)
        threshold = predictor.facts.min_confidence
        one = answer.answer
        return {
            "explanation": {**told, "title": name, "file": name},
            "explanations": [told],
            "noun": NOUNS[predictor.modality],
            "multi_label": predictor.thresholds is not None,
            "unsure": threshold if threshold and isinstance(one, Prediction) and one.probability < threshold else None,
        }

    def _opened(self, folder: Path) -> Explainer:
        key = (folder, (folder / "run.json").stat().st_mtime)
        explainer = self._open.pop(key, None) or Explainer(folder)
        self._open[key] = explainer  # the last one used is the last one
        while len(self._open) > _OPEN:
            self._open.pop(next(iter(self._open)))
        return explainer
