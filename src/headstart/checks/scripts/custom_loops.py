"""Training loops with a gradient tape: each call of a loss, a metric or an optimizer is checked like ``fit``."""

from typing import Any

from headstart.checks.compiling import find_threshold_metrics, read_loss, read_optimizer
from headstart.checks.dataset import Labels, Tensor
from headstart.checks.keras_names import KerasObject
from headstart.checks.network import CompileConfig, Network
from headstart.checks.rules.architecture import check_inputs
from headstart.checks.rules.catalog import Report
from headstart.checks.rules.outputs import check_labels, check_outputs, has_logits
from headstart.checks.rules.training import check_batchnorm, check_training
from headstart.checks.scripts.values import Variables

_TENSORFLOW_LOSSES = {
    "sparse_softmax_cross_entropy_with_logits": "sparse_categorical_crossentropy",
    "softmax_cross_entropy_with_logits": "categorical_crossentropy",
    "sigmoid_cross_entropy_with_logits": "binary_crossentropy",
}
"""Functions of ``tf.nn`` -> the loss of Keras that they compute from logits."""


class CustomLoops:
    """Follows custom training loops.

    Args:
        report: receives the mistakes.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    def call_loss_function(self, name: str, args: list[Any], config: dict[str, Any], line: int) -> None:
        """Call a loss by its function: ``keras.losses.binary_crossentropy(y, outputs)`` or one of ``tf.nn``."""
        names: tuple[str, ...] = ("y_true", "y_pred", "from_logits")
        if name in _TENSORFLOW_LOSSES:
            config = {**config, "from_logits": True}
            name, names = _TENSORFLOW_LOSSES[name], ("labels", "logits")
        config = {**dict(zip(names, args, strict=False)), **config}
        loss = KerasObject(name.replace("_", ""), {"from_logits": config.get("from_logits", False)}, line)
        labels = config.get("y_true", config.get("labels", config.get("target")))
        outputs = config.get("y_pred", config.get("logits", config.get("output")))
        self.call(loss, "__call__", [labels, outputs], {}, line)

    def call(self, owner: KerasObject, name: str, args: list[Any], config: dict[str, Any], line: int) -> None:
        """Call a loss or a metric, or apply gradients with an optimizer."""
        if name in ("apply_gradients", "apply", "minimize"):
            variables = [value for value in (*args, *config.values()) if isinstance(value, Variables)]
            if variables and isinstance(variables[0].owner, Network):
                self._train(variables[0].owner, owner, line)
        labels, outputs = (config.get(key, args[i] if len(args) > i else None) for i, key in enumerate(_TARGETS))
        if name not in ("__call__", "update_state") or not isinstance(outputs, Tensor):
            return
        network = Network("Functional", {}, line, outputs=[outputs.node])
        loss, from_logits = read_loss(owner)
        if loss != "other":
            network.compile_config = CompileConfig(line=line, loss=loss, from_logits=from_logits)
            check_outputs(network, self.report)
            if isinstance(labels, Labels):
                check_labels(network, labels.form, labels.class_count, line, self.report)
            check_inputs(network, None, self.report)
            check_batchnorm(network, line, self.report)
        elif has_logits(network):
            metrics = find_threshold_metrics([owner])
            network.compile_config = CompileConfig(line, loss="binary", from_logits=True, threshold_metrics=metrics)
            check_outputs(network, self.report)

    def _train(self, network: Network, optimizer: KerasObject, line: int) -> None:
        name, rate = read_optimizer(optimizer)
        compile_config = network.compile_config
        network.compile_config = CompileConfig(line=optimizer.line, optimizer=name, learning_rate=rate)
        check_training(network, line, self.report, checks_batchnorm=False)
        network.compile_config, network.fit_line = compile_config, line
        for base, _ in network.bases():
            base.mark_as_trained()


_TARGETS = ("y_true", "y_pred")
