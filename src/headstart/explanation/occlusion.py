"""Occlusion: heat maps from predictions alone. Parts of the image are hidden, and the fall of the score is measured.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", arXiv 1311.2901.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CELLS = 7
"""Rows and columns of the usual grid over the image. Each window hides 2 × 2 cells, so windows overlap."""

_BATCH = 16


class Grid(NamedTuple):
    """A grid over an image.

    Attributes:
        rows: number of rows.
        columns: number of columns.
        examined_rows: those that are hidden; others count as no evidence.
        examined_columns: so too.
    """

    rows: int = CELLS
    columns: int = CELLS
    examined_rows: slice = slice(0, CELLS)
    examined_columns: slice = slice(0, CELLS)


def occlusion(
    score: Callable[[np.ndarray], np.ndarray],
    pixels: np.ndarray,
    grid: Grid = Grid(),  # noqa: B008 - immutable
) -> np.ndarray:
    """The mean fall of a score when a cell of the image is hidden by the mean colour of the image.

    Args:
        score: takes images, uint8 (n, h, w, 3), returns scores, float (n,).
        pixels: one image, uint8 (h, w, 3).
        grid: whose cells are hidden.

    Returns:
        float32 (rows, columns); negative where the score rises.
    """
    windows = [
        (row, column)
        for row in range(grid.examined_rows.start - 1, grid.examined_rows.stop)
        for column in range(grid.examined_columns.start - 1, grid.examined_columns.stop)
    ]
    full_score = score(pixels[np.newaxis])[0]
    total_drop, n_windows = np.zeros((grid.rows, grid.columns)), np.zeros((grid.rows, grid.columns))
    for start in range(0, len(windows), _BATCH):
        batch = windows[start : start + _BATCH]
        scores = score(np.stack([_hide_window(pixels, grid, *window) for window in batch]))
        for (row, column), occluded_score in zip(batch, scores, strict=True):
            cells = np.s_[max(row, 0) : row + 2, max(column, 0) : column + 2]
            total_drop[cells] += full_score - occluded_score
            n_windows[cells] += 1
    evidence = np.zeros((grid.rows, grid.columns), np.float32)
    examined = np.s_[grid.examined_rows, grid.examined_columns]
    evidence[examined] = total_drop[examined] / n_windows[examined]
    return evidence


def _hide_window(pixels: np.ndarray, grid: Grid, row: int, column: int) -> np.ndarray:
    """A copy of the image in which 2 × 2 cells, of which (row, column) is the upper left, have the mean colour."""
    top, bottom = _edges(pixels.shape[0], row, grid.rows)
    left, right = _edges(pixels.shape[1], column, grid.columns)
    image = pixels.copy()
    image[top:bottom, left:right] = pixels.mean((0, 1)).round()
    return image


def _edges(length: int, cell: int, n: int) -> tuple[int, int]:
    """First and last pixel of a window of a grid with n cells along one axis."""
    return max(cell, 0) * length // n, min(cell + 2, n) * length // n
