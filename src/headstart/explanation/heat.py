"""A heat map: from the cells of a feature map to the pixels of the original picture, to regions, to colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headstart.data.images import Box

WHOLE: Box = (0, 0, 1, 1)
"""Cells that divide the input evenly."""

_HALF = 0.5  # of the greatest heat, from which on a place belongs to a region
_RASTER_PX = 96  # of the longer side of the picture, to find regions on
_REGIONS, _LEAST_SHARE = 3, 0.05
_CUBIC = -0.5  # the parameter of Keys, with which the interpolation is exact for parabolas
_LEFT_OF_UNSEEN = 0.35  # of the contrast of what the model did not see

# From nothing to the hottest: opacity, and a colour that grows lighter all the way, as colour-blind people need it.
_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
_OPACITY = (0.0, 0.28, 0.5, 0.62, 0.72)
COLOURS = ((70, 20, 96), (136, 34, 106), (205, 66, 71), (243, 133, 26), (252, 226, 128))
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601


@dataclass(frozen=True)
class Region:
    """A place where the heat is at least half of its greatest.

    Attributes:
        box: around it, in pixels of the original picture.
        centre: (x, y) of its heat, likewise.
        share: of all the heat in the picture.
        area: share of the picture that it covers.
    """

    box: tuple[int, int, int, int]
    centre: tuple[int, int]
    share: float
    area: float


@dataclass(frozen=True, eq=False)
class HeatMap:
    """What speaks for a class, and where in the picture.

    Attributes:
        evidence: float32 (rows, columns), of each cell; negative where it speaks against the class.
        seen: where the model's input lies in the upright picture, in pixels; see
            :meth:`headstart.data.images.Decoder.seen`.
        size: (height, width) of the upright picture, in pixels.
        cells: where the cells lie in the input, as shares of its width and height; see
            :mod:`headstart.explanation.receptive_field`.
    """

    evidence: np.ndarray
    seen: Box
    size: tuple[int, int]
    cells: Box = WHOLE

    @cached_property
    def heat(self) -> np.ndarray:
        """Heat of every pixel of the original picture, float32 (h, w); see :meth:`at`."""
        return self.at(*self.size)

    def at(self, height: int, width: int) -> np.ndarray:
        """Heat of every pixel of the picture in another size.

        Between the centres of the cells it is interpolated (Keys' cubic convolution). Where the model saw nothing of
        the picture, because it was cropped, there is none.

        Returns:
            float32 (height, width), 1 at the hottest pixel, 0 where nothing speaks for the class: everywhere, if
            nothing does.
        """
        left, top, right, bottom = self._seen_in(height, width)
        from_left, from_top, to_right, to_bottom = self.cells
        rows, columns = self.evidence.shape
        down = _weights(rows, (top, bottom), (from_top, to_bottom), height)
        across = _weights(columns, (left, right), (from_left, to_right), width)
        heat = np.maximum(down @ self.evidence.astype(np.float32) @ across.T, 0)
        greatest = heat.max()
        return heat / greatest if greatest > 0 else heat

    def _seen_in(self, height: int, width: int) -> Box:
        """Where the cells lie in the picture in another size."""
        down, across = height / self.size[0], width / self.size[1]
        left, top, right, bottom = self.seen
        return left * across, top * down, right * across, bottom * down

    def over(self, pixels: np.ndarray) -> np.ndarray:
        """The picture, in any size, in grey with the heat in colour over it; pale where the model saw nothing of it.

        Args:
            pixels: uint8 (h, w, 3), the whole picture.

        Returns:
            uint8 (h, w, 3).
        """
        height, width = pixels.shape[:2]
        heat = self.at(height, width)
        grey = (pixels @ _GREY)[..., np.newaxis]
        left, top, right, bottom = (max(0, round(edge)) for edge in self._seen_in(height, width))
        unseen = np.ones((height, width), bool)
        unseen[top:bottom, left:right] = False
        grey[unseen] = 255 - (255 - grey[unseen]) * _LEFT_OF_UNSEEN
        colours = np.stack([np.interp(heat, _STEPS, channel) for channel in zip(*COLOURS, strict=True)], -1)
        opacity = np.interp(heat, _STEPS, _OPACITY)[..., np.newaxis]
        return (grey * (1 - opacity) + colours * opacity).round().astype(np.uint8)

    @cached_property
    def regions(self) -> list[Region]:
        """Where most of the heat is: the place with most of it, and at most two others that have a twentieth of it."""
        from scipy import ndimage

        scale = min(1.0, _RASTER_PX / max(self.size))
        heat = self.at(*(max(1, round(side * scale)) for side in self.size))
        per_row, per_column = (side / n for side, n in zip(self.size, heat.shape, strict=True))
        labelled, _ = ndimage.label(heat >= _HALF)
        found = []
        for number, (down, across) in enumerate(ndimage.find_objects(labelled), 1):
            inside = labelled == number
            y, x = (place + 0.5 for place in ndimage.center_of_mass(heat, labelled, number))
            box = (
                *(round(across.start * per_column), round(down.start * per_row)),
                *(round(across.stop * per_column), round(down.stop * per_row)),
            )
            share = float(heat[inside].sum() / heat.sum())
            found.append(Region(box, (round(x * per_column), round(y * per_row)), share, float(inside.mean())))
        found.sort(key=lambda region: -region.share)
        return found[:1] + [region for region in found[1:_REGIONS] if region.share >= _LEAST_SHARE]


def place_of(region: Region, size: Sequence[int]) -> str:
    """Where in a picture of (height, width) a region lies, in words: ``top left``, ``centre``."""
    x, y = region.centre
    down = ("top", "", "bottom")[min(3 * y // size[0], 2)]
    across = ("left", "", "right")[min(3 * x // size[1], 2)]
    return " ".join(filter(None, (down, across))) or "centre"


def _weights(cells: int, seen: tuple[float, float], shares: tuple[float, float], length: int) -> np.ndarray:
    """The matrix (length, cells) that interpolates cells at the centres of pixels; zero at those that were not seen.

    Args:
        cells: how many, along one axis.
        seen: from where to where the input reaches, in pixels.
        shares: from where to where in the input the cells reach.
        length: how many pixels.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    pixels = np.arange(length) + 0.5
    in_input = (pixels - seen[0]) / (seen[1] - seen[0])
    places = (in_input - shares[0]) / (shares[1] - shares[0]) * cells - 0.5
    nearest = np.floor(places).astype(int)
    matrix = np.zeros((length, cells), np.float32)
    for tap in range(-1, 3):
        distance = np.abs(places - (nearest + tap))
        near = (_CUBIC + 2) * distance**3 - (_CUBIC + 3) * distance**2 + 1
        far = _CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
        np.add.at(matrix, (np.arange(length), np.clip(nearest + tap, 0, cells - 1)), weights)
    matrix[(in_input < 0) | (in_input > 1)] = 0
    return matrix
