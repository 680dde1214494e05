"""How a model was compiled: optimizer, loss and metrics, from objects of a script or from a saved configuration."""

from typing import Any

from headstart.checks.keras_names import DEFAULT_RATES, OPTIMIZERS, SCHEDULES, KerasObject, Symbol
from headstart.checks.network import UNKNOWN

_LOSSES = {
    **dict.fromkeys(("binarycrossentropy", "bce", "binaryfocalcrossentropy"), "binary"),
    **dict.fromkeys(("categoricalcrossentropy", "categoricalfocalcrossentropy"), "categorical"),
    "sparsecategoricalcrossentropy": "sparse",
}
_THRESHOLD_ARGUMENTS = {"BinaryAccuracy": "threshold", "Precision": "thresholds", "Recall": "thresholds"}


def read_optimizer(value: Any) -> tuple[Any, Any]:
    """Class name and learning rate of the optimizer argument of ``compile``; each may be UNKNOWN."""
    if isinstance(value, Symbol):
        value = value.name
    if isinstance(value, str):
        name = OPTIMIZERS.get(value.lower(), UNKNOWN)
        return name, UNKNOWN if name is UNKNOWN else DEFAULT_RATES.get(name, 0.001)
    if not isinstance(value, KerasObject) or value.kind.lower() not in OPTIMIZERS or "**" in value.config:
        return UNKNOWN, UNKNOWN
    rate = value.config.get("learning_rate", value.config.get("lr", DEFAULT_RATES.get(value.kind, 0.001)))
    if isinstance(rate, KerasObject) and rate.kind in SCHEDULES and not rate.config.get("warmup_steps"):
        rate = rate.config.get("initial_learning_rate", UNKNOWN)
    return value.kind, rate if isinstance(rate, (int, float)) else UNKNOWN


def read_loss(value: Any) -> tuple[Any, Any]:
    """Kind of crossentropy (see :class:`headstart.checks.network.CompileConfig`), and whether it expects logits."""
    if isinstance(value, (str, Symbol)):
        name = value if isinstance(value, str) else value.name
        return _LOSSES.get(name.lower().replace("_", ""), "other"), False
    if isinstance(value, KerasObject):
        return _LOSSES.get(value.kind.lower(), "other"), value.config.get("from_logits", False)
    return UNKNOWN, UNKNOWN


def find_threshold_metrics(value: Any) -> tuple[str, ...]:
    """Names or classes of the metrics that use a threshold of 0.5."""
    names: list[str] = []
    for metric in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(metric, str) and metric in ("accuracy", "acc", "binary_accuracy"):
            names.append(metric)
        elif isinstance(metric, KerasObject) and metric.kind in _THRESHOLD_ARGUMENTS:
            threshold = metric.config.get(_THRESHOLD_ARGUMENTS[metric.kind])
            if threshold is None or threshold == 0.5:
                names.append(metric.kind)
    return tuple(names)


def object_from_config(value: Any) -> Any:
    """Convert a configuration that was saved by Keras to the objects that a script would create."""
    if isinstance(value, (list, tuple)):
        objects = [object_from_config(item) for item in value]
        return objects[0] if len(objects) == 1 and isinstance(objects[0], list) else objects
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    name, config = str(value["class_name"]).rpartition(">")[2], value.get("config")
    if name == "function":
        return config if isinstance(config, str) else UNKNOWN
    if not isinstance(config, dict):
        return UNKNOWN
    return KerasObject(name, {key: object_from_config(item) for key, item in config.items()}, 0)
