"""Layers of Keras 3 from the configs of Keras 2.

All compute in float32: the weights of a file are float32 also under ``mixed_float16``, which makes training faster on a
GPU and inference less exact.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headstart.bases.keras2.values import decode, function_name
from headstart.errors import InputError
from headstart.system import keras_compat

_SAME = (
    "Activation", "ActivityRegularization", "Add", "AdditiveAttention", "AlphaDropout", "Attention", "Average",
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "BatchNormalization", "CenterCrop", "Concatenate",
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "ConvLSTM1D", "ConvLSTM2D",
    "ConvLSTM3D", "Cropping1D", "Cropping2D", "Cropping3D", "CustomScaleLayer",
    "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Dot", "Dropout", "ELU",
    "EinsumDense", "Embedding", "Flatten", "GRU", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D",
    "GlobalMaxPooling3D", "GroupNormalization", "Identity", "LSTM", "LayerNormalization", "LayerScale",
    "LeakyReLU", "Masking", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum",
    "MultiHeadAttention", "Multiply", "Normalization", "PReLU", "Permute", "RandomBrightness", "RandomContrast",
    "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "ReLU", "RepeatVector", "Rescaling",
    "Reshape", "Resizing", "SeparableConv1D", "SeparableConv2D", "SimpleRNN", "Softmax", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D", "StochasticDepth", "Subtract", "UnitNormalization", "UpSampling1D",
    "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
)  # fmt: skip

CLASSES = {name: name for name in _SAME} | {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "Custom>CustomScaleLayer": "CustomScaleLayer",  # of InceptionResNetV2 in HDF5
    "MultiHeadAttentionV2": "MultiHeadAttention",
    "RandomCrop": "Resizing",  # what it did at inference; that of Keras 3 then keeps the size
    "RandomHeight": "Identity",  # they change images during training only, where headstart has its own views
    "RandomWidth": "Identity",
    "ThresholdedReLU": "ReLU",
}
"""Class in Keras 2 -> the class of Keras 3 that computes the same."""

ADVICE = (
    "Open the file with the version of Keras that wrote it, replace this layer by one that Keras 3 has, or save the "
    "model up to the layer before it, and use the new file."
)
"""What to do about a layer that cannot be built."""

WRAPPERS = ("Bidirectional", "TimeDistributed")

_ADDED: dict[str, dict[str, Any]] = {
    "CuDNNGRU": {"reset_after": True},
    "GRU": {"reset_after": False},
    "RandomCrop": {"crop_to_aspect_ratio": True},
}
"""Class in Keras 2 -> arguments that it does not state; of a GRU, the default of TensorFlow 1, which wrote none."""

_RENAMED = {
    ("LeakyReLU", "alpha"): "negative_slope",
    ("ThresholdedReLU", "theta"): "threshold",
}
"""Class in Keras 2 and argument -> the argument in Keras 3."""

_WITHOUT_EFFECT: dict[str, tuple[Any, ...] | None] = {
    **dict.fromkeys(("batch_input_shape", "fused", "implementation", "input_dim", "input_length", "renorm_clipping")),
    **dict.fromkeys(
        ("unroll", "renorm_momentum", "query_shape", "key_shape", "value_shape", "rng_type", "seed", "synchronized")
    ),
    "causal": (False,),
    "groups": (1,),
    "ragged": (False,),
    "renorm": (False,),
    "softmax_robust_masking": (False,),
    "sparse": (False,),
    "time_major": (False,),
}
"""Arguments that Keras 3 does not have -> the values with which they changed nothing; None for every value."""

_INHERITED = {"activity_regularizer"}
"""Arguments that every layer takes."""

_ACTIVATIONS = (
    "elu", "exponential", "gelu", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6", "selu",
    "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
)  # fmt: skip
"""Activations that are the same function in Keras 3."""

_ACTIVATION_LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax", "ThresholdedReLU")
_RECURRENT = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM", "SimpleRNN")
_REGULARIZERS = ("L1", "L1L2", "L2", "OrthogonalRegularizer")
_CONSTRAINTS = ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")

Tensor = Any


@dataclass(frozen=True)
class BuiltLayer:
    """A layer of Keras 3, and what Keras 2 computed in it afterwards.

    Attributes:
        layer: of Keras 3.
        after: its activation, where Keras 3 has no such function or takes no layer as an activation.
    """

    layer: Any
    after: Callable[..., Tensor] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Apply it to tensors."""
        outputs = self.layer(*args, **kwargs)
        return self.after(outputs) if self.after else outputs


def build_layer(kind: str, config: dict[str, Any], where: str) -> BuiltLayer:
    """Build a layer.

    Args:
        kind: its class in Keras 2, one of :data:`CLASSES`.
        config: its arguments, as Keras 2 wrote them.
        where: the file and the layer, to begin messages with.

    Raises:
        InputError: an argument of it, or its activation, has no counterpart in Keras 3.
    """
    layer_class = keras_compat.layer_class(CLASSES[kind])
    common = {"name": keras3_name(config)}
    if CLASSES[kind] == "Identity":
        return BuiltLayer(layer_class(**common))
    stated = {_RENAMED.get((kind, name), name): value for name, value in config.items() if not _is_common(name)}
    arguments = {**_ADDED.get(kind, {}), **stated}
    after = _take_activations(arguments, kind, config, where)
    accepted = set(inspect.signature(layer_class.__init__).parameters) | _INHERITED
    supported_arguments = {}
    for name, value in arguments.items():
        if name in accepted:
            supported_arguments[name] = _argument(name, value)
        elif value is not None and not _is_neutral(name, value):
            raise InputError(f"{where} has the argument {name}={value!r}, which Keras 3 does not have. {ADVICE}")
    return BuiltLayer(layer_class(**supported_arguments, **common), after)


def _is_common(name: str) -> bool:
    """Whether an argument is handled for all layers; the weights of the file replace what an initializer would make."""
    return name in ("dtype", "name", "trainable") or name.endswith("_initializer")


def keras3_name(config: dict[str, Any]) -> str | None:
    """The name of a layer; Keras 3 allows no slash in it."""
    name = config.get("name")
    return str(name).replace("/", "_") if name else None


def _is_neutral(name: str, value: Any) -> bool:
    if name not in _WITHOUT_EFFECT:
        return False
    values = _WITHOUT_EFFECT[name]
    return values is None or value in values


def _argument(name: str, value: Any) -> Any:
    """The value of an argument for Keras 3."""
    if name.endswith("_regularizer"):
        return _object("regularizers", _REGULARIZERS, value)
    if name.endswith("_constraint"):
        return _object("constraints", _CONSTRAINTS, value)
    value = decode(value)
    if name == "axis" and isinstance(value, list) and len(value) == 1:
        return value[0]
    return tuple(value) if isinstance(value, list) and name in ("target_shape", "dims") else value


def _object(module: str, class_names: tuple[str, ...], value: Any) -> Any:
    """A regularizer or constraint; None for one that Keras does not have: it changes training only."""
    import keras

    if not isinstance(value, dict) or value.get("class_name") not in class_names:
        return None
    config = {name: decode(item) for name, item in (value.get("config") or {}).items()}
    return getattr(getattr(keras, module), value["class_name"])(**config)


def _take_activations(
    arguments: dict[str, Any], kind: str, config: dict[str, Any], where: str
) -> Callable[..., Tensor] | None:
    """Replace activations in the arguments of a layer; return the one that has to follow the layer."""
    after = None
    for name in ("activation", "recurrent_activation"):
        activation = function_name(arguments.get(name))
        if activation is None:
            continue
        is_gate = name == "recurrent_activation" and activation == "hard_sigmoid"  # see scale_hard_gates()
        if isinstance(activation, str) and (activation in _ACTIVATIONS or is_gate):
            arguments[name] = activation
            continue
        after = None if kind in _RECURRENT else _following(activation, f"{keras3_name(config)}_activation", where)
        if after is None:
            activation_name = activation.get("class_name") if isinstance(activation, dict) else activation
            raise InputError(
                f"{where} has the activation {activation_name!r}, which this layer of Keras 3 does not have. {ADVICE}"
            )
        arguments[name] = "linear"
    return after


def _following(activation: Any, name: str, where: str) -> Callable[..., Tensor] | None:
    """The activation as a function of tensors; None if it is not known."""
    if activation == "hard_sigmoid":
        return hard_sigmoid
    if isinstance(activation, dict) and activation.get("class_name") in _ACTIVATION_LAYERS:
        return build_layer(activation["class_name"], {**activation["config"], "name": name}, where)
    return None


def hard_sigmoid(x: Tensor) -> Tensor:
    """``hard_sigmoid`` of Keras 2, whose slope is 1/5; that of Keras 3 has the slope 1/6."""
    from keras import ops

    return ops.clip(x * 0.2 + 0.5, 0.0, 1.0)
