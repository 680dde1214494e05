"""Object detection: a box, a class and a score for each object in an image."""

from headstart.tasks.detection.answers import DetectionPrediction, PredictedBox
from headstart.tasks.detection.boxes import Boxes, Detections
from headstart.tasks.detection.task import Detection

__all__ = ["Boxes", "Detection", "DetectionPrediction", "Detections", "PredictedBox"]
