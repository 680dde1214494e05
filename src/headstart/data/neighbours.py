"""Pairs of vectors that point nearly the same way, among any number of them, in near-linear time.

Vectors are first projected onto the few directions that hold most of them; what is left over is kept as one number,
its length. The product of two vectors shortened so is never smaller than that of the vectors themselves
(Cauchy-Schwarz), so nothing is lost by looking closer only where it is large enough. Beyond some thousands of vectors,
each is compared only with those of the cells that it is nearest to.
"""

from collections.abc import Callable, Iterator

import numpy as np

Rows = Callable[[np.ndarray], np.ndarray]
"""Indices, int (m,) -> unit vectors, float32 (m, d)."""

_DIRECTIONS = 64
_SAMPLE = 2048  # vectors that the directions are found from
_BLOCK = 2048
_ONE_CELL = 4096  # up to so many vectors, all are compared with all
_CELLS_VISITED = 8
_MOST = 8  # neighbours of one vector in one cell; beyond it the farther ones are left out


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float32 (n, d); zero where a vector is."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def close_pairs(n: int, rows: Rows, at_least: float, *, ask: Rows | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Find pairs i < j with a product of at least so much.

    All of them, up to 4,096 vectors that have no more than 8 such neighbours each; beyond that, nearly all.

    Args:
        n: how many vectors there are.
        rows: gives them.
        at_least: the smallest product, of unit vectors a cosine.
        ask: gives the vectors to compare with these, where they are others: ``ask(i)`` with ``rows(j)``.

    Returns:
        Pairs, int64 (m, 2), and their products, float32 (m,).
    """
    if n < 2:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32)
    directions = _directions(n, rows)
    short = _shortened(n, rows, directions)
    asking = short if ask is None else _shortened(n, ask, directions)
    candidates = [_within(block, members, asking, short, at_least) for block, members in _compared(short, asking)]
    pairs = np.unique(np.concatenate(candidates), axis=0)
    products = np.concatenate(
        [
            np.einsum("nd,nd->n", (ask or rows)(part[:, 0]), rows(part[:, 1]))
            for part in np.array_split(pairs, len(pairs) // _BLOCK + 1)
        ]
    )
    return pairs[products >= at_least], products[products >= at_least]


def _directions(n: int, rows: Rows) -> np.ndarray:
    """Orthonormal directions, float32 (d, k), that hold most of the vectors: one step of subspace iteration.

    Source: Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 53 (2011), algorithm 4.4.
    """
    rng = np.random.default_rng(0)
    sample = rows(np.sort(rng.choice(n, min(n, _SAMPLE), replace=False)))
    if sample.shape[1] <= _DIRECTIONS:
        return np.eye(sample.shape[1], dtype=np.float32)
    start = rng.standard_normal((sample.shape[1], _DIRECTIONS)).astype(np.float32)
    for _ in range(2):
        start = np.linalg.qr(sample.T @ (sample @ start))[0]
    return start


def _shortened(n: int, rows: Rows, directions: np.ndarray) -> np.ndarray:
    """Every vector in these directions, and the length of what is left over: float32 (n, k + 1)."""
    short = np.empty((n, directions.shape[1] + 1), np.float32)
    for block in _blocks(np.arange(n)):
        vectors = rows(block)
        inside = vectors @ directions
        short[block, :-1] = inside
        rest = np.square(vectors).sum(1) - np.square(inside).sum(1)
        short[block, -1] = np.sqrt(np.maximum(rest, 0))
    return short


def _compared(short: np.ndarray, asking: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which are compared with which: blocks of indices that ask, each with those that answer."""
    everyone = np.arange(len(short))
    if len(short) <= _ONE_CELL:
        for block in _blocks(everyone):
            yield block, everyone
        return
    rng = np.random.default_rng(0)
    pivots = short[rng.choice(len(short), int(np.sqrt(len(short))), replace=False)].T
    home = np.concatenate([(short[block] @ pivots).argmax(1) for block in _blocks(everyone)])
    visits = np.concatenate(
        [
            np.argpartition(-(asking[block] @ pivots), _CELLS_VISITED, axis=1)[:, :_CELLS_VISITED]
            for block in _blocks(everyone)
        ]
    )
    answer, ask = _by_cell(home[:, np.newaxis], pivots.shape[1]), _by_cell(visits, pivots.shape[1])
    for members, guests in zip(answer, ask, strict=True):
        for block in _blocks(guests):
            yield block, members


def _by_cell(cells: np.ndarray, count: int) -> list[np.ndarray]:
    """Indices of the rows that name each cell."""
    flat = cells.ravel()
    order = np.argsort(flat, kind="stable")
    ends = np.cumsum(np.bincount(flat, minlength=count))
    return np.split(order // cells.shape[1], ends[:-1])


def _within(
    block: np.ndarray, members: np.ndarray, asking: np.ndarray, short: np.ndarray, at_least: float
) -> np.ndarray:
    """Pairs of a block and a cell whose product may be large enough: int64 (m, 2)."""
    bound = asking[block] @ short[members].T
    bound[members <= block[:, np.newaxis]] = -np.inf
    near = bound >= at_least - 1e-5
    crowded = np.flatnonzero(near.sum(1) > _MOST)
    if crowded.size:
        lowest_bound = np.partition(bound[crowded], -_MOST, axis=1)[:, -_MOST]
        near[crowded] &= bound[crowded] >= lowest_bound[:, np.newaxis]
    asks, answers = np.nonzero(near)
    return np.column_stack([block[asks], members[answers]]).astype(np.int64)


def _blocks(indices: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), _BLOCK):
        yield indices[start : start + _BLOCK]
