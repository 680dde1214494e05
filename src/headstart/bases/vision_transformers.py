"""Vision transformers in plain Keras layers, with the weights of Hugging Face: ViT, DeiT and DINOv2.

They are not built by KerasHub for the reasons in :mod:`headstart.bases.encoders`; in addition, KerasHub accepts ViT and
DeiT only with a classifier on top.

The learned tokens before the patches (class token, distillation token, registers) are rows of the position table here,
and layer scale is part of the Dense layer before it. No custom layer is needed.

Sources: Dosovitskiy et al., arXiv 2010.11929; Touvron et al., arXiv 2012.12877; Oquab et al., arXiv 2304.07193; Darcet
et al. (registers), arXiv 2309.16588.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.bases.config_fields import COMMON_VALUES, check_code, check_values, unsupported
from headstart.bases.encoders import ACTIVATIONS, Tensors, dense_weights, norm_weights, set_attention

_VIT = {
    "norm_1": "encoder.layer.{}.layernorm_before",
    "norm_2": "encoder.layer.{}.layernorm_after",
    "inner": "encoder.layer.{}.intermediate.dense",
    "outer": "encoder.layer.{}.output.dense",
}
_DINOV2 = {
    "norm_1": "encoder.layer.{}.norm1",
    "norm_2": "encoder.layer.{}.norm2",
    "inner": "encoder.layer.{}.mlp.fc1",
    "outer": "encoder.layer.{}.mlp.fc2",
    "scale_1": "encoder.layer.{}.layer_scale1.lambda1",
    "scale_2": "encoder.layer.{}.layer_scale2.lambda1",
}
_NAMES = {"vit": _VIT, "deit": _VIT, "dinov2": _DINOV2, "dinov2_with_registers": _DINOV2}
_EXTRA_TOKENS = {"vit": (), "deit": ("embeddings.distillation_token",), "dinov2": ()}

KINDS = tuple(_NAMES)
"""Supported values of ``model_type``."""


@dataclass(frozen=True)
class VisionTransformer:
    """The sizes of a vision transformer.

    Attributes:
        kind: the checkpoint's ``model_type``.
        layers: number of layers.
        width: d, of the token vectors.
        heads: number of attention heads.
        inner: width between the two Dense layers of a block.
        patch: side length of a patch in pixels.
        trained_size: side length in pixels of the images that the position table was trained with.
        registers: number of tokens without a position, besides the class token.
        activation: between the two Dense layers.
        epsilon: of every LayerNormalization.
        qkv_bias: whether queries, keys and values have a bias.
    """

    kind: str
    layers: int
    width: int
    heads: int
    inner: int
    patch: int
    trained_size: int
    registers: int
    activation: str
    epsilon: float
    qkv_bias: bool


_VALUES: dict[str, tuple[Any, ...]] = {
    "hidden_act": tuple(ACTIVATIONS),
    "use_swiglu_ffn": (False,),
    "num_channels": (3,),
}
"""Fields that must have one of these values; a missing field has the first."""


def read_config(config: Mapping[str, Any], source: str) -> VisionTransformer:
    """Read the vision transformer that a ``config.json`` describes.

    Raises:
        UnsupportedFieldError: a field has a value that headstart cannot build.
    """
    check_code(config, source)
    check_values(config, {**COMMON_VALUES, **_VALUES}, source)
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
        if name not in config:
            raise unsupported(source, name, None)
    for name in ("image_size", "patch_size"):
        if not isinstance(config.get(name, 0), int):  # height and width
            raise unsupported(source, name, config[name])
    kind, width = config["model_type"], config["hidden_size"]
    is_dinov2 = kind.startswith("dinov2")
    return VisionTransformer(
        kind=kind,
        layers=config["num_hidden_layers"],
        width=width,
        heads=config["num_attention_heads"],
        inner=int(width * config.get("mlp_ratio", 4)) if is_dinov2 else config.get("intermediate_size", 3072),
        patch=config.get("patch_size", 14 if kind == "dinov2" else 16),
        trained_size=config.get("image_size", 224),
        registers=config.get("num_register_tokens", 4) if kind == "dinov2_with_registers" else 0,
        activation=ACTIVATIONS[config.get("hidden_act", "gelu")],
        epsilon=config.get("layer_norm_eps", 1e-6 if is_dinov2 else 1e-12),
        qkv_bias=config.get("qkv_bias", True),
    )


def build(vit: VisionTransformer, size: tuple[int, int]) -> Any:
    """Build the network with random weights: scaled pixels (n, h, w, 3) to the output of the class token, (n, d).

    Args:
        vit: its sizes.
        size: (h, w) in pixels; the last rows and columns that do not fill a patch are ignored, as in the original.
    """
    import keras
    from keras import layers, ops

    def norm(x: Any, name: str) -> Any:
        return layers.LayerNormalization(epsilon=vit.epsilon, name=name)(x)

    rows, columns = (side // vit.patch for side in size)
    n_learned = 1 + _n_extra_tokens(vit)
    pixels = keras.Input((*size, 3), name="images")
    patches = layers.Conv2D(vit.width, vit.patch, vit.patch, name="patches")(pixels)
    x = layers.ZeroPadding1D((n_learned, 0), name="tokens")(ops.reshape(patches, (-1, rows * columns, vit.width)))
    positions = ops.cumsum(ops.ones_like(x[:, :, 0], "int32"), axis=1) - 1
    x = x + layers.Embedding(n_learned + rows * columns, vit.width, name="positions")(positions)
    for i in range(vit.layers):
        y = norm(x, f"layer_{i}_norm_1")
        x = x + layers.MultiHeadAttention(vit.heads, vit.width // vit.heads, name=f"layer_{i}_attention")(y, y)
        inner = layers.Dense(vit.inner, vit.activation, name=f"layer_{i}_inner")(norm(x, f"layer_{i}_norm_2"))
        x = x + layers.Dense(vit.width, name=f"layer_{i}_outer")(inner)
    return keras.Model(pixels, norm(x, "norm")[:, 0], name="vision_transformer")


def set_weights(network: Any, vit: VisionTransformer, size: tuple[int, int], tensors: Tensors) -> None:
    """Set the weights of a built network from a checkpoint.

    Args:
        network: from :func:`build`.
        vit: its sizes.
        size: (h, w) in pixels that the network was built for.
        tensors: the checkpoint.
    """
    names = _NAMES[vit.kind]
    kernel = tensors("embeddings.patch_embeddings.projection.weight").transpose(2, 3, 1, 0)
    network.get_layer("patches").set_weights([kernel, tensors("embeddings.patch_embeddings.projection.bias")])
    network.get_layer("positions").set_weights([_position_table(vit, size, tensors)])
    network.get_layer("norm").set_weights(norm_weights(tensors, "layernorm"))
    for i in range(vit.layers):
        scales = [tensors(names[part].format(i)) if part in names else np.float32(1) for part in ("scale_1", "scale_2")]
        for part in ("norm_1", "norm_2"):
            network.get_layer(f"layer_{i}_{part}").set_weights(norm_weights(tensors, names[part].format(i)))
        parts = {part: f"encoder.layer.{i}.attention.attention.{part}" for part in ("query", "key", "value")}
        out = f"encoder.layer.{i}.attention.output.dense"
        set_attention(
            network.get_layer(f"layer_{i}_attention"),
            [dense_weights(tensors, name, bias=vit.qkv_bias) for name in parts.values()],
            [value * scales[0] for value in dense_weights(tensors, out)],
            vit.heads,
        )
        network.get_layer(f"layer_{i}_inner").set_weights(dense_weights(tensors, names["inner"].format(i)))
        outer = dense_weights(tensors, names["outer"].format(i))
        network.get_layer(f"layer_{i}_outer").set_weights([value * scales[1] for value in outer])


def _n_extra_tokens(vit: VisionTransformer) -> int:
    """Number of learned tokens between the class token and the patches."""
    return vit.registers + len(_EXTRA_TOKENS.get(vit.kind, ()))


def _position_table(vit: VisionTransformer, size: tuple[int, int], tensors: Tensors) -> np.ndarray:
    """The position table (tokens, d) for an image size, including the learned tokens."""
    table = tensors("embeddings.position_embeddings")[0]
    extra = _EXTRA_TOKENS.get(vit.kind, ())
    learned = np.concatenate([tensors("embeddings.cls_token")[0], *(tensors(name)[0] for name in extra)])
    learned = learned + table[: len(learned)]
    patches = table[len(learned) :]
    if vit.registers:  # they follow the class token and have no position
        learned = np.concatenate([learned, tensors("embeddings.register_tokens")[0]])
    trained_side = vit.trained_size // vit.patch
    grid = patches.reshape(trained_side, trained_side, vit.width)
    for axis, side in enumerate(pixels // vit.patch for pixels in size):
        weights = _bicubic_matrix(trained_side, side, antialias=bool(vit.registers))
        grid = np.moveaxis(np.tensordot(weights, grid, (1, axis)), 0, axis)
    return np.concatenate([learned, grid.reshape(-1, vit.width)])


def _bicubic_matrix(source: int, target: int, *, antialias: bool) -> np.ndarray:
    """The matrix (target, source) of bicubic interpolation as torch computes it for images (Keys, 1981).

    The free parameter a is -0.75, with antialiasing -0.5. Outside the edge, the value at the edge is repeated; with
    antialiasing, values outside are left out.
    """
    if source == target:
        return np.eye(source, dtype=np.float32)
    a = -0.5 if antialias else -0.75
    ratio = source / target
    stretch = max(ratio, 1.0) if antialias else 1.0
    matrix = np.zeros((target, source))
    for i in range(target):
        centre = (i + 0.5) * ratio - 0.5
        reach = int(np.ceil(2 * stretch))
        taps = np.arange(int(np.floor(centre)) - reach, int(np.floor(centre)) + reach + 2)
        x = np.abs(taps - centre) / stretch
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        weights = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
        if antialias:
            weights = np.where((taps >= 0) & (taps < source), weights, 0.0)
        np.add.at(matrix[i], np.clip(taps, 0, source - 1), weights / weights.sum())
    return matrix.astype(np.float32)
