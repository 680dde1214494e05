"""Views of images with boxes: boxes follow the pixels; candidates and the loss of a detector."""

import io

import numpy as np
import pytest
from PIL import Image

from headstart.data.images import Decoder
from headstart.features.box_views import View, random_view, view_boxes, view_pixels
from headstart.tasks.detection.boxes import Boxes
from headstart.training.detection.points import MAX_CANDIDATES, candidates, detector_points

SIZE = (96, 128)


def image_with(box: tuple[int, int, int, int], size: tuple[int, int]) -> bytes:
    """A red rectangle on black, as PNG; size is (height, width)."""
    pixels = np.zeros((*size, 3), np.uint8)
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2, 0] = 255
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def objects(coordinates: list[tuple[float, ...]], size: tuple[int, int]) -> Boxes:
    n = len(coordinates)
    return Boxes(np.array(coordinates, float).reshape(-1, 4), np.zeros(n, np.int64), np.zeros(n, bool), size)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(120, 160), (300, 200)])
def test_boxes_follow_the_pixels(resize: str, size: tuple[int, int]) -> None:
    middle_y, middle_x = size[0] // 2, size[1] // 2
    box = (middle_x - 30, middle_y - 20, middle_x + 20, middle_y + 15)
    data = image_with(box, size)
    window = Decoder(SIZE, resize).visible_box(size)
    rng, n_seen, flips = np.random.default_rng(1), 0, set()
    for _ in range(40):
        view = random_view(window, rng)
        expected = view_boxes(objects([box], size), view, SIZE)
        plain = View(view.window, view.is_flipped)
        red = view_pixels(data, [plain], SIZE)[0][..., 0] > 127
        red &= view_pixels(data, [plain], SIZE)[0][..., 1] < 60  # what lies beyond the image is grey
        if not len(expected) or expected.coordinates.min() < 2 or (expected.coordinates > [126, 94] * 2).any():
            continue
        ys, xs = np.nonzero(red)
        seen = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        np.testing.assert_allclose(expected.coordinates[0], seen, atol=1.5)
        n_seen += 1
        flips.add(view.is_flipped)
    assert n_seen > 10
    assert flips == {True, False}


def test_the_plain_view_is_what_the_decoder_shows() -> None:
    size = (120, 160)
    boxes = objects([(0, 0, 160, 120), (40, 30, 80, 60)], size)
    view = View(Decoder(SIZE, "stretch").visible_box(size))
    expected = [[0, 0, 128, 96], [32, 24, 64, 48]]
    np.testing.assert_allclose(view_boxes(boxes, view, SIZE).coordinates, expected)


def test_an_object_of_which_little_is_visible_is_left_out() -> None:
    boxes = objects([(0, 0, 100, 100), (90, 0, 200, 100)], (100, 200))
    seen = view_boxes(boxes, View((0, 0, 100, 100)), (100, 100))
    np.testing.assert_allclose(seen.coordinates, [[0, 0, 100, 100]])


def test_without_mirroring_no_view_is_flipped() -> None:
    rng = np.random.default_rng(0)
    assert not any(random_view((0, 0, 10, 10), rng, flips=False).is_flipped for _ in range(30))


def test_candidates_lie_in_the_box_and_near_its_centre() -> None:
    points = detector_points(SIZE)
    boxes = np.array([[10, 10, 90, 80], [50, 50, 51, 51], [0, 0, 128, 96]], float)
    found = candidates(boxes, points)
    assert found.shape == (3, MAX_CANDIDATES)
    for box, numbers in zip(boxes[[0, 2]], found[[0, 2]], strict=True):
        centres = points.centres[numbers[numbers >= 0]]
        assert len(centres) > 9
        assert ((centres > box[:2]) & (centres < box[2:])).all()
    only = found[1][found[1] >= 0]  # no point lies in so small a box: it has the nearest one of the finest map
    assert len(only) == 1
    assert points.strides[only[0]] == 8
    assert abs(points.centres[only[0]] - 50.5).max() <= 4
