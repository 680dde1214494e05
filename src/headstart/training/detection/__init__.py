"""Training of a detector: a neck and an anchor-free head on the feature maps of a base."""

from headstart.training.detection.base_trial import detect_after_trial
from headstart.training.detection.detector import DetectorResult, open_detector, train_detector
from headstart.training.detection.plan import LabelledImages, base_with_maps

__all__ = [
    "DetectorResult", "LabelledImages", "base_with_maps", "detect_after_trial", "open_detector", "train_detector",
]  # fmt: skip
