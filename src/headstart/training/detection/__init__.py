"""Training of a detector: a neck and an anchor-free head on the feature maps of a base."""

from headstart.training.detection.detector import DetectorResult, LabelledImages, open_detector, train_detector

__all__ = ["DetectorResult", "LabelledImages", "open_detector", "train_detector"]
