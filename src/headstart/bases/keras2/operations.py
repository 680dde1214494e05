"""Operations of TensorFlow in the graph of a Keras 2 model, computed by ``keras.ops``.

Keras 2 writes an operation on a symbolic tensor, such as ``x / 127.5``, as a layer of the class ``TFOpLambda`` or
``SlicingOpLambda`` with the name of the operation in TensorFlow's API. Every function here takes the module ``keras``
(importing it takes seconds, and the names are needed before), then the arguments as TensorFlow names them.

Values that Keras 2 computed from shapes, such as ``tf.shape(x)[1]``, are Python numbers here; the unknown size of the
batch is None.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Tensor = Any
Operation = Callable[..., Any]

_RESIZE_METHODS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


class UnsupportedError(Exception):
    """The arguments of an operation have no counterpart in Keras 3; the text says which."""


def _elementwise(name: str) -> Operation:
    """An operation on one tensor: a function of ``keras.ops``."""
    return lambda keras, x: getattr(keras.ops, name)(x)


def _binary(name: str, on_numbers: Callable[[Any, Any], Any]) -> Operation:
    """An operation on two tensors, or a tensor and a constant, or two numbers computed from shapes."""

    def compute(keras: Any, x: Any, y: Any) -> Any:
        if not is_tensor(x) and not is_tensor(y):
            if x is None or y is None:
                raise UnsupportedError("it computes with the size of the batch")
            return on_numbers(x, y)
        return getattr(keras.ops, name)(_like(x, y), _like(y, x))

    return compute


def _reduction(name: str) -> Operation:
    """A reduction over axes."""

    def compute(keras: Any, x: Tensor, axis: Any = None, keepdims: Any = False, keep_dims: Any = False) -> Tensor:
        axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
        return getattr(keras.ops, name)(x, axis=axes, keepdims=bool(keepdims or keep_dims))

    return compute


def _activation(name: str) -> Operation:
    return lambda keras, x: getattr(keras.activations, name)(x)


def is_tensor(value: Any) -> bool:
    """Whether a value is a symbolic tensor."""
    return hasattr(value, "shape") and not isinstance(value, np.ndarray)


def _like(value: Any, other: Any) -> Any:
    """A list of numbers as an array of the other value's type, as TensorFlow converts it."""
    if isinstance(value, (list, tuple, np.ndarray)) and is_tensor(other):
        dtype = str(other.dtype)
        return np.asarray(value, dtype if dtype != "bfloat16" else "float32")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    """A shape for ``keras.ops``, which takes one unknown size as -1."""
    sizes = tuple(-1 if size is None else size for size in values)
    if any(is_tensor(size) for size in sizes) or sizes.count(-1) > 1:
        raise UnsupportedError("it needs a size that is only known when images are read")
    return tuple(int(size) for size in sizes)


def _add_n(keras: Any, inputs: Sequence[Tensor]) -> Tensor:
    total = inputs[0]
    for tensor in inputs[1:]:
        total = keras.ops.add(total, tensor)
    return total


def _bias_add(keras: Any, value: Tensor, bias: Any, data_format: Any = None) -> Tensor:
    if data_format not in (None, "NHWC", "channels_last"):
        raise UnsupportedError(f"data_format={data_format!r}")
    return keras.ops.add(value, _like(bias, value))


def _cast(keras: Any, x: Any, dtype: str) -> Any:
    return keras.ops.cast(x, "float32" if "float" in dtype or dtype == "half" else dtype) if is_tensor(x) else x


def _clip(keras: Any, t: Tensor, clip_value_min: Any, clip_value_max: Any) -> Tensor:
    return keras.ops.clip(t, clip_value_min, clip_value_max)


def _keras_clip(keras: Any, x: Tensor, min_value: Any = None, max_value: Any = None) -> Tensor:
    low = -np.inf if min_value is None else min_value
    return keras.ops.clip(x, low, np.inf if max_value is None else max_value)


def _concat(keras: Any, values: Any, axis: int = -1) -> Any:
    if not any(is_tensor(value) for value in values):
        return [item for value in values for item in value]
    return keras.ops.concatenate(values, axis=axis)


def _convert_image_dtype(keras: Any, image: Tensor, dtype: str, saturate: Any = False) -> Tensor:
    source = str(image.dtype)
    if source == dtype:
        return image
    if source.startswith("float") and dtype.startswith("float"):
        return keras.ops.cast(image, dtype)
    if source == "uint8" and dtype.startswith("float"):
        return keras.ops.multiply(keras.ops.cast(image, dtype), 1 / 255)
    raise UnsupportedError(f"from {source} to {dtype}")


def _flatten(keras: Any, x: Tensor) -> Tensor:
    return keras.ops.reshape(x, (-1, int(np.prod(_sizes(x.shape[1:])))))


def _get_item(keras: Any, tensor: Any, slice_spec: Any) -> Any:
    parts = list(slice_spec) if isinstance(slice_spec, (list, tuple)) else [slice_spec]
    if not is_tensor(tensor):  # a shape
        return tensor[parts[0]]
    if any(is_tensor(part) for part in parts):
        raise UnsupportedError("its indices are tensors")
    axes = _reversed_axes(parts, len(tensor.shape))
    slices = [slice(None) if _is_reversal(part) else part for part in parts]
    selected = tensor if all(part in (slice(None), Ellipsis) for part in slices) else tensor[tuple(slices)]
    return keras.ops.flip(selected, axis=axes) if axes else selected


def _reversed_axes(parts: list[Any], rank: int) -> tuple[int, ...]:
    """The axes that ``[::-1]`` reverses, which not every backend can do by slicing."""
    if not any(_is_reversal(part) for part in parts):
        return ()
    if any(part is None or isinstance(part, int) for part in parts):
        raise UnsupportedError("it reverses an axis and removes or adds another one")
    after = len(parts) - 1 - parts.index(Ellipsis) if Ellipsis in parts else 0
    positions = [(i if len(parts) - i > after else rank - (len(parts) - i)) for i in range(len(parts))]
    return tuple(position for position, part in zip(positions, parts, strict=True) if _is_reversal(part))


def _is_reversal(part: Any) -> bool:
    return isinstance(part, slice) and part.step == -1 and part.start is None and part.stop is None


def _l2_normalize(keras: Any, x: Tensor, axis: Any = None, epsilon: float = 1e-12, dim: Any = None) -> Tensor:
    axes = axis if axis is not None else dim
    axes = tuple(axes) if isinstance(axes, list) else axes
    square_sum = keras.ops.sum(keras.ops.square(x), axis=axes, keepdims=True)
    return keras.ops.multiply(x, keras.ops.rsqrt(keras.ops.maximum(square_sum, epsilon)))


def _leaky_relu(keras: Any, features: Tensor, alpha: float = 0.2) -> Tensor:
    return keras.ops.leaky_relu(features, negative_slope=alpha)


def _keras_relu(
    keras: Any,
    x: Tensor,
    alpha: float = 0.0,
    max_value: Any = None,
    threshold: float = 0.0,
    negative_slope: float = 0.0,
) -> Tensor:
    slope = alpha or negative_slope
    return keras.activations.relu(x, negative_slope=slope, max_value=max_value, threshold=threshold)


def _matmul(keras: Any, a: Tensor, b: Tensor, transpose_a: Any = False, transpose_b: Any = False) -> Tensor:
    first = keras.ops.swapaxes(a, -1, -2) if transpose_a else a
    return keras.ops.matmul(first, keras.ops.swapaxes(b, -1, -2) if transpose_b else b)


def _pad(keras: Any, tensor: Tensor, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Tensor:
    mode = mode.lower()
    if mode == "constant":
        return keras.ops.pad(tensor, paddings, mode=mode, constant_values=constant_values)
    return keras.ops.pad(tensor, paddings, mode=mode)


def _pool(name: str) -> Operation:
    def compute(keras: Any, x: Tensor, ksize: Any, strides: Any, padding: str, data_format: Any = None) -> Tensor:
        if data_format not in (None, "NHWC") or not isinstance(padding, str):
            raise UnsupportedError(f"data_format={data_format!r}, padding={padding!r}")
        size, steps = map(_window, (ksize, strides))
        return getattr(keras.ops, name)(x, size, steps, padding.lower(), data_format="channels_last")

    return compute


def _window(value: Any) -> tuple[int, int]:
    """Height and width, from TensorFlow's forms: a number, or a list of 1, 2 or 4."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    height, width = values[1:3] if len(values) == 4 else values * 2 if len(values) == 1 else values
    return int(height), int(width)


def _rgb_to_grayscale(keras: Any, images: Tensor) -> Tensor:
    weights = np.asarray([[0.2989], [0.587], [0.114]], np.float32)
    return keras.ops.matmul(images, weights)


def _grayscale_to_rgb(keras: Any, images: Tensor) -> Tensor:
    return keras.ops.repeat(images, 3, axis=-1)


def _standardize_image(keras: Any, image: Tensor) -> Tensor:
    axes = (-3, -2, -1)
    count = float(np.prod(_sizes(image.shape[-3:])))
    if count < 0:
        raise UnsupportedError("it needs the number of pixels, and the model takes images of any size")
    deviation = keras.ops.maximum(keras.ops.std(image, axis=axes, keepdims=True), 1 / np.sqrt(count))
    return keras.ops.divide(keras.ops.subtract(image, keras.ops.mean(image, axis=axes, keepdims=True)), deviation)


def _reshape(keras: Any, tensor: Tensor, shape: Any) -> Tensor:
    sizes = list(shape)
    if None in sizes and -1 in sizes and None not in tensor.shape[1:]:  # the batch stays, so the other size is known
        known_size = int(np.prod([size for size in sizes if size not in (None, -1)]))
        sizes[sizes.index(-1)] = int(np.prod(tensor.shape[1:])) // known_size
    return keras.ops.reshape(tensor, _sizes(sizes))


def _resize(
    keras: Any,
    images: Tensor,
    size: Any,
    method: str = "bilinear",
    preserve_aspect_ratio: Any = False,
    antialias: Any = False,
) -> Tensor:
    if method not in _RESIZE_METHODS or preserve_aspect_ratio:
        raise UnsupportedError(f"method={method!r}, preserve_aspect_ratio={bool(preserve_aspect_ratio)}")
    if not isinstance(size, (list, tuple)):
        raise UnsupportedError("its size is a tensor")
    height, width = _sizes(size)
    shape = (height, width)
    return keras.ops.image.resize(
        images, shape, interpolation=method, antialias=bool(antialias), data_format="channels_last"
    )


def _reverse(keras: Any, tensor: Tensor, axis: Any) -> Tensor:
    return keras.ops.flip(tensor, axis=tuple(axis) if isinstance(axis, list) else axis)


def _shape(keras: Any, input: Tensor, out_type: Any = None) -> list[int | None]:
    return list(input.shape)


def _silu(keras: Any, features: Tensor, beta: float = 1.0) -> Tensor:
    if beta == 1.0:
        return keras.ops.silu(features)
    return keras.ops.multiply(features, keras.ops.sigmoid(keras.ops.multiply(features, beta)))


def _gelu(keras: Any, features: Tensor, approximate: Any = False) -> Tensor:
    return keras.ops.gelu(features, approximate=bool(approximate))


def _softmax(name: str) -> Operation:
    def compute(keras: Any, logits: Tensor, axis: Any = -1) -> Tensor:
        return getattr(keras.ops, name)(logits, axis=-1 if axis is None else axis)

    return compute


def _split(keras: Any, value: Tensor, num_or_size_splits: Any, axis: int = 0, num: Any = None) -> Any:
    if isinstance(num_or_size_splits, list):
        num_or_size_splits = [int(end) for end in np.cumsum(num_or_size_splits)[:-1]]
    return keras.ops.split(value, num_or_size_splits, axis=axis)


def _squeeze(keras: Any, input: Tensor, axis: Any = None, squeeze_dims: Any = None) -> Tensor:
    axes = axis if axis is not None else squeeze_dims
    return keras.ops.squeeze(input, axis=tuple(axes) if isinstance(axes, list) else axes)


def _stack(keras: Any, values: Any, axis: int = 0) -> Any:
    return keras.ops.stack(values, axis=axis) if any(is_tensor(value) for value in values) else list(values)


def _unstack(keras: Any, value: Any, num: Any = None, axis: int = 0) -> Any:
    return keras.ops.unstack(value, num=num, axis=axis) if is_tensor(value) else list(value)


def _tile(keras: Any, input: Tensor, multiples: Any) -> Tensor:
    return keras.ops.tile(input, _sizes(multiples))


def _transpose(keras: Any, a: Tensor, perm: Any = None, conjugate: Any = False) -> Tensor:
    return keras.ops.transpose(a, axes=None if perm is None else _sizes(perm))


def _squared_difference(keras: Any, x: Any, y: Any) -> Tensor:
    return keras.ops.square(keras.ops.subtract(_like(x, y), _like(y, x)))


def _floor_divide(x: Any, y: Any) -> Any:
    return operator.floordiv(int(x), int(y))


_BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("add", operator.add),
    "divide": ("true_divide", operator.truediv),
    "floor_div": ("floor_divide", _floor_divide),
    "floordiv": ("floor_divide", _floor_divide),
    "floormod": ("mod", operator.mod),
    "maximum": ("maximum", max),
    "minimum": ("minimum", min),
    "mod": ("mod", operator.mod),
    "multiply": ("multiply", operator.mul),
    "pow": ("power", operator.pow),
    "subtract": ("subtract", operator.sub),
    "truediv": ("true_divide", operator.truediv),
}
_ELEMENTWISE = {
    **{name: name for name in ("abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "log", "log1p", "negative")},
    **{name: name for name in ("reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "softplus", "sqrt", "square")},
    **{name: name for name in ("tan", "tanh")},
}
_REDUCTIONS = {
    **{f"reduce_{name}": name for name in ("max", "mean", "min", "prod", "std", "sum")},
    "reduce_variance": "var",
}
_NN = ("elu", "relu", "relu6", "selu", "sigmoid", "softplus", "softsign", "tanh")

SEVERAL_OUTPUTS = ("split", "unstack")
"""Operations that give several values, also where these are numbers."""

ARITHMETIC = {"add", "divide", "multiply", "subtract", "truediv", "bias_add", "convert_image_dtype"}
"""Last parts of the names of operations that can scale pixels."""

OPERATIONS: dict[str, Operation] = {
    **{
        f"{prefix}{name}": _binary(*rule)
        for name, rule in _BINARY.items()
        for prefix in ("", "math.", "__operators__.")
    },
    **{f"{prefix}{name}": _elementwise(rule) for name, rule in _ELEMENTWISE.items() for prefix in ("", "math.")},
    **{f"{prefix}{name}": _reduction(rule) for name, rule in _REDUCTIONS.items() for prefix in ("", "math.")},
    **{f"nn.{name}": _elementwise(name) for name in _NN},
    **{f"keras.backend.{name}": _elementwise(name) for name in ("abs", "exp", "log", "round", "sigmoid", "sqrt")},
    **{f"keras.backend.{name}": _elementwise(name) for name in ("square", "softplus", "softsign", "tanh", "sign")},
    **{f"keras.backend.{name}": _reduction(name) for name in ("max", "mean", "min", "prod", "std", "sum", "var")},
    **{f"keras.activations.{name}": _activation(name) for name in ("elu", "exponential", "gelu", "selu", "sigmoid")},
    **{f"keras.activations.{name}": _activation(name) for name in ("softplus", "softsign", "swish", "tanh", "silu")},
    "__operators__.getitem": _get_item,
    "argmax": lambda keras, input, axis=0: keras.ops.argmax(input, axis=axis),
    "cast": _cast,
    "clip_by_value": _clip,
    "concat": _concat,
    "convert_to_tensor": lambda keras, value, dtype=None: value,
    "einsum": lambda keras, equation, *inputs: keras.ops.einsum(equation, *inputs),
    "expand_dims": lambda keras, input, axis: keras.ops.expand_dims(input, axis),
    "identity": lambda keras, input: input,
    "image.convert_image_dtype": _convert_image_dtype,
    "image.flip_left_right": lambda keras, image: keras.ops.flip(image, axis=-2),
    "image.flip_up_down": lambda keras, image: keras.ops.flip(image, axis=-3),
    "image.grayscale_to_rgb": _grayscale_to_rgb,
    "image.per_image_standardization": _standardize_image,
    "image.resize": _resize,
    "image.rgb_to_grayscale": _rgb_to_grayscale,
    "keras.activations.relu": _keras_relu,
    "keras.activations.softmax": lambda keras, x, axis=-1: keras.ops.softmax(x, axis=axis),
    "keras.backend.batch_flatten": _flatten,
    "keras.backend.cast": _cast,
    "keras.backend.clip": _keras_clip,
    "keras.backend.concatenate": lambda keras, tensors, axis=-1: _concat(keras, tensors, axis),
    "keras.backend.expand_dims": lambda keras, x, axis=-1: keras.ops.expand_dims(x, axis),
    "keras.backend.l2_normalize": _l2_normalize,
    "keras.backend.permute_dimensions": lambda keras, x, pattern: _transpose(keras, x, pattern),
    "keras.backend.relu": _keras_relu,
    "keras.backend.reshape": _reshape,
    "keras.backend.shape": lambda keras, x: list(x.shape),
    "keras.backend.softmax": lambda keras, x, axis=-1: keras.ops.softmax(x, axis=axis),
    "keras.backend.squeeze": lambda keras, x, axis: keras.ops.squeeze(x, axis=axis),
    "linalg.l2_normalize": _l2_normalize,
    "linalg.matmul": _matmul,
    "math.add_n": _add_n,
    "math.divide_no_nan": lambda keras, x, y: keras.ops.divide_no_nan(_like(x, y), _like(y, x)),
    "math.l2_normalize": _l2_normalize,
    "math.squared_difference": _squared_difference,
    "nn.avg_pool": _pool("average_pool"),
    "nn.avg_pool2d": _pool("average_pool"),
    "nn.bias_add": _bias_add,
    "nn.gelu": _gelu,
    "nn.l2_normalize": _l2_normalize,
    "nn.leaky_relu": _leaky_relu,
    "nn.log_softmax": _softmax("log_softmax"),
    "nn.max_pool": _pool("max_pool"),
    "nn.max_pool2d": _pool("max_pool"),
    "nn.silu": _silu,
    "nn.softmax": _softmax("softmax"),
    "nn.swish": _silu,
    "ones_like": _elementwise("ones_like"),
    "pad": _pad,
    "repeat": lambda keras, input, repeats, axis=None: keras.ops.repeat(input, repeats, axis=axis),
    "reshape": _reshape,
    "reverse": _reverse,
    "shape": _shape,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "stop_gradient": _elementwise("stop_gradient"),
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _unstack,
    "zeros_like": _elementwise("zeros_like"),
}
"""Name in TensorFlow's API -> the same by ``keras.ops``."""


def find_operation(symbol: str) -> Operation | None:
    """The operation of a name in TensorFlow's API; None if it is not known.

    Keras 2 writes ``compat.v1.`` before names that TensorFlow 2 has under another signature; of these, only those
    without images and layers of a network compute the same.
    """
    name = symbol.removeprefix("compat.v1.")
    if name != symbol and name.startswith(("image.", "nn.")):
        return None
    return OPERATIONS.get(name)


def apply_operation(keras: Any, symbol: str, inputs: Sequence[Any], arguments: dict[str, Any]) -> Any:
    """Compute an operation.

    Args:
        keras: the module.
        symbol: its name in TensorFlow's API.
        inputs: its first arguments.
        arguments: the others, by TensorFlow's names.

    Raises:
        UnsupportedError: it is not known, or an argument has no counterpart in Keras 3.
    """
    operation = find_operation(symbol)
    if operation is None:
        raise UnsupportedError("it is not known")
    set_arguments = {name: value for name, value in arguments.items() if value is not None and name != "name"}
    try:
        return operation(keras, *inputs, **set_arguments)
    except TypeError as exc:
        raise UnsupportedError(f"its arguments {sorted(set_arguments)} ({exc})") from exc
