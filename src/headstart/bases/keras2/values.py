"""Values in the config of Keras 2: JSON stands for tuples, slices and arrays as well."""

from typing import Any

import numpy as np

_TENSORS = ("__tensor__", "__numpy__")


def decode(value: Any) -> Any:
    """The Python value of a config's JSON value, at any depth.

    Sources: ``get_json_type`` and ``serialize_keras_object`` of Keras 2, in its modules ``json_utils`` and
    ``serialization_lib``.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inner = value.get("class_name"), value.get("config")
    if kind in _TENSORS and isinstance(inner, dict):
        return np.asarray(inner["value"], inner.get("dtype", "float32"))
    if kind in ("__tuple__", "TensorShape"):
        return tuple(decode(item) for item in value.get("items") or value.get("value") or ())
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__bytes__":
        text = value.get("value") or (inner or {}).get("value", "")
        return text.encode()
    if value.get("type") == "ndarray" and "value" in value:
        return value["value"]
    if set(value) == {"start", "stop", "step"}:
        return slice(*(decode(value[name]) for name in ("start", "stop", "step")))
    return {name: decode(item) for name, item in value.items()}


def input_dtype(value: Any) -> str:
    """The dtype of an input layer: integers stay as they are, and every float is float32."""
    return value if isinstance(value, str) and "int" in value else "float32"


def function_name(value: Any) -> Any:
    """The name of a function that the config holds as a name or as an object; any other value unchanged."""
    if isinstance(value, dict) and value.get("class_name") in ("function", "builtin_function_or_method"):
        return value.get("config")
    return value
