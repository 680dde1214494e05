"""Pictures and texts that nearly repeat another: saved anew, scaled, brightened, mirrored, slightly cropped, reworded.

Pictures are compared by their fingerprints, with crops aligned, and not by features: on real data, features of copies
in other colours are as far apart as those of any two pictures, and those of two faces may be as near as copies. So what
is found does not depend on a base, either. It does depend on the data: scanned digits resemble each other more than
photos do, and have to be closer to count.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from headstart.data.fingerprints import SIDE
from headstart.data.neighbours import close_pairs, unit

NEAR = 0.96
"""Correlation of two fingerprints from which on pictures are near-duplicates; closer where all look alike."""

NEAR_TEXT = 0.8
"""Share of the words and pairs of words in either of two texts that are in both, likewise (Jaccard)."""

_FLAT = 2.0  # standard deviation in grey levels, below which there is too little to compare
_NEIGHBOUR, _ASKED = 20, 256  # the 20th nearest to each of so many pictures says what is usual
_TIMES_CLOSER, _TIMES_CLOSER_CROPPED = 12, 18  # than that
_GIST = 8  # pixels a side that pictures are searched by
_FARTHER = 3.0  # times the distance of near-duplicates: they are not aligned yet
_DETAIL = 0.6
_SCALES, _PLACES = (0.97, 0.94, 0.91), (0.0, 0.25, 0.5, 0.75, 1.0)
_COARSE = 0.02  # how much higher a correlation may be at full resolution than at half
_PAIRS_AT_ONCE = 256
_MOST_OF_ONE_SHINGLE = 16  # texts that are compared with the next one that has it
_WORDS = re.compile(r"\w+")
_NONE = np.empty((0, 2), np.int64)


def near_pictures(fingerprints: Sequence[bytes]) -> np.ndarray:
    """Find pairs of pictures that nearly repeat each other.

    Args:
        fingerprints: of each, see :mod:`headstart.data.fingerprints`.

    Returns:
        int64 (m, 2), pairs i < j.
    """
    pixels = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, SIDE, SIDE)
    there = np.flatnonzero(pixels.std((1, 2)) >= _FLAT)
    if len(there) < 2:
        return _NONE
    pixels = pixels[there]

    usual = _usual_distance(pixels)
    near, near_part = (1 - min(1 - NEAR, usual / times) for times in (_TIMES_CLOSER, _TIMES_CLOSER_CROPPED))
    tiny = _reduced(pixels, _GIST)
    found = []
    for turn in (1, -1):  # as they are, and one of the two in a mirror

        def asking(indices: np.ndarray, turn: int = turn) -> np.ndarray:
            return _centred(tiny[indices, :, ::turn])

        pairs, products = close_pairs(len(tiny), lambda i: _centred(tiny[i]), 1 - _FARTHER * (1 - near), ask=asking)
        pairs = pairs[np.argsort(-products, kind="stable")][: len(tiny)]  # so that the effort stays linear
        left, right = pixels[pairs[:, 0], :, ::turn], pixels[pairs[:, 1]]
        similar = _fit(_reduced(left, SIDE // 2), _reduced(right, SIDE // 2), near - _COARSE, near_part - _COARSE)
        similar[similar] = _fit(left[similar], right[similar], near, near_part, detail=_DETAIL)
        found.append(pairs[similar])
    return there[np.unique(np.concatenate(found), axis=0)]


def _reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pictures (n, side, side) at a lower resolution, by the mean: float32."""
    step = pixels.shape[1] // side
    return pixels.reshape(len(pixels), side, step, side, step).mean((2, 4), dtype=np.float32)


def _centred(pixels: np.ndarray) -> np.ndarray:
    """Fingerprints as unit vectors whose product is the correlation."""
    flat = pixels.reshape(len(pixels), pixels.shape[1] * pixels.shape[2]).astype(np.float32)
    return unit(flat - flat.mean(1, keepdims=True))


def _usual_distance(pixels: np.ndarray) -> float:
    """1 - correlation with the 20th nearest, in the middle; with a nearer one where there are few."""
    n = len(pixels)
    asking = _centred(pixels[np.sort(np.random.default_rng(0).choice(n, min(n, _ASKED), replace=False))])
    parts = np.array_split(np.arange(n), n // 4096 + 1)
    products = np.concatenate([asking @ _centred(pixels[part]).T for part in parts], axis=1)
    kth = min(_NEIGHBOUR, max(n // 4, 2)) + 1  # the nearest is the picture itself
    return float(np.median(1 - np.partition(products, -kth, axis=1)[:, -kth])) if n >= kth else 1.0


def _fit(
    left: np.ndarray, right: np.ndarray, near: float, near_part: float, *, detail: float | None = None
) -> np.ndarray:
    """Whether pictures (n, side, side) are nearly the same, or one is nearly a part of the other: bool (n,).

    Args:
        left: one of each pair.
        right: the other.
        near: the least correlation.
        near_part: likewise of a part; among many parts one fits well by chance.
        detail: likewise of what they have beyond smooth versions of themselves; None does not look at it.
    """
    fits = np.zeros(len(left), bool)
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        here = slice(start, start + _PAIRS_AT_ONCE)
        for whole, other in ((left[here], right[here]), (right[here], left[here])):
            target, fine = _centred(whole), None if detail is None else _centred(_details(whole))
            for number, part in enumerate(_parts(other.astype(np.float32))):
                fit = np.einsum("nd,nd->n", _centred(part), target) >= (near_part if number else near)
                if fine is not None and fit.any():
                    fit &= np.einsum("nd,nd->n", _centred(_details(part)), fine) >= detail
                fits[here] |= fit
    return fits


def _details(pixels: np.ndarray) -> np.ndarray:
    """Pictures less their means over 5 x 5 pixels: two smooth gradients correlate, whatever they are of."""
    side = pixels.shape[1]
    apart = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    mean = (apart <= 2).astype(np.float32)
    mean /= mean.sum(1, keepdims=True)
    return pixels - mean @ pixels @ mean.T


def _parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Pictures (n, side, side), and crops of them enlarged to their size: along one side, or both by the same share."""
    yield pixels
    for scale in _SCALES:
        windows = [_window(pixels.shape[1], scale, place) for place in _PLACES]
        across = [pixels @ window.T for window in windows]
        yield from across
        for window in windows:
            yield from (window @ one for one in (pixels, *across))


def _window(side: int, scale: float, place: float) -> np.ndarray:
    """The matrix, float32 (side, side), that enlarges a part of a line of pixels to all of it, linearly."""
    x = ((np.arange(side) + 0.5) * scale + place * side * (1 - scale) - 0.5).clip(0, side - 1)
    low = np.minimum(x.astype(int), side - 2)
    matrix = np.zeros((side, side), np.float32)
    matrix[np.arange(side), low] = low + 1 - x
    matrix[np.arange(side), low + 1] += x - low
    return matrix


def near_texts(texts: Sequence[str]) -> np.ndarray:
    """Find pairs of texts that are the same but for case, spaces and punctuation, or but for a few words in many.

    Two sets of which a share t is common have one of their (1 - t) n rarest members in common, which leaves few pairs
    to look at.

    Source: Chaudhuri, Ganti and Kaushik, "A primitive operator for similarity joins in data cleaning", ICDE 2006.

    Returns:
        int64 (m, 2), pairs i < j.
    """
    numbers: dict[str, int] = {}
    sets = [_shingles(text, numbers) for text in texts]
    if len(sets) < 2:
        return _NONE
    _, inverse, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    seen: defaultdict[int, list[int]] = defaultdict(list)
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
        others = {j for shingle in shared for j in seen[shingle][-_MOST_OF_ONE_SHINGLE:]}
        pairs += [(j, i) for j in others if _jaccard(sets[j], own) >= NEAR_TEXT]
        for shingle in shared:
            seen[shingle].append(i)
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
