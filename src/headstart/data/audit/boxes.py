"""Checks of the boxes around objects: what was wrong as they were read, and what looks wrong among those used."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from headstart.data.audit.checks import Finding, Occurrence, has_have, is_are
from headstart.data.dataset import Dataset
from headstart.data.example_rows import LabelProblem
from headstart.errors import counted
from headstart.tasks.detection import Boxes
from headstart.tasks.detection.boxes import ious

_SMALLEST_PX = 2.0
_MODEL_PX, _SMALLEST_MODEL_PX = 384, 4.0  # a longer side of an image as models of boxes read it; a side of a box in it
_SAME_IOU = 0.9
_FEWEST_SWAPPED, _SWAPPED_SHARE = 3, 0.5  # boxes that would fit with x and y exchanged, of those that do not fit
_PERCENTILES = (5, 50, 95)

_READING = {
    "unreadable-boxes": ("{n} {have} no class or no corners that can be read: left out.", "Every box was read."),
    "boxes-twice": ("{n} {are} the same as another one of the same image: left out.", "No box is in an image twice."),
    "swapped-corners": (
        "{n} {have} its first corner after the second one: corners exchanged.",
        "The first corner of every box comes before the second one.",
    ),
    "annotation-sizes": (
        "The annotations of {n} name another size than the image has.",
        "No annotation names another size than its image has.",
    ),
    "rotated-boxes": (
        "{n} with boxes {are} stored rotated; boxes are used as in the upright image.",
        "No image with boxes is stored rotated.",
    ),
    "outlines-as-boxes": (
        "{n} {are} simplified, such as turned boxes, of which the upright box around them is used.",
        "No annotation is simplified.",
    ),
}
"""Check of what was wrong in reading -> its summary, and that where nothing was."""

_OF_IMAGES = ("annotation-sizes", "rotated-boxes")
BOX_CHECKS = (*_READING, "boxes-outside", "swapped-axes", "tiny-boxes", "same-object-twice", "box-statistics")
"""Names of the checks that :func:`check_boxes` makes."""


def check_boxes(dataset: Dataset) -> list[Finding]:
    """Check the boxes of a data set.

    Args:
        dataset: images with boxes.
    """
    problems = dataset.label_problems
    labels: list[Boxes] = [*dataset.labels]
    findings = [_reading(check, [p for p in problems if p.check == check]) for check in _READING]
    outside = [p for p in problems if p.check in ("boxes-outside", "swapped-axes")]
    return [
        *findings,
        _outside(outside),
        _swapped_axes(outside),
        _tiny(dataset.files, labels, [p for p in problems if p.check == "tiny-boxes"]),
        _same_object(dataset.files, labels, dataset.classes),
        _statistics(labels, dataset.classes),
    ]


def _reading(check: str, problems: Sequence[LabelProblem]) -> Finding:
    problem_text, clean_text = _READING[check]
    if not problems:
        return Finding(check, "clean", clean_text)
    n = len({problem.file for problem in problems}) if check in _OF_IMAGES else len(problems)
    noun = "image" if check in _OF_IMAGES else "object" if check == "outlines-as-boxes" else "box"
    summary = problem_text.format(n=_counted(n, noun), have=has_have(n), are=is_are(n))
    return Finding(check, "found", summary, [*map(_occurrence, problems)])


def _occurrence(problem: LabelProblem) -> Occurrence:
    return Occurrence((problem.file,), f"{problem.where} {problem.reason}: {problem.action}")


def _outside(problems: Sequence[LabelProblem]) -> Finding:
    if not problems:
        return Finding("boxes-outside", "clean", "Every box lies in its image.")
    n_left_out = sum(problem.is_left_out for problem in problems)
    n_clipped = len(problems) - n_left_out
    parts = [f"{_counted(n_clipped, 'box')} {_reach(n_clipped)} beyond the image: clipped"] if n_clipped else []
    parts += [f"{_counted(n_left_out, 'box')} {_lie(n_left_out)} outside the image: left out"] if n_left_out else []
    return Finding("boxes-outside", "found", "; ".join(parts) + ".", [*map(_occurrence, problems)])


def _swapped_axes(outside: Sequence[LabelProblem]) -> Finding:
    check = "swapped-axes"
    swapped = [problem for problem in outside if problem.check == check]
    if len(swapped) < _FEWEST_SWAPPED or len(swapped) < _SWAPPED_SHARE * len(outside):
        return Finding(check, "clean", "Boxes do not fit their images better with x and y exchanged.")
    summary = (
        f"{len(swapped):,} of {len(outside):,} boxes that do not fit their images would fit with x and y exchanged: "
        "probably all boxes of the data are wrong."
    )
    return Finding(check, "found", summary, [*map(_occurrence, swapped)])


def _tiny(files: Sequence[str], labels: Sequence[Boxes], problems: Sequence[LabelProblem]) -> Finding:
    """Boxes without an area, and very small ones, which are used."""
    occurrences = [*map(_occurrence, problems)]
    n_small = n_small_for_models = 0
    for file, boxes in zip(files, labels, strict=True):
        sides = boxes.coordinates[:, 2:] - boxes.coordinates[:, :2]
        shorter = sides.min(1)
        small = shorter < _SMALLEST_PX
        small_for_models = shorter * min(1.0, _MODEL_PX / max(*boxes.size, 1)) < _SMALLEST_MODEL_PX
        n_small += int(small.sum())
        n_small_for_models += int((small_for_models & ~small).sum())
        is_tiny = small | small_for_models
        occurrences += [
            Occurrence((file,), f"{w:g} x {h:g} pixels", (tuple(box),))
            for (w, h), box in zip(sides[is_tiny].tolist(), boxes.coordinates[is_tiny].tolist(), strict=True)
        ]
    if not occurrences:
        return Finding("tiny-boxes", "clean", "No box is tiny.")
    counts = {
        "no area: left out": len(problems),
        f"a side below {_SMALLEST_PX:g} pixels": n_small,
        f"a side below {_SMALLEST_MODEL_PX:g} pixels in an image of {_MODEL_PX} pixels": n_small_for_models,
    }
    parts = [f"{_counted(n, 'box')} {has_have(n)} {text}" for text, n in counts.items() if n]
    return Finding("tiny-boxes", "found", "; ".join(parts) + ".", occurrences)


def _same_object(files: Sequence[str], labels: Sequence[Boxes], classes: Sequence[str]) -> Finding:
    """Pairs of boxes that cover each other nearly."""
    check = "same-object-twice"
    occurrences = []
    n_other_class = 0
    for file, boxes in zip(files, labels, strict=True):
        matrix = np.triu(ious(boxes.coordinates, boxes.coordinates), 1)
        matrix[boxes.ignored] = matrix[:, boxes.ignored] = 0  # crowds may cover objects
        for i, j in np.argwhere(matrix > _SAME_IOU).tolist():
            first, second = (classes[boxes.classes[k]] for k in (i, j))
            n_other_class += first != second
            names = f"{first} twice" if first == second else f"{first} and {second}"
            note = f"{names} with an IoU of {matrix[i, j]:.2f}: {_place(boxes, i)}"
            occurrences.append(Occurrence((file,), note, tuple(map(tuple, boxes.coordinates[[i, j]].tolist()))))
    if not occurrences:
        return Finding(check, "clean", f"No two boxes of an image have an IoU above {_SAME_IOU}.")
    n = len(occurrences)
    summary = (
        f"{counted(n, 'pair')} of boxes {has_have(n)} an IoU above {_SAME_IOU}, {n_other_class:,} of them with two "
        "classes: probably one object each."
    )
    return Finding(check, "found", summary, occurrences)


def _place(boxes: Boxes, i: int) -> str:
    return "({:g}, {:g}) to ({:g}, {:g})".format(*boxes.coordinates[i].round(2).tolist())


def _statistics(labels: Sequence[Boxes], classes: Sequence[str]) -> Finding:
    """Objects, sizes and aspect ratios of each class."""
    check = "box-statistics"
    counts = [len(boxes) for boxes in labels]
    if not sum(counts):
        return Finding(check, "clean", "There are no boxes.")
    numbers = np.concatenate([boxes.classes for boxes in labels])
    sides = np.concatenate([boxes.coordinates[:, 2:] - boxes.coordinates[:, :2] for boxes in labels])
    images = Counter(number for boxes in labels for number in set(boxes.classes.tolist()))
    occurrences = []
    for number, name in enumerate(classes):
        of_class = sides[numbers == number]
        if len(of_class):
            sizes, ratios = np.sqrt(of_class.prod(1)), of_class[:, 0] / of_class[:, 1]
            text = (
                f"{name}: {counted(len(of_class), 'object')} in {counted(images[number], 'image')}, size "
                f"{_spread(sizes)} pixels, width to height {_spread(ratios)}"
            )
            occurrences.append(Occurrence((), text))
    n_ignored = sum(int(boxes.ignored.sum()) for boxes in labels)
    ignored = f", {n_ignored:,} of them ignored (difficult, or crowds)" if n_ignored else ""
    summary = (
        f"{counted(sum(counts), 'object')}{ignored} in {counted(len(counts), 'image')}, at most {max(counts):,} in "
        f"one; {counts.count(0):,} without objects. Sizes are square roots of areas, at percentiles 5, 50 and 95."
    )
    return Finding(check, "found", summary, occurrences)


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, _PERCENTILES)
    return f"{low:.3g} / {middle:.3g} / {high:.3g}"


def _counted(n: int, noun: str) -> str:
    return counted(n, noun) if noun != "box" else f"{n:,} {'box' if n == 1 else 'boxes'}"


def _reach(n: int) -> str:
    return "reaches" if n == 1 else "reach"


def _lie(n: int) -> str:
    return "lies" if n == 1 else "lie"
