"""Images with boxes drawn on them: one colour for each class, and labels that are legible on any background."""

import colorsys
import logging
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from headstart.data.boxes.writing import image_files
from headstart.data.images import whole_image
from headstart.errors import BadExample
from headstart.tasks.detection import PredictedBox

logger = logging.getLogger(__name__)

# Okabe and Ito's colours, which colour-blind people can tell apart, the brightest first; more classes get other hues.
_COLOURS = (
    (240, 228, 66), (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (0, 114, 178),
)  # fmt: skip
_GOLDEN_RATIO = 0.618
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)
_LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601
_DARK_TEXT_FROM = 130  # luma of the colour behind the text

_UNDRAWN = "\uffff"  # no character: fonts draw the same for it as for every character that they do not have

_JPEG_SUFFIXES, _OTHER_SUFFIXES = (".jpg", ".jpeg"), (".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_QUALITY = 92
_FONT_PX = 20  # at which characters are looked up
_MIN_SIDE = 400  # pixels of the shorter side; smaller images are enlarged, or labels would hide them

_Box = tuple[float, float, float, float]


class DrawnImage(NamedTuple):
    """An image to draw on.

    Attributes:
        name: path of the file, or its URL.
        read: gives its content; raises :class:`headstart.errors.BadExample` where it can no longer be read.
        boxes: the highest score first.
    """

    name: str
    read: Callable[[], bytes]
    boxes: Sequence[PredictedBox]


class _Style(NamedTuple):
    """Sizes in pixels that suit the size of an image."""

    line: int
    pad: int
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont


def class_colour(number: int) -> tuple[int, int, int]:
    """The colour of a class, (red, green, blue), each from 0 to 255."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    hue = (number - len(_COLOURS)) * _GOLDEN_RATIO % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def drawn_names(classes: Sequence[str]) -> list[str]:
    """The names of classes as they are drawn: a name with letters that the font does not have becomes a number.

    The font of Pillow has hardly more than the letters of ASCII. Accents are left out where the rest can be drawn and
    no other class is called so. Other names become ``#2``, with the number of the class from 1.
    """
    plain = [
        "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)) for name in classes
    ]
    font = ImageFont.load_default(_FONT_PX)
    return [
        name if _can_draw(name, font)
        else short if _can_draw(short, font) and plain.count(short) == 1
        else f"#{number}"
        for number, (name, short) in enumerate(zip(classes, plain, strict=True), 1)
    ]  # fmt: skip


def draw_boxes(pixels: np.ndarray, boxes: Sequence[PredictedBox], classes: Sequence[str]) -> Image.Image:
    """Draw boxes with their classes and scores; a small image is enlarged by a whole factor.

    Args:
        pixels: uint8 (h, w, 3), the whole upright image.
        boxes: in its pixels, the highest score first.
        classes: class names by number, which gives the colours.
    """
    factor = max(1, -(-_MIN_SIDE // min(pixels.shape[:2])))
    image = Image.fromarray(pixels)
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    style = _style(image.size)
    x1, y1, x2, y2 = (np.array([box.edges for box in boxes]).reshape(-1, 4) * factor).T.tolist()
    outlines = list(zip(x1, y1, x2, y2, strict=True))
    colours = [class_colour(classes.index(box.label)) for box in boxes]
    for edges, colour in reversed(list(zip(outlines, colours, strict=True))):  # the surest lies on top
        _draw_outline(draw, edges, colour, style)
    names = dict(zip(classes, drawn_names(classes), strict=True))
    placed: list[_Box] = []
    for box, edges, colour in zip(boxes, outlines, colours, strict=True):
        text = f"{names[box.label]} {box.score:.2f}"
        place = _free_place(draw, text, edges, image.size, style, placed)
        placed.append(place)
        _draw_label(draw, text, place, colour, style)
    return image


def write_drawings(folder: Path, images: Sequence[DrawnImage], classes: Sequence[str]) -> Iterable[BadExample]:
    """Write upright images with boxes: JPEG files of those in JPEG files, and PNG files of others.

    Args:
        folder: for the files, which have names as the images do.
        images: with their boxes.
        classes: class names by number.

    Yields:
        Why an image can no longer be read.
    """
    numbers = {f"#{i}": name for i, name in enumerate(classes, 1)}
    legend = [f"{name} is {numbers[name]}" for name in drawn_names(classes) if name in numbers and name not in classes]
    if legend:
        logger.warning(
            f"the font of the drawings does not have all letters, so classes are numbers: {', '.join(legend)}"
        )
    used: set[PurePath] = set()
    for image, file in zip(images, image_files([image.name for image in images]), strict=True):
        path = _free_path(_drawing_file(file), used)
        try:
            pixels = whole_image(image.read(), sys.maxsize)
        except BadExample as exc:
            yield BadExample(f"{image.name}: {exc}")
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        draw_boxes(pixels, image.boxes, classes).save(folder / path, quality=_QUALITY)


def _can_draw(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> bool:
    """Whether a font has all characters of a text."""
    missing = bytes(font.getmask(_UNDRAWN))
    return bool(text) and all(bytes(font.getmask(c)) != missing for c in set(text))


def _drawing_file(file: PurePath) -> PurePath:
    if file.suffix.lower() in _JPEG_SUFFIXES:
        return file
    return file.with_suffix(".png") if file.suffix.lower() in _OTHER_SUFFIXES else file.with_name(f"{file.name}.png")


def _free_path(path: PurePath, used: set[PurePath]) -> PurePath:
    """The path, with a number if it is used already; from now on it is."""
    number, free = 1, path
    while free in used:
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    used.add(free)
    return free


def _style(size: tuple[int, int]) -> _Style:
    shorter = min(size)
    return _Style(max(1, round(shorter / 250)), max(2, shorter // 200), ImageFont.load_default(max(10, shorter // 34)))


def _draw_outline(draw: ImageDraw.ImageDraw, edges: _Box, colour: tuple[int, int, int], style: _Style) -> None:
    """A line in the colour between two thin dark ones, which set it off from any background."""
    x1, y1, x2, y2 = (round(edge) for edge in edges)
    outer = (x1, y1, max(x2 - 1, x1), max(y2 - 1, y1))
    draw.rectangle(outer, outline=_DARK, width=style.line + 2)
    inner = (outer[0] + 1, outer[1] + 1, outer[2] - 1, outer[3] - 1)
    if inner[0] <= inner[2] and inner[1] <= inner[3]:
        draw.rectangle(inner, outline=colour, width=style.line)


def _free_place(
    draw: ImageDraw.ImageDraw, text: str, edges: _Box, size: tuple[int, int], style: _Style, placed: Sequence[_Box]
) -> _Box:
    """Where a label goes: above its box, inside or below it, where it hides no other label; above it if all do."""
    left, upper, right, lower = draw.textbbox((0, 0), text, font=style.font)
    width, height = right - left + 2 * style.pad, lower - upper + 2 * style.pad
    x1, y1, x2, y2 = edges
    corners = [
        (x1, y1 - height),
        (x1, y1),
        (x1, y2),
        (x2 - width, y1 - height),
        (x2 - width, y2 - height),
        (x1, y2 - height),
    ]
    places = [_moved_inside(corner, (width, height), size) for corner in corners]
    return next((place for place in places if not any(_overlap(place, other) for other in placed)), places[0])


def _moved_inside(corner: tuple[float, float], own_size: tuple[float, float], size: tuple[int, int]) -> _Box:
    x, y = (round(max(0, min(start, whole - own))) for start, own, whole in zip(corner, own_size, size, strict=True))
    return x, y, x + own_size[0], y + own_size[1]


def _overlap(first: _Box, second: _Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _draw_label(draw: ImageDraw.ImageDraw, text: str, place: _Box, colour: tuple[int, int, int], style: _Style) -> None:
    luma = sum(share * channel for share, channel in zip(_LUMA, colour, strict=True))
    draw.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=colour)
    left, upper, _, _ = draw.textbbox((0, 0), text, font=style.font)
    corner = (place[0] + style.pad - left, place[1] + style.pad - upper)
    draw.text(corner, text, fill=_DARK if luma >= _DARK_TEXT_FROM else _LIGHT, font=style.font)
