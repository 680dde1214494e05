"""Answers about new examples from a finished run. The light path: no Keras, no TensorFlow, about a second to start."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from zipfile import BadZipFile

import numpy as np

from headstart.data.examples import Example, TextExample
from headstart.data.modalities import get_modality
from headstart.data.parallel import map_ahead
from headstart.data.readers import Reader, decode_examples
from headstart.errors import BadExample, HeadstartError, InputError, IntegrityError, did_you_mean, field_name
from headstart.evaluation.out_of_distribution import FILE as DETECTOR
from headstart.evaluation.out_of_distribution import OutOfDistributionDetector, load_detector
from headstart.features.engines import (
    TOLERANCE,
    Engine,
    KerasEngine,
    Key,
    OpenVINOEngine,
    can_compute_bfloat16,
    last_error_line,
)
from headstart.runs import migrations
from headstart.runs.files import ADVICE, checked_file, read_facts
from headstart.runs.schema import BaseFacts, EngineFacts, RunFacts
from headstart.tasks import Task, get_task
from headstart.tasks.answers import Answer as TaskAnswer
from headstart.tasks.answers import Decision, Frame

_FEW = 4  # up to this many examples the engine is set up to be quick for one, beyond it to be quick for many


@dataclass(frozen=True)
class Problem:
    """An example without an answer, and why."""

    file: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


Answer = TaskAnswer | Problem
MinConfidence = float | Literal["auto"]
MinScore = float | Mapping[str, float]
"""The score from which objects are predicted: of all classes, or by class name."""


class Input(NamedTuple):
    """What a model takes of one example.

    Attributes:
        array: as the reader gives it.
        frame: where the array lies in the image; None if the answers of the task do not depend on it.
    """

    array: np.ndarray
    frame: Frame | None


class Output(NamedTuple):
    """What a model computes for one example.

    Attributes:
        value: one of the outputs of the task, such as probabilities, float32 (classes,).
        out_of_distribution: whether the example is unlike the training examples; None if the run cannot tell.
    """

    value: Any
    out_of_distribution: bool | None


class Predictor:
    """A finished run, opened to predict; its golden samples are replayed first.

    Args:
        folder: the run folder.
        expected: number of examples that will follow, if known.
        at_once: number of batches that are computed at the same time; None decides by what is expected.
        tta: test-time augmentation: the mean of the probabilities of each image and of its mirror image.
        min_confidence: an answer with a smaller probability is unsure; ``auto`` takes the run's own threshold.

    Attributes:
        classes: class names in the order of the probabilities.
        task: kind of the labels.
        thresholds: float (classes,), the probability from which each class is predicted; None for the most probable.
        min_confidence: the probability below which an answer is unsure.
        detector: of examples that are unlike the training examples; None if the run has none.
        samples: the inputs of the golden samples.

    Raises:
        InputError: the folder is not a run, or has no threshold of its own.
        IntegrityError: the golden samples give other probabilities than when the run was made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        expected: int | None = None,
        at_once: int | None = None,
        tta: bool = False,
        min_confidence: MinConfidence = 0.0,
    ) -> None:
        self.folder = folder
        self.facts = read_facts(folder)
        self.task = get_task(self.facts.task)
        self.min_confidence = _resolve_min_confidence(min_confidence, self.facts, self.task)
        self.thresholds = _resolve_thresholds(None, self.facts, self.task)
        if tta:
            _check_tta(self.task)
        if self.facts.golden is None:
            raise InputError(
                f"{folder} is an evaluation: predict with the run that it is of, {self.facts.evaluation_of}."
            )
        self.classes = self.facts.classes
        self.modality = self.facts.modality
        for name in self.facts.files:
            if name.startswith("tokenizer/"):
                checked_file(folder, self.facts, name)
        self.reader = open_reader(self.facts.base, folder)
        has_few_examples = expected is not None and expected <= _FEW
        self._engine = _open(folder, self.facts, at_once or (1 if has_few_examples else None))
        self.detector = self._load_detector()
        self._replay_golden()
        if tta:
            self._engine = _WithMirror(self._engine)

    def values(self, inputs: np.ndarray) -> np.ndarray:
        """What the finished model gives for what the reader gives: pixels (n, h, w, 3) or token ids (n, t).

        Returns:
            Of classification probabilities, float32 (n, classes); see :meth:`headstart.tasks.Task.model_values`.
        """
        return self.task.model_values(self._engine(inputs), len(self.classes))

    def read(self, data: bytes, suffix: str | None = None) -> Input:
        """What the model takes of the content of an example. Safe to call from any thread.

        Raises:
            BadExample: the content cannot be used.
        """
        array = self.reader.decode(data, suffix)
        return Input(array, self.modality.frame(self.reader, data) if self.task.needs_frames else None)

    def compute(self, inputs: Sequence[Input]) -> list[Output]:
        """Outputs for n examples. Safe to call from any thread."""
        values = self._engine(self.reader.batch([item.array for item in inputs]))
        return self._read_values(values, [item.frame for item in inputs])

    @property
    def batch_size(self) -> int:
        """Number of examples that are best computed together."""
        return self._engine.batch_size

    @property
    def at_once(self) -> int:
        """Number of batches that are computed at the same time, if as many threads call."""
        return self._engine.at_once

    def outputs(
        self, examples: Sequence[Example], *, on_read: Callable[[int, bytes, np.ndarray], None] | None = None
    ) -> Iterator[tuple[int, Output | str]]:
        """Stream (index, output) for examples, or (index, reason) where one cannot be used.

        Args:
            examples: image files, or texts.
            on_read: is told the index, the content and the array of each one that can be used, from several threads.
        """
        size = self._engine.batch_size
        pieces = [list(range(i, min(i + size, len(examples)))) for i in range(0, len(examples), size)]
        problems: list[tuple[int, str]] = []

        def read(indices: list[int]) -> dict[int, Input]:
            inputs: dict[int, Input] = {}
            for i in indices:
                try:
                    data = examples[i].read()
                    inputs[i] = self.read(data, examples[i].suffix)
                except BadExample as exc:
                    problems.append((i, str(exc)))
                    continue
                if on_read:
                    on_read(i, data, inputs[i].array)
            return inputs

        batches = (
            (inputs, self.reader.batch([item.array for item in inputs.values()]))
            for inputs in map_ahead(read, pieces)
            if inputs
        )
        for inputs, values in self._engine.stream(batches):
            frames = [item.frame for item in inputs.values()]
            yield from zip(inputs, self._read_values(values, frames), strict=True)
            while problems:
                yield problems.pop()
        yield from problems

    def predict(self, examples: Sequence[Example], *, top_k: int | None = None) -> Iterator[Answer]:
        """Stream answers in the order of the examples.

        Args:
            examples: image files, or texts.
            top_k: keep this many classes in each answer; None keeps all.
        """
        waiting: dict[int, Answer] = {}
        following = 0
        for i, answer in self.outputs(examples):
            file = examples[i].name
            waiting[i] = Problem(file, answer) if isinstance(answer, str) else self.answer(file, answer, top_k)
            while following in waiting:
                yield waiting.pop(following)
                following += 1

    def predict_bytes(self, name: str, data: bytes, *, top_k: int | None = None) -> Answer:
        """The answer for the content of one image or text file."""
        try:
            item = self.read(data)
        except BadExample as exc:
            return Problem(name, str(exc))
        (output,) = self.compute([item])
        return self.answer(name, output, top_k)

    def outputs_of(self, outputs: np.ndarray, features: np.ndarray | None) -> list[Output]:
        """Outputs for n examples from those of the task, (n, …), and their features (n, d)."""
        if self.detector is None or features is None:
            return [Output(value, None) for value in outputs]
        return [*map(Output, outputs, self.detector.is_out_of_distribution(features).tolist())]

    def answer(self, file: str, output: Output, top_k: int | None = None) -> TaskAnswer:
        """An output as an answer about something called ``file``; with ``top_k`` classes, or all.

        Raises:
            InputError: ``top_k`` is set, and answers have no list of classes.
        """
        self.check_top_k(top_k)
        decision = Decision(self.classes, self.thresholds, self.min_confidence, output.out_of_distribution)
        return self.task.answer(file, output.value, decision, top_k)

    def at_min_score(self, min_score: MinScore | None) -> Self:
        """This run, with other scores from which objects are predicted; it shares the engine.

        Args:
            min_score: one for all classes, or by class name: the others keep the threshold of the run; None changes
                nothing.

        Raises:
            InputError: a score is not between 0 and 1, or of no class of the run; or the run detects no objects.
        """
        changed = copy(self)
        changed.thresholds = _resolve_thresholds(min_score, self.facts, self.task)
        return changed

    def check_top_k(self, top_k: int | None) -> None:
        """Check that answers have a list of classes, where ``top_k`` limits it.

        Raises:
            InputError: they have not.
        """
        if top_k is not None and self.task.has_boxes:
            raise InputError(
                f"it is for runs that predict classes of whole {self.modality.plural}, and this is a {self.task.name} "
                f"run: use {field_name('min_score')} for fewer objects or more.",
                field="top_k",
            )

    def _read_values(self, values: np.ndarray, frames: Sequence[Frame | None]) -> list[Output]:
        """Outputs from what an engine gives."""
        return self.outputs_of(*self.task.read_values(values, len(self.classes), frames))

    def _load_detector(self) -> OutOfDistributionDetector | None:
        if self.facts.out_of_distribution is None:
            return None
        name = migrations.DETECTOR_OF_1 if self.facts.format_version == 1 else DETECTOR
        path = checked_file(self.folder, self.facts, name)
        with _opening(path):
            return load_detector(path)

    def _replay_golden(self) -> None:
        path = checked_file(self.folder, self.facts, "golden.npz")
        try:
            with np.load(path) as golden:
                inputs, expected = golden["inputs"], golden["probabilities"]
                texts = golden["texts"].tolist() if self.modality.is_in_tables else []
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            raise IntegrityError(f"the golden samples of the run cannot be read: {path} ({exc}).") from exc
        if texts:  # they prove the tokenizer as well
            inputs = decode_examples(self.reader, map(TextExample, texts))
        self.samples: np.ndarray = inputs
        check_golden(self.folder, self.values(inputs), expected, self.facts.engine.precision)


def _check_tta(task: Task) -> None:
    if task.needs_frames:
        raise InputError(f"it averages probabilities of whole images, and a {task.name} run has none.", field="tta")


class _WithMirror:
    """An engine that computes every image twice, the second time mirrored."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.precision = engine.name, engine.precision
        self.batch_size, self.at_once = engine.batch_size, engine.at_once

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return _mean_of_both(self._engine(_with_mirror_image(pixels)))

    def stream(self, batches: Iterable[tuple[Key, np.ndarray]]) -> Iterator[tuple[Key, np.ndarray]]:
        for key, result in self._engine.stream((key, _with_mirror_image(pixels)) for key, pixels in batches):
            yield key, _mean_of_both(result)


def _with_mirror_image(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, pixels[:, :, ::-1]])


def _mean_of_both(probabilities: np.ndarray) -> np.ndarray:
    straight, mirrored = np.split(probabilities, 2)
    return (straight + mirrored) / 2


def check_golden(folder: Path, computed: np.ndarray, expected: np.ndarray, precision: str) -> float:
    """Compare golden samples; gives the largest difference of a probability.

    Raises:
        IntegrityError: it is beyond the tolerance of the precision.
    """
    difference = float(np.abs(computed - expected).max()) if computed.shape == expected.shape else np.inf
    if not difference <= TOLERANCE[precision]:
        raise IntegrityError(
            f"the golden samples of {folder} give other probabilities than they did when the run was made "
            f"(largest difference {difference:.1e}, tolerance {TOLERANCE[precision]:.0e}): a file of the run has "
            "changed, or this machine computes differently. Train again, or copy the run again."
        )
    return difference


def _resolve_min_confidence(choice: MinConfidence, facts: RunFacts, task: Task) -> float:
    """The probability below which answers are unsure; 0 where none are.

    Raises:
        InputError: it is not a probability; or it is ``auto``, and the run has no threshold of its own.
    """
    if choice == 0.0:
        return 0.0
    if not task.has_confidence:
        raise InputError(
            "expected a run whose answers have one confidence, for example with one class for each example; this is a "
            f"{task.name} run. {task.no_confidence_reason}",
            field="min_confidence",
        )
    if choice != "auto":
        if not 0 <= choice <= 1:
            raise InputError(f"expected a probability, such as 0.8, or auto, got {choice:g}.", field="min_confidence")
        return choice
    if facts.min_confidence is None:
        reason = facts.selective_prediction.reason if facts.selective_prediction else "It was adopted."
        raise InputError(
            f"the run has no threshold of its own, as {field_name('min_confidence', 'auto')} needs. {reason} Give a "
            f"probability, or train with more validation data or a lower {field_name('min_precision')}.",
            field="min_confidence",
        )
    return facts.min_confidence


def _resolve_thresholds(min_score: MinScore | None, facts: RunFacts, task: Task) -> np.ndarray | None:
    """The probability or score from which each class is predicted, float (classes,); None for the most probable.

    Raises:
        InputError: a score is not between 0 and 1, is of no class of the run, or the run detects no objects.
    """
    thresholds = facts.thresholds
    if min_score is not None:
        if not task.has_boxes:
            raise InputError(f"it is for runs that detect objects, and this is a {task.name} run.", field="min_score")
        if not isinstance(min_score, Mapping):
            min_score = dict.fromkeys(facts.classes, min_score)
        default = task.default_threshold
        thresholds = dict.fromkeys(facts.classes, default) | (thresholds or {})
        for name, score in min_score.items():
            if name not in thresholds:
                raise InputError(
                    f"the run has no class {name!r}.{did_you_mean(name, facts.classes)} Its classes are: "
                    f"{', '.join(facts.classes)}.",
                    field="min_score",
                )
            if not 0 <= score <= 1:
                raise InputError(f"expected a score from 0 to 1, got {score:g}.", field="min_score")
            thresholds[name] = score
    return np.array([thresholds[name] for name in facts.classes]) if thresholds else None


def _open(folder: Path, facts: RunFacts, at_once: int | None) -> Engine:
    if facts.engine.kind == "openvino":
        xml = checked_file(folder, facts, "engine/model.xml")
        with ThreadPoolExecutor(1) as thread:  # the digest of large weights takes no longer than compiling them
            check = thread.submit(checked_file, folder, facts, "engine/model.bin")
            try:
                with _opening(xml):
                    engine = OpenVINOEngine(xml, precision_here(facts.engine), at_once)
            finally:
                check.result()  # it names the cause where the file could not be opened
        return engine
    from headstart.system import keras_worker

    keras = keras_worker.import_keras()
    path = checked_file(folder, facts, "model.keras")
    with _opening(path):
        return KerasEngine(keras.models.load_model(path))


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Names the file that cannot be opened, for every error of a library."""
    try:
        yield
    except HeadstartError:
        raise
    except Exception as exc:
        raise IntegrityError(f"{path} cannot be opened ({last_error_line(str(exc))}). {ADVICE}") from exc


def open_reader(base: BaseFacts, folder: Path) -> Reader:
    """The reader of a finished run.

    Args:
        base: of the run.
        folder: of the run, where a tokenizer lies.

    Raises:
        IntegrityError: the tokenizer is missing or damaged.
    """
    return get_modality(base.modality).open_reader(base.to_json(), folder)


def precision_here(engine: EngineFacts) -> str:
    """The precision that a run computes in on this machine: its own, where the CPU has it.

    Args:
        engine: what ``run.json`` says about the engine.
    """
    return "float32" if engine.precision == "bfloat16" and not can_compute_bfloat16() else engine.precision
