"""Transformer encoders in plain Keras layers: BERT, RoBERTa, DistilBERT, MPNet and their kin, weights included.

Built so, and not by KerasHub, because a saved model then opens with Keras alone, can be cut between any two layers, and
computes what its authors' code does: KerasHub has the approximate GELU in BERT, which moves embeddings by 2e-4.

Sources: Devlin et al., arXiv 1810.04805; Liu et al., arXiv 1907.11692; Sanh et al., arXiv 1910.01108; Song et al.,
arXiv 2004.09297, with the relative positions of Raffel et al., arXiv 1910.10683.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.bases.text import seen_tokens
from headstart.errors import InputError

ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "silu": "silu", "swish": "silu"}
_FIRST_POSITION_AFTER_PAD = {"roberta", "xlm-roberta", "camembert", "mpnet"}  # their positions are counted from pad + 1

_MPNET_DISTANCES = 32  # whatever its configuration says: its authors' code does not look
_FARTHEST = 128  # from here on, all of them are one

Tensors = Callable[[str], np.ndarray]
"""Gives a tensor of a checkpoint by its name in the table below."""


@dataclass(frozen=True)
class Encoder:
    """The sizes of an encoder.

    Attributes:
        kind: the checkpoint's ``model_type``.
        layers: how many.
        width: d, of the token vectors.
        heads: of attention.
        inner: width between the two Dense layers of a block.
        words: of the vocabulary.
        positions: how many tokens a text can have.
        first_position: row of the position table that the first token gets.
        activation: between the two Dense layers.
        epsilon: of every LayerNormalization.
        pad: id of the padding token.
        distances: how many kinds of distance between two tokens attention tells apart; 0 where it tells none.
    """

    kind: str
    layers: int
    width: int
    heads: int
    inner: int
    words: int
    positions: int
    first_position: int
    activation: str
    epsilon: float
    pad: int
    distances: int


_BERT = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "types": "embeddings.token_type_embeddings.weight",
    "norm": "embeddings.LayerNorm",
    "query": "encoder.layer.{}.attention.self.query",
    "key": "encoder.layer.{}.attention.self.key",
    "value": "encoder.layer.{}.attention.self.value",
    "attention_out": "encoder.layer.{}.attention.output.dense",
    "attention_norm": "encoder.layer.{}.attention.output.LayerNorm",
    "inner": "encoder.layer.{}.intermediate.dense",
    "outer": "encoder.layer.{}.output.dense",
    "outer_norm": "encoder.layer.{}.output.LayerNorm",
}
_DISTILBERT = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "types": "",
    "norm": "embeddings.LayerNorm",
    "query": "transformer.layer.{}.attention.q_lin",
    "key": "transformer.layer.{}.attention.k_lin",
    "value": "transformer.layer.{}.attention.v_lin",
    "attention_out": "transformer.layer.{}.attention.out_lin",
    "attention_norm": "transformer.layer.{}.sa_layer_norm",
    "inner": "transformer.layer.{}.ffn.lin1",
    "outer": "transformer.layer.{}.ffn.lin2",
    "outer_norm": "transformer.layer.{}.output_layer_norm",
}
_MPNET = {
    **_BERT,
    "types": "",
    "query": "encoder.layer.{}.attention.attn.q",
    "key": "encoder.layer.{}.attention.attn.k",
    "value": "encoder.layer.{}.attention.attn.v",
    "attention_out": "encoder.layer.{}.attention.attn.o",
    "attention_norm": "encoder.layer.{}.attention.LayerNorm",
}
_NAMES = {
    "bert": _BERT, "roberta": _BERT, "xlm-roberta": _BERT, "camembert": _BERT, "electra": _BERT,
    "distilbert": _DISTILBERT, "mpnet": _MPNET,
}  # fmt: skip

KINDS = tuple(_NAMES)
"""The kinds of encoder that can be built."""


def read_config(config: Mapping[str, Any], source: str) -> Encoder:
    """The encoder that a ``config.json`` describes.

    Raises:
        InputError: an option that none of these encoders has.
    """
    kind = config["model_type"]
    activation = config.get("hidden_act", config.get("activation", "gelu"))
    unknown = {
        "hidden_act": activation if activation not in ACTIVATIONS else None,
        "position_embedding_type": _other(config.get("position_embedding_type"), "absolute"),
        "embedding_size": _other(config.get("embedding_size"), config.get("hidden_size")),
        "is_decoder": config.get("is_decoder") or None,
    }
    for name, value in unknown.items():
        if value is not None:
            raise InputError(f"{source} has {name} = {value!r} in its config.json, which headstart cannot build.")
    pad = config.get("pad_token_id") or 0
    first = pad + 1 if kind in _FIRST_POSITION_AFTER_PAD else 0
    return Encoder(
        kind=kind,
        layers=config.get("num_hidden_layers", config.get("n_layers")),
        width=config.get("hidden_size", config.get("dim")),
        heads=config.get("num_attention_heads", config.get("n_heads")),
        inner=config.get("intermediate_size", config.get("hidden_dim")),
        words=config["vocab_size"],
        positions=config["max_position_embeddings"] - first,
        first_position=first,
        activation=ACTIVATIONS[activation],
        epsilon=config.get("layer_norm_eps", 1e-12),
        pad=pad,
        distances=_MPNET_DISTANCES if kind == "mpnet" else 0,
    )


def _other(value: Any, expected: Any) -> Any:
    return value if value not in (None, expected) else None


def build(encoder: Encoder) -> Any:
    """The network: int32 ids (n, t) to token vectors (n, t, d), zero where there is padding; weights still random."""
    import keras
    from keras import layers, ops

    def norm(x: Any, name: str) -> Any:
        return layers.LayerNormalization(epsilon=encoder.epsilon, name=name)(x)

    ids = keras.Input((None,), dtype="int32")
    seen = ops.cast(ops.expand_dims(ops.not_equal(ids, encoder.pad), -1), "float32")
    places = ops.cumsum(ops.ones_like(ids), axis=1) - 1
    words = layers.Embedding(encoder.words, encoder.width, name="words")(ids)
    x = words + layers.Embedding(encoder.positions, encoder.width, name="positions")(places)
    x = norm(x, "norm") * seen
    for i in range(encoder.layers):
        seen = seen_tokens(x)
        attention = (_relative_attention if encoder.distances else _attention)(encoder, i, x, seen)
        x = norm(x + attention, f"layer_{i}_attention_norm")
        inner = layers.Dense(encoder.inner, encoder.activation, name=f"layer_{i}_inner")(x)
        outer = layers.Dense(encoder.width, name=f"layer_{i}_outer")(inner)
        x = norm(x + outer, f"layer_{i}_outer_norm") * seen
    return keras.Model(ids, x, name="encoder")


def _attention(encoder: Encoder, i: int, x: Any, seen: Any) -> Any:
    from keras import layers, ops

    layer = layers.MultiHeadAttention(encoder.heads, encoder.width // encoder.heads, name=f"layer_{i}_attention")
    return layer(x, x, attention_mask=ops.cast(ops.transpose(seen, (0, 2, 1)), "bool"))


def _relative_attention(encoder: Encoder, i: int, x: Any, seen: Any) -> Any:
    """Attention that adds a number for how far apart two tokens are, which Keras's layer has no place for.

    The number is looked up by the distance itself, so that every layer has a table of its own and can be cut off.
    """
    from keras import layers, ops

    size = encoder.width // encoder.heads

    def by_head(part: str) -> Any:
        y = layers.Dense(encoder.width, name=f"layer_{i}_{part}")(x)
        return ops.transpose(layers.Reshape((-1, encoder.heads, size), name=f"layer_{i}_{part}_heads")(y), (0, 2, 1, 3))

    query, key, value = (by_head(part) for part in ("query", "key", "value"))
    places = ops.cumsum(ops.cast(ops.ones_like(x[:, :, 0]), "int32"), axis=1)
    distances = ops.expand_dims(places, 1) - ops.expand_dims(places, 2) + (encoder.positions - 1)
    nearness = layers.Embedding(2 * encoder.positions - 1, encoder.heads, name=f"layer_{i}_distances")(distances)
    scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / size**0.5 + ops.transpose(nearness, (0, 3, 1, 2))
    unseen = 1e9 * (1 - ops.expand_dims(ops.transpose(seen, (0, 2, 1)), 1))
    held = ops.transpose(ops.matmul(ops.softmax(scores - unseen), value), (0, 2, 1, 3))
    held = layers.Reshape((-1, encoder.width), name=f"layer_{i}_together")(held)
    return layers.Dense(encoder.width, name=f"layer_{i}_attention_out")(held)


def _kinds_of_distance(encoder: Encoder) -> np.ndarray:
    """The kind of every distance from ``1 - positions`` to ``positions - 1``, int (2 * positions - 1,).

    Half of the kinds are for what lies behind, half for what lies ahead; the nearer ones are distances of their own,
    the others hold more and more of them, up to 128 tokens away (arXiv 1910.10683, section 2.1).
    """
    relative = np.arange(1 - encoder.positions, encoder.positions)
    half = encoder.distances // 2
    near = half // 2
    distance = np.abs(relative)
    beyond = np.log(np.maximum(distance, 1).astype(np.float32) / near) / np.float32(np.log(_FARTHEST / near))
    far = np.minimum(near + (beyond * (half - near)).astype(int), half - 1)
    return half * (relative > 0) + np.where(distance < near, distance, far)


def set_weights(network: Any, encoder: Encoder, tensors: Tensors) -> None:
    """Give a built network a checkpoint's weights.

    Args:
        network: from :func:`build`.
        encoder: its sizes.
        tensors: the checkpoint.
    """
    names = _NAMES[encoder.kind]

    def dense(part: str, i: int) -> list[np.ndarray]:
        return dense_weights(tensors, names[part].format(i))

    def norm(part: str, i: int = 0) -> list[np.ndarray]:
        return norm_weights(tensors, names[part].format(i))

    positions = tensors(names["positions"])[encoder.first_position :]
    if names["types"]:
        positions = positions + tensors(names["types"])[0]  # a text alone is all of the first type
    network.get_layer("words").set_weights([tensors(names["words"])])
    network.get_layer("positions").set_weights([positions])
    network.get_layer("norm").set_weights(norm("norm"))
    for i in range(encoder.layers):
        if encoder.distances:
            for part in ("query", "key", "value", "attention_out"):
                network.get_layer(f"layer_{i}_{part}").set_weights(dense(part, i))
            nearness = tensors("encoder.relative_attention_bias.weight")[_kinds_of_distance(encoder)]
            network.get_layer(f"layer_{i}_distances").set_weights([nearness])
        else:
            inward = [dense(part, i) for part in ("query", "key", "value")]
            attention = network.get_layer(f"layer_{i}_attention")
            set_attention(attention, inward, dense("attention_out", i), encoder.heads)
        network.get_layer(f"layer_{i}_attention_norm").set_weights(norm("attention_norm", i))
        network.get_layer(f"layer_{i}_inner").set_weights(dense("inner", i))
        network.get_layer(f"layer_{i}_outer").set_weights(dense("outer", i))
        network.get_layer(f"layer_{i}_outer_norm").set_weights(norm("outer_norm", i))


def dense_weights(tensors: Tensors, name: str, *, bias: bool = True) -> list[np.ndarray]:
    """Kernel (in, out) and bias (out,) of a Dense layer; the bias is zero where the checkpoint has none."""
    kernel = tensors(f"{name}.weight").T
    return [kernel, tensors(f"{name}.bias") if bias else np.zeros(kernel.shape[1], np.float32)]


def norm_weights(tensors: Tensors, name: str) -> list[np.ndarray]:
    """Gamma and beta of a LayerNormalization, (d,) each."""
    return [tensors(f"{name}.weight"), tensors(f"{name}.bias")]


def set_attention(layer: Any, inward: list[list[np.ndarray]], outward: list[np.ndarray], heads: int) -> None:
    """Give Keras's MultiHeadAttention the Dense layers that others make it of: query, key and value, and the last."""
    width = outward[0].shape[0]
    size = width // heads
    weights = []
    for kernel, bias in inward:
        weights += [kernel.reshape(width, heads, size), bias.reshape(heads, size)]
    kernel, bias = outward
    layer.set_weights([*weights, kernel.reshape(heads, size, width), bias])
