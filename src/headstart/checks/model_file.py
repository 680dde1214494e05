"""Model files: what a Keras process reads of them, and the network that the rules look at."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.bases import keras_table
from headstart.bases.local import open_model, read_config, refuse_code
from headstart.checks.compiling import from_config, loss_of, optimizer_of, thresholded
from headstart.checks.network import APPLICATIONS, SOME, UNKNOWN, Base, Compiled, Layer, Network, Node
from headstart.checks.network_rules import check_architecture, check_outputs, check_training
from headstart.checks.rules import RULES, Finding, finding
from headstart.errors import InputError
from headstart.system import keras_worker

_KEPT = ("units", "activation", "scale", "offset", "mean", "variance", "height", "width", "pooling")
_OPERATIONS: dict[str, Callable[[float], tuple[float, float]]] = {
    **dict.fromkeys(("TrueDivide", "Divide"), lambda by: (1 / by, 0.0)),
    "Multiply": lambda by: (by, 0.0),
    "Add": lambda by: (1.0, by),
    "Subtract": lambda by: (1.0, -by),
}
"""Arithmetic in a graph, such as that of ``preprocess_input``: scale and offset."""

_SCALES = {"Rescaling", "Normalization", *_OPERATIONS} - {"Add", "Multiply"}  # which are layers, too
_FOR_MODELS = {rule.name for rule in RULES if "models" in rule.found_in}
_NORMALIZATION = "BatchNormalization"


def check_models(paths: list[Path]) -> tuple[list[Finding], dict[Path, InputError]]:
    """Find the mistakes in model files, all opened in one Keras process.

    Args:
        paths: ``.keras`` or full-model ``.h5`` files.

    Returns:
        What was found, and why files could not be checked: damaged, weights only, or in need of code of their own.
    """
    configs: dict[Path, dict[str, Any]] = {}
    problems: dict[Path, InputError] = {}
    for path in paths:
        try:
            configs[path] = read_config(path)
            refuse_code(path, configs[path])
        except InputError as exc:
            problems[path] = exc
    paths = [path for path in paths if path not in problems]
    described = _in_keras_process(paths) if paths else []
    findings: list[Finding] = []
    for path, description in zip(paths, described, strict=True):
        if "problem" in description:
            problems[path] = InputError(description["problem"])
        else:
            findings += _check(path, _network(description), _compiled(path, configs[path]))
    return findings, problems


def _in_keras_process(paths: list[Path]) -> list[dict[str, Any]]:
    names = [str(path.absolute()) for path in paths]
    return keras_worker.call("headstart.checks.model_file:describe", {"paths": names})


def _check(path: Path, network: Network, compiled: Compiled | None) -> list[Finding]:
    found: dict[str, Finding] = {}

    def report(rule: str, line: int, message: str) -> None:
        if rule in _FOR_MODELS:
            found.setdefault(rule, finding(rule, message, path, line))

    network.compiled = compiled
    check_architecture(network, None, report)
    check_outputs(network, report)
    check_training(network, 0, report)
    return sorted(found.values(), key=lambda one: one.code)


def _compiled(path: Path, config: dict[str, Any]) -> Compiled | None:
    known = config.get("compile_config") if path.suffix == ".keras" else _training_config(path)
    if not known:
        return None
    optimizer, rate = optimizer_of(from_config(known.get("optimizer", known.get("optimizer_config"))))
    loss, from_logits = loss_of(from_config(known.get("loss")))
    return Compiled(0, optimizer, rate, loss, from_logits, thresholded(from_config(known.get("metrics"))))


def _training_config(path: Path) -> dict[str, Any] | None:
    import h5py

    with h5py.File(path) as file:
        text = file.attrs.get("training_config")
    return json.loads(text) if text else None


# --- from the description to a network ------------------------------------------------------------------------------


def _network(described: dict[str, Any]) -> Network:
    """A network as the rules know it; a model of Keras Applications in it is one layer."""
    network = Network(described["kind"], name=described["name"])
    _set_trainable(network, described)
    layers = [_layer(one) for one in described["layers"]]
    inside = _base_inside(described)
    nodes: list[Node] = []
    for i, node in enumerate(described["nodes"]):
        layer = layers[node["layer"]]
        if isinstance(layer, Base):
            _set_origin(layer, described["layers"][node["layer"]], node["training"])
        if inside and i == inside[2]:
            nodes.append(_inline(described, *inside, nodes))
            continue
        inputs = [nodes[j] for j in node["inputs"]]
        layer = _operation(layer, node)
        nodes.append(Node(layer, inputs, node["training"], 0, tuple(node["shape"])))
    network.inputs = [node for node in nodes if not node.inputs]
    network.outputs = nodes[-1:]
    return network


def _layer(described: dict[str, Any]) -> Layer:
    if "nodes" in described:
        name = _application(described)
        if name is None:
            return _network(described)
        shapes = [node["shape"] for node in described["nodes"]]
        return _base(name, described, shapes[0], top=shapes[-1] == [1000])
    layer = Layer(described["kind"], described["config"], name=described["name"])
    _set_trainable(layer, described)
    return layer


def _base(name: str, described: dict[str, Any], shape: list[int | None], *, top: bool) -> Base:
    size = (shape[0], shape[1]) if len(shape) == 3 and shape[0] and shape[1] else None
    base = Base(name, name=described["name"], facts=APPLICATIONS[name], weights=UNKNOWN, top=top, size=size)
    _set_trainable(base, described)
    return base


def _set_trainable(layer: Layer, described: dict[str, Any]) -> None:
    state = layer.trainable
    state.own, state.weights, state.normalization = described["trainable"]


def _set_origin(base: Base, described: dict[str, Any], training: Any) -> None:
    """Whether a base was pretrained: a file does not say, but how it is used does."""
    transferred = training is False or base.trainable.own is False or base.trainable.weights in (False, SOME)
    base.weights = None if described["random"] else "transferred" if transferred else UNKNOWN


def _application(described: dict[str, Any]) -> str | None:
    """Which model of Keras Applications a network is, by the number of its weights; of MobileNets, by its name, too."""
    channels = next((node["shape"][-1] for node in reversed(described["nodes"]) if node["shape"]), None)
    if match := re.match(r"mobilenet(v2)?_\d\.\d\d_\d+", described["name"]):
        return "MobileNetV2" if match[1] else "MobileNet"
    for model in APPLICATIONS.values():
        sizes = {model.feature_dim: model.params, 1000: model.params + 1000 * (model.feature_dim + 1)}
        if sizes.get(channels or 0) == described["params"]:
            return None if _has_more(described, model) else model.name
    return None


def _has_more(described: dict[str, Any], model: keras_table.Model) -> bool:
    """Whether a network consists of a base and of what scales its pixels, and is not the base itself."""
    nested = any(part["params"] == described["params"] for part in described["layers"])
    scales = any(part["kind"] in _SCALES for part in described["layers"])
    return nested or (scales and model.preprocessing.name != "built in")


def _base_inside(described: dict[str, Any]) -> tuple[str, int, int] | None:
    """A model of Keras Applications whose layers lie in the graph itself: its name, its first and its last node."""
    nodes, layers = described["nodes"], described["layers"]
    weighted = [i for i, node in enumerate(nodes) if layers[node["layer"]]["params"]]
    if not weighted or any("nodes" in layer and layer["params"] for layer in layers):
        return None
    params, counted, found = 0, set(), None
    for i, node in enumerate(nodes):
        if node["layer"] not in counted:
            counted.add(node["layer"])
            params += layers[node["layer"]]["params"]
        for model in APPLICATIONS.values() if len(node["shape"]) == 3 else ():
            if params == model.params and node["shape"][-1] == model.feature_dim:
                found = (model.name, weighted[0], i)
    return found


def _inline(described: dict[str, Any], name: str, first: int, last: int, nodes: list[Node]) -> Node:
    layers, own = described["layers"], {node["layer"] for node in described["nodes"][first : last + 1]}
    parts = [layers[i] for i in own if layers[i]["params"]]
    states = [[part["trainable"][which] for part in parts if part["trainable"][which] is not None] for which in (1, 2)]
    inputs = [nodes[i] for i in described["nodes"][first]["inputs"]]
    while inputs and inputs[0].layer.kind == "ZeroPadding2D":
        inputs = inputs[0].inputs
    shape = list(inputs[0].shape or ()) if inputs else []
    base = _base(name, {**described, "trainable": [True, *map(_merged, states)]}, shape, top=False)
    if APPLICATIONS[name].preprocessing.name == "built in":  # whose the rescaling is cannot be told
        base.config["include_preprocessing"] = UNKNOWN
    untouched = [part["random"] for part in parts if part["random"] is not None]
    _set_origin(base, {"random": bool(untouched) and all(untouched)}, None)
    return Node(base, inputs, None, 0, tuple(described["nodes"][last]["shape"]))


def _operation(layer: Layer, node: dict[str, Any]) -> Layer:
    """Arithmetic with a constant is a rescaling."""
    meaning, by = _OPERATIONS.get(layer.kind), node["constant"]
    if meaning is None or not by or len(node["inputs"]) != 1:
        return layer
    scale, offset = meaning(by)
    return Layer("Rescaling", {"scale": scale, "offset": offset})


# --- in the Keras process ------------------------------------------------------------------------------------------


def describe(paths: list[str]) -> list[dict[str, Any]]:
    """The graphs of model files as plain data, or the problem with them; for a Keras process."""
    described = []
    for path in paths:
        try:
            described.append(_description(open_model(Path(path))))
        except InputError as exc:
            described.append({"problem": str(exc)})
    return described


def _description(layer: Any) -> dict[str, Any]:
    """A layer; of a model also its layers, and its nodes in order, each with the number of its layer."""
    kinds, trainable = _states(layer)
    described = {
        "name": layer.name,
        "kind": type(layer).__name__,
        "config": {},
        "params": layer.count_params() if getattr(layer, "built", False) else 0,
        "trainable": [getattr(layer, "trainable", True), *(_merged(one) for one in trainable)],
        "random": _is_untouched(kinds),
    }
    if not getattr(layer, "layers", None):
        config = layer.get_config() if hasattr(layer, "get_config") else {}
        return {**described, "config": {key: config[key] for key in _KEPT if key in config and _is_plain(config[key])}}
    return {**described, **_graph(layer)}


def _graph(model: Any) -> dict[str, Any]:
    from headstart.bases.blocks import nodes_in_order

    one_output = len(getattr(model, "outputs", None) or []) == 1
    nodes = nodes_in_order(model) if one_output else []
    made_by = {id(tensor): i for i, node in enumerate(nodes) for tensor in node.outputs}
    operations = {id(node.operation): node.operation for node in nodes}
    number = {key: i for i, key in enumerate(operations)}
    return {
        "layers": [_description(operation) for operation in operations.values()],
        "nodes": [
            {
                "layer": number[id(node.operation)],
                "inputs": [made_by[id(tensor)] for tensor in node.input_tensors],
                "training": node.arguments.kwargs.get("training"),
                "shape": list(node.outputs[0].shape[1:]),
                "constant": _constant(node),
            }
            for node in nodes
        ],
    }


def _states(layer: Any) -> tuple[list[Any], tuple[list[bool], list[bool]]]:
    """The BatchNormalization layers in a layer, and what of its other layers and of these is trainable."""
    inner = getattr(layer, "layers", None)
    if not inner:
        if not getattr(layer, "weights", None):
            return [], ([], [])
        normalizes = type(layer).__name__ == _NORMALIZATION
        return ([layer], ([], [layer.trainable])) if normalizes else ([], ([layer.trainable], []))
    found, weights, normalization = [], [], []
    for part in inner:
        normalizing, (own, moving) = _states(part)
        found += normalizing
        weights += own
        normalization += moving
    return found, (weights, normalization)


def _merged(values: list[Any]) -> Any:
    """True, False or "some"; None where there is nothing."""
    distinct = set(values)
    return next(iter(distinct)) if len(distinct) == 1 else SOME if distinct else None


def _is_untouched(normalizing: list[Any]) -> bool | None:
    """Whether BatchNormalization layers are as they were made; None where there are none."""
    import numpy as np

    if not normalizing:
        return None
    means, variances = (
        [np.asarray(getattr(one, name)) for one in normalizing] for name in ("moving_mean", "moving_variance")
    )
    return all((mean == 0).all() for mean in means) and all((variance == 1).all() for variance in variances)


def _constant(node: Any) -> float | None:
    """The number that an operation takes beside its tensor."""
    arguments = node.arguments.args
    if len(arguments) != 2 or isinstance(arguments[1], bool) or not isinstance(arguments[1], (int, float)):
        return None
    return float(arguments[1])


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, (str, int, float, bool))
