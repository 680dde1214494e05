"""The answer of a detector about one image."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.system.extras import require, require_package
from headstart.tasks.detection.boxes import Detections
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

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2."""
        return self.x1, self.y1, self.x2, self.y2

    def __str__(self) -> str:
        return f"{self.label}  {self.score:.2f}  {self.place}"

    @property
    def place(self) -> str:
        """Its edges to the pixel, for people."""
        return f"x {self.x1:.0f}-{self.x2:.0f}, y {self.y1:.0f}-{self.y2:.0f}"


@dataclass(frozen=True, repr=False)
class DetectionPrediction:
    """The answer about one image.

    Attributes:
        file: its path or name.
        boxes: the objects whose score reaches the threshold of their class, the highest score first; may be empty.
        size: (height, width) of the upright image, in pixels.
        classes: class names of the run, in the order of their numbers.
        probabilities: class name -> highest score of a detection of the class, the highest first; 0 without any.
        out_of_distribution: whether the image is unlike the training images; None if the run cannot tell.
    """

    file: str
    boxes: list[PredictedBox]
    size: tuple[int, int]
    classes: Sequence[str]
    probabilities: dict[str, float]
    out_of_distribution: bool | None = None

    def __repr__(self) -> str:
        lines = [f"<{self.file}, {self.size[1]} x {self.size[0]}: {self.label()}>", *map(str, self.boxes)]
        return "\n  ".join(lines)

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
        """As plain data, for JSON: sizes and edges are in pixels of the upright image."""
        height, width = self.size
        return {"file": self.file, "width": width, "height": height, "boxes": self.predicted}

    def cells(self) -> dict[str, str]:
        """Column name -> cell of what is predicted, for tables."""
        entries = (write_detection(box.label, box.edges, box.score) for box in self.boxes)
        return {"predicted": f"{SEPARATOR} ".join(entries)}

    def label(self) -> str:
        """What is predicted, in words, such as ``12 RBC, 3 WBC``: in the order of the classes."""
        counts = Counter(box.label for box in self.boxes)
        return ", ".join(f"{counts[name]:,} {name}" for name in self.classes if name in counts) or NO_LABEL

    def to_detections(self) -> Detections:
        """The objects as arrays, as headstart's own functions take them."""
        return Detections(
            np.array([box.edges for box in self.boxes], np.float32).reshape(-1, 4),
            np.array([self.classes.index(box.label) for box in self.boxes], np.int64),
            np.array([box.score for box in self.boxes], np.float32),
            self.size,
        )

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each object: ``file``, ``label``, ``score``, ``x1``, ``y1``, ``x2``, ``y2``.

        Raises:
            UnavailableError: pandas is not installed.
        """
        pandas = require("pandas", extra="tables", purpose="a DataFrame of detections")
        columns = {name: [getattr(box, name) for box in self.boxes] for name in PredictedBox.__dataclass_fields__}
        files = [self.file] * len(self.boxes)
        return pandas.DataFrame({"file": files, **columns})

    def to_supervision(self) -> Any:
        """The objects as :class:`supervision.Detections`; class names are in its ``data["class_name"]``.

        Raises:
            UnavailableError: supervision is not installed.

        Source: https://supervision.roboflow.com/latest/detection/core/
        """
        supervision = require_package("supervision", purpose="supervision.Detections")
        detections = self.to_detections()
        return supervision.Detections(
            xyxy=detections.coordinates,
            confidence=detections.scores,
            class_id=detections.classes,
            data={"class_name": np.array([box.label for box in self.boxes], str)},
        )
