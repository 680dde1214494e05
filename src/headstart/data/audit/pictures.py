"""Pictures that can be used and yet may not be what they were meant to be: judged by their headers and at a glance."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from headstart.data.audit.checks import Finding, Occurrence, has_have, is_are
from headstart.data.fingerprints import ImageInfo
from headstart.data.images import Header

_PLAIN_MODES = {"RGB", "L"}
_TINY_PX = 32  # of the shorter side, where the other pictures are much larger
_TINY_AREA = 1 / 50  # of the usual area
_ALWAYS_TINY_PX = 8
_HUGE_PIXELS = 40_000_000
_EXTREME_RATIO = 5.0
_MODES = {
    "CMYK": "four printing colours (CMYK)", "P": "a palette", "PA": "a palette", "1": "black and white only",
    "LA": "grey", "La": "grey", "RGBA": "RGB", "RGBa": "RGB", "RGBX": "RGB", "YCbCr": "YCbCr", "LAB": "L*a*b*",
    "HSV": "HSV", "F": "decimal numbers", "I": "32 bits a pixel", "I;16": "16 bits a pixel",
}  # fmt: skip


class _Rule(NamedTuple):
    says: Callable[[ImageInfo], str]  # what is odd about a picture; nothing if it is not
    found: str
    clean: str


def look_through(files: list[str], image_infos: Mapping[int, ImageInfo]) -> list[Finding]:
    """Check every picture that was looked at.

    Args:
        files: names of all examples.
        image_infos: index -> what was noted of a picture.
    """
    usual = (
        float(np.median([one.header.width * one.header.height for one in image_infos.values()])) if image_infos else 0.0
    )
    rules = {
        "odd-colour-mode": _Rule(
            _mode, "{n} of another form than RGB or grey {are} used all the same, as RGB.", "All are RGB or grey."
        ),
        "exif-rotated": _Rule(
            _turned, "{n} {are} stored on the side or upside down, and {are} used upright, as EXIF says.",
            "No picture is stored on its side.",
        ),
        "tiny": _Rule(lambda look: _tiny(look.header, usual), "{n} {have} hardly any pixels.", "No picture is tiny."),
        "huge": _Rule(
            _huge, "{n} {have} more than 40 million pixels, which takes time and adds nothing.", "No picture is huge."
        ),
        "extreme-aspect-ratio": _Rule(
            _ratio, "{n} {are} more than five times as long as wide.", "No picture is extremely long or wide."
        ),
        "blank": _Rule(
            lambda look: "one colour all over" if look.is_blank else "", "{n} {are} blank.", "No picture is blank."
        ),
    }  # fmt: skip
    return [_judged(check, rule, files, image_infos) for check, rule in rules.items()]


def _judged(check: str, rule: _Rule, files: list[str], image_infos: Mapping[int, ImageInfo]) -> Finding:
    said = {i: rule.says(look) for i, look in image_infos.items()}
    found = [Occurrence((files[i],), said[i]) for i in sorted(said) if said[i]]
    if not image_infos:
        return Finding(check, "skipped", "No picture was decoded.")
    if not found:
        return Finding(check, "clean", rule.clean)
    n = len(found)
    subject = f"{n:,} picture{'s' if n > 1 else ''}"
    return Finding(check, "found", rule.found.format(n=subject, are=is_are(n), have=has_have(n)), found)


def _mode(look: ImageInfo) -> str:
    header = look.header
    if header.mode in _PLAIN_MODES and not header.transparent:
        return ""
    form = _MODES.get(header.mode, header.mode)
    if header.transparent:
        return f"{form} with transparency, laid on white"
    return "" if header.mode == "P" else form


def _turned(look: ImageInfo) -> str:
    return f"EXIF orientation {look.header.orientation}" if look.header.orientation != 1 else ""


def _tiny(header: Header, usual: float) -> str:
    w, h = header.width, header.height
    is_far_below = min(w, h) < _TINY_PX and w * h < _TINY_AREA * usual
    return f"{w} x {h} pixels" if is_far_below or min(w, h) < _ALWAYS_TINY_PX else ""


def _huge(look: ImageInfo) -> str:
    w, h = look.header.width, look.header.height
    return f"{w:,} x {h:,} pixels" if w * h > _HUGE_PIXELS else ""


def _ratio(look: ImageInfo) -> str:
    w, h = look.header.width, look.header.height
    return f"{w:,} x {h:,} pixels" if max(w, h) > _EXTREME_RATIO * min(w, h) else ""
