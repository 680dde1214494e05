"""Near-duplicates: images saved again, scaled, brightened, mirrored or slightly cropped; texts with a few other words.

Images are compared by their fingerprints, with crops aligned, and not by features. On real data the features of copies
in other colours are as far apart as those of any two images, and those of two faces may be as near as copies. So the
result does not depend on a base. It does depend on the data: scanned digits resemble each other more than photos do,
so they have to be closer.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np

from headstart.data.fingerprints import SIDE
from headstart.data.neighbours import close_pairs, unit

NEAR = 0.96
"""Lowest correlation of the fingerprints of near-duplicates; higher where all images resemble each other."""

NEAR_TEXT = 0.8
"""Lowest Jaccard similarity of near-duplicate texts: share of their words and pairs of words that are in both."""

_FLAT = 1.5  # lowest standard deviation, in grey levels, of a thumbnail that is compared
_SAMPLE = 100  # images whose neighbours give the typical distance: the 20th, in large data n / 20
_TIMES_CLOSER, _TIMES_CLOSER_CROPPED = 16, 20  # than that
_THUMBNAIL = 8  # pixels a side of the images that the search compares
_FARTHER = 3.0  # times the distance of near-duplicates, as crops are not aligned in the search
_DETAIL = 0.6  # lowest correlation of details; that of smooth versions alone is not enough
_SCALES, _PLACES = (0.97, 0.94, 0.91), (0.0, 0.25, 0.5, 0.75, 1.0)
_COARSE = 0.02  # by how much a correlation may be higher at full resolution than at half
_PAIRS_AT_ONCE = 256
_MOST_OF_ONE_SHINGLE = 16  # texts that are compared with the next one that has it
_WORDS = re.compile(r"\w+")
_NONE = np.empty((0, 2), np.int64)


def near_images(fingerprints: Sequence[bytes]) -> np.ndarray:
    """Find pairs of images that nearly repeat each other.

    Args:
        fingerprints: of each, see :mod:`headstart.data.fingerprints`.

    Returns:
        int64 (m, 2), pairs i < j.
    """
    pixels = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, SIDE, SIDE)
    compared = np.flatnonzero(_reduced(pixels, _THUMBNAIL).std((1, 2)) >= _FLAT)
    if len(compared) < 2:
        return _NONE
    pixels = pixels if len(compared) == len(pixels) else pixels[compared]  # no copy where all are compared
    typical = _typical_distance(pixels)
    near, near_part = (1 - min(1 - NEAR, typical / times) for times in (_TIMES_CLOSER, _TIMES_CLOSER_CROPPED))
    pairs = [_pairs_of(pixels, queries, near, near_part) for queries in (pixels, pixels[:, :, ::-1])]  # and mirrored
    return compared[np.unique(np.concatenate(pairs), axis=0)]


def _pairs_of(pixels: np.ndarray, queries: np.ndarray, near: float, near_part: float) -> np.ndarray:
    """Pairs i < j where ``queries[i]`` is like ``pixels[j]`` or like a part of it, or the reverse."""

    def where(test: Callable[..., np.ndarray], pairs: np.ndarray, **options: float) -> np.ndarray:
        if not len(pairs):
            return np.zeros(0, bool)
        parts = np.array_split(pairs, len(pairs) // _PAIRS_AT_ONCE + 1)
        return np.concatenate([test(queries[part[:, 0]], pixels[part[:, 1]], **options) for part in parts])

    thumbnails, query_thumbnails = _reduced(pixels, _THUMBNAIL), _reduced(queries, _THUMBNAIL)
    lowest = 1 - _FARTHER * (1 - near)
    pairs, products = close_pairs(
        len(pixels), lambda i: _centred(thumbnails[i]), lowest, ask=lambda i: _centred(query_thumbnails[i])
    )
    same = where(_are_similar, pairs, near=near, detail=_DETAIL)
    rest = pairs[~same][np.argsort(-products[~same], kind="stable")][: len(pixels)]  # keeps the effort linear
    rest = rest[where(_roughly_part, rest, near=near_part - _COARSE)]
    return np.concatenate([pairs[same], rest[where(_part, rest, near=near_part, detail=_DETAIL)]])


def _reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """Images (n, side, side) at a lower resolution, by the mean: float32."""
    step = pixels.shape[1] // side
    return pixels.reshape(len(pixels), side, step, side, step).mean((2, 4), dtype=np.float32)


def _centred(pixels: np.ndarray) -> np.ndarray:
    """Fingerprints as unit vectors whose product is the correlation."""
    flat = pixels.reshape(len(pixels), pixels.shape[1] * pixels.shape[2]).astype(np.float32)
    return unit(flat - flat.mean(1, keepdims=True))


def _typical_distance(pixels: np.ndarray) -> float:
    """Median of 1 - correlation with a neighbour that is far enough away not to be a copy."""
    n = len(pixels)
    queries = _centred(pixels[np.sort(np.random.default_rng(0).choice(n, min(n, _SAMPLE), replace=False))])
    parts = np.array_split(np.arange(n), n // 4096 + 1)
    products = np.concatenate([queries @ _centred(pixels[part]).T for part in parts], axis=1)
    kth = max(min(20, n // 4), n // 20, 2) + 1  # the nearest is the image itself
    return float(np.median(1 - np.partition(products, -kth, axis=1)[:, -kth])) if n >= kth else 1.0


def _are_similar(left: np.ndarray, right: np.ndarray, *, near: float, detail: float | None = None) -> np.ndarray:
    """Whether the correlation of images (n, side, side) and of their details is high enough: bool (n,)."""
    are_similar = _correlation(_centred(left), right) >= near
    if detail is not None and are_similar.any():
        are_similar[are_similar] = (
            _correlation(_centred(_details(left[are_similar])), _details(right[are_similar])) >= detail
        )
    return are_similar


def _roughly_part(left: np.ndarray, right: np.ndarray, *, near: float) -> np.ndarray:
    """Like :func:`_part`, but faster: at half the resolution, and without details."""
    left, right = _reduced(left, SIDE // 2), _reduced(right, SIDE // 2)
    fits = np.zeros(len(left), bool)
    for whole, other in ((left, right), (right, left)):
        centred = _centred(whole)
        for part in _parts(other):
            fits |= _correlation(centred, part) >= near
    return fits


def _part(left: np.ndarray, right: np.ndarray, *, near: float, detail: float) -> np.ndarray:
    """Whether one of two images is like a part of the other: bool (n,)."""
    fits = np.zeros(len(left), bool)
    for whole, other in ((left, right), (right, left)):
        for part in _parts(other):
            fits |= _are_similar(whole, part, near=near, detail=detail)
    return fits


def _correlation(centred: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Of images (n, d) that are centred and of unit length with others (n, side, side): float32 (n,)."""
    flat = pixels.reshape(centred.shape).astype(np.float32, copy=False)
    spread = np.einsum("nd,nd->n", flat, flat) - np.square(flat.sum(1)) / centred.shape[1]
    return np.einsum("nd,nd->n", centred, flat) / np.sqrt(np.maximum(spread, 1e-6))


def _details(pixels: np.ndarray) -> np.ndarray:
    """Images minus their means over 5 x 5 pixels, as any two smooth gradients correlate."""
    side = pixels.shape[-1]
    mean = (np.abs(np.subtract.outer(np.arange(side), np.arange(side))) <= 2).astype(np.float32)
    mean /= mean.sum(1, keepdims=True)
    return pixels - mean @ pixels @ mean.T


def _parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Crops of images (n, side, side), enlarged to their size: along one side, or along both by the same share."""
    pixels = pixels.astype(np.float32, copy=False)
    for windows in _windows(pixels.shape[1]):
        across = [pixels @ window.T for window in windows]
        yield from across
        for window in windows:
            yield from (window @ image for image in (pixels, *across))


@cache
def _windows(side: int) -> list[list[np.ndarray]]:
    """Matrices, float32 (side, side), that enlarge a part of a line of pixels to all of it, linearly; by scale."""
    windows = []
    for scale in _SCALES:
        of_scale = []
        for place in _PLACES:
            x = ((np.arange(side) + 0.5) * scale + place * side * (1 - scale) - 0.5).clip(0, side - 1)
            low = np.minimum(x.astype(int), side - 2)
            matrix = np.zeros((side, side), np.float32)
            matrix[np.arange(side), low] = low + 1 - x
            matrix[np.arange(side), low + 1] += x - low
            of_scale.append(matrix)
        windows.append(of_scale)
    return windows


def near_texts(texts: Sequence[str]) -> np.ndarray:
    """Find pairs of texts that differ in case, spaces and punctuation only, or in a few of many words.

    If two sets have a share t in common, they have one of their (1 - t) n rarest members in common. That leaves few
    pairs to compare.

    Source: Chaudhuri, Ganti and Kaushik, "A primitive operator for similarity joins in data cleaning", ICDE 2006.

    Returns:
        int64 (m, 2), pairs i < j.
    """
    numbers: dict[str, int] = {}
    sets = [_shingles(text, numbers) for text in texts]
    if len(sets) < 2:
        return _NONE
    _, inverse, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    texts_of_shingle: defaultdict[int, list[int]] = defaultdict(list)
    first: dict[bytes, int] = {}
    pairs: list[tuple[int, int]] = []
    start = 0
    for i, own in enumerate(sets):
        ids = inverse[start : start + len(own)]
        start += len(own)
        if (same := first.setdefault(own.tobytes(), i)) != i:
            pairs.append((same, i))
            continue
        rarest = ids[np.argsort(counts[ids], kind="stable")][: len(own) - int(np.ceil(NEAR_TEXT * len(own))) + 1]
        shared = rarest[counts[rarest] > 1].tolist()
        candidates = {j for shingle in shared for j in texts_of_shingle[shingle][-_MOST_OF_ONE_SHINGLE:]}
        pairs += [(j, i) for j in candidates if _jaccard(sets[j], own) >= NEAR_TEXT]
        for shingle in shared:
            texts_of_shingle[shingle].append(i)
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _shingles(text: str, numbers: dict[str, int]) -> np.ndarray:
    """The words and the pairs of words in a text, without case and punctuation: int64, sorted."""
    words = _WORDS.findall(unicodedata.normalize("NFKC", text).casefold()) or [" ".join(text.split())]
    ids = np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], np.int64)
    return np.unique(np.concatenate([ids, (ids[:-1] << 32) | ids[1:]]))


def _jaccard(left: np.ndarray, right: np.ndarray) -> float:
    if min(len(left), len(right)) < NEAR_TEXT * max(len(left), len(right)):
        return 0.0
    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / (len(left) + len(right) - common)
