"""Heat maps: from the cells of a feature map to the pixels of the original image, its regions and colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headstart.data.images import Box

FULL_INPUT: Box = (0, 0, 1, 1)
"""Bounds of cells that divide the input evenly."""

_REGION_HEAT = 0.5  # a region is a connected area with at least this heat
_RASTER_PX = 96  # longer side of the image on which regions are searched
_MAX_REGIONS, _MIN_SHARE = 3, 0.05
_CUBIC = -0.5  # Keys' parameter, for which the interpolation of parabolas is exact
_CROPPED_CONTRAST = 0.35  # of the parts that the model did not see

# Opacity and colour by heat. The lightness increases with the heat, which colour-blind people can see as well.
_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
_OPACITY = (0.0, 0.28, 0.5, 0.62, 0.72)
COLOURS = ((70, 20, 96), (136, 34, 106), (205, 66, 71), (243, 133, 26), (252, 226, 128))
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601


@dataclass(frozen=True)
class Region:
    """A connected area where the heat is at least half of its maximum.

    Attributes:
        box: left, top, right and bottom, in pixels of the original image.
        centre: (x, y) of its heat, in pixels of the original image.
        share: its share of the heat of the image.
        area: its share of the area of the image.
    """

    box: tuple[int, int, int, int]
    centre: tuple[int, int]
    share: float
    area: float


@dataclass(frozen=True, eq=False)
class HeatMap:
    """The evidence for a class, by position in the image.

    Attributes:
        evidence: float32 (rows, columns), for each cell; negative where it is evidence against the class.
        input_box: the box of the upright image that the model's input shows, in pixels; see
            :meth:`headstart.data.images.Decoder.seen`.
        size: (height, width) of the upright image, in pixels.
        cells: bounds of the cells in the input, as shares of its width and height; see
            :mod:`headstart.explanation.receptive_field`.
    """

    evidence: np.ndarray
    input_box: Box
    size: tuple[int, int]
    cells: Box = FULL_INPUT

    @cached_property
    def heat(self) -> np.ndarray:
        """Heat of every pixel of the original image, float32 (h, w); see :meth:`at`."""
        return self.at(*self.size)

    def at(self, height: int, width: int) -> np.ndarray:
        """Heat of every pixel of the image at another size.

        It is interpolated between the centres of the cells (Keys' cubic convolution). It is 0 in parts of the image
        that were cropped away, so the model did not see them.

        Returns:
            float32 (height, width), 1 at the hottest pixel, 0 where there is no evidence for the class; 0 everywhere if
            no cell has any.
        """
        left, top, right, bottom = self._scaled_input_box(height, width)
        from_left, from_top, to_right, to_bottom = self.cells
        rows, columns = self.evidence.shape
        down = interpolation(rows, (top, bottom), (from_top, to_bottom), height)
        across = interpolation(columns, (left, right), (from_left, to_right), width)
        heat = np.maximum(down @ self.evidence.astype(np.float32) @ across.T, 0)
        maximum = heat.max()
        return heat / maximum if maximum > 0 else heat

    def _scaled_input_box(self, height: int, width: int) -> Box:
        """``input_box`` for the image at another size."""
        down, across = height / self.size[0], width / self.size[1]
        left, top, right, bottom = self.input_box
        return left * across, top * down, right * across, bottom * down

    def overlay(self, pixels: np.ndarray) -> np.ndarray:
        """The image, at any size, in grey with the heat in colour on top; pale where it was cropped away.

        Args:
            pixels: uint8 (h, w, 3), the whole image.

        Returns:
            uint8 (h, w, 3).
        """
        height, width = pixels.shape[:2]
        heat = self.at(height, width)
        grey = (pixels @ _GREY)[..., np.newaxis]
        left, top, right, bottom = (max(0, round(edge)) for edge in self._scaled_input_box(height, width))
        is_cropped = np.ones((height, width), bool)
        is_cropped[top:bottom, left:right] = False
        grey[is_cropped] = 255 - (255 - grey[is_cropped]) * _CROPPED_CONTRAST
        colours = np.stack([np.interp(heat, _STEPS, channel) for channel in zip(*COLOURS, strict=True)], -1)
        opacity = np.interp(heat, _STEPS, _OPACITY)[..., np.newaxis]
        return (grey * (1 - opacity) + colours * opacity).round().astype(np.uint8)

    @cached_property
    def regions(self) -> list[Region]:
        """The region with most of the heat, and at most two others with at least 5 % of it each."""
        from scipy import ndimage

        scale = min(1.0, _RASTER_PX / max(self.size))
        heat = self.at(*(max(1, round(side * scale)) for side in self.size))
        per_row, per_column = (side / n for side, n in zip(self.size, heat.shape, strict=True))
        labels, _ = ndimage.label(heat >= _REGION_HEAT)
        regions = []
        for number, (down, across) in enumerate(ndimage.find_objects(labels), 1):
            inside = labels == number
            y, x = (position + 0.5 for position in ndimage.center_of_mass(heat, labels, number))
            box = (
                *(round(across.start * per_column), round(down.start * per_row)),
                *(round(across.stop * per_column), round(down.stop * per_row)),
            )
            share = float(heat[inside].sum() / heat.sum())
            regions.append(Region(box, (round(x * per_column), round(y * per_row)), share, float(inside.mean())))
        regions.sort(key=lambda region: -region.share)
        return regions[:1] + [region for region in regions[1:_MAX_REGIONS] if region.share >= _MIN_SHARE]


def describe_position(region: Region, size: Sequence[int]) -> str:
    """The position of a region in an image of (height, width), in words: ``top left``, ``centre``."""
    x, y = region.centre
    down = ("top", "", "bottom")[min(3 * y // size[0], 2)]
    across = ("left", "", "right")[min(3 * x // size[1], 2)]
    return " ".join(filter(None, (down, across))) or "centre"


def interpolation(cells: int, span: tuple[float, float], bounds: tuple[float, float], length: int) -> np.ndarray:
    """The matrix (length, cells) that interpolates cells at the centres of pixels; zero outside the input.

    Args:
        cells: number of cells along one axis.
        span: first and last position of the input in the image, in pixels.
        bounds: first and last position of the cells in the input, as shares of its length.
        length: number of pixels.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    pixels = np.arange(length) + 0.5
    in_input = (pixels - span[0]) / (span[1] - span[0])
    positions = (in_input - bounds[0]) / (bounds[1] - bounds[0]) * cells - 0.5
    nearest = np.floor(positions).astype(int)
    matrix = np.zeros((length, cells), np.float32)
    for tap in range(-1, 3):
        distance = np.abs(positions - (nearest + tap))
        near = (_CUBIC + 2) * distance**3 - (_CUBIC + 3) * distance**2 + 1
        far = _CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
        np.add.at(matrix, (np.arange(length), np.clip(nearest + tap, 0, cells - 1)), weights)
    matrix[(in_input < 0) | (in_input > 1)] = 0
    return matrix
