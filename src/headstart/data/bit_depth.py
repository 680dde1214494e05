"""Images with more than 8 bits: which of their values is black, and which is white.

A 16-bit file often has values of 10, 12 or 14 bits, and floats have any range: a fixed rule would make such images
black. The range comes from the tags of the file, if it has them, and otherwise from the data set: it is measured once,
before training, recorded in the run, and used for every image that the run reads. If neither gives a range, the image's
own lowest and highest values do.
"""

from collections.abc import Iterable

import numpy as np
from PIL import Image

SampleRange = tuple[float, float]
"""The values that are black and white."""

_STEPS = tuple(float(2**bits - 1) for bits in (8, 10, 12, 14, 16, 24, 32))
_FRACTION = 1.1  # values up to here are fractions of white: interpolation can exceed 1
_FEW = 16.0  # values up to here are no steps of a camera: the largest one is white
_OUTLIERS = 0.01  # fraction of the images that may exceed the range, because of hot pixels
_HOT_PIXELS = 1e-4  # fraction of the pixels of an image that may exceed it
_OFFSET = 0.5  # of the highest value: a lowest value above this is black, as in thermal images
_BITS_PER_SAMPLE, _PHOTOMETRIC, _LOWEST_SAMPLE, _HIGHEST_SAMPLE = 258, 262, 340, 341  # TIFF tags
_WHITE_IS_ZERO = 0


def has_many_bits(image: Image.Image) -> bool:
    """Whether an opened image has one channel of more than 8 bits."""
    return image.mode.startswith(("I", "F"))


def has_wide_colours(image: Image.Image) -> bool:
    """Whether an opened image has colours of 16 bits, of which Pillow reads the upper 8 only. Asked before loading."""
    return not has_many_bits(image) and any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))


def to_8_bits(image: Image.Image, sample_range: SampleRange | None = None) -> Image.Image:
    """Convert an image with more than 8 bits to 8-bit grey.

    Args:
        image: of a mode for which :func:`has_many_bits`.
        sample_range: of the data set, for files without tags; None means the range of the image itself.
    """
    values = _finite_values(image)
    low, high = _tagged_range(image) or sample_range or _range_over([_extremes(values)])
    scaled = np.clip((values - low) * (255 / (high - low)), 0, 255)
    grey = np.rint(scaled).astype(np.uint8)
    result = Image.fromarray(255 - grey if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO else grey)
    result.info = image.info  # it contains the orientation
    return result


def measure_range(images: Iterable[Image.Image]) -> SampleRange | None:
    """The range of a data set, from some of its images; None if all of them have 8 bits or a range in their tags.

    Args:
        images: opened, not damaged.
    """
    extremes = [
        _extremes(_finite_values(image)) for image in images if has_many_bits(image) and not _tagged_range(image)
    ]
    return _range_over(extremes) if extremes else None


def _finite_values(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)


def _extremes(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value, except of a few pixels."""
    n_hot = int(_HOT_PIXELS * values.size)
    if not n_hot:
        return float(values.min()), float(values.max())
    in_part = np.partition(values, (n_hot, values.size - 1 - n_hot), axis=None)
    return float(in_part[n_hot]), float(in_part[-1 - n_hot])


def _range_over(extremes: list[tuple[float, float]]) -> SampleRange:
    """From 0 to the largest value of 8, 10, 12 … bits, or to 1 for fractions.

    If the lowest value is negative or far above 0, the range is that of the values.
    """
    lowest, highest = (np.array(values) for values in zip(*extremes, strict=True))
    low = float(np.quantile(lowest, _OUTLIERS, method="lower"))
    high = float(np.quantile(highest, 1 - _OUTLIERS, method="higher" if len(highest) < 1 / _OUTLIERS else "lower"))
    if low < 0:
        return (-1.0, 1.0) if low >= -1 and high <= 1 else (low, max(high, low + 1))
    if low > max(_OFFSET * high, _FEW):
        return low, max(high, low + 1)
    if high <= _FEW:
        return 0.0, 1.0 if high <= _FRACTION else high
    return 0.0, next((step for step in _STEPS if step >= high), high)


def _tagged_range(image: Image.Image) -> SampleRange | None:
    """The range in the tags of a TIFF file; None if it has none."""
    low, high = _tag(image, _LOWEST_SAMPLE), _tag(image, _HIGHEST_SAMPLE)
    if high is not None and high > (low or 0):
        return low or 0.0, high
    bits = _tag(image, _BITS_PER_SAMPLE)
    return (0.0, 2**bits - 1) if bits is not None and 8 < bits < 16 else None


def _tag(image: Image.Image, number: int) -> float | None:
    tags = getattr(image, "tag_v2", None)
    value = tags.get(number) if tags is not None else None
    return float(value[0] if isinstance(value, tuple) else value) if value is not None else None
