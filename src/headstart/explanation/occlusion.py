"""Occlusion: heat maps from predictions alone. Parts of the image are hidden, and the fall of the score is measured.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", arXiv 1311.2901.
"""

from collections.abc import Callable

import numpy as np

CELLS = 7
"""Rows and columns of the grid over the image. Each window hides 2 × 2 cells, so windows overlap."""

_BATCH = 16


def occlusion(score: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """The mean fall of a score when a cell of the image is hidden by the mean colour of the image.

    Args:
        score: takes images, uint8 (n, h, w, 3), returns scores, float (n,).
        pixels: one image, uint8 (h, w, 3).

    Returns:
        float32 (CELLS, CELLS); negative where the score rises.
    """
    windows = [(row, column) for row in range(-1, CELLS) for column in range(-1, CELLS)]
    full_score = score(pixels[np.newaxis])[0]
    total_drop, n_windows = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for start in range(0, len(windows), _BATCH):
        batch = windows[start : start + _BATCH]
        scores = score(np.stack([_hide_window(pixels, *window) for window in batch]))
        for (row, column), occluded_score in zip(batch, scores, strict=True):
            cells = np.s_[max(row, 0) : row + 2, max(column, 0) : column + 2]
            total_drop[cells] += full_score - occluded_score
            n_windows[cells] += 1
    return (total_drop / n_windows).astype(np.float32)


def _hide_window(pixels: np.ndarray, row: int, column: int) -> np.ndarray:
    """A copy of the image in which 2 × 2 cells, of which (row, column) is the upper left, have the mean colour."""
    top, bottom = _edges(pixels.shape[0], row)
    left, right = _edges(pixels.shape[1], column)
    image = pixels.copy()
    image[top:bottom, left:right] = pixels.mean((0, 1)).round()
    return image


def _edges(length: int, cell: int) -> tuple[int, int]:
    """First and last pixel of a window along one axis."""
    return max(cell, 0) * length // CELLS, min(cell + 2, CELLS) * length // CELLS
