"""From the cells of a map to the original image: stretching, cropping, padding and rotation are undone."""

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image

from headstart.data.images import Decoder, upright_size
from headstart.explanation.heat import HeatMap, describe_position

CELLS = 28
# How a camera in this orientation stores an upright image, by the value of the EXIF tag.
STORED = {
    1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270,
    5: Image.Transpose.TRANSPOSE,
}  # fmt: skip


def photo(size: tuple[int, int], box: tuple[int, int, int, int], orientation: int = 1) -> bytes:
    """A dark image of (height, width) with one bright box in it, as a JPEG file."""
    pixels = np.full((*size, 3), 20, np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = 235
    image, turn = Image.fromarray(pixels), STORED[orientation]
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    (image if turn is None else image.transpose(turn)).save(out, "JPEG", exif=exif, quality=95)
    return out.getvalue()


def brightness(pixels: np.ndarray) -> np.ndarray:
    """The ideal feature map: how bright each cell is, less what is dark."""
    h, w = (side // CELLS for side in pixels.shape[:2])
    return pixels.reshape(CELLS, h, CELLS, w, 3).mean((1, 3, 4)).astype(np.float32) - 20


@pytest.mark.parametrize(
    ("resize", "size", "orientation"), [*product(("stretch", "crop", "pad"), ((240, 400), (400, 250)), STORED)]
)
def test_heat_lies_on_the_object(resize: str, size: tuple[int, int], orientation: int) -> None:
    h, w = size
    side = min(size)
    box = (w // 2 + side // 10, h // 2 + side // 8, w // 2 + side // 3, h // 2 + side // 3)  # lower right of the middle
    data = photo(size, box, orientation)
    decoder = Decoder((112, 140), resize)
    assert upright_size(data) == size
    heat_map = HeatMap(brightness(decoder.decode(data)), decoder.visible_box(size), size)
    heat = heat_map.heat
    assert (heat.shape, heat.dtype, heat.max()) == (size, np.float32, 1)
    hot, object_ = heat > 0.5, np.zeros(size, bool)
    object_[box[1] : box[3], box[0] : box[2]] = True
    assert (hot & object_).sum() / (hot | object_).sum() > 0.75
    (region,) = heat_map.regions
    assert np.abs(np.subtract(region.box, box)).max() < 0.05 * side
    assert describe_position(region, size) in ("bottom", "bottom right", "right")


def test_there_is_no_heat_where_the_model_saw_nothing() -> None:
    decoder = Decoder((112, 112), "crop")
    left, top, right, bottom = map(round, decoder.visible_box((200, 400)))
    heat_map = HeatMap(np.ones((7, 7), np.float32), decoder.visible_box((200, 400)), (200, 400))
    inside = np.zeros((200, 400), bool)
    inside[top:bottom, left:right] = True
    assert 0 < left < right < 400
    assert np.array_equal(heat_map.heat > 0, inside)
    drawn = heat_map.overlay(np.zeros((100, 200, 3), np.uint8))
    assert drawn[50, 2].min() > 150  # pale
    assert drawn[50, 100].max() > 1.5 * drawn[50, 100].min()  # coloured


def test_what_speaks_against_is_not_shown() -> None:
    heat_map = HeatMap(np.array([[-5, -1], [-2, -3]], np.float32), (0, 0, 20, 10), (10, 20))
    assert not heat_map.heat.any()
    assert heat_map.regions == []
    grey = np.full((10, 20, 3), 99, np.uint8)
    assert np.array_equal(heat_map.overlay(grey), grey)


def test_colours_grow_lighter_with_the_heat() -> None:
    """Lightness alone tells them apart, for people who do not see their hue."""
    ramp = HeatMap(np.linspace(0, 1, 64, dtype=np.float32)[None], (0, 0, 64, 1), (1, 64))
    drawn = ramp.overlay(np.full((1, 64, 3), 60, np.uint8)) @ (0.299, 0.587, 0.114)
    assert (np.diff(drawn[0][20:]) > 0).all()
