"""Figures of object detection: mean average precision and others, each with its interval over images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.tasks.comparison import Comparison
from headstart.tasks.detection.average_precision import average_precisions, mean_of_defined, precision_curve
from headstart.tasks.detection.errors import confusions, count_errors, find_errors
from headstart.tasks.detection.gains import gains_of_fixing
from headstart.tasks.detection.matching import EVERY_SIZE, Candidates, Matches
from headstart.tasks.detection.thresholds import above_thresholds
from headstart.tasks.statistics import Interval, interval, percentiles, wilson

METRICS = ("map_50_95", "map_50", "average_recall", "macro_f1")

SIZE_RANGES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, EVERY_SIZE[1])}
"""Least and greatest area of the objects of each size in square pixels of the upright image, as COCO has them.

The area is that of the box; files of COCO may tell that of an outline instead.
"""

_CLASS_FIGURES = ("precision", "recall", "f1", "average_precision", "average_precision_50")
_RESAMPLES, _FEW_RESAMPLES, _MANY_DETECTIONS = 200, 100, 200_000


class DetectionTable:
    """The matches of every class; figures are then sums with weights of the images.

    Args:
        labels: object array (n,) of the true objects of each image.
        outputs: object array (n,) of the detections.
        n_classes: number of classes.
        thresholds: float (classes,), the score from which each class is predicted; None where the figures at these
            thresholds are not needed.

    Attributes:
        matches: of each class.
        objects: int (n, classes), number of objects in each image.
        predicted: float (n, classes), number of detections that reach their threshold.
        n_detections: number of detections that are evaluated.
    """

    def __init__(self, labels: np.ndarray, outputs: np.ndarray, n_classes: int, thresholds: np.ndarray | None) -> None:
        self._n = len(labels)
        self._candidates = [Candidates(labels, outputs, number) for number in range(n_classes)]
        self.matches = [candidates.match() for candidates in self._candidates]
        self.objects = np.stack([matches.objects for matches in self.matches], 1)
        self.n_detections = sum(len(matches.images) for matches in self.matches)
        self._hits, self.predicted = np.zeros((2, self._n, n_classes))
        for number, threshold in enumerate([] if thresholds is None else thresholds.tolist()):
            matches = self.matches[number]
            is_predicted = (matches.scores >= threshold) & ~matches.ignored[0]
            self.predicted[:, number] = self._count(matches.images[is_predicted])
            self._hits[:, number] = self._count(matches.images[is_predicted & matches.correct[0]])

    def mean_average_precision(self, weights: np.ndarray) -> np.ndarray:
        """mAP50-95 of each resample, float (resamples,), from weights (resamples, n)."""
        return mean_of_defined(self.class_precisions(weights))

    def class_precisions(self, weights: np.ndarray) -> np.ndarray:
        """Average precision of each class in each resample, float (resamples, classes)."""
        return np.stack([average_precisions(matches, weights)[0].mean(1) for matches in self.matches], 1)

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric, float (resamples,), and every figure of the classes, (resamples, classes)."""
        averages = [average_precisions(matches, weights) for matches in self.matches]
        precision, recall = (np.stack(values, 1) for values in zip(*averages, strict=True))  # by IoU threshold, too
        hits, predicted, objects = (weights @ counts for counts in (self._hits, self.predicted, self.objects))
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.where(objects > 0, 2 * hits / (objects + predicted), np.nan)
            return {
                "map_50_95": mean_of_defined(precision.mean(2)),
                "map_50": mean_of_defined(precision[:, :, 0]),
                "average_recall": mean_of_defined(recall.mean(2)),
                "macro_f1": mean_of_defined(f1),
                "precision": np.where(predicted > 0, hits / predicted, np.nan),
                "recall": np.where(objects > 0, hits / objects, np.nan),
                "f1": f1,
                "average_precision": precision.mean(2),
                "average_precision_50": precision[:, :, 0],
            }

    def size_buckets(self) -> dict[str, dict[str, Any]]:
        """Size -> number of objects, mAP50-95 and average recall of the objects of this size."""
        buckets = {}
        for name, size_range in SIZE_RANGES.items():
            matches = [candidates.match(size_range) for candidates in self._candidates]
            averages = [average_precisions(of_class, np.ones((1, self._n))) for of_class in matches]
            precision, recall = (np.stack(values, 1).mean(2) for values in zip(*averages, strict=True))
            buckets[name] = {
                "objects": int(sum(of_class.objects.sum() for of_class in matches)),
                "map_50_95": _plain(mean_of_defined(precision)[0]),
                "average_recall": _plain(mean_of_defined(recall)[0]),
            }
        return buckets

    def _count(self, images: np.ndarray) -> np.ndarray:
        return np.bincount(images, minlength=self._n)


def evaluate(
    labels: np.ndarray,
    outputs: np.ndarray,
    classes: Sequence[str],
    thresholds: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute every figure of one split.

    Args:
        labels: object array (n,) of the true objects of each image; n is at least 1.
        outputs: object array (n,) of the detections.
        classes: class names.
        thresholds: float (classes,), the score from which each class is predicted.
        seed: of the bootstrap over images.

    Returns:
        ``examples``, ``resamples``; each of :data:`METRICS` as ``{value, low, high}``; ``per_class``: precision, recall
        and F1 at the threshold and an IoU of 0.5, and average precision over all IoU thresholds and at 0.5
        (``average_precision_50``), in the same form, with ``support`` (objects), ``images``, ``threshold`` and
        ``curve``, precision and score at 101 values of recall; ``objects``; ``size_buckets``; ``errors``: the
        ``number`` of each kind, and ``map_50_gain``, what mAP50 would gain without them; and ``confusions``, a matrix
        (classes + 1, classes + 1) of true against predicted classes, the last of both being the background. Means are
        over the classes with at least one object.
    """
    table = DetectionTable(labels, outputs, len(classes), thresholds)
    n, weights = len(labels), resample(len(labels), table.n_detections, seed)
    point = {name: values[0] for name, values in table.figures(np.ones((1, n))).items()}
    spread = table.figures(weights)
    support = table.objects.sum(0)
    result: dict[str, Any] = {"examples": n, "resamples": len(weights)}
    for name in METRICS:
        value = float(point[name])
        result[name] = interval(value, spread[name], wilson(value, int(support.sum())))
    result["per_class"] = {
        name: {
            "support": int(support[number]),
            "images": int((table.objects[:, number] > 0).sum()),
            "threshold": float(thresholds[number]),
            **_class_figures(table, number, point, spread),
            "curve": _curve(table.matches[number]),
        }
        for number, name in enumerate(classes)
    }
    decided = above_thresholds(outputs, thresholds)
    errors = find_errors(labels, decided)
    counts, gains = count_errors(errors), gains_of_fixing(labels, outputs, thresholds, errors, table.matches)
    result |= {
        "objects": int(support.sum()),
        "size_buckets": table.size_buckets(),
        "errors": {kind: {"number": counts[kind], "map_50_gain": gain} for kind, gain in gains.items()},
        "confusions": confusions(labels, decided, errors, len(classes)).tolist(),
    }
    return result


def mean_average_precisions(labels: np.ndarray, outputs: np.ndarray, n_classes: int) -> tuple[float, float]:
    """mAP50-95 and mAP50 without intervals, as quick as an epoch of training needs them; nan without any object."""
    table, weights = DetectionTable(labels, outputs, n_classes, None), np.ones((1, len(labels)))
    averages = np.stack([average_precisions(matches, weights)[0][0] for matches in table.matches])  # by IoU threshold
    return float(mean_of_defined(averages.mean(1)[None])[0]), float(mean_of_defined(averages[None, :, 0])[0])


def compare(labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Comparison:
    """Compare two detectors on the same images, by the bootstrap of the paired differences of mAP50-95.

    Without any object both have 0.
    """
    n = len(labels)
    n_classes = max((int(boxes.classes.max()) + 1 for boxes in labels if len(boxes)), default=1)
    tables = [DetectionTable(labels, outputs, n_classes, None) for outputs in (first, second)]
    weights = resample(n, max(table.n_detections for table in tables), seed)
    values = [float(np.nan_to_num(table.mean_average_precision(np.ones((1, n)))[0])) for table in tables]
    before, after = (table.mean_average_precision(weights) for table in tables)
    gains = (after - before)[~np.isnan(after - before)]
    return Comparison(
        examples=n,
        metric=METRICS[0],
        value=(values[0], values[1]),
        value_gain=percentiles(gains) if len(gains) else (0.0, 0.0),
    )


def resample(n: int, n_detections: int, seed: int) -> np.ndarray:
    """How often each of n images is in each resample: float64 (resamples, n); fewer where they cost much."""
    rng = np.random.default_rng(seed)
    count = _RESAMPLES if n_detections <= _MANY_DETECTIONS else _FEW_RESAMPLES
    return np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(count)]).astype(np.float64)


def _class_figures(
    table: DetectionTable, number: int, point: dict[str, np.ndarray], spread: dict[str, np.ndarray]
) -> dict[str, Interval]:
    """The figures of a class with their intervals, from those of all images and of the resamples."""
    n_objects, n_predicted = int(table.objects[:, number].sum()), int(table.predicted[:, number].sum())
    figures = {}
    for name in _CLASS_FIGURES:
        value = float(point[name][number])
        n = n_predicted if name == "precision" else n_objects
        figures[name] = interval(value, spread[name][:, number], wilson(value, n))
    return figures


def _curve(matches: Matches) -> dict[str, list[float]]:
    precision, scores = precision_curve(matches)
    return {"precision": precision.round(4).tolist(), "score": scores.round(4).tolist()}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
