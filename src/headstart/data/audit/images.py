"""Checks of images that can be used but may be wrong, by their headers and fingerprints."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from headstart.data.audit.checks import Finding, Occurrence, has_have, is_are
from headstart.data.fingerprints import ImageInfo
from headstart.data.images import Header
from headstart.errors import counted

_PLAIN_MODES = {"RGB", "L"}
_TINY_PX = 32  # of the shorter side, where the other images are much larger
_TINY_AREA = 1 / 50  # of the median area
_ALWAYS_TINY_PX = 8
_HUGE_PIXELS = 40_000_000
_EXTREME_RATIO = 5.0
_MODES = {
    "CMYK": "four printing colours (CMYK)", "P": "a palette", "PA": "a palette", "1": "black and white only",
    "LA": "grey", "La": "grey", "RGBA": "RGB", "RGBa": "RGB", "RGBX": "RGB", "YCbCr": "YCbCr", "LAB": "L*a*b*",
    "HSV": "HSV", "F": "decimal numbers", "I": "32 bits a pixel", "I;16": "16 bits a pixel",
}  # fmt: skip


class _Rule(NamedTuple):
    describe: Callable[[ImageInfo], str]  # what is unusual about an image; empty if nothing is
    problem_text: str
    clean: str


def check_images(files: list[str], image_infos: Mapping[int, ImageInfo]) -> list[Finding]:
    """Check the images.

    Args:
        files: names of all examples.
        image_infos: index -> header and fingerprint.
    """
    areas = [info.header.width * info.header.height for info in image_infos.values()]
    median_area = float(np.median(areas)) if areas else 0.0
    rules = {
        "odd-colour-mode": _Rule(
            _mode, "{n} {are} neither RGB nor grey; converted to RGB.", "All images are RGB or grey."
        ),
        "exif-rotated": _Rule(
            _rotated, "{n} {are} stored rotated; turned upright as EXIF says.", "No image is stored rotated.",
        ),
        "tiny": _Rule(lambda info: _tiny(info.header, median_area), "{n} {have} very few pixels.", "No image is tiny."),
        "huge": _Rule(
            _huge, "{n} {have} more than 40 million pixels: slow to decode, without benefit.", "No image is huge."
        ),
        "extreme-aspect-ratio": _Rule(
            _ratio, "{n} {have} an aspect ratio above 5.", "No image has an aspect ratio above 5."
        ),
        "blank": _Rule(
            lambda info: "one colour" if info.is_blank else "", "{n} {are} blank.", "No image is blank."
        ),
    }  # fmt: skip
    return [_finding(check, rule, files, image_infos) for check, rule in rules.items()]


def _finding(check: str, rule: _Rule, files: list[str], image_infos: Mapping[int, ImageInfo]) -> Finding:
    notes = {i: rule.describe(info) for i, info in image_infos.items()}
    occurrences = [Occurrence((files[i],), notes[i]) for i in sorted(notes) if notes[i]]
    if not image_infos:
        return Finding(check, "skipped", "No image was decoded.")
    if not occurrences:
        return Finding(check, "clean", rule.clean)
    n = len(occurrences)
    summary = rule.problem_text.format(n=counted(n, "image"), are=is_are(n), have=has_have(n))
    return Finding(check, "found", summary, occurrences)


def _mode(info: ImageInfo) -> str:
    header = info.header
    if header.mode in _PLAIN_MODES and not header.transparent:
        return ""
    form = _MODES.get(header.mode, header.mode)
    if header.transparent:
        return f"{form} with transparency, laid on white"
    return "" if header.mode == "P" else form


def _rotated(info: ImageInfo) -> str:
    return f"EXIF orientation {info.header.orientation}" if info.header.orientation != 1 else ""


def _tiny(header: Header, median_area: float) -> str:
    w, h = header.width, header.height
    is_far_below = min(w, h) < _TINY_PX and w * h < _TINY_AREA * median_area
    return f"{w} x {h} pixels" if is_far_below or min(w, h) < _ALWAYS_TINY_PX else ""


def _huge(info: ImageInfo) -> str:
    w, h = info.header.width, info.header.height
    return f"{w:,} x {h:,} pixels" if w * h > _HUGE_PIXELS else ""


def _ratio(info: ImageInfo) -> str:
    w, h = info.header.width, info.header.height
    return f"{w:,} x {h:,} pixels" if max(w, h) > _EXTREME_RATIO * min(w, h) else ""
