"""Operations of TensorFlow's graph, which TensorFlow 2.0 to 2.3 wrote as layers of the class ``TensorFlowOpLayer``.

Such a layer holds the node of a graph (operation and attributes), and by their positions those inputs that are
constants. It is translated to the call of a function of TensorFlow's API.
"""

from collections.abc import Sequence
from typing import Any

from headstart.bases.keras2.operations import UnsupportedError
from headstart.bases.keras2.values import decode

_SAME = {
    "Abs": "abs", "Add": "add", "AddV2": "add", "BiasAdd": "nn.bias_add", "Cast": "cast", "Ceil": "ceil",
    "ClipByValue": "clip_by_value", "ConcatV2": "concat", "Elu": "nn.elu", "Exp": "exp", "ExpandDims": "expand_dims",
    "Floor": "floor", "FloorDiv": "floordiv", "FloorMod": "mod", "Identity": "identity", "LeakyRelu": "nn.leaky_relu",
    "Log": "log", "LogSoftmax": "nn.log_softmax", "Max": "reduce_max", "Maximum": "maximum", "Mean": "reduce_mean",
    "Min": "reduce_min", "Minimum": "minimum", "Mul": "multiply", "Neg": "negative", "Pack": "stack", "Pad": "pad",
    "Pow": "pow", "Prod": "reduce_prod", "RealDiv": "truediv", "Reciprocal": "reciprocal", "Relu": "nn.relu",
    "Relu6": "nn.relu6", "Reshape": "reshape", "ResizeBilinear": "image.resize", "ReverseV2": "reverse",
    "Round": "round", "Rsqrt": "rsqrt", "Selu": "nn.selu", "Shape": "shape", "Sigmoid": "sigmoid",
    "Softmax": "nn.softmax", "Softplus": "softplus", "Softsign": "nn.softsign", "Sqrt": "sqrt", "Square": "square",
    "SquaredDifference": "math.squared_difference", "Squeeze": "squeeze", "StopGradient": "stop_gradient",
    "StridedSlice": "__operators__.getitem", "Sub": "subtract", "Sum": "reduce_sum", "Tanh": "tanh", "Tile": "tile",
    "Transpose": "transpose",
}  # fmt: skip
"""Operation of a graph -> the function that computes it."""

_ATTRIBUTES = {
    "BiasAdd": {"data_format": "data_format"},
    "Cast": {"DstT": "dtype"},
    "LeakyRelu": {"alpha": "alpha"},
    "Pack": {"axis": "axis"},
    "Squeeze": {"squeeze_dims": "axis"},
    **{name: {"keep_dims": "keepdims"} for name in ("Max", "Mean", "Min", "Prod", "Sum")},
}
"""Operation -> attributes that change what it computes, and the arguments that they become."""


def node_symbol(config: dict[str, Any]) -> str | None:
    """The name in TensorFlow's API of the operation in a layer's config; None if it is not known."""
    node = config.get("node_def")
    return _SAME.get(str(node.get("op"))) if isinstance(node, dict) else None


def node_name(config: dict[str, Any]) -> str:
    """The name of the operation in TensorFlow's graphs."""
    node = config.get("node_def")
    return str(node.get("op")) if isinstance(node, dict) else "unknown"


def node_call(config: dict[str, Any], tensors: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Inputs and arguments of the function that a layer stands for.

    Args:
        config: of the layer.
        tensors: its inputs that are not constants.

    Raises:
        UnsupportedError: an attribute has a value that the function does not have.
    """
    name, inputs = node_name(config), list(tensors)
    attributes = {key: _attribute(value) for key, value in (config["node_def"].get("attr") or {}).items()}
    for index, constant in sorted((int(key), value) for key, value in (config.get("constants") or {}).items()):
        inputs.insert(index, decode(constant))
    arguments = {new: attributes[old] for old, new in _ATTRIBUTES.get(name, {}).items() if attributes.get(old)}
    if name == "StridedSlice":
        return [inputs[0], _slices(inputs[1:], attributes)], {}
    if name == "ConcatV2":
        return [inputs[:-1]], {"axis": inputs[-1]}
    if name == "Pack":
        return [inputs], arguments
    if name == "ResizeBilinear" and (attributes.get("align_corners") or not attributes.get("half_pixel_centers")):
        raise UnsupportedError("it samples at the corners of pixels")
    return inputs, arguments


def _attribute(value: dict[str, Any]) -> Any:
    """The value of an attribute: JSON writes whole numbers as text, and the name of a type as ``DT_FLOAT``."""
    if "i" in value:
        return int(value["i"])
    if "type" in value:
        return str(value["type"]).removeprefix("DT_").lower().replace("float", "float32")
    if "list" in value:
        return [int(item) for item in value["list"].get("i", ())]
    if "s" in value:
        return {"TkhXQw==": "NHWC", "TkNIVw==": "NCHW"}.get(value["s"], value["s"])  # texts are in base 64
    return next(iter(value.values()), None)


def _slices(bounds: Sequence[Any], attributes: dict[str, Any]) -> list[Any]:
    """The parts of ``x[...]``, from lists of begins, ends and steps, and masks with a bit for each of them."""

    def has(mask: str, i: int) -> bool:
        return bool(attributes.get(mask, 0) >> i & 1)

    parts: list[Any] = []
    for i, (begin, end, step) in enumerate(zip(*bounds, strict=True)):
        if has("ellipsis_mask", i):
            parts.append(Ellipsis)
        elif has("new_axis_mask", i):
            parts.append(None)
        elif has("shrink_axis_mask", i):
            parts.append(int(begin))
        else:
            start, stop = (None if has(mask, i) else n for mask, n in (("begin_mask", begin), ("end_mask", end)))
            parts.append(slice(start, stop, None if step == 1 else step))
    return parts
