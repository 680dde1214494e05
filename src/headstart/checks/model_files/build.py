"""Builds a network from the description of a model file; see ``describe.py`` for the description."""

import re
from collections.abc import Callable
from typing import Any

from headstart.bases.keras_table import Model
from headstart.checks.model_files.describe import merge_states
from headstart.checks.network import APPLICATIONS, SOME, UNKNOWN, Base, Layer, Network, Node

_ARITHMETIC: dict[str, Callable[[float], tuple[float, float]]] = {
    **dict.fromkeys(("TrueDivide", "Divide"), lambda constant: (1 / constant, 0.0)),
    "Multiply": lambda constant: (constant, 0.0),
    "Add": lambda constant: (1.0, constant),
    "Subtract": lambda constant: (1.0, -constant),
}
"""Arithmetic operations in a graph, such as those of ``preprocess_input`` -> scale and offset."""

_SCALING = {"Rescaling", "Normalization", *_ARITHMETIC} - {"Add", "Multiply"}  # these two are also layers


def build_network(description: dict[str, Any]) -> Network:
    """The network of a model file; a model of Keras Applications inside it becomes one :class:`Base`."""
    network = Network(description["kind"], name=description["name"])
    _set_trainable(network, description)
    layers = [_build_layer(layer) for layer in description["layers"]]
    inlined_base = _find_inlined_base(description)
    nodes: list[Node] = []
    for i, node in enumerate(description["nodes"]):
        layer = layers[node["layer"]]
        if isinstance(layer, Base):
            _set_weights(layer, description["layers"][node["layer"]]["random"], node["training"])
        if inlined_base and i == inlined_base[2]:
            nodes.append(_build_inlined_base(description, *inlined_base, nodes))
            continue
        inputs = [nodes[j] for j in node["inputs"]]
        nodes.append(Node(_to_rescaling(layer, node), inputs, node["training"], 0, tuple(node["shape"])))
    network.inputs = [node for node in nodes if not node.inputs]
    network.outputs = nodes[-1:]
    return network


def _build_layer(description: dict[str, Any]) -> Layer:
    if "nodes" in description:
        name = _find_application(description)
        if name is None:
            return build_network(description)
        shapes = [node["shape"] for node in description["nodes"]]
        return _build_base(name, description, shapes[0], has_top=shapes[-1] == [1000])
    layer = Layer(description["kind"], description["config"], name=description["name"])
    _set_trainable(layer, description)
    return layer


def _build_base(name: str, description: dict[str, Any], shape: list[int | None], *, has_top: bool) -> Base:
    size = (shape[0], shape[1]) if len(shape) == 3 and shape[0] and shape[1] else None
    base = Base(
        kind=name,
        name=description["name"],
        model_info=APPLICATIONS[name],
        weights=UNKNOWN,
        has_top=has_top,
        input_size=size,
    )
    _set_trainable(base, description)
    return base


def _set_trainable(layer: Layer, description: dict[str, Any]) -> None:
    trainable = layer.trainable
    trainable.flag, trainable.weights, trainable.batchnorm = description["trainable"]


def _set_weights(base: Base, is_random: bool | None, training: Any) -> None:
    """Set where the weights of a base come from. The file does not contain this, but the use of the base shows it."""
    is_frozen = base.trainable.flag is False or base.trainable.weights in (False, SOME)
    is_pretrained = training is False or is_frozen
    base.weights = None if is_random else "transferred" if is_pretrained else UNKNOWN


def _find_application(description: dict[str, Any]) -> str | None:
    """The model of Keras Applications with this number of weights, for MobileNets with this name; None otherwise."""
    channels = next((node["shape"][-1] for node in reversed(description["nodes"]) if node["shape"]), None)
    if match := re.match(r"mobilenet(v2)?_\d\.\d\d_\d+", description["name"]):
        return "MobileNetV2" if match[1] else "MobileNet"
    for model in APPLICATIONS.values():
        sizes = {model.feature_dim: model.params, 1000: model.params + 1000 * (model.feature_dim + 1)}
        if sizes.get(channels or 0) == description["params"]:
            return None if _has_other_layers(description, model) else model.name
    return None


def _has_other_layers(description: dict[str, Any], model: Model) -> bool:
    """Whether a network is not the base itself, but contains it together with layers that scale pixels."""
    has_nested_base = any(layer["params"] == description["params"] for layer in description["layers"])
    has_scaling = any(layer["kind"] in _SCALING for layer in description["layers"])
    return has_nested_base or (has_scaling and model.preprocessing.name != "built in")


def _find_inlined_base(description: dict[str, Any]) -> tuple[str, int, int] | None:
    """A model of Keras Applications whose layers are layers of the network: its name, first and last node."""
    nodes, layers = description["nodes"], description["layers"]
    nodes_with_weights = [i for i, node in enumerate(nodes) if layers[node["layer"]]["params"]]
    if not nodes_with_weights or any("nodes" in layer and layer["params"] for layer in layers):
        return None
    params, counted_layers, base = 0, set(), None
    for i, node in enumerate(nodes):
        if node["layer"] not in counted_layers:
            counted_layers.add(node["layer"])
            params += layers[node["layer"]]["params"]
        for model in APPLICATIONS.values() if len(node["shape"]) == 3 else ():
            if params == model.params and node["shape"][-1] == model.feature_dim:
                base = (model.name, nodes_with_weights[0], i)
    return base


def _build_inlined_base(description: dict[str, Any], name: str, first: int, last: int, nodes: list[Node]) -> Node:
    layers = description["layers"]
    layer_numbers = {node["layer"] for node in description["nodes"][first : last + 1]}
    base_layers = [layers[i] for i in layer_numbers if layers[i]["params"]]
    states = [
        merge_states([layer["trainable"][i] for layer in base_layers if layer["trainable"][i] is not None])
        for i in (1, 2)  # weights, batchnorm
    ]
    inputs = [nodes[i] for i in description["nodes"][first]["inputs"]]
    while inputs and inputs[0].layer.kind == "ZeroPadding2D":
        inputs = inputs[0].inputs
    shape = list(inputs[0].shape or ()) if inputs else []
    base = _build_base(name, {**description, "trainable": [True, *states]}, shape, has_top=False)
    if APPLICATIONS[name].preprocessing.name == "built in":
        # A Rescaling layer in front may belong to the base or to the user's model.
        base.config["include_preprocessing"] = UNKNOWN
    are_random = [layer["random"] for layer in base_layers if layer["random"] is not None]
    _set_weights(base, bool(are_random) and all(are_random), None)
    return Node(base, inputs, None, 0, tuple(description["nodes"][last]["shape"]))


def _to_rescaling(layer: Layer, node: dict[str, Any]) -> Layer:
    """Convert arithmetic with a constant to a Rescaling layer; return any other layer as it is."""
    parameters_of, constant = _ARITHMETIC.get(layer.kind), node["constant"]
    if parameters_of is None or not constant or len(node["inputs"]) != 1:
        return layer
    scale, offset = parameters_of(constant)
    return Layer("Rescaling", {"scale": scale, "offset": offset})
