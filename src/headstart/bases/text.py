"""Bases for texts: from token ids to one vector per text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headstart.bases.base import STD_EPSILON, Base, DataFormat
from headstart.data.examples import Example
from headstart.data.modalities import TEXT
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError

if TYPE_CHECKING:
    from headstart.data.audit import Finding
    from headstart.data.tokenizers import Tokenizer

Pooling = Literal["mean", "max", "cls", "last"]

MAX_TOKENS = 512
"""Maximum number of tokens in a text, also for models that accept more: the cost grows with its square."""

_MAX_DIFFERENCE = 1e-3  # of a vector with padding and without it, relative to the largest value


def token_mask(states: Any) -> Any:
    """1 for tokens, 0 for padding, float32 (n, t, 1).

    Text bases compute zero vectors for padding in every block. No mask needs to be passed along beside the vectors, so
    that a base can be truncated after any block.
    """
    from keras import ops

    return ops.cast(ops.any(ops.not_equal(states, 0), axis=-1, keepdims=True), "float32")


def check_padding(
    compute: Callable[[np.ndarray], np.ndarray], ids: np.ndarray, pad: int, positions: int, name: str
) -> None:
    """Check that the vectors of a text do not depend on padding: texts of other lengths are computed with it.

    Args:
        compute: token vectors, float32 (n, t, d), of ids.
        ids: of a text without padding, int32 (1, t).
        pad: the id of padding.
        positions: greatest number of tokens.
        name: of the model, for the message.

    Raises:
        InputError: they do.
    """
    n_tokens = ids.shape[1]
    padded = np.pad(ids, ((0, 0), (0, min(8, positions - n_tokens))), constant_values=pad)
    alone, together = compute(ids), compute(padded)[:, :n_tokens]
    difference = np.abs(together - alone).max() / max(np.abs(alone).max(), 1e-12)
    if not difference <= _MAX_DIFFERENCE:
        raise InputError(
            f"{name} gives a text other vectors if padding stands after it (they differ by {difference:.1e}): its "
            "features would depend on the other texts of a batch. Use another model."
        )


@dataclass(frozen=True, kw_only=True)
class TextBase(Base):
    """A base for texts: its model takes int32 token ids (n, t), padded to the longest of the batch.

    Args:
        tokenizer: returns the ids; it belongs to the base and is saved with every run.
        build: returns a model from ids to token vectors (n, t, d), all zero for padding, or to one vector per text
            (n, d).
        pooling: of the token vectors: their mean, their maximum, the first or the last of them.
        normalize: whether the pooled vector is scaled to length 1.
        max_length: maximum number of tokens; None for no maximum.
    """

    modality = TEXT

    tokenizer: "Tokenizer"
    pooling: Pooling = "mean"
    normalize: bool = False
    max_length: int | None = None

    def input_facts(self) -> dict[str, Any]:
        """Maximum length and pooling; the tokenizer adds its own facts when it is saved."""
        return {"max_length": self.max_length, "pooling": self.pooling}

    def _network_facts(self) -> dict[str, Any]:
        return {"pooling": self.pooling, "normalize": self.normalize}

    def reader(self) -> "Tokenizer":
        """The tokenizer."""
        return self.tokenizer

    def save_reader(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer into the folder ``tokenizer``."""
        return self.tokenizer.save(folder / "tokenizer")

    def check_inputs(self, names: Sequence[str], examples: Sequence[Example]) -> "list[Finding]":
        """What the tokenizer does not know, and texts that it shortens."""
        from headstart.data.audit import coverage

        return [coverage(names, [example.text for example in examples], self.tokenizer)]

    @property
    def n_token_ids(self) -> int:
        """A number that all token ids in its input are below."""
        return self.tokenizer.n_ids

    @property
    def pad_id(self) -> int:
        """Id of the padding."""
        return self.tokenizer.pad

    @property
    def can_learn_contrastively(self) -> bool:
        """Whether it is an encoder: word vectors have no blocks to train."""
        return isinstance(self.tokenizer, SubwordTokenizer)

    def model(self, *, include_top: bool = False, data_format: DataFormat = "channels_last") -> Any:
        """Build the Keras model; see :meth:`Base.model`. A text base has no top."""
        import keras

        network = self.build(False)
        network.trainable = False
        ids, x = self.input_tensors()
        x = network(x, training=False)
        return keras.Model(ids, x if self.spec.last_block else self.features(x), name="base")

    def input_tensors(self) -> tuple[Any, Any]:
        """A Keras input for token ids, and the same tensor for the network."""
        import keras

        ids = keras.Input((None,), dtype="int32", name="tokens")
        return ids, ids

    def pool(self, x: Any) -> Any:
        """Token vectors (n, t, d) to one vector per text (n, d), in operations that Keras can save."""
        from keras import ops

        if len(x.shape) == 2:  # already one vector per text
            return x
        pooled = self.pool_by(x, self.pooling)
        if not self.normalize:
            return pooled
        return pooled / ops.maximum(ops.sqrt(ops.sum(pooled * pooled, axis=-1, keepdims=True)), 1e-12)

    def pool_by(self, x: Any, pooling: str) -> Any:
        """One vector per text, (n, d), by any :data:`Pooling` or the standard deviation (``std``), without padding."""
        from keras import ops

        if pooling == "cls":
            return x[:, 0]
        mask = token_mask(x)
        if pooling == "last":
            next_mask = ops.concatenate([mask[:, 1:], ops.zeros_like(mask[:, :1])], axis=1)
            return ops.sum(x * mask * (1.0 - next_mask), axis=1)
        if pooling in ("mean", "std"):
            count = ops.maximum(ops.sum(mask, axis=1), 1.0)
            mean = ops.sum(x * mask, axis=1) / count
            if pooling == "mean":
                return mean
            deviations = (x - ops.expand_dims(mean, 1)) * mask
            return ops.sqrt(ops.sum(deviations * deviations, axis=1) / count + STD_EPSILON)
        return ops.max(x - 1e9 * (1.0 - mask), axis=1) * ops.max(mask, axis=1)
