"""Which part of an image is evidence for a detected object: occlusion near its box.

Windows of the image in and near the box are hidden one by one. The evidence is the fall of the score of the object:
the highest product of score and IoU with the box over all points of the model, so an object that is still detected, but
elsewhere, has lost its score as well.

Source: Petsiuk et al., "Black-box explanation of object detectors via saliency maps" (D-RISE), CVPR 2021, arXiv
2006.03204. Simplified: windows of a grid in place of random masks, and the score of one class in place of the
similarity of all scores.
"""

import math

import numpy as np

from headstart.explanation.occlusion import CELLS, Grid, occlusion
from headstart.runs.predictor import Predictor
from headstart.tasks.detection.boxes import ious

_CELLS_PER_BOX = 2.5  # along each side
_MAX_CELLS = 40  # of the grid over the whole input, along each side
_AROUND = 1.0  # as far around the box windows are hidden, in sides of the box

Box = tuple[float, float, float, float]


def box_evidence(predictor: Predictor, pixels: np.ndarray, box: Box, class_number: int) -> np.ndarray:
    """The fall of the score of an object when a cell of the image is hidden.

    Args:
        predictor: a run that detects objects.
        pixels: the input of the model, uint8 (h, w, 3).
        box: of the object, x1, y1, x2, y2 in shares of the input.
        class_number: of the object.

    Returns:
        float32 (rows, columns) over the whole input; 0 far from the box.
    """
    edges = np.array([box], np.float32)

    def score(images: np.ndarray) -> np.ndarray:
        values = predictor.values(images)
        return np.array(
            [(ious(edges, of_image[:, :4])[0] * of_image[:, 4 + class_number]).max() for of_image in values]
        )

    (first_column, last_column, columns), (first_row, last_row, rows) = (
        _cells(box[axis], box[axis + 2]) for axis in (0, 1)
    )
    grid = Grid(rows, columns, slice(first_row, last_row), slice(first_column, last_column))
    return occlusion(score, pixels, grid)


def _cells(start: float, end: float) -> tuple[int, int, int]:
    """The first cell near a box along one axis, the cell after the last one, and the number of all cells."""
    length = max(end - start, 1 / _MAX_CELLS)
    n = min(max(math.ceil(_CELLS_PER_BOX / length), CELLS), _MAX_CELLS)
    margin = _AROUND * length
    return max(math.floor((start - margin) * n), 0), min(math.ceil((end + margin) * n), n), n
