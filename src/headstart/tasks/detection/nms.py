"""Non-maximum suppression: of several boxes on one object, the one with the highest score stays."""

import numpy as np

from headstart.tasks.detection.boxes import ious

MAX_IOU = 0.65
"""A box of the same class that overlaps a better one by more than this intersection over union is removed."""

_BLOCK = 128  # boxes that are compared with each other at once


def suppress(
    coordinates: np.ndarray, classes: np.ndarray, scores: np.ndarray, *, max_iou: float = MAX_IOU, limit: int
) -> np.ndarray:
    """Greedy non-maximum suppression, class by class.

    Boxes are taken by their scores, equal ones in their order. Each stays unless it overlaps one of its class that
    stayed.

    Args:
        coordinates: float (k, 4): x1, y1, x2, y2.
        classes: int (k,), class numbers.
        scores: float (k,).
        max_iou: greatest intersection over union of two boxes of one class that both stay.
        limit: greatest number of boxes that stay.

    Returns:
        Positions of the boxes that stay, int64, the highest score first.
    """
    order = np.argsort(-scores, kind="stable")
    kept_positions = np.empty(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        if len(kept_positions) >= limit:
            break
        block = order[start : start + _BLOCK]
        is_covered = _covers(kept_positions, block, coordinates, classes, max_iou).any(0)
        block = block[~is_covered]
        covers = _covers(block, block, coordinates, classes, max_iou)
        stays = np.ones(len(block), bool)
        for i in np.flatnonzero(covers.sum(1) > 1).tolist():  # every box covers itself
            if stays[i]:
                stays[i + 1 :] &= ~covers[i, i + 1 :]
        kept_positions = np.concatenate([kept_positions, block[stays]])
    return kept_positions[:limit]


def _covers(
    first: np.ndarray, second: np.ndarray, coordinates: np.ndarray, classes: np.ndarray, max_iou: float
) -> np.ndarray:
    """Whether boxes suppress others, bool (m, k), from positions (m,) and (k,)."""
    is_near = ious(coordinates[first], coordinates[second]) > max_iou
    return is_near & (classes[first][:, None] == classes[second])
