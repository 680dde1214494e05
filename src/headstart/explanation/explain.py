"""Why a run answers as it does: where in a picture, or which words of a text, and what it has learned that from."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from headstart.data.examples import Example
from headstart.data.images import Box, Decoder, upright_size
from headstart.data.tokenizers import text_of
from headstart.errors import BadExample, InputError, did_you_mean
from headstart.explanation.activations import Computed, open_activations
from headstart.explanation.grad_cam import grad_cam
from headstart.explanation.heat import WHOLE, HeatMap
from headstart.explanation.neighbours import Neighbour, TrainingExamples
from headstart.explanation.occlusion import occlusion
from headstart.explanation.word_weights import Weights, weigh_words
from headstart.runs.files import read_facts
from headstart.runs.predictor import MultiLabelPrediction, Prediction, Predictor, Problem
from headstart.runs.run import RunFolder, examples_in
from headstart.system.display import shown
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.training.outputs import log_odds

Method = Literal["auto", "grad-cam", "occlusion"]
NEAREST = 6


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer, and what speaks for one of its classes.

    Attributes:
        answer: what the run says, with all probabilities.
        class_name: the class that is explained.
        method: how: ``grad-cam``, ``occlusion`` or, for texts, ``words``.
        heat_map: of a picture, what speaks for the class, and where.
        words: of a text, its words with what each adds to the log-odds of the class.
        nearest: the training examples most like this one, the most similar first.
    """

    answer: Prediction | MultiLabelPrediction
    class_name: str
    method: Literal["grad-cam", "occlusion", "words"]
    heat_map: HeatMap | None = None
    words: Weights | None = None
    nearest: list[Neighbour] = field(default_factory=list)

    @property
    def file(self) -> str:
        """Path of the picture or text file, as given; a text itself if it is of no file."""
        return self.answer.file

    @property
    def probability(self) -> float:
        """Of the class that is explained."""
        return self.answer.probabilities[self.class_name]

    @property
    def heat(self) -> np.ndarray:
        """Heat of every pixel of the original picture, upright, float32 (h, w); see :meth:`HeatMap.at`."""
        if self.heat_map is None:
            raise InputError("a text has no heat map: its words have weights (Explanation.words).")
        return self.heat_map.heat

    def to_json(self) -> dict[str, Any]:
        """As plain data; of a heat map the regions, in pixels of the original picture."""
        told: dict[str, Any] = {
            **asdict(self.answer),
            "class": self.class_name,
            "class_probability": self.probability,
            "method": self.method,
        }
        if self.heat_map is not None:
            told["size"] = list(self.heat_map.size)
            told["regions"] = [asdict(region) for region in self.heat_map.regions]
        else:
            told["words"] = self.words
        return {**told, "nearest": [asdict(neighbour) for neighbour in self.nearest]}


class Explainer:
    """A finished run, opened to explain its answers.

    Args:
        folder: the run folder.
        class_name: the class to explain; None means the most probable one of each.
        method: for pictures: ``grad-cam`` needs a base that ends in a feature map, ``occlusion`` nothing but answers
            and more time; ``auto`` takes the first where it can.
        nearest: how many of the training examples to name.
        cache: the cache folder, where their features are; None means the user's.
        progress: follows the work.

    Attributes:
        predictor: the run.
        training: what it was trained on; None if none of it is to be named.

    Raises:
        InputError: the folder is no run, it has no such class, or the method cannot be used with it.
        IntegrityError: the run does not compute what it did.
    """

    def __init__(
        self,
        folder: Path,
        *,
        class_name: str | None = None,
        method: Method = "auto",
        nearest: int = NEAREST,
        cache: Path | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        self.predictor = predictor = Predictor(folder, expected=1)
        classes = predictor.classes
        if class_name is not None and class_name not in classes:
            raise InputError(
                f"--class {class_name}: the run has no such class.{did_you_mean(class_name, classes)} "
                f"It has: {', '.join(classes)}."
            )
        if method not in get_args(Method):
            raise InputError(f"--method {method}: expected {', '.join(get_args(Method))}.")
        if predictor.modality == "text" and method != "auto":
            raise InputError(f"--method {method} is for pictures: texts are explained by leaving out words.")
        self._activations = open_activations(predictor)
        if method == "grad-cam" and not self._activations.has_map:
            raise InputError(
                f"--method grad-cam needs a feature map that is pooled, and {predictor.facts.base.handle} has "
                "none at its end: use --method occlusion."
            )
        self._method = method if method != "auto" else "grad-cam" if self._activations.has_map else "occlusion"
        self._class_name, self._nearest = class_name, nearest
        self.training = TrainingExamples(predictor, self._activations, cache, progress) if nearest else None

    def explain(self, examples: Iterable[Example]) -> Iterator[Explanation | Problem]:
        """Explain answers, one after the other."""
        for example in examples:
            try:
                yield self._explain(example)
            except BadExample as exc:
                yield Problem(example.name, str(exc))

    def _explain(self, example: Example) -> Explanation:
        predictor, reader = self.predictor, self.predictor.reader
        data = example.read()
        inputs = reader.batch([reader.decode(data, example.suffix)])
        computed = self._activations(inputs)
        (output,) = predictor.outputs_of(computed.probabilities, computed.features)
        answer = predictor.prediction(example.name, output)
        explained = self._class_name or next(iter(answer.probabilities))
        nearest = self._alike(computed.features[0], data)
        if isinstance(reader, Decoder):
            evidence, cells = self._evidence(inputs, computed, predictor.classes.index(explained))
            size = upright_size(data)
            heat_map = HeatMap(evidence, reader.seen(size), size, cells)
            return Explanation(answer, explained, self._method, heat_map=heat_map, nearest=nearest)
        words = weigh_words(predictor, text_of(data), explained)
        return Explanation(answer, explained, "words", words=words, nearest=nearest)

    def _alike(self, features: np.ndarray, data: bytes) -> list[Neighbour]:
        if self.training is None:
            return []
        return self.training.nearest(features, hashlib.sha256(data).digest(), self._nearest)

    def _evidence(self, inputs: np.ndarray, computed: Computed, place: int) -> tuple[np.ndarray, Box]:
        """What speaks for a class in one picture, (rows, columns), and where these cells lie."""
        if self._method == "grad-cam":
            return grad_cam(self._activations, computed, np.array([place]))[0], self._activations.cells
        predictor = self.predictor

        def score(pictures: np.ndarray) -> np.ndarray:
            return log_odds(predictor.probabilities(pictures), place, predictor.activation)

        return occlusion(score, inputs[0]), WHOLE


def explain(
    run: RunFolder | str | Path,
    given: str | Path | Iterable[str | Path],
    *,
    class_name: str | None = None,
    method: Method = "auto",
    nearest: int = NEAREST,
    cache: str | Path | None = None,
    progress: bool | Progress = True,
) -> Any:
    """Explain why a run answers as it does.

    Args:
        run: the run, or its folder.
        given: as for :meth:`headstart.Run.predict`: one picture or text for one explanation, several for a list.
        class_name: the class to explain; None means the most probable one of each.
        method: of pictures; see :class:`Explainer`.
        nearest: how many of the training examples most like it to name.
        cache: folder of the feature cache; the user's when None.
        progress: as for :func:`headstart.train`.

    Returns:
        An :class:`Explanation`; of several a list, with a :class:`~headstart.runs.predictor.Problem` for what cannot be
        used.

    Raises:
        InputError: no such run, file or class; the method cannot be used; or the one file cannot.
        IntegrityError: the run does not compute what it did.
    """
    folder = run.folder if isinstance(run, RunFolder) else Path(run)
    examples, is_one = examples_in(given, read_facts(folder).modality)
    cache_folder = Path(cache).expanduser() if cache else None
    with shown(progress) as followed:
        explainer = Explainer(
            folder, class_name=class_name, method=method, nearest=nearest, cache=cache_folder, progress=followed
        )
        explained = list(explainer.explain(examples))
    if is_one and isinstance(explained[0], Problem):
        raise InputError(f"{explained[0].file}: {explained[0].reason}.")
    return explained[0] if is_one else explained
