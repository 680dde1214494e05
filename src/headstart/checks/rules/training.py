"""Rules about frozen layers, learning rates and optimizers: HS111 to HS119.

They apply to scripts and, as far as the file shows it, to model files.
"""

from typing import Any

from headstart.checks.network import (
    AUGMENTATION,
    SOME,
    UNKNOWN,
    WITHOUT_WEIGHTS,
    Base,
    CompileConfig,
    Network,
    TrainableStates,
    changed_layers,
    trainable_in,
)
from headstart.checks.rules.catalog import Report

HIGH_RATES = {"SGD": 0.05, "Adagrad": 0.05, "Adadelta": 10.0, "Ftrl": 0.05}
"""Lowest learning rate that harms a base during fine-tuning; 0.001 for Adam and similar optimizers (their default)."""

_TRAINING_FALSE = "in Keras 3 up to 3.15.1, training=False is not enough"


def check_training(network: Network, line: int, report: Report, *, checks_batchnorm: bool = True) -> None:
    """Check what a compiled network trains when ``fit`` is called.

    Args:
        network: a compiled network.
        line: of the call of ``fit``; 0 in a model file.
        report: receives the mistakes.
        checks_batchnorm: False in a custom training loop, see :func:`check_batchnorm`.
    """
    compile_config = network.compile_config
    changed = changed_layers(compile_config.states_at_fit, network.trainable_states()) if compile_config else []
    if changed:
        changed_line = max(layer.trainable.changed_line for layer in changed)
        message = f"After this change of trainable, fit is called again without a new compile (line {line})."
        report("trainable-without-compile", changed_line, message)
    _check_any_trainable(network, line, report)
    has_dense = any(layer.kind == "Dense" for layer in network.layers())
    for base, site in network.bases():
        check_slices(base, report)
        weights, batchnorm = trainable_in(network, base)
        if base.weights is None and weights is batchnorm is False:
            message = f"{base.kind} has random weights (weights=None) and is frozen, so its features are noise."
            report("frozen-random-weights", base.line, message)
        if has_dense and base.is_pretrained and weights in (True, SOME):
            _check_learning_rate(base, network, line, report)
            if checks_batchnorm and site.node.training is not True:
                _check_statistics(base, site.node.training, batchnorm, line, report)


def check_slices(base: Base, report: Report) -> None:
    """Check whether some layers of a base were unfrozen although no layer was frozen."""
    line = base.trainable.redundant_line
    if line is not None:
        message = f"Some layers of {base.kind} are set trainable, but all layers were already trainable."
        report("unfreeze-without-effect", line, f"{message} No layer stays frozen.")


def _check_any_trainable(network: Network, line: int, report: Report) -> None:
    layers = [layer for layer in network.layers() if layer.kind not in WITHOUT_WEIGHTS | AUGMENTATION]
    simple_layers = [layer for layer in layers if not isinstance(layer, (Network, Base))]
    bases = network.bases()
    if not bases or any(layer.kind == "unknown" for layer in simple_layers):
        return
    frozen = [layer.trainable.weights is False for layer in simple_layers]
    frozen += [trainable_in(network, base) == (False, False) for base, _ in bases]
    if network.trainable.flag is False or all(frozen):
        report("nothing-to-train", line, "All layers are frozen, so training changes nothing.")


def _check_learning_rate(base: Base, network: Network, line: int, report: Report) -> None:
    compile_config, trainable = network.compile_config or CompileConfig(), base.trainable
    rate, limit = compile_config.learning_rate, HIGH_RATES.get(str(compile_config.optimizer), 1e-3)
    if isinstance(rate, (int, float)) and rate >= limit * 0.999:
        optimizer = f"{compile_config.optimizer} with a learning rate of {rate:g}"
        if line and not network.fit_line and trainable.weights is True:
            report("nothing-frozen", line, f"{optimizer} trains all layers of {base.kind} and a new head.")
            return
        message = f"{optimizer} trains pretrained layers of {base.kind}."
        report("learning-rate-too-high", compile_config.line or line, message)


def _check_statistics(base: Base, training: Any, batchnorm: Any, line: int, report: Report) -> None:
    if batchnorm not in (True, SOME) or not base.has_batchnorm or training is UNKNOWN:
        return
    changed_line = base.trainable.changed_line or line
    if training is False:
        message = f"The BatchNormalization layers of {base.kind} are not frozen"
        report("batchnorm-not-frozen", changed_line, f"{message}: {_TRAINING_FALSE}.")
        return
    message = f"The BatchNormalization layers of {base.kind} are not frozen: the new data change their statistics."
    report("batchnorm-in-training-mode", changed_line, message)


def check_batchnorm(network: Network, line: int, report: Report) -> None:
    """Check that the statistics of a pretrained base do not change in a custom training loop.

    Args:
        network: what was called in the loop. Only bases in training mode are checked: those that are called with
            training=True, or in a model that is called with training=True.
        line: of the call of the loss.
        report: receives the mistakes.
    """
    for node in (site.node for site in network.sites() if not site.outer_inputs and site.node.training is True):
        model = node.layer
        if isinstance(model, Base) and model.is_pretrained:
            _check_statistics(model, True, model.trainable.batchnorm, line, report)
        elif isinstance(model, Network):
            for base, site in model.bases():
                if base.is_pretrained:
                    _check_statistics(base, site.node.training, trainable_in(model, base)[1], line, report)


def check_optimizer(trained: Network, states: TrainableStates, network: Network, report: Report) -> None:
    """Check that an optimizer object is not reused for other weights.

    Args:
        trained: the network that the optimizer has trained.
        states: what was trainable in that network.
        network: the network that the optimizer will train now.
        report: receives the mistakes.
    """
    if network is not trained or changed_layers(states, network.trainable_states()):
        line = network.compile_config.line if network.compile_config else 0
        owner = "other weights" if network is trained else "another model"
        message = f"This optimizer object has trained {owner}: its state does not fit, and Keras 3 raises an error."
        report("optimizer-reused", line, message)
