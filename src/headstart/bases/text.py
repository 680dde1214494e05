"""Bases for texts: token ids in, one vector per text out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headstart.bases.base import Base, DataFormat

if TYPE_CHECKING:
    from headstart.data.tokenizers import Tokenizer

Pooling = Literal["mean", "max", "cls", "last"]

LONGEST = 512
"""Tokens of a text at most, whatever a model could take: what it costs grows with their square."""


def seen_tokens(states: Any) -> Any:
    """1 for tokens, 0 for padding, float32 (n, t, 1): the vectors of padding are zero in all that text bases compute.

    So a mask need not be handed along beside the vectors, and a base can be cut between any two of its blocks.
    """
    from keras import ops

    return ops.cast(ops.any(ops.not_equal(states, 0), axis=-1, keepdims=True), "float32")


@dataclass(frozen=True, kw_only=True)
class TextBase(Base):
    """A base for texts: its model takes int32 token ids (n, t), padded to the longest of the batch.

    Args:
        tokenizer: gives the ids; it belongs to the base and is saved with every run.
        build: gives a model from ids to token vectors (n, t, d), all zero where there is padding, or to one
            vector each.
        pooling: how token vectors become one: their mean, their largest values, the first or the last of them.
        normalize: whether the vector is then scaled to length 1.
        max_length: tokens; None where texts are not cut.
    """

    modality = "text"

    tokenizer: "Tokenizer"
    pooling: Pooling = "mean"
    normalize: bool = False
    max_length: int | None = None

    def input_facts(self) -> dict[str, Any]:
        """Length and pooling; the tokenizer's own facts are added when it is saved."""
        return {"max_length": self.max_length, "pooling": self.pooling}

    def _network_facts(self) -> dict[str, Any]:
        return {"pooling": self.pooling, "normalize": self.normalize}

    def reader(self) -> "Tokenizer":
        """The tokenizer."""
        return self.tokenizer

    def model(self, *, include_top: bool = False, data_format: DataFormat = "channels_last") -> Any:
        """Build the Keras model; see :meth:`Base.model`. A text base has no top."""
        import keras

        network = self.build(False)
        network.trainable = False
        ids, x = self.start()
        x = network(x, training=False)
        return keras.Model(ids, x if self.spec.ends_after else self.features(x), name="base")

    def start(self) -> tuple[Any, Any]:
        """A Keras input for token ids, which the network takes as they are."""
        import keras

        ids = keras.Input((None,), dtype="int32", name="tokens")
        return ids, ids

    def pool(self, x: Any) -> Any:
        """Token vectors (n, t, d) to one vector each (n, d), in operations that Keras can save."""
        from keras import ops

        if len(x.shape) == 2:  # it is one already
            return x
        pooled = self.pool_by(x, self.pooling)
        if not self.normalize:
            return pooled
        return pooled / ops.maximum(ops.sqrt(ops.sum(pooled * pooled, axis=-1, keepdims=True)), 1e-12)

    def pool_by(self, x: Any, pooling: str) -> Any:
        """One vector of each text, (n, d), by any :data:`Pooling`; padding is left out."""
        from keras import ops

        if pooling == "cls":
            return x[:, 0]
        seen = seen_tokens(x)
        if pooling == "last":
            after = ops.concatenate([seen[:, 1:], ops.zeros_like(seen[:, :1])], axis=1)
            return ops.sum(x * seen * (1.0 - after), axis=1)
        if pooling == "mean":
            return ops.sum(x * seen, axis=1) / ops.maximum(ops.sum(seen, axis=1), 1.0)
        return ops.max(x - 1e9 * (1.0 - seen), axis=1) * ops.max(seen, axis=1)
