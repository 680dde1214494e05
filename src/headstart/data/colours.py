"""Images of 8 bits in any form become RGB, with transparent parts on white.

TIFF and BMP files of some programs mean something else than Pillow reads: a fourth channel that is no opacity, an
opacity of zero everywhere, a palette of 8 bits. This module is part of exports, too.
"""

from typing import Any

from PIL import Image

_COLOUR_MAP, _EXTRA_SAMPLES = 320, 338  # TIFF tags
_OPACITY = (1, 2)  # values of the second one: multiplied into the colours, or not


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel as RGB."""
    _correct_palette(image)
    if image.has_transparency_data and not _has_false_opacity(image):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode == "RGB":
        image.load()
        return image
    return image.convert("RGB")


def has_opacity(tags: Any) -> bool:
    """Whether the channel after the colours of a TIFF is opacity: its tags say so, or it may be near infrared."""
    values = tags.get(_EXTRA_SAMPLES)
    return (values[0] if isinstance(values, tuple) and values else values) in _OPACITY


def _has_false_opacity(image: Image.Image) -> bool:
    """Whether the fourth channel is no opacity: not declared as such in a TIFF, or zero in all of a BMP."""
    if image.mode not in ("RGBA", "LA"):
        return False
    if image.format == "TIFF":
        return not has_opacity(image.tag_v2)  # type: ignore[attr-defined]
    return image.format == "BMP" and image.getextrema()[-1] == (0, 0)


def _correct_palette(image: Image.Image) -> None:
    """Give a TIFF whose palette has values of 8 bits, where 16 are expected, its colours: Pillow makes them black."""
    if image.format != "TIFF" or image.mode != "P":
        return
    values = image.tag_v2.get(_COLOUR_MAP, ())  # type: ignore[attr-defined]
    if 0 < max(values, default=0) < 256:
        n = len(values) // 3
        image.putpalette([value for i in range(n) for value in values[i::n]])
