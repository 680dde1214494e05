"""Transformer encoders in plain Keras layers: BERT, RoBERTa, DistilBERT, MPNet and related models, with their weights.

They are not built by KerasHub, for three reasons: a saved model opens with Keras alone; fine-tuning may start at any
layer; and the results equal those of the authors' code, while KerasHub uses the approximate GELU in BERT, which changes
embeddings by 2e-4.

Sources: Devlin et al., arXiv 1810.04805; Liu et al., arXiv 1907.11692; Sanh et al., arXiv 1910.01108; Song et al.,
arXiv 2004.09297, with the relative positions of Raffel et al., arXiv 1910.10683.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.bases.config_fields import COMMON_VALUES, check_code, check_values, unsupported
from headstart.bases.text import token_mask

ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "silu": "silu", "swish": "silu"}
_FIRST_POSITION_AFTER_PAD = {"roberta", "xlm-roberta", "camembert", "mpnet"}  # their positions start at pad + 1

_MPNET_DISTANCE_BUCKETS = 32  # the authors' code ignores the value in the configuration
_MAX_DISTANCE = 128  # all longer distances share one bucket

Tensors = Callable[[str], np.ndarray]
"""Returns a tensor of a checkpoint by its name in the tables below."""


@dataclass(frozen=True)
class Encoder:
    """The sizes of an encoder.

    Attributes:
        kind: the checkpoint's ``model_type``.
        layers: number of layers.
        width: d, of the token vectors.
        heads: number of attention heads.
        inner: width between the two Dense layers of a block.
        words: size of the vocabulary.
        positions: maximum number of tokens in a text.
        first_position: row of the position table for the first token.
        activation: between the two Dense layers.
        epsilon: of every LayerNormalization.
        pad: id of the padding token.
        distance_buckets: number of buckets for the relative distance between two tokens; 0 without relative positions.
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
    distance_buckets: int


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
"""Supported values of ``model_type``."""


_VALUES: dict[str, tuple[Any, ...]] = {
    "hidden_act": tuple(ACTIVATIONS),
    "activation": tuple(ACTIVATIONS),
    "position_embedding_type": ("absolute",),
    "embedding_size": (lambda config: config["hidden_size"],),
}
"""Fields that must have one of these values; a missing field has the first."""


_SIZES = (
    ("num_hidden_layers", "n_layers"),
    ("hidden_size", "dim"),
    ("num_attention_heads", "n_heads"),
    ("intermediate_size", "hidden_dim"),
    ("vocab_size",),
    ("max_position_embeddings",),
)
"""Fields that must be there, each by one of its names; transformers has a default for each kind of model."""


def read_config(config: Mapping[str, Any], source: str) -> Encoder:
    """Read the encoder that a ``config.json`` describes.

    Raises:
        UnsupportedFieldError: a field has a value that headstart cannot build.
    """
    kind = config["model_type"]
    check_code(config, source)
    buckets = {"relative_attention_num_buckets": (_MPNET_DISTANCE_BUCKETS,)} if kind == "mpnet" else {}
    check_values(config, {**COMMON_VALUES, **_VALUES, **buckets}, source)
    for names in _SIZES:
        if not any(name in config for name in names):
            raise unsupported(source, names[0], None)
    activation = config.get("activation" if kind == "distilbert" else "hidden_act", "gelu")
    pad = config.get("pad_token_id")
    first = 0
    if kind in _FIRST_POSITION_AFTER_PAD:
        pad = 1 if pad is None else pad
        first = pad + 1
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
        epsilon=1e-12 if kind == "distilbert" else config.get("layer_norm_eps", 1e-12),
        pad=pad or 0,
        distance_buckets=_MPNET_DISTANCE_BUCKETS if kind == "mpnet" else 0,
    )


def build(encoder: Encoder) -> Any:
    """Build the network with random weights: int32 ids (n, t) to token vectors (n, t, d), zero for padding."""
    import keras
    from keras import layers, ops

    def norm(x: Any, name: str) -> Any:
        return layers.LayerNormalization(epsilon=encoder.epsilon, name=name)(x)

    ids = keras.Input((None,), dtype="int32")
    mask = ops.cast(ops.expand_dims(ops.not_equal(ids, encoder.pad), -1), "float32")
    positions = ops.cumsum(ops.ones_like(ids), axis=1) - 1
    words = layers.Embedding(encoder.words, encoder.width, name="words")(ids)
    x = words + layers.Embedding(encoder.positions, encoder.width, name="positions")(positions)
    x = norm(x, "norm") * mask
    for i in range(encoder.layers):
        mask = token_mask(x)
        attention = (_relative_attention if encoder.distance_buckets else _attention)(encoder, i, x, mask)
        x = norm(x + attention, f"layer_{i}_attention_norm")
        inner = layers.Dense(encoder.inner, encoder.activation, name=f"layer_{i}_inner")(x)
        outer = layers.Dense(encoder.width, name=f"layer_{i}_outer")(inner)
        x = norm(x + outer, f"layer_{i}_outer_norm") * mask
    return keras.Model(ids, x, name="encoder")


def _attention(encoder: Encoder, i: int, x: Any, mask: Any) -> Any:
    from keras import layers, ops

    layer = layers.MultiHeadAttention(encoder.heads, encoder.width // encoder.heads, name=f"layer_{i}_attention")
    return layer(x, x, attention_mask=ops.cast(ops.transpose(mask, (0, 2, 1)), "bool"))


def _relative_attention(encoder: Encoder, i: int, x: Any, mask: Any) -> Any:
    """Attention with a bias for the distance between two tokens, which Keras's layer does not support.

    The bias is looked up by the distance itself, in a separate table for each layer, so that the layers can be trained
    independently.
    """
    from keras import layers, ops

    size = encoder.width // encoder.heads

    def by_head(part: str) -> Any:
        y = layers.Dense(encoder.width, name=f"layer_{i}_{part}")(x)
        return ops.transpose(layers.Reshape((-1, encoder.heads, size), name=f"layer_{i}_{part}_heads")(y), (0, 2, 1, 3))

    query, key, value = (by_head(part) for part in ("query", "key", "value"))
    positions = ops.cumsum(ops.cast(ops.ones_like(x[:, :, 0]), "int32"), axis=1)
    distances = ops.expand_dims(positions, 1) - ops.expand_dims(positions, 2) + (encoder.positions - 1)
    bias = layers.Embedding(2 * encoder.positions - 1, encoder.heads, name=f"layer_{i}_distances")(distances)
    scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / size**0.5 + ops.transpose(bias, (0, 3, 1, 2))
    padding_penalty = 1e9 * (1 - ops.expand_dims(ops.transpose(mask, (0, 2, 1)), 1))
    context = ops.transpose(ops.matmul(ops.softmax(scores - padding_penalty), value), (0, 2, 1, 3))
    context = layers.Reshape((-1, encoder.width), name=f"layer_{i}_together")(context)
    return layers.Dense(encoder.width, name=f"layer_{i}_attention_out")(context)


def _distance_buckets(encoder: Encoder) -> np.ndarray:
    """The bucket of every distance from ``1 - positions`` to ``positions - 1``, int (2 * positions - 1,).

    Half of the buckets are for earlier tokens, half for later ones. Each short distance has a bucket of its own; the
    other buckets contain ranges that grow logarithmically, up to 128 tokens (arXiv 1910.10683, section 2.1).
    """
    relative = np.arange(1 - encoder.positions, encoder.positions)
    half = encoder.distance_buckets // 2
    near = half // 2
    distance = np.abs(relative)
    fraction = np.log(np.maximum(distance, 1).astype(np.float32) / near) / np.float32(np.log(_MAX_DISTANCE / near))
    far = np.minimum(near + (fraction * (half - near)).astype(int), half - 1)
    return half * (relative > 0) + np.where(distance < near, distance, far)


def set_weights(network: Any, encoder: Encoder, tensors: Tensors) -> None:
    """Set the weights of a built network from a checkpoint.

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
        positions = positions + tensors(names["types"])[0]  # all tokens of a single text have the first type
    network.get_layer("words").set_weights([tensors(names["words"])])
    network.get_layer("positions").set_weights([positions])
    network.get_layer("norm").set_weights(norm("norm"))
    for i in range(encoder.layers):
        if encoder.distance_buckets:
            for part in ("query", "key", "value", "attention_out"):
                network.get_layer(f"layer_{i}_{part}").set_weights(dense(part, i))
            bias = tensors("encoder.relative_attention_bias.weight")[_distance_buckets(encoder)]
            network.get_layer(f"layer_{i}_distances").set_weights([bias])
        else:
            projections = [dense(part, i) for part in ("query", "key", "value")]
            attention = network.get_layer(f"layer_{i}_attention")
            set_attention(attention, projections, dense("attention_out", i), encoder.heads)
        network.get_layer(f"layer_{i}_attention_norm").set_weights(norm("attention_norm", i))
        network.get_layer(f"layer_{i}_inner").set_weights(dense("inner", i))
        network.get_layer(f"layer_{i}_outer").set_weights(dense("outer", i))
        network.get_layer(f"layer_{i}_outer_norm").set_weights(norm("outer_norm", i))


def dense_weights(tensors: Tensors, name: str, *, bias: bool = True) -> list[np.ndarray]:
    """Kernel (in, out) and bias (out,) of a Dense layer; the bias is zero if the checkpoint has none."""
    kernel = tensors(f"{name}.weight").T
    return [kernel, tensors(f"{name}.bias") if bias else np.zeros(kernel.shape[1], np.float32)]


def norm_weights(tensors: Tensors, name: str) -> list[np.ndarray]:
    """Gamma and beta of a LayerNormalization, (d,) each."""
    return [tensors(f"{name}.weight"), tensors(f"{name}.bias")]


def set_attention(layer: Any, projections: list[list[np.ndarray]], output: list[np.ndarray], heads: int) -> None:
    """Set the weights of Keras's MultiHeadAttention.

    Args:
        layer: the built layer.
        projections: kernel (d, d) and bias (d,) of query, key and value.
        output: kernel (d, d) and bias (d,) of the output projection.
        heads: number of attention heads.
    """
    width = output[0].shape[0]
    size = width // heads
    weights = []
    for kernel, bias in projections:
        weights += [kernel.reshape(width, heads, size), bias.reshape(heads, size)]
    kernel, bias = output
    layer.set_weights([*weights, kernel.reshape(heads, size, width), bias])
