"""Boxes of objects in images, from the files of annotation tools.

One module for each format reads what the files say (:mod:`headstart.data.boxes.records`); ``layout.py`` tells which
format a folder has; ``placement.py`` turns it into labels in pixels of the upright image; ``writing.py`` writes
detections in such formats.
"""

from headstart.data.boxes.finding import find_boxes
from headstart.data.boxes.records import LabelProblem

__all__ = ["LabelProblem", "find_boxes"]
