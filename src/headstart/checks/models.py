"""Bases, layers and models in a script: how they are put together, and what their methods do."""

import ast
from typing import Any

from headstart.checks import data_rules
from headstart.checks.compiling import loss_of, optimizer_of, thresholded
from headstart.checks.interpreter import Interpreter
from headstart.checks.network import APPLICATIONS, UNKNOWN, Base, Compiled, Layer, Network, Node, trains
from headstart.checks.network_rules import (
    Report,
    check_architecture,
    check_labels,
    check_outputs,
    check_slices,
    check_training,
)
from headstart.checks.shapes import output_shape, shape_of, size_of
from headstart.checks.values import Dataset, Element, Function, Labels, Made, Method, Symbol, Tensor, applied


class Models:
    """Makes bases, layers and models, and answers for them.

    Args:
        report: takes what the rules find.
        interpreter: follows the functions in Lambda layers.
    """

    def __init__(self, report: Report, interpreter: Interpreter) -> None:
        self.report, self.interpreter = report, interpreter
        self._networks: list[Network] = []
        self._bases: list[Base] = []

    def finish(self) -> None:
        """Look at what was built and never compiled, and at what was unfrozen and never trained."""
        for network in self._networks:
            check_architecture(network, None, self.report)
        for base in self._bases:
            check_slices(base, self.report)

    # --- making them -----------------------------------------------------------------------------------------------

    def base(self, name: str, config: dict[str, Any], line: int) -> Base:
        """A model of Keras Applications."""
        known = "**" not in config
        weights = config.get("weights", "imagenet" if known else UNKNOWN)
        top = config.get("include_top", True if known else UNKNOWN)
        given, shape = config.get("input_tensor"), shape_of(config.get("input_shape"))
        base = Base(
            kind=name,
            config=config,
            line=line,
            name=str(config.get("name") or name.lower()),
            facts=APPLICATIONS[name],
            weights=weights if weights is None or isinstance(weights, str) else UNKNOWN,
            top=bool(top) if isinstance(top, int) else UNKNOWN,
            size=size_of(shape),
            start=given.node if isinstance(given, Tensor) else Node(Layer("InputLayer"), shape=shape),
        )
        self._bases.append(base)
        return base

    def layer(self, name: str, config: dict[str, Any], line: int) -> Layer:
        """Any other layer."""
        if "activation" in config:
            config = {**config, "activation": activation_of(config["activation"])}
        layer = Layer(name, config, line, str(config.get("name") or ""))
        if "trainable" in config:
            layer.set_trainable(config["trainable"], "all", line)
        return layer

    def input(self, config: dict[str, Any], line: int) -> Tensor:
        """``keras.Input``."""
        shape, whole = shape_of(config.get("shape")), shape_of(config.get("batch_shape"))
        return Tensor(Node(Layer("InputLayer", {}, line), line=line, shape=shape or (whole[1:] if whole else None)))

    def sequential(self, layers: Any, line: int) -> Network:
        """``keras.Sequential``."""
        network = Network("Sequential", {}, line)
        network.inputs = network.outputs = [Node(Layer("InputLayer"), line=line)]
        self._networks.append(network)
        for layer in layers if isinstance(layers, (list, tuple)) else [] if layers is None else [UNKNOWN]:
            self._add(network, layer, line)
        return network

    def _add(self, network: Network, layer: Any, line: int) -> None:
        before = network.outputs
        if isinstance(layer, Tensor) and not network.parts:
            network.inputs = network.outputs = [layer.node]
            return
        after: Any = UNKNOWN
        if isinstance(layer, Layer):
            shape = shape_of(layer.config.get("input_shape")) if not isinstance(layer, Base) else None
            if shape and not network.parts:
                before[0].shape = shape
            after = self.apply(layer, [Tensor(before[0])], {}, layer.line or line)
        if not isinstance(after, Tensor):
            after = applied(Layer("unknown"), [Tensor(before[0])], line)
        network.parts.append((layer, before))
        network.outputs = [after.node]

    def functional(self, config: dict[str, Any], line: int) -> Any:
        """``keras.Model(inputs, outputs)``."""
        inputs, outputs = (_tensors(config.get(name)) for name in ("inputs", "outputs"))
        if not inputs or not outputs:
            return UNKNOWN
        network = Network("Functional", {}, line, str(config.get("name") or ""))
        network.inputs, network.outputs = [one.node for one in inputs], [one.node for one in outputs]
        self._networks.append(network)
        return network

    # --- layers and bases ------------------------------------------------------------------------------------------

    def apply(self, layer: Layer, args: list[Any], config: dict[str, Any], line: int) -> Any:
        """Call a layer or a model."""
        function = layer.config.get("function")
        if layer.kind == "Lambda" and isinstance(function, (Function, Symbol)) and args:
            return self.interpreter.call(function, args[:1], {}, _at(line))
        tensors = args[0] if args and isinstance(args[0], (list, tuple)) else args[:1]
        return applied(layer, list(tensors), line, config.get("training"))

    def base_method(self, base: Base, name: str, config: dict[str, Any], line: int) -> Any:
        """Call a method of a base."""
        if name == "get_layer":
            return Element(base, "some")
        if name in ("load_weights", "set_weights"):
            base.may_be_trained()
        if name in ("predict", "compile", "fit", "evaluate"):
            whole = Network("Functional", {}, base.line, base.name, base.trainable)
            whole.inputs, whole.outputs = [base.start], [self._output(base).node]
            self.method(whole, name, [], config, line)
        return UNKNOWN

    def _output(self, base: Base, *, partial: bool = False) -> Tensor:
        shape = None if partial else output_shape(base, [base.start.shape])
        return Tensor(Node(base, [base.start], None, base.line, shape, partial))

    def attribute(self, layer: Layer, name: str) -> Any:
        """An attribute of a layer, a base or a model."""
        if name in ("trainable_variables", "trainable_weights"):  # for a training loop of one's own
            self.may_be_trained(layer)
        if name == "trainable":
            return layer.trainable.own
        if isinstance(layer, Base) and name in ("output", "outputs"):
            return self._output(layer)
        if isinstance(layer, Base) and name in ("input", "inputs"):
            return Tensor(layer.start)
        if isinstance(layer, Network) and name in ("output", "outputs", "input", "inputs"):
            nodes = layer.outputs if name.startswith("out") else layer.inputs
            return Tensor(nodes[0]) if len(nodes) == 1 else UNKNOWN
        return Method(layer, name)

    def element_attribute(self, element: Element, name: str) -> Any:
        """An attribute of any layer in a base or a model."""
        if name == "output" and isinstance(element.owner, Base):
            return self._output(element.owner, partial=True)
        return UNKNOWN

    def some_layers(self, owner: Base | Network, part: slice) -> list[Any] | None:
        """``model.layers[part]``, where it is known: in a sequential model."""
        if not isinstance(owner, Network) or not owner.parts:
            return None
        bounds = (part.start, part.stop, part.step)
        return [layer for layer, _ in owner.parts][part] if all(b is None or type(b) is int for b in bounds) else None

    def may_be_trained(self, layer: Layer) -> None:
        """Something may train a layer, or a model with all that is in it."""
        for one in layer.layers() if isinstance(layer, Network) else [layer]:
            if isinstance(one, Base):
                one.may_be_trained()

    def nth_layer(self, owner: Base | Network, index: Any) -> Layer | None:
        """``model.layers[index]``, where it is known."""
        if not isinstance(owner, Network) or not isinstance(index, int):
            return None
        known = [layer for layer, _ in owner.parts]
        if not known and len(owner.outputs) == 1 and index == -1:
            known = [owner.outputs[0].layer]
        layer = known[index] if -len(known) <= index < len(known) else None
        return layer if isinstance(layer, Layer) else None

    # --- models ----------------------------------------------------------------------------------------------------

    def method(self, network: Network, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
        """Call a method of a model."""
        if name == "add" and args:
            self._add(network, args[0], line)
        elif name == "pop" and network.parts:
            _, network.outputs = network.parts.pop()
        elif name == "get_layer":
            return _named(network, args[0] if args else config.get("name"))
        elif name in ("load_weights", "set_weights"):
            self.may_be_trained(network)
        elif name == "compile":
            self._compile(network, config, line)
        elif name == "fit":
            self._fit(network, config, line)
        elif name in ("predict", "evaluate"):
            self._use(network, name, config, line)
        return UNKNOWN

    def _compile(self, network: Network, config: dict[str, Any], line: int) -> None:
        known = config if "**" not in config else {}
        optimizer, rate = optimizer_of(known.get("optimizer", "rmsprop" if known else UNKNOWN))
        loss, from_logits = loss_of(known.get("loss", UNKNOWN))
        metrics, made = thresholded(known.get("metrics")), known.get("optimizer")
        network.compiled = Compiled(line, optimizer, rate, loss, from_logits, metrics, made)
        check_outputs(network, self.report)

    def _fit(self, network: Network, config: dict[str, Any], line: int) -> None:
        data = _given(config.get("x", UNKNOWN), config.get("y", UNKNOWN))
        validation = config.get("validation_data")
        if isinstance(validation, tuple) and len(validation) >= 2:
            validation = _given(*validation[:2])
        if network.compiled and _changes_rate(config.get("callbacks")):
            network.compiled.learning_rate = UNKNOWN
        check_architecture(network, _images(data), self.report)
        check_training(network, line, self.report)
        if isinstance(data.labels, Labels):
            check_labels(network, data.labels.form, data.labels.classes, line, self.report)
        if isinstance(validation, Dataset):
            data_rules.check_validation(data, validation, line, self.report)
        self._check_optimizer(network)
        for base, _ in network.bases():
            if trains(base, network) != (False, False):
                base.may_be_trained()
        if network.compiled:
            network.compiled.fitted_states = network.states()
        network.fitted_line, network.fitted_on = line, data

    def _check_optimizer(self, network: Network) -> None:
        optimizer = network.compiled.made if network.compiled else None
        if isinstance(optimizer, Made):
            before, states, compiled = optimizer.fitted or (None, {}, None)
            if before and compiled is not network.compiled:
                data_rules.check_optimizer(before, states, network, self.report)
            optimizer.fitted = (network, network.states(), network.compiled)

    def _use(self, network: Network, name: str, config: dict[str, Any], line: int) -> None:
        data = _given(config.get("x", UNKNOWN), config.get("y", UNKNOWN))
        if name == "predict" and data.reads:
            data.reads.predicted_line = line
        check_architecture(network, _images(data), self.report)
        if name == "evaluate" and data is not network.fitted_on:
            data_rules.check_augmented(data, self.report)


def activation_of(value: Any) -> Any:
    """The name of an activation, None or UNKNOWN."""
    if isinstance(value, Symbol):
        return value.name
    return value if value is None or isinstance(value, str) else UNKNOWN


def _at(line: int) -> ast.Call:
    """A call at a line, where the script has none."""
    return ast.Call(func=ast.Name(id="", ctx=ast.Load()), args=[], keywords=[], lineno=line)


def _named(network: Network, name: Any) -> Any:
    """``model.get_layer(name)``: Keras puts numbers and options behind the name of a model."""
    for layer in network.layers():
        if isinstance(name, str) and layer.name and name.lower().startswith(layer.name.lower()):
            return layer
    return Element(network, "some")


def _changes_rate(callbacks: Any) -> bool:
    """Whether callbacks may set the learning rate from the first epoch on."""
    several = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    given = [one for one in several if one is not None]
    return not all(isinstance(one, Made) and one.kind != "LearningRateScheduler" for one in given)


def _given(x: Any, y: Any) -> Dataset:
    """What a method was given, as a data set."""
    return x if isinstance(x, Dataset) else Dataset(x, y, x if isinstance(x, Tensor) else object())


def _images(data: Dataset) -> Node | None:
    return data.images.node if isinstance(data.images, Tensor) else None


def _tensors(value: Any) -> list[Tensor] | None:
    several = value if isinstance(value, (list, tuple)) else [value]
    return list(several) if all(isinstance(one, Tensor) for one in several) else None
