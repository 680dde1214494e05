"""Answers about new examples, in the forms of the tasks."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from headstart.tasks.labels import NO_LABEL, SEPARATOR

T = TypeVar("T")


class Decision(NamedTuple):
    """How a run turns probabilities into answers.

    Attributes:
        classes: class names in the order of the probabilities.
        thresholds: float (classes,), the probability from which each class is predicted; None for the most probable.
        min_confidence: an answer with a lower confidence is unsure.
        out_of_distribution: whether the example is unlike the training examples; None if the run cannot tell.
    """

    classes: Sequence[str]
    thresholds: np.ndarray | None = None
    min_confidence: float = 0.0
    out_of_distribution: bool | None = None


class Frame(NamedTuple):
    """Where the input of a model lies in an image.

    Attributes:
        size: (height, width) of the upright image, in pixels.
        visible_box: left, top, right and bottom of what the input shows, in pixels of the upright image.
    """

    size: tuple[int, int]
    visible_box: tuple[float, float, float, float]


class Cells(Protocol):
    """One row of a table, read with a check of each cell."""

    def probability(self, column: str) -> float:
        """A cell that holds a probability."""
        ...

    def one_of(self, column: str, values: Sequence[str]) -> str:
        """A cell that holds one of some values."""
        ...

    def convert(self, column: str, convert: Callable[[str], T], expected: str) -> T:
        """A cell as something else; ``convert`` raises ValueError if it is not what is ``expected``."""
        ...


class Mistake(NamedTuple):
    """A wrong answer about one class.

    Attributes:
        class_name: that was wrongly predicted, or wrongly not predicted.
        probability: of this class.
        confidence: in the wrong answer.
        label_probability: of the true class; None if there is no single one.
    """

    class_name: str
    probability: float
    confidence: float
    label_probability: float | None


class Scores(NamedTuple):
    """Probabilities of one evaluated example, as a table holds them.

    Attributes:
        probabilities: class name -> probability, of the classes that the table tells.
        confidence: in the answer as a whole; None if the task has none.
        mistake: the worst wrong answer; None if nothing is wrong.
        below_cell: what was found but is not predicted, because its score is below the threshold; as a cell.
    """

    probabilities: dict[str, float]
    confidence: float | None
    mistake: Mistake | None
    below_cell: str = ""


class Answer(Protocol):
    """The answer about one example; each task has its own form."""

    @property
    def file(self) -> str:
        """Path or name of the example."""
        ...

    @property
    def predicted(self) -> Any:
        """What is predicted, as plain data."""
        ...

    @property
    def names(self) -> list[str]:
        """The predicted classes."""
        ...

    @property
    def probabilities(self) -> dict[str, float]:
        """Class name -> probability, the most probable first."""
        ...

    @property
    def unsure(self) -> bool:
        """Whether the confidence is below the smallest one that was set."""
        ...

    @property
    def out_of_distribution(self) -> bool | None:
        """Whether the example is unlike the training examples; None if the run cannot tell."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        ...

    def cells(self) -> dict[str, str]:
        """Column name -> cell of what is predicted, for tables."""
        ...

    def label(self) -> str:
        """What is predicted, in words."""
        ...


@dataclass(frozen=True)
class Prediction:
    """The answer about one example that has exactly one class.

    Attributes:
        file: its path or name.
        predicted: the most probable class.
        probability: of that class.
        probabilities: class name -> probability, the most probable first.
        unsure: whether the probability is below the smallest confidence that was set.
        out_of_distribution: whether the example is unlike the training examples; None if the run cannot tell.
    """

    file: str
    predicted: str
    probability: float
    probabilities: dict[str, float]
    unsure: bool = False
    out_of_distribution: bool | None = None

    @property
    def names(self) -> list[str]:
        """The predicted class."""
        return [self.predicted]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)

    def cells(self) -> dict[str, str]:
        """Column name -> cell of what is predicted, for tables."""
        return {"predicted": self.predicted, "probability": f"{self.probability:.6f}"}

    def label(self) -> str:
        """What is predicted, in words."""
        return self.predicted


@dataclass(frozen=True)
class MultiLabelPrediction:
    """The answer about one example that has any number of labels.

    Attributes:
        file: its path or name.
        predicted: all labels whose probability reaches their threshold, the most probable first; may be empty.
        probabilities: label -> probability, the most probable first.
        out_of_distribution: whether the example is unlike the training examples; None if the run cannot tell.
    """

    file: str
    predicted: list[str]
    probabilities: dict[str, float]
    out_of_distribution: bool | None = None

    @property
    def names(self) -> list[str]:
        """The predicted labels."""
        return self.predicted

    @property
    def unsure(self) -> bool:
        """False: every label has its own threshold."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)

    def cells(self) -> dict[str, str]:
        """Column name -> cell of what is predicted, for tables."""
        return {"predicted": SEPARATOR.join(self.predicted)}

    def label(self) -> str:
        """What is predicted, in words."""
        return ", ".join(self.predicted) or NO_LABEL


def ranked_probabilities(
    probabilities: np.ndarray, classes: Sequence[str], top_k: int | None
) -> tuple[np.ndarray, dict[str, float]]:
    """Class numbers, the most probable first; and the probabilities of the first ``top_k`` (all if None) by name."""
    order = np.argsort(-probabilities, kind="stable")
    return order, {classes[i]: float(probabilities[i]) for i in order[:top_k]}
