"""The answer of a detector about one image."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from headstart.tasks.detection.cells import write_detection
from headstart.tasks.labels import NO_LABEL, SEPARATOR


@dataclass(frozen=True)
class PredictedBox:
    """A detected object.

    Attributes:
        label: its class.
        score: from 0 to 1.
        x1: left edge, in pixels of the upright image from the outer edge of its first pixel; so ``y1``: upper edge.
        y1: upper edge.
        x2: right edge; ``y2``: lower edge.
        y2: lower edge.
    """

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class DetectionPrediction:
    """The answer about one image.

    Attributes:
        file: its path or name.
        boxes: the objects whose score reaches the threshold of their class, the highest score first; may be empty.
        probabilities: class name -> highest score of a detection of the class, the highest first; 0 without any.
        out_of_distribution: whether the image is unlike the training images; None if the run cannot tell.
    """

    file: str
    boxes: list[PredictedBox]
    probabilities: dict[str, float]
    out_of_distribution: bool | None = None

    @property
    def predicted(self) -> list[dict[str, Any]]:
        """The objects as plain data."""
        return [asdict(box) for box in self.boxes]

    @property
    def names(self) -> list[str]:
        """The classes of the objects, each once."""
        return list(dict.fromkeys(box.label for box in self.boxes))

    @property
    def unsure(self) -> bool:
        """False: every class has its own threshold."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)

    def cells(self) -> dict[str, str]:
        """Column name -> cell of what is predicted, for tables."""
        entries = (write_detection(box.label, (box.x1, box.y1, box.x2, box.y2), box.score) for box in self.boxes)
        return {"predicted": f"{SEPARATOR} ".join(entries)}

    def label(self) -> str:
        """What is predicted, in words, such as ``3 WBC, 12 RBC``."""
        counts = Counter(box.label for box in self.boxes)
        return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or NO_LABEL
