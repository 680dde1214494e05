"""Logits from counts of tokens and of pairs of neighbouring tokens: a look-up in tables, which any model file can hold.

With c(t) the number of times that a text has the term t, a token or a pair of tokens, and idf(t) its inverse document
frequency, the logits of a text are

    sum over t of c(t) idf(t) w(t)  /  square root of the sum over t of c(t) idf(t)^2

which is a linear classifier on TF-IDF vectors. Both sums run over the tokens of the text, so they need no sparse
vectors: only a row of a table for each token, and one for each pair that the training texts have often enough.

Pairs are found by hashing with linear probing: each token has two numbers, and the entry of a pair is at most
:data:`PROBES` - 1 places behind the sum of the first number of its first token and the second of its second. An entry
holds both ids, so another pair never matches it.

Keras has Embedding layers for look-ups, which hold floats: on torch, integers cannot be their weights. So in Keras each
number is stored in two digits of base :data:`DIGIT`, which are exact in float16 as well: some exports store that.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

PROBES = 12
"""Entries in which a pair can be."""

DIGIT = 2048
"""Numbers are below the square of this one. Up to it, float16 has every integer."""

NO_TOKEN = -1
"""Stands after the last token; no token has this id."""

TOKEN_TABLE, PAIR_TABLE, VALUE_TABLE = "count_tokens", "count_pairs", "count_values"
"""Names of the three tables in Keras models."""

MIN_SQUARED_NORM = 1e-12
"""Of a text without a known term, whose logits are 0."""

_ENTRIES_PER_PAIR = 4
_SPREAD = 8  # the second numbers are smaller by this factor, which makes the sums nearly uniform


class Terms(NamedTuple):
    """Tokens and pairs of tokens.

    Attributes:
        tokens: int (n,), ids.
        pairs: int (m, 2), ids of two neighbouring tokens.
    """

    tokens: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class TokenCounts:
    """The tables.

    Attributes:
        tokens: int32 (ids, 3): of each token its row in ``values``, and its two numbers for pairs.
        pairs: int32 (p, 3): two ids and the row of the pair in ``values``; empty entries hold :data:`NO_TOKEN`.
        values: float32 (r + 1, classes + 1): of each term what it adds to the logits, and to the squared norm. Row 0 is
            zero: it stands for all other terms.
    """

    tokens: np.ndarray
    pairs: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, terms: Terms, weights: np.ndarray, idf: np.ndarray, n_ids: int) -> Self:
        """Fill the tables.

        Args:
            terms: n tokens and m pairs.
            weights: float (n + m, classes), of the tokens and then of the pairs.
            idf: float (n + m,), their inverse document frequencies.
            n_ids: all ids are below this number.
        """
        values = np.zeros((len(idf) + 1, weights.shape[1] + 1), np.float32)
        values[1:, :-1], values[1:, -1] = weights * idf[:, None], idf**2
        tokens = np.zeros((n_ids, 3), np.int32)
        tokens[terms.tokens, 0] = np.arange(1, len(terms.tokens) + 1)
        rows = np.arange(len(terms.tokens) + 1, len(idf) + 1)
        size = _ENTRIES_PER_PAIR * max(len(rows), 1)
        while True:
            rng = np.random.default_rng(size)
            tokens[:, 1] = rng.integers(0, size, n_ids)
            tokens[:, 2] = rng.integers(0, 1 + size // _SPREAD, n_ids)
            hashes = tokens[terms.pairs[:, 0], 1] + tokens[terms.pairs[:, 1], 2]
            order = np.argsort(hashes, kind="stable")
            places = np.arange(len(rows)) + np.maximum.accumulate(hashes[order] - np.arange(len(rows)))
            if not len(rows) or (places - hashes[order]).max() < PROBES:
                break
            size *= 2
        pairs = np.full((size + size // _SPREAD + PROBES, 3), NO_TOKEN, np.int32)
        pairs[places, :2], pairs[places, 2] = terms.pairs[order], rows[order]
        return cls(tokens, pairs, values)

    def for_keras(self) -> dict[str, np.ndarray]:
        """The weights of the layers that :func:`count_logits` makes, float32 (rows, columns), by their names."""
        return {TOKEN_TABLE: _digits(self.tokens), PAIR_TABLE: _digits(self.pairs), VALUE_TABLE: self.values}

    @property
    def n_tokens(self) -> int:
        """Number of tokens that are counted."""
        return int((self.tokens[:, 0] > 0).sum())

    @property
    def n_pairs(self) -> int:
        """Number of pairs that are counted."""
        return len(self.values) - 1 - self.n_tokens

    def scaled(self, factor: float) -> Self:
        """The tables that give logits multiplied by a factor."""
        values = self.values.copy()
        values[:, :-1] *= np.float32(factor)
        return replace(self, values=values)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Logits, float32 (n, classes), of texts as token ids, int32 (n, t)."""
        following = np.concatenate([ids[:, 1:], np.full_like(ids[:, :1], NO_TOKEN)], axis=1)
        rows, first, second = np.moveaxis(self.tokens[ids], -1, 0)
        second = np.concatenate([second[:, 1:], np.zeros_like(second[:, :1])], axis=1)
        entries = self.pairs[(first + second)[..., None] + np.arange(PROBES)]
        is_found = (entries[..., 0] == ids[..., None]) & (entries[..., 1] == following[..., None])
        pair_rows = np.where(is_found, entries[..., 2], 0).max(-1)
        total = self.values[np.concatenate([rows, pair_rows], axis=1)].sum(1)
        return total[:, :-1] / np.sqrt(np.maximum(total[:, -1:], MIN_SQUARED_NORM))


def _digits(numbers: np.ndarray) -> np.ndarray:
    """The lower digits of integers (rows, columns), and then the higher ones; of :data:`NO_TOKEN` itself and 0."""
    high = np.maximum(numbers, 0) // DIGIT
    return np.concatenate([numbers - high * DIGIT, high], axis=1).astype(np.float32)


def count_logits(ids: Any) -> Any:
    """The same in Keras: from a symbolic tensor of ids (n, t) to logits (n, classes), with empty tables for 2 classes.

    Only layers and operations of Keras itself are used; the tables are the weights of three Embedding layers.
    """
    import keras
    from keras import ops

    def numbers(name: str, places: Any) -> list[Any]:
        digits = ops.cast(keras.layers.Embedding(1, 6, "zeros", name=name, trainable=False)(places), "int32")
        return [digits[..., column] + digits[..., column + 3] * DIGIT for column in range(3)]

    rows, first, second = numbers(TOKEN_TABLE, ids)
    following = ops.concatenate([ids[:, 1:], ops.zeros_like(ids[:, :1]) + NO_TOKEN], axis=1)
    second = ops.concatenate([second[:, 1:], ops.zeros_like(second[:, :1])], axis=1)
    places = ops.expand_dims(first + second, -1)
    places = ops.concatenate([places + number for number in range(PROBES)], axis=-1)
    first_ids, second_ids, entry_rows = numbers(PAIR_TABLE, places)
    is_found = ops.logical_and(
        ops.equal(first_ids, ops.expand_dims(ids, -1)), ops.equal(second_ids, ops.expand_dims(following, -1))
    )
    pair_rows = ops.max(entry_rows * ops.cast(is_found, "int32"), axis=-1)
    all_rows = ops.concatenate([rows, pair_rows], axis=1)
    total = ops.sum(keras.layers.Embedding(1, 3, "zeros", name=VALUE_TABLE, trainable=False)(all_rows), axis=1)
    return total[:, :-1] / ops.sqrt(ops.maximum(total[:, -1:], MIN_SQUARED_NORM))


def count_logits_in_openvino(ids: Any, counts: TokenCounts) -> Any:
    """The same in OpenVINO: from the node of ids (n, t) to a node of logits (n, classes)."""
    from openvino import opset13 as op

    def column(x: Any, number: int) -> Any:
        return op.gather(x, op.constant(np.int32(number)), op.constant(np.int32(-1)))

    def shifted(x: Any, last: int) -> Any:
        """Column 1 and all after it, and then one that holds ``last`` only."""
        after_first = op.slice(x, *(op.constant(np.array([value], np.int32)) for value in (1, 2**31 - 1, 1, 1)))
        first = op.slice(x, *(op.constant(np.array([value], np.int32)) for value in (0, 1, 1, 1)))
        filled = op.add(op.multiply(first, op.constant(np.int32(0))), op.constant(np.int32(last)))
        return op.concat([after_first, filled], 1)

    def look_up(table: np.ndarray, x: Any) -> Any:
        return op.gather(op.constant(table), x, op.constant(np.int32(0)))

    ids = op.convert(ids, "i32")
    tokens = look_up(counts.tokens, ids)
    places = op.unsqueeze(op.add(column(tokens, 1), shifted(column(tokens, 2), 0)), op.constant(np.int32(-1)))
    entries = look_up(counts.pairs, op.add(places, op.constant(np.arange(PROBES, dtype=np.int32))))
    is_found = op.logical_and(
        *(
            op.equal(column(entries, number), op.unsqueeze(values, op.constant(np.int32(-1))))
            for number, values in enumerate((ids, shifted(ids, NO_TOKEN)))
        )
    )
    pair_rows = op.reduce_max(
        op.multiply(column(entries, 2), op.convert(is_found, "i32")), op.constant(np.int32(-1)), keep_dims=False
    )
    rows = op.concat([column(tokens, 0), pair_rows], 1)
    total = op.reduce_sum(look_up(counts.values, rows), op.constant(np.int32(1)), keep_dims=False)
    n_classes = counts.values.shape[1] - 1
    sums, squared_norm = op.variadic_split(
        total, op.constant(np.int32(1)), op.constant(np.array([n_classes, 1], np.int32))
    ).outputs()
    norm = op.sqrt(op.maximum(squared_norm, op.constant(np.float32(MIN_SQUARED_NORM))))
    return op.divide(sums, norm)
