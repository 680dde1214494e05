"""Objects and detections for the tests of object detection."""

from collections.abc import Sequence

import numpy as np

from headstart.tasks.detection import Boxes, Detections

SIZE = (480, 640)
Row = tuple[float, ...]


def boxes(*rows: Row, ignored: Sequence[int] = (), size: tuple[int, int] = SIZE) -> Boxes:
    """True objects from rows of class, x1, y1, x2, y2; some of them ignored, by their positions."""
    values = np.array(rows, np.float64).reshape(-1, 5)
    mask = np.isin(np.arange(len(values)), ignored)
    return Boxes(values[:, 1:], values[:, 0].astype(np.int64), mask, size)


def detections(*rows: Row) -> Detections:
    """Detections from rows of class, x1, y1, x2, y2, score."""
    values = np.array(rows, np.float64).reshape(-1, 6)
    values = values[np.argsort(-values[:, 5], kind="stable")]
    return Detections(values[:, 1:5].astype(np.float32), values[:, 0].astype(np.int64), values[:, 5].astype(np.float32))


def array(items: Sequence[object]) -> np.ndarray:
    """An object array (n,)."""
    made = np.empty(len(items), object)
    made[:] = items
    return made


def scene(
    seed: int, n: int = 12, n_classes: int = 3, per_image: int = 8, *, ties: bool = False, crowds: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Random images: objects of all sizes, and detections near them, beside them, twice, or of another class."""
    rng = np.random.default_rng(seed)
    labels, outputs = [], []
    for _ in range(n):
        k = int(rng.integers(0, per_image + 1))
        corner, sides = rng.uniform(0, 300, (k, 2)), rng.uniform(6, 180, (k, 2)) ** rng.uniform(0.6, 1, (k, 1))
        true = np.column_stack([corner, corner + sides]).round(2)
        classes = rng.integers(0, n_classes, k)
        labels.append(Boxes(true, classes, rng.random(k) < crowds, SIZE))
        near = np.repeat(true, 2, axis=0)
        near += rng.normal(0, 0.12, near.shape) * np.tile(near[:, 2:] - near[:, :2], 2) * rng.integers(0, 2, (2 * k, 1))
        ghosts = rng.uniform(0, 300, (5, 2))
        found = np.concatenate([near, np.column_stack([ghosts, ghosts + rng.uniform(5, 150, (5, 2))])])
        of = np.concatenate([np.repeat(classes, 2), rng.integers(0, n_classes, 5)])
        of = np.where(rng.random(len(of)) < 0.15, rng.integers(0, n_classes, len(of)), of)
        scores = rng.random(len(of)).astype(np.float32)
        if ties:
            scores = scores.round(1)
        order = np.argsort(-scores, kind="stable")
        outputs.append(Detections(found[order].astype(np.float32), of[order], scores[order]))
    return array(labels), array(outputs)
