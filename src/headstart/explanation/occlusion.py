"""Occlusion: which places of a picture speak for a class, found by hiding them one after the other.

Needs nothing of a model but its answers. Source: Zeiler and Fergus, "Visualizing and understanding convolutional
networks", arXiv 1311.2901.
"""

from collections.abc import Callable

import numpy as np

CELLS = 7
"""Rows and columns that a picture is divided into; two by two are hidden at once, so that windows overlap."""

_BATCH = 16


def occlusion(score: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """By how much a score falls, on average, where a cell of the picture is hidden by the picture's mean colour.

    Args:
        score: of pictures, uint8 (n, h, w, 3): float (n,).
        pixels: one picture, uint8 (h, w, 3).

    Returns:
        float32 (CELLS, CELLS); negative where the score rises.
    """
    windows = [(row, column) for row in range(-1, CELLS) for column in range(-1, CELLS)]
    whole = score(pixels[np.newaxis])[0]
    fallen, hidden = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for start in range(0, len(windows), _BATCH):
        batch = windows[start : start + _BATCH]
        scores = score(np.stack([_without(pixels, *window) for window in batch]))
        for (row, column), rest in zip(batch, scores, strict=True):
            cells = np.s_[max(row, 0) : row + 2, max(column, 0) : column + 2]
            fallen[cells] += whole - rest
            hidden[cells] += 1
    return (fallen / hidden).astype(np.float32)


def _without(pixels: np.ndarray, row: int, column: int) -> np.ndarray:
    """The picture without two by two cells, of which these are the upper left."""
    top, bottom = _edges(pixels.shape[0], row)
    left, right = _edges(pixels.shape[1], column)
    picture = pixels.copy()
    picture[top:bottom, left:right] = pixels.mean((0, 1)).round()
    return picture


def _edges(length: int, cell: int) -> tuple[int, int]:
    return max(cell, 0) * length // CELLS, min(cell + 2, CELLS) * length // CELLS
