"""Images with more than 8 bits: which of their values is black, and which is white.

A 16-bit file often has values of 10, 12 or 14 bits, and floats have any range: a fixed rule would make such images
black. The range comes from the tags of the file, if it has them, and otherwise from the data set: it is measured once,
before training, recorded in the run, and used for every image that the run reads. If neither gives a range, the image's
own lowest and highest values do.

Colours with 16 bits a channel are treated in the same way; all channels have one range.
"""

import io
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.colours import has_opacity

SampleRange = tuple[float, float]
"""The values that are black and white."""

_STEPS = tuple(float(2**bits - 1) for bits in (8, 10, 12, 14, 15, 16, 24, 32))  # 15: signed ones of 16
_FRACTION = 1.1  # values up to here are fractions of white: interpolation can exceed 1
_FEW = 16.0  # values up to here are no steps of a camera: the largest one is white
_OUTLIERS = 0.01  # fraction of the images that may exceed the range, because of hot pixels
_HOT_PIXELS = 1e-4  # fraction of the pixels of an image that may exceed it
_OFFSET = 0.5  # of the highest value: a lowest value above this is black, as in thermal images
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339  # TIFF tags
_LOWEST_SAMPLE, _HIGHEST_SAMPLE = 340, 341
_WHITE_IS_ZERO, _SEPARATE, _UNSIGNED, _SIGNED = 0, 2, 1, 2
_ORDERS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_LOWER_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA", "RGBX") for order, other in _ORDERS.items()
}
"""Raw mode that gives the upper bytes of colours with 16 bits -> the one that gives the lower bytes."""

_GREY_WITH_ALPHA = "LA;16B"


def exceeds_8_bits(image: Image.Image) -> bool:
    """Whether an opened image has more than 8 bits a channel. Asked before it is loaded."""
    return _has_many_bits(image) or _raw_mode(image) in (*_LOWER_BYTES, _GREY_WITH_ALPHA)


def has_separate_wide_planes(image: Image.Image) -> bool:
    """Whether a TIFF has colours with 16 bits in one plane after another, which Pillow decodes wrongly as 8 bits."""
    is_separate = _tag(image, _PLANES) == _SEPARATE and not _has_many_bits(image)
    return is_separate and (_tag(image, _BITS_PER_SAMPLE) or 0) > 8 and image.tile[0][0] == "raw"  # type: ignore[attr-defined]


def has_signed_bytes(image: Image.Image) -> bool:
    """Whether a TIFF has signed values of 8 bits, which Pillow decodes as if they were not."""
    return _tag(image, _SAMPLE_FORMAT) == _SIGNED and (_tag(image, _BITS_PER_SAMPLE) or 0) <= 8


def to_8_bits(image: Image.Image, sample_range: SampleRange | None = None) -> Image.Image:
    """Convert an image with more than 8 bits to one of 8 bits, grey or RGB, with its transparency.

    Args:
        image: opened and not loaded, one that :func:`exceeds_8_bits`.
        sample_range: of the data set, for files without tags; None means the range of the image itself.
    """
    values, alpha = _values(image)
    low, high = _tagged_range(image) or sample_range or _range_over([_extremes(values)])
    is_wide = values.dtype == np.uint16  # a table is faster
    pixels = _scaled(np.arange(2**16), low, high)[values] if is_wide else _scaled(values, low, high)
    if values.ndim == 2 and _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 255 - pixels
    channels = [pixels] if alpha is None else [np.atleast_3d(pixels), alpha[..., np.newaxis]]
    result = Image.fromarray(np.concatenate(channels, axis=-1))
    result.info = {name: value for name, value in image.info.items() if name != "transparency"}  # orientation is there
    return result


def measure_range(images: Iterable[Image.Image]) -> SampleRange | None:
    """The range of a data set, from some of its images; None if all of them have 8 bits or a range in their tags.

    Args:
        images: opened, not loaded and not damaged.
    """
    extremes = [_extremes(_values(image)[0]) for image in images if exceeds_8_bits(image) and not _tagged_range(image)]
    return _range_over(extremes) if extremes else None


def _values(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey (h, w) or colours (h, w, 3) of an image, and its opacity, uint8 (h, w); None if it is opaque."""
    if _has_many_bits(image):
        values, alpha = _finite_values(image), None
    else:
        channels = _wide_channels(image)
        n_colours = channels.shape[2] - 1 + channels.shape[2] % 2  # of grey 1 and of RGB 3; the other is opacity
        values = channels[..., :n_colours] if n_colours > 1 else channels[..., 0]
        tags = getattr(image, "tag_v2", None)
        is_opacity = channels.shape[2] % 2 == 0 and (tags is None or has_opacity(tags))
        alpha = (channels[..., -1] >> 8).astype(np.uint8) if is_opacity else None
    key = image.info.get("transparency")  # of PNG: the one value that is transparent
    if alpha is None and key is not None:
        is_key = values == np.array(key)
        alpha = np.where(is_key.all(-1) if values.ndim > 2 else is_key, 0, 255).astype(np.uint8)
    return values, alpha


def _wide_channels(image: Image.Image) -> np.ndarray:
    """All channels of a colour image with 16 bits, uint16 (h, w, channels).

    Pillow unpacks one byte of each value. The raw mode decides which one, so the image is decoded once for each.
    """
    raw_mode, file = _raw_mode(image), image.fp  # type: ignore[attr-defined]
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    upper = np.asarray(image).astype(np.uint16)
    with Image.open(io.BytesIO(data), formats=[str(image.format)]) as other:
        lower_mode = _LOWER_BYTES.get(raw_mode, "RGBA")
        other.tile = [tile._replace(args=_with_raw_mode(tile.args, lower_mode)) for tile in other.tile]
        lower = np.asarray(other).astype(np.uint16)
    if raw_mode == _GREY_WITH_ALPHA:  # each of its four bytes as a channel
        return lower[..., ::2] << 8 | lower[..., 1::2]
    return upper << 8 | lower


def _has_many_bits(image: Image.Image) -> bool:
    """Whether an opened image has one channel of more than 8 bits."""
    return image.mode.startswith(("I", "F"))


def _raw_mode(image: Image.Image) -> str:
    """How the values of an opened image are packed in the file, in Pillow's words; empty if that is not known."""
    tiles = getattr(image, "tile", ())
    args = tiles[0].args if tiles and _tag(image, _PLANES) != _SEPARATE else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _with_raw_mode(args: Any, raw_mode: str) -> Any:
    return (raw_mode, *args[1:]) if isinstance(args, tuple) else raw_mode


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def _finite_values(image: Image.Image) -> np.ndarray:
    if image.mode == "I" and _tag(image, _BITS_PER_SAMPLE) == 32 and _tag(image, _SAMPLE_FORMAT) in (None, _UNSIGNED):
        return np.asarray(image).astype(np.int32).view(np.uint32).astype(np.float64)  # Pillow decodes them as signed
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
