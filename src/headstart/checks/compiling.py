"""How a model was compiled: optimizer, loss and metrics, as objects of a script or as a saved configuration."""

from typing import Any

from headstart.checks.names import DEFAULT_RATES, OPTIMIZERS, SCHEDULES
from headstart.checks.network import UNKNOWN
from headstart.checks.values import Made, Symbol

_LOSSES = {
    **dict.fromkeys(("binarycrossentropy", "bce", "binaryfocalcrossentropy"), "binary"),
    **dict.fromkeys(("categoricalcrossentropy", "categoricalfocalcrossentropy"), "categorical"),
    "sparsecategoricalcrossentropy": "sparse",
}
_THRESHOLDS = {"BinaryAccuracy": "threshold", "Precision": "thresholds", "Recall": "thresholds"}


def optimizer_of(value: Any) -> tuple[Any, Any]:
    """Class name and learning rate of what ``compile`` was given; unknown parts are UNKNOWN."""
    if isinstance(value, Symbol):
        value = value.name
    if isinstance(value, str):
        name = OPTIMIZERS.get(value.lower(), UNKNOWN)
        return name, UNKNOWN if name is UNKNOWN else DEFAULT_RATES.get(name, 0.001)
    if not isinstance(value, Made) or value.kind.lower() not in OPTIMIZERS or "**" in value.config:
        return UNKNOWN, UNKNOWN
    rate = value.config.get("learning_rate", value.config.get("lr", DEFAULT_RATES.get(value.kind, 0.001)))
    if isinstance(rate, Made) and rate.kind in SCHEDULES and not rate.config.get("warmup_steps"):
        rate = rate.config.get("initial_learning_rate", UNKNOWN)
    return value.kind, rate if isinstance(rate, (int, float)) else UNKNOWN


def loss_of(value: Any) -> tuple[Any, Any]:
    """Kind of crossentropy (see :class:`headstart.checks.network.Compiled`), and whether it takes logits."""
    if isinstance(value, (str, Symbol)):
        name = value if isinstance(value, str) else value.name
        return _LOSSES.get(name.lower().replace("_", ""), "other"), False
    if isinstance(value, Made):
        return _LOSSES.get(value.kind.lower(), "other"), value.config.get("from_logits", False)
    return UNKNOWN, UNKNOWN


def thresholded(value: Any) -> tuple[str, ...]:
    """Those of the metrics that compare with 0.5."""
    found: list[str] = []
    for metric in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(metric, str) and metric in ("accuracy", "acc", "binary_accuracy"):
            found.append(metric)
        elif isinstance(metric, Made) and metric.kind in _THRESHOLDS:
            threshold = metric.config.get(_THRESHOLDS[metric.kind])
            if threshold is None or threshold == 0.5:
                found.append(metric.kind)
    return tuple(found)


def from_config(value: Any) -> Any:
    """What a configuration that Keras saved describes, as a script's objects are."""
    if isinstance(value, (list, tuple)):
        flat = [from_config(one) for one in value]
        return flat[0] if len(flat) == 1 and isinstance(flat[0], list) else flat
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    name, config = str(value["class_name"]).rpartition(">")[2], value.get("config")
    if name == "function":
        return config if isinstance(config, str) else UNKNOWN
    if not isinstance(config, dict):
        return UNKNOWN
    return Made(name, {key: from_config(one) for key, one in config.items()}, 0)
