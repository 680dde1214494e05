"""The task of object detection.

Modules that only evaluation needs are imported where they are used: prediction starts without them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from headstart.errors import counted
from headstart.tasks.answers import Cells, Decision, Frame, Mistake, Scores
from headstart.tasks.comparison import Comparison
from headstart.tasks.detection.answers import DetectionPrediction, PredictedBox
from headstart.tasks.detection.boxes import Boxes, Detections, same_objects
from headstart.tasks.detection.cells import name_fault, read_detections, read_labels, write_boxes, write_detections
from headstart.tasks.detection.thresholds import DEFAULT_THRESHOLD, above_threshold, above_thresholds
from headstart.tasks.labels import BoxLabels, Label
from headstart.tasks.stratification import assign_label_sets
from headstart.tasks.task import Metric, Region, ReportSection, Task
from headstart.tasks.wording import Wording


class Detection(Task):
    """Each example is an image with any number of objects; labels are an object array (n,) of :class:`Boxes`.

    Outputs are an object array (n,) of :class:`Detections`; what is predicted are those above the thresholds.
    """

    name = "detection"
    metrics = (
        Metric("map_50_95", "mAP50-95", "mean average precision, over ten IoU thresholds from 0.5 to 0.95"),
        Metric("map_50", "mAP50", "mean average precision at an IoU of 0.5: position counts little"),
        Metric("average_recall", "Average recall", "share of objects found with 100 boxes of a class in an image"),
        Metric("macro_f1", "Macro F1", "mean F1 of the classes at their thresholds and an IoU of 0.5"),
    )
    deciding_metric = "map_50_95"
    wording = Wording(
        labels_of_example="boxes around objects in each example",
        among="with objects of",
        membership="have an object of the class",
        cell_form="the size of the image and its objects, such as '640x480; cat 10 20 110 220; dog 5 5 90 80'",
        correction_form="all correct objects, such as “cat 10 20 110 220; dog 5 5 90 80”,",
        columns_advice="name a folder or a file with boxes",
        explained="the first object",
        issue_counts="boxes in {count} of {examined}",
        no_issues="No box in {examined}",
        examined="{noun}",
        support="objects",
        class_figures=(
            "An object is predicted if its score reaches the threshold of its class. Thresholds are near the greatest "
            "F1 on the validation {noun}s. Precision, recall and F1 count a box as correct from an intersection over "
            "union (IoU) of 0.5; AP, the average precision, summarises all thresholds of the score and of the IoU."
        ),
    )
    split_figures = ("objects", "size_buckets", "errors", "confusions")
    class_figures = ("threshold", "average_precision")
    class_metrics = (Metric("average_precision", "AP", "average precision, which summarises all thresholds"),)
    has_boxes = True
    default_threshold = DEFAULT_THRESHOLD
    min_classes = 1
    min_train = 0
    needs_absence = False
    allows_no_class = True
    allows_new_classes = False  # objects of a new class may be in old images, without a box
    predicts_most_probable = False
    no_confidence_reason = "Every object has its own score, and every class its own threshold."
    has_label_probability = False
    relabel_control = "accept"
    trains_on = "maps"
    openvino_info = MappingProxyType({"model_type": "YOLOv8"})
    needs_frames = True

    def matches(self, labels: Sequence[Label]) -> bool:
        """Whether all labels are boxes."""
        return all(isinstance(label, BoxLabels) for label in labels)

    def encode(self, labels: Sequence[Label], classes: Sequence[str]) -> np.ndarray:
        """Object array (n,) of :class:`Boxes`; objects of none of the classes are left out."""
        numbers = {name: number for number, name in enumerate(classes)}
        encoded = np.empty(len(labels), object)  # np.array would try to stack them
        encoded[:] = [_encode(label, numbers) for label in labels if isinstance(label, BoxLabels)]
        return encoded

    def names(self, label: Boxes | Detections, classes: Sequence[str]) -> list[str]:
        """The names of the classes that have an object, each once, in the order of the classes."""
        return [classes[number] for number in np.unique(_counted(label)).tolist()]

    def to_cell(self, label: Boxes | Detections, classes: Sequence[str]) -> str:
        """See :mod:`headstart.tasks.detection.cells`."""
        return write_boxes(label, classes) if isinstance(label, Boxes) else write_detections(label, classes)

    def from_cell(self, cell: str) -> Label:
        """The objects."""
        return read_labels(cell)

    def to_json(self, label: Boxes, classes: Sequence[str]) -> str:
        """The cell of the image."""
        return self.to_cell(label, classes)

    def from_json(self, value: str) -> Label:
        """The objects that the cell of an image tells."""
        return read_labels(value)

    def corrected(self, old: Boxes, label: Label, classes: Sequence[str]) -> Boxes:
        """The corrected objects, and the size of the image, which a correction need not repeat."""
        return replace(super().corrected(old, label, classes), size=old.size)

    def differs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether the objects differ, or their order."""
        return np.fromiter((not same_objects(*pair) for pair in zip(first, second, strict=True)), bool, len(first))

    def members(self, labels: np.ndarray, number: int) -> np.ndarray:
        """Mask of the images with at least one object of a class that is not ignored."""
        return np.fromiter((number in _counted(label) for label in labels), bool, len(labels))

    def strata(self, labels: np.ndarray) -> list[np.ndarray]:
        """One stratum for each class with objects, of the images that have one; and one for images without any."""
        has_class = self._has_class(labels)
        return [np.flatnonzero(is_member) for is_member in (*has_class.T, ~has_class.any(1))]

    def assign_groups(
        self, labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray
    ) -> np.ndarray:
        """By the classes in each image, see :func:`headstart.tasks.stratification.assign_label_sets`."""
        return assign_label_sets(self._has_class(labels), groups, fractions, order)

    def label_fault(self, names: Iterable[str]) -> str | None:
        """A name that could not be read again from a cell."""
        return name_fault(names)

    def read_values(
        self, values: np.ndarray, n_classes: int, frames: Sequence[Frame | None]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Detections in pixels of each image.

        Values are boxes in shares of the input, and scores: (n, points, 4 + classes).
        """
        from headstart.tasks.detection.decoding import decode

        detections = [
            decode(of_image, (1, 1), frame.visible_box, frame.size)
            for of_image, frame in zip(values, frames, strict=True)
            if frame is not None
        ]
        return self.stack_outputs(detections, n_classes), None

    def model_values(self, values: np.ndarray, n_classes: int) -> np.ndarray:
        """All of them: boxes and scores at all points."""
        return values

    def stack_outputs(self, outputs: Sequence[Any], n_classes: int) -> np.ndarray:
        """Object array (n,)."""
        stacked = np.empty(len(outputs), object)  # np.array would try to stack them
        stacked[:] = outputs
        return stacked

    def evaluate(
        self,
        labels: np.ndarray,
        outputs: np.ndarray,
        classes: Sequence[str],
        thresholds: np.ndarray | None,
        *,
        seed: int = 0,
    ) -> dict[str, Any]:
        """See :func:`headstart.tasks.detection.metrics.evaluate`."""
        from headstart.tasks.detection import metrics

        if thresholds is None:
            thresholds = np.full(len(classes), DEFAULT_THRESHOLD)
        return metrics.evaluate(labels, outputs, classes, thresholds, seed=seed)

    def choose_thresholds(self, labels: np.ndarray, outputs: np.ndarray, n_classes: int) -> np.ndarray:
        """See :func:`headstart.tasks.detection.threshold_choice.choose_thresholds`."""
        from headstart.tasks.detection.threshold_choice import choose_thresholds

        return choose_thresholds(labels, outputs, n_classes)

    def decide(self, outputs: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        """The detections whose score reaches the threshold of their class: object array (n,) of :class:`Detections`."""
        return above_thresholds(outputs, thresholds)

    def changes(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Whether an object appears or disappears, or its box hardly overlaps the one before (IoU below 0.5)."""
        from headstart.tasks.detection.errors import has_same_objects

        pairs = zip(before, after, strict=True)
        return np.fromiter((not has_same_objects(*pair) for pair in pairs), bool, len(before))

    def class_examples(self, labels: np.ndarray, number: int) -> np.ndarray:
        """All of them: a class may also be detected in an image without it."""
        return np.ones(len(labels), bool)

    def compare(self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Comparison:
        """mAP50-95, by the bootstrap over images of the paired differences."""
        from headstart.tasks.detection import metrics

        return replace(metrics.compare(labels, first, second, seed=seed), title=self.deciding.title)

    def worst_mistakes(
        self, labels: np.ndarray, outputs: np.ndarray, thresholds: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`headstart.tasks.detection.table.worst_mistakes`."""
        from headstart.tasks.detection.table import worst_mistakes

        return worst_mistakes(labels, self.decide(outputs, thresholds))

    def find_label_issues(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The images with label issues, the boxes as they more likely are, and the highest score that says so.

        See :mod:`headstart.tasks.detection.label_issues`.
        """
        from headstart.tasks.detection.label_issues import corrected_boxes, find_box_issues

        issues: dict[int, list[Any]] = {}
        for issue in find_box_issues(labels, outputs):
            issues.setdefault(issue.image, []).append(issue)
        suggested = np.empty(len(issues), object)
        suggested[:] = [corrected_boxes(labels[image], issues[image]) for image in sorted(issues)]
        of_wrong = np.array([max(issue.score for issue in issues[image]) for image in sorted(issues)])
        return np.array(sorted(issues), np.int64), suggested, of_wrong, 1 - of_wrong

    def table_columns(self, classes: Sequence[str]) -> list[str]:
        """See :mod:`headstart.tasks.detection.table`."""
        from headstart.tasks.detection.table import COLUMNS

        return [*COLUMNS]

    def table(
        self, labels: np.ndarray, outputs: np.ndarray, thresholds: np.ndarray | None, classes: Sequence[str]
    ) -> list[Iterable[str]]:
        """See :func:`headstart.tasks.detection.table.table`."""
        from headstart.tasks.detection.table import table

        return table(labels, outputs, thresholds, classes)

    def read_row(self, cells: Cells, labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Scores:
        """The worst mistake, and what is below the thresholds; the table has no probabilities."""
        from headstart.tasks.detection.table import BELOW

        def check(cell: str) -> str:
            read_detections(cell, classes)
            return cell

        worst, score = cells.one_of("worst", ["", *classes]), cells.probability("worst_score")
        below = cells.convert(BELOW, check, self.wording.cell_form)
        return Scores({}, None, Mistake(worst, score, score, None) if worst else None, below)

    def outputs_of_table(
        self, scores: Sequence[Scores], predicted_cells: Sequence[str], classes: Sequence[str]
    ) -> np.ndarray:
        """The detections that were predicted; those below the thresholds are not in the table."""
        outputs = np.empty(len(predicted_cells), object)
        outputs[:] = [read_detections(cell, classes) for cell in predicted_cells]
        return outputs

    def told_by_table(self, outputs: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        """The detections that are predicted."""
        return self.decide(outputs, thresholds)

    def answer(self, name: str, output: Detections, decision: Decision, top_k: int | None) -> DetectionPrediction:
        """The objects whose score reaches the threshold of their class."""
        predicted = above_threshold(output, decision.thresholds)
        boxes = [
            PredictedBox(decision.classes[number], round(score, 6), *(round(edge, 2) for edge in edges))
            for number, score, edges in zip(
                predicted.classes.tolist(), predicted.scores.tolist(), predicted.coordinates.tolist(), strict=True
            )
        ]
        highest = np.zeros(len(decision.classes))
        np.maximum.at(highest, output.classes, output.scores)
        order = np.argsort(-highest, kind="stable")[:top_k]
        ranked = {decision.classes[number]: float(highest[number]) for number in order.tolist()}
        return DetectionPrediction(name, boxes, output.size, decision.classes, ranked, decision.out_of_distribution)

    def describe(self, figures: Mapping[str, Any], n_classes: int, examples: str) -> str:
        """Both mean average precisions."""
        texts = (f"{metric.title} {metric.format(figures[metric.name])}" for metric in self.metrics[:2])
        return f"{', '.join(texts)}, on {examples}"

    def class_remark(self, figures: Mapping[str, Any]) -> str:
        """The threshold of the class, and the number of images with an object of it."""
        return f"threshold {figures['threshold']:.3f}, in {counted(figures['images'], 'image')}"

    def regions(
        self, label_cell: str, predicted_cell: str, classes: Sequence[str], below_cell: str = ""
    ) -> list[Region]:
        """See :mod:`headstart.tasks.detection.regions`."""
        from headstart.tasks.detection.regions import regions

        return regions(label_cell, predicted_cell, classes, below_cell)

    def report_sections(self, figures: Mapping[str, Any], classes: Sequence[str]) -> list[ReportSection]:
        """See :mod:`headstart.tasks.detection.report`."""
        from headstart.tasks.detection.report import report_sections

        return report_sections(figures, classes)

    def _has_class(self, labels: np.ndarray) -> np.ndarray:
        """Whether each image has an object of each class up to the last one with any: bool (n, k)."""
        n_classes = max((int(_counted(label).max(initial=-1)) + 1 for label in labels), default=0)
        has_class = np.zeros((len(labels), n_classes), bool)
        for row, label in zip(has_class, labels, strict=True):
            row[_counted(label)] = True
        return has_class


def _encode(label: BoxLabels, numbers: Mapping[str, int]) -> Boxes:
    boxes = [box for box in label.boxes if box.name in numbers]
    return Boxes(
        np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes], np.float64).reshape(-1, 4),
        np.array([numbers[box.name] for box in boxes], np.int64),
        np.array([box.is_ignored for box in boxes], bool),
        label.size,
    )


def _counted(label: Boxes | Detections) -> np.ndarray:
    """Class numbers of the objects that are not ignored."""
    return label.classes[~label.ignored] if isinstance(label, Boxes) else label.classes
