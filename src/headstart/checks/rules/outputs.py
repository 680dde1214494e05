"""Rules about the outputs of a network, its loss and its metrics: HS121 to HS128.

They apply to scripts and model files; those about labels to scripts only.
"""

from typing import Any, NamedTuple

from headstart.checks.network import UNKNOWN, CompileConfig, Layer, Network, Site
from headstart.checks.rules.catalog import Report

_LOSS_NAMES = {
    "binary": "binary_crossentropy",
    "categorical": "categorical_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
}
_LABEL_FORMS = {"int": "integers", "one-hot": "one-hot vectors", "binary": "one column of 0 and 1"}


class _Output(NamedTuple):
    """The last layers of a network.

    Attributes:
        units: number of outputs, or :data:`UNKNOWN`.
        activation: its name, ``linear`` by default, or :data:`UNKNOWN`.
        line: of the last Dense layer.
    """

    units: Any
    activation: Any
    line: int


def _find_output(network: Network) -> _Output | None:
    """The output of a network that ends in a Dense layer, perhaps with an activation layer after it."""
    if len(network.outputs) != 1:
        return None
    activation = "linear"
    for node in Site(network.outputs[0], ()).upstream():
        layer = node.layer
        if layer.kind == "Dense":
            if activation == "linear":
                activation = _activation_of(layer)
            return _Output(layer.config.get("units", UNKNOWN), activation, layer.line)
        if layer.kind == "Activation":
            activation = _activation_of(layer)
        elif layer.kind == "Softmax":
            activation = "softmax"
        elif layer.kind not in ("Dropout", "cast", "Identity"):
            return None
    return None


def _activation_of(layer: Layer) -> Any:
    activation = layer.config.get("activation")
    return "linear" if activation is None else activation  # UNKNOWN is falsy, but not linear


def has_logits(network: Network) -> bool:
    """Whether a network certainly ends in a Dense layer without an activation."""
    output = _find_output(network)
    return output is not None and output.activation == "linear"


def check_outputs(network: Network, report: Report) -> None:
    """Check that outputs, loss and metrics of a compiled network fit together."""
    output, compile_config = _find_output(network), network.compile_config
    if output is None:
        return
    if output.units == 1 and output.activation == "softmax":
        report("one-unit-softmax", output.line, "The softmax of one unit is 1 for every image.")
        return
    if compile_config is None or compile_config.loss not in _LOSS_NAMES:
        return
    loss, line = _LOSS_NAMES[compile_config.loss], compile_config.line or output.line
    if output.units == 1 and compile_config.loss != "binary":
        message = f"{loss} with one output is 0 for every prediction, so the model learns nothing."
        report("one-unit-categorical", line, message)
        return
    _check_logits(output, compile_config, line, report)
    if compile_config.loss == "binary" and output.activation == "softmax":
        message = "binary_crossentropy treats the outputs of softmax as independent probabilities."
        report("loss-activation-mismatch", line, message)
    elif compile_config.loss != "binary" and output.activation == "sigmoid":
        message = f"{loss} expects one distribution, but sigmoid gives an independent probability for each class."
        report("loss-activation-mismatch", line, message)


def _check_logits(output: _Output, compile_config: CompileConfig, line: int, report: Report) -> None:
    if compile_config.from_logits is True and output.activation in ("softmax", "sigmoid"):
        message = f"The model ends in {output.activation}, and the loss applies it again (from_logits=True)."
        report("softmax-with-from-logits", line, message)
    if output.activation != "linear":
        return
    if compile_config.from_logits is False:
        message = "The last Dense layer has no activation, but the loss expects probabilities"
        report("logits-without-from-logits", line, f"{message} (from_logits=False is the default).")
        return
    metrics = [
        name for name in compile_config.threshold_metrics if output.units == 1 or name not in ("accuracy", "acc")
    ]
    if compile_config.from_logits is True and metrics:
        message = "compares logits with the threshold 0.5, which is a probability of 0.62."
        report("accuracy-of-logits", line, f"{' and '.join(metrics)} {message}")


def check_labels(network: Network, form: Any, class_count: Any, line: int, report: Report) -> None:
    """Check that loss and outputs fit the labels.

    Args:
        network: a compiled network.
        form: of the labels: ``int``, ``one-hot``, ``binary`` or :data:`UNKNOWN`.
        class_count: number of classes, or :data:`UNKNOWN`.
        line: of the call of ``fit``.
        report: receives the mistakes.
    """
    output, compile_config = _find_output(network), network.compile_config
    loss: Any = compile_config.loss if compile_config else UNKNOWN
    units = output.units if output else UNKNOWN
    has_several_units = type(units) is int and units > 1
    mismatches = {
        ("int", "categorical"),
        ("one-hot", "sparse"),
        *({("int", "binary"), ("binary", "categorical")} if has_several_units else ()),
        *({("one-hot", "binary")} if units == 1 else ()),
    }
    if compile_config and (form, loss) in mismatches:
        outputs = f" with {units} outputs" if has_several_units else ""
        message = f"The labels are {_LABEL_FORMS[form]}, but the loss is {_LOSS_NAMES[loss]}{outputs}."
        report("loss-label-mismatch", compile_config.line or line, message)
    elif output and loss in _LOSS_NAMES and type(units) is type(class_count) is int and units != class_count:
        if (units, class_count) == (1, 2):
            return
        message = f"The last Dense layer has {units} units, but the data have {class_count} classes."
        report("units-class-mismatch", output.line, message)
