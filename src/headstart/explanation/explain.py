"""Explanations of the predictions of a run: heat maps, weights of words, and similar training examples."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from headstart.data.examples import Example
from headstart.data.images import Box, Decoder, upright_size
from headstart.data.table_images import parse_address
from headstart.data.tokenizers import text_of
from headstart.errors import BadExample, InputError, did_you_mean, field_name
from headstart.explanation.activations import Activations, Computed, evidence_cells, open_activations
from headstart.explanation.boxes import box_evidence
from headstart.explanation.grad_cam import grad_cam
from headstart.explanation.heat import FULL_INPUT, HeatMap
from headstart.explanation.neighbours import Neighbour, TrainingExamples
from headstart.explanation.occlusion import occlusion
from headstart.explanation.word_weights import Weights, weigh_words
from headstart.runs.predictor import MinConfidence, Predictor, Problem
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.tasks import classification_task
from headstart.tasks.answers import Answer
from headstart.tasks.detection import DetectionPrediction, PredictedBox
from headstart.tasks.outputs import log_odds

Method = Literal["auto", "grad-cam", "occlusion"]
NEAREST = 6


@dataclass(frozen=True, eq=False)
class Explanation:
    """A prediction, and the evidence for one of its classes.

    Attributes:
        answer: the prediction, with all probabilities.
        class_name: the class that is explained.
        method: ``grad-cam`` or ``occlusion`` for images, ``words`` for texts; ``similar examples`` for others.
        heat_map: for images, the evidence for the class by position.
        words: for texts, the words and the contribution of each to the log-odds of the class.
        nearest: the most similar training examples, the most similar first.
        box: the object that is explained, of a run that detects objects.
    """

    answer: Answer
    class_name: str
    method: Literal["grad-cam", "occlusion", "words", "similar examples"]
    heat_map: HeatMap | None = None
    words: Weights | None = None
    nearest: list[Neighbour] = field(default_factory=list)
    box: PredictedBox | None = None

    @property
    def file(self) -> str:
        """Path of the image or text file, as it was passed; the text itself if it has no file."""
        return self.answer.file

    @property
    def file_stem(self) -> str:
        """The name of the file without its extension, for a file about it; ``cats-row-7`` of an image in a table."""
        address = parse_address(self.file)
        return f"{Path(address.table).stem}-row-{address.row}" if address else Path(self.file).stem

    @property
    def probability(self) -> float:
        """Probability of the class that is explained, or score of the object."""
        if self.box is not None:
            return self.box.score
        return self.answer.probabilities[self.class_name]

    @property
    def heat(self) -> np.ndarray:
        """Heat of every pixel of the upright original image, float32 (h, w); see :meth:`HeatMap.at`."""
        if self.heat_map is None:
            advice = "" if self.words is None else " Its words have weights: Explanation.words."
            raise InputError(f"only an image has a heat map.{advice}")
        return self.heat_map.heat

    def to_json(self) -> dict[str, Any]:
        """As plain data; a heat map is reduced to its regions, in pixels of the original image."""
        fields: dict[str, Any] = {
            **self.answer.to_dict(),
            "class_name": self.class_name,
            "class_probability": self.probability,
            "method": self.method,
        }
        if self.heat_map is not None:
            fields["size"] = list(self.heat_map.size)
            fields["regions"] = [asdict(region) for region in self.heat_map.regions]
        if self.box is not None:
            fields["box"] = asdict(self.box)
        if self.words is not None:
            fields["words"] = self.words
        return {**fields, "nearest": [asdict(neighbour) for neighbour in self.nearest]}


class Explainer:
    """A finished run, opened to explain its predictions.

    Args:
        folder: the run folder.
        class_name: the class to explain; None means the most probable class of each example. Of a run that detects
            objects, the class of the object.
        box: of such a run, the object that is explained: 1 for the one with the highest score (of the class), 2 for
            the next.
        method: for images. ``grad-cam`` needs a base that ends in a feature map. ``occlusion`` works for every base and
            takes longer. ``auto`` uses ``grad-cam`` if possible.
        nearest: number of similar training examples to find.
        min_confidence: an answer with a smaller probability is unsure; see :class:`Predictor`.
        cache: the cache folder with their features; None means the user's.
        progress: follows the work.

    Attributes:
        predictor: the run.
        training: its training examples; None if ``nearest`` is 0.

    Raises:
        InputError: the folder is not a run, the run has no such class, or the method is not possible for it.
        IntegrityError: the run's predictions differ from those of its training.
    """

    def __init__(
        self,
        folder: Path,
        *,
        class_name: str | None = None,
        box: int = 1,
        method: Method = "auto",
        nearest: int = NEAREST,
        min_confidence: MinConfidence = 0.0,
        cache: Path | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        self.predictor = predictor = Predictor(folder, expected=1, min_confidence=min_confidence)
        classes = predictor.classes
        if class_name is not None and class_name not in classes:
            raise InputError(
                f"the run has no class {class_name!r}.{did_you_mean(class_name, classes)} "
                f"Its classes are: {', '.join(classes)}.",
                field="class_name",
            )
        if method not in get_args(Method):
            raise InputError(f"{method!r} is not a method: expected {', '.join(get_args(Method))}.", field="method")
        if not predictor.modality.has_pixels and method != "auto":
            advice = " The words of texts are explained by leaving them out." if predictor.modality.has_words else ""
            raise InputError(f"{method} is for images.{advice}", field="method")
        self._class_name, self._nearest, self._box = class_name, nearest, box
        self.training: TrainingExamples | None = None
        if predictor.task.has_boxes:
            _check_for_boxes(method, box)
            self._activations = None
            return
        if box != 1:
            raise InputError(
                f"it is for runs that detect objects, and this is a {predictor.task.name} run.", field="box"
            )
        self._activations = activations = open_activations(predictor)
        if method == "grad-cam" and not activations.pooled_maps:
            raise InputError(
                f"grad-cam needs a base that ends in a feature map, and {predictor.facts.base.handle} does not: use "
                f"{field_name('method', 'occlusion')}.",
                field="method",
            )
        self._method: Literal["grad-cam", "occlusion"] = (
            method if method != "auto" else "grad-cam" if activations.pooled_maps else "occlusion"
        )
        if nearest:
            self.training = TrainingExamples(predictor, activations, cache, progress)

    def note(self) -> str:
        """What is missing from the similar training examples; empty if nothing is."""
        if self.predictor.task.has_boxes and self._nearest:
            return "Similar training images are not shown: a detector has no features of whole images."
        return (self.training and self.training.note(self.predictor.modality.noun)) or ""

    def explain(self, examples: Iterable[Example]) -> Iterator[Explanation | Problem]:
        """Explain predictions one by one."""
        for example in examples:
            try:
                yield self._explain(example)
            except BadExample as exc:
                yield Problem(example.name, str(exc))

    def _explain(self, example: Example) -> Explanation:
        predictor, reader, activations = self.predictor, self.predictor.reader, self._activations
        data = example.read()
        if activations is None:
            return self._explain_box(example, data)
        inputs = reader.batch([reader.decode(data, example.suffix)])
        computed = activations(inputs)
        (output,) = predictor.outputs_of(computed.probabilities, computed.features)
        answer = predictor.answer(example.name, output)
        class_name = self._class_name or next(iter(answer.probabilities))
        nearest = self._similar_examples(computed.features[0], data)
        if predictor.modality.has_pixels:
            evidence, cells = self._evidence(activations, inputs, computed, predictor.classes.index(class_name))
            size = upright_size(data)
            heat_map = HeatMap(evidence, cast(Decoder, reader).visible_box(size), size, cells)
            return Explanation(answer, class_name, self._method, heat_map=heat_map, nearest=nearest)
        if predictor.modality.has_words:
            words = weigh_words(predictor, text_of(data), class_name)
            return Explanation(answer, class_name, "words", words=words, nearest=nearest)
        return Explanation(answer, class_name, "similar examples", nearest=nearest)

    def _similar_examples(self, features: np.ndarray, data: bytes) -> list[Neighbour]:
        if self.training is None:
            return []
        return self.training.nearest(features, hashlib.sha256(data).digest(), self._nearest)

    def _explain_box(self, example: Example, data: bytes) -> Explanation:
        predictor = self.predictor
        item = predictor.read(data, example.suffix)
        (output,) = predictor.compute([item])
        answer = cast(DetectionPrediction, predictor.answer(example.name, output))
        box = self._chosen_box(answer)
        left, upper, right, lower = cast(Decoder, predictor.reader).visible_box(answer.size)
        shares = (
            (box.x1 - left) / (right - left), (box.y1 - upper) / (lower - upper),
            (box.x2 - left) / (right - left), (box.y2 - upper) / (lower - upper),
        )  # fmt: skip
        evidence = box_evidence(predictor, item.array, shares, predictor.classes.index(box.label))
        heat_map = HeatMap(evidence, (left, upper, right, lower), answer.size)
        return Explanation(answer, box.label, "occlusion", heat_map=heat_map, box=box)

    def _chosen_box(self, answer: DetectionPrediction) -> PredictedBox:
        boxes = [box for box in answer.boxes if self._class_name in (None, box.label)]
        if len(boxes) >= self._box:
            return boxes[self._box - 1]
        objects = f"objects of the class {self._class_name!r}" if self._class_name else "objects"
        raise BadExample(f"has {len(boxes)} {objects}, and number {self._box} was to be explained")

    def _evidence(
        self, activations: Activations, inputs: np.ndarray, computed: Computed, class_number: int
    ) -> tuple[np.ndarray, Box]:
        """The evidence for a class in one image, (rows, columns), and the bounds of its cells."""
        if self._method == "grad-cam":
            return grad_cam(activations, computed, np.array([class_number]))[0], evidence_cells(activations)
        predictor = self.predictor

        def score(images: np.ndarray) -> np.ndarray:
            return log_odds(predictor.values(images), class_number, classification_task(predictor.task).activation)

        return occlusion(score, inputs[0]), FULL_INPUT


def _check_for_boxes(method: Method, box: int) -> None:
    """Check that a method is possible for a run that detects objects.

    Raises:
        InputError: it is not, or there is no box with such a number.
    """
    if method == "grad-cam":
        raise InputError(
            f"grad-cam is for runs that predict classes of whole images: use {field_name('method', 'occlusion')}.",
            field="method",
        )
    if box < 1:
        raise InputError(f"expected the number of an object, from 1, got {box}.", field="box")
