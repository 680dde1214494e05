"""Boxes drawn on images: names of classes are legible, whatever their letters."""

import io
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.boxes.drawing import DrawnImage, draw_boxes, drawn_names, write_drawings
from headstart.tasks.detection import PredictedBox


def test_names_that_the_font_does_not_have_become_numbers() -> None:
    assert drawn_names(["cat", "Gr\u00f6\u00dfe", "chat\u00f3n", "\u732b", "\u72ac 2", "\u043a\u043e\u0442"]) == [
        "cat", "#2", "chaton", "#4", "#5", "#6",
    ]  # fmt: skip
    assert drawn_names(["se\u00f1al", "senal"]) == ["#1", "senal"]  # or they would look the same


def test_numbers_are_drawn_and_explained(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes, pixels = ["\u732b", "\u72ac"], np.zeros((400, 400, 3), np.uint8)
    box = PredictedBox(classes[0], 0.5, 100, 100, 300, 300)
    drawn = np.asarray(draw_boxes(pixels, [box], classes))
    numbers = ["#1", "#2"]
    assert (drawn == np.asarray(draw_boxes(pixels, [replace(box, label=numbers[0])], numbers))).all()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    with caplog.at_level(logging.WARNING):
        assert not [*write_drawings(tmp_path, [DrawnImage("a.png", stream.getvalue, [box])], classes)]
    assert "classes are numbers: #1 is \u732b, #2 is \u72ac" in caplog.text
    with Image.open(tmp_path / "a.png") as image:
        assert (np.asarray(image) == drawn).all()
