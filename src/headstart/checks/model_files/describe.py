"""Describes model files as plain data; runs in a Keras process.

Description of a layer:
    name, kind: its name and class.
    config: the arguments that the rules need.
    params: number of weights.
    trainable: state of the layer itself, of its weights and of its BatchNormalization layers; see
        :class:`headstart.checks.network.Trainable`.
    random: whether its BatchNormalization layers have their initial values; None if there are none.

A model also has ``layers``, their descriptions, and ``nodes`` in topological order:
    layer: number of the layer that is called.
    inputs: numbers of the nodes with its inputs.
    training: the argument of the call.
    shape: of the output for one example.
    constant: the number that an arithmetic operation uses.
"""

from pathlib import Path
from typing import Any

from headstart.bases.local import open_model
from headstart.checks.network import SOME
from headstart.errors import InputError

_CONFIG_NAMES = ("units", "activation", "scale", "offset", "mean", "variance", "height", "width", "pooling")


def describe_models(paths: list[str]) -> list[dict[str, Any]]:
    """The description of each model file, or its ``problem``, as plain data."""
    descriptions = []
    for path in paths:
        try:
            descriptions.append(_describe_layer(open_model(Path(path))))
        except InputError as exc:
            descriptions.append({"problem": exc.message})
    return descriptions


def merge_states(values: list[Any]) -> Any:
    """True, False or "some"; None for no layers."""
    distinct = set(values)
    return next(iter(distinct)) if len(distinct) == 1 else SOME if distinct else None


def _describe_layer(layer: Any) -> dict[str, Any]:
    batchnorm_layers, states = _collect_states(layer)
    description = {
        "name": layer.name,
        "kind": type(layer).__name__,
        "config": {},
        "params": layer.count_params() if getattr(layer, "built", False) else 0,
        "trainable": [getattr(layer, "trainable", True), *(merge_states(values) for values in states)],
        "random": _are_initial(batchnorm_layers),
    }
    if getattr(layer, "layers", None):
        return {**description, **_describe_graph(layer)}
    config = layer.get_config() if hasattr(layer, "get_config") else {}
    plain_config = {name: config[name] for name in _CONFIG_NAMES if name in config and _is_plain(config[name])}
    return {**description, "config": plain_config}


def _describe_graph(model: Any) -> dict[str, Any]:
    from headstart.bases.blocks import nodes_in_order

    has_one_output = len(getattr(model, "outputs", None) or []) == 1
    nodes = nodes_in_order(model) if has_one_output else []
    node_numbers = {id(tensor): i for i, node in enumerate(nodes) for tensor in node.outputs}
    operations = {id(node.operation): node.operation for node in nodes}
    layer_numbers = {key: i for i, key in enumerate(operations)}
    return {
        "layers": [_describe_layer(operation) for operation in operations.values()],
        "nodes": [
            {
                "layer": layer_numbers[id(node.operation)],
                "inputs": [node_numbers[id(tensor)] for tensor in node.input_tensors],
                "training": node.arguments.kwargs.get("training"),
                "shape": list(node.outputs[0].shape[1:]),
                "constant": _find_constant(node),
            }
            for node in nodes
        ],
    }


def _collect_states(layer: Any) -> tuple[list[Any], tuple[list[bool], list[bool]]]:
    """The BatchNormalization layers in a layer; ``trainable`` of each other layer and of each of these."""
    inner_layers = getattr(layer, "layers", None)
    if not inner_layers:
        if not getattr(layer, "weights", None):
            return [], ([], [])
        is_batchnorm = type(layer).__name__ == "BatchNormalization"
        return ([layer], ([], [layer.trainable])) if is_batchnorm else ([], ([layer.trainable], []))
    batchnorm_layers, weights, batchnorm = [], [], []
    for inner_layer in inner_layers:
        inner_batchnorm_layers, (inner_weights, inner_batchnorm) = _collect_states(inner_layer)
        batchnorm_layers += inner_batchnorm_layers
        weights += inner_weights
        batchnorm += inner_batchnorm
    return batchnorm_layers, (weights, batchnorm)


def _are_initial(batchnorm_layers: list[Any]) -> bool | None:
    """Whether the statistics of BatchNormalization layers have their initial values; None if there are no layers."""
    import numpy as np

    if not batchnorm_layers:
        return None
    return all(
        (np.asarray(layer.moving_mean) == 0).all() and (np.asarray(layer.moving_variance) == 1).all()
        for layer in batchnorm_layers
    )


def _find_constant(node: Any) -> float | None:
    """The number that an operation uses together with its input tensor."""
    arguments = node.arguments.args
    if len(arguments) != 2 or isinstance(arguments[1], bool) or not isinstance(arguments[1], (int, float)):
        return None
    return float(arguments[1])


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))
