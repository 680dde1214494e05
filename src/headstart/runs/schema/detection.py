"""What ``metrics.json`` has of a detector beside the figures that all tasks have: the details of a split."""

from headstart.runs.records import Record
from headstart.runs.schema.intervals import Interval


class SizeFigures(Record):
    """The objects of one group of sizes; None where there are none.

    Attributes:
        objects: how many.
        map_50_95: mAP50-95 of these.
        average_recall: of these.
    """

    objects: int
    map_50_95: float | None
    average_recall: float | None


class ErrorFigures(Record):
    """One kind of errors.

    Attributes:
        number: how many.
        map_50_gain: what mAP50 would gain without them; None where it is not defined.
    """

    number: int
    map_50_gain: float | None


class SizeTable(Record):
    """The objects by size: ``small``, ``medium`` and ``large`` as COCO defines them."""

    small: SizeFigures
    medium: SizeFigures
    large: SizeFigures


class ErrorTable(Record):
    """The errors by kind."""

    missed: ErrorFigures
    ghost: ErrorFigures
    wrong_class: ErrorFigures
    poor_box: ErrorFigures
    wrong_class_poor_box: ErrorFigures
    duplicate: ErrorFigures


class PrecisionCurve(Record):
    """Precision of one class at 101 values of recall.

    Attributes:
        precision: of each.
        score: from which the recall is reached.
    """

    precision: list[float]
    score: list[float]


class ObjectFigures(Record):
    """The objects of one class.

    Attributes:
        images: how many have the class.
        average_precision_50: AP at an IoU of 0.5.
        curve: precision and recall.
    """

    images: int
    average_precision_50: Interval
    curve: PrecisionCurve


class DetectionDetails(Record):
    """The details of a split.

    Attributes:
        objects: how many.
        size_buckets: objects by size.
        errors: by kind.
        confusions: counts of classes that were predicted for objects, with background last.
        per_class: class -> figures.
    """

    objects: int
    size_buckets: SizeTable
    errors: ErrorTable
    confusions: list[list[int]]
    per_class: dict[str, ObjectFigures]
