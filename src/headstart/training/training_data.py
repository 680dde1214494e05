"""The features, labels and split that heads are trained on."""

from dataclasses import dataclass, field

import numpy as np

from headstart.features.extraction import FeatureSet
from headstart.tasks import ClassificationTask


@dataclass(frozen=True)
class TrainingData:
    """The features and labels of examples, and the split.

    Attributes:
        features: of all examples.
        task: what is predicted; it made the labels.
        labels: of all examples, an array (n, …) as the task encodes them.
        n_classes: number of classes.
        train: int (m,), the examples to train on.
        val: int (k,), those that decide when to stop, and whether fine-tuning helps; a linear head cross-validates on
            ``train`` instead.
        groups: int (n,); examples of one group stay in one split and in one fold.
        test: int (l,), held out: they decide nothing.
    """

    features: FeatureSet
    task: ClassificationTask
    labels: np.ndarray
    n_classes: int
    train: np.ndarray
    val: np.ndarray
    groups: np.ndarray
    test: np.ndarray = field(default_factory=lambda: np.empty(0, int))
