"""How far several detectors are from perfect, in resamples of the images: for the learning curve."""

from collections.abc import Sequence

import numpy as np

from headstart.tasks.detection.average_precision import mean_of_defined
from headstart.tasks.detection.metrics import DetectionTable, resample


def resampled_errors(
    labels: np.ndarray, outputs: Sequence[np.ndarray], n_classes: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """One minus mAP50-95, and one minus the average precision of each class, of several detectors.

    Args:
        labels: object array (n,) of the true objects of each image.
        outputs: for each detector an object array (n,) of its detections.
        n_classes: number of classes.
        seed: of the resamples of images, which are the same for all.

    Returns:
        float (resamples, detectors), and (resamples, detectors, classes); nan where there are no objects.
    """
    tables = [DetectionTable(labels, of_detector, n_classes, None) for of_detector in outputs]
    weights = resample(len(labels), max(table.n_detections for table in tables), seed)
    by_class = np.stack([table.class_precisions(weights) for table in tables], 1)
    return 1 - np.stack([mean_of_defined(values) for values in by_class.transpose(1, 0, 2)], 1), 1 - by_class
