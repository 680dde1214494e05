"""Creates the bases, layers and models of a script, and follows what their methods do."""

import ast
from typing import Any

from headstart.checks.compiling import find_threshold_metrics, read_loss, read_optimizer
from headstart.checks.dataset import Dataset, Labels, Tensor, apply_layer
from headstart.checks.keras_names import KerasObject, Symbol
from headstart.checks.network import (
    APPLICATIONS,
    SOME_LAYERS,
    UNKNOWN,
    WHOLE_MODEL,
    Base,
    CompileConfig,
    Layer,
    Network,
    Node,
    trainable_in,
)
from headstart.checks.rules.architecture import check_architecture
from headstart.checks.rules.catalog import Report
from headstart.checks.rules.data import check_augmented, check_validation
from headstart.checks.rules.outputs import check_labels, check_outputs
from headstart.checks.rules.training import check_optimizer, check_slices, check_training
from headstart.checks.scripts.datasets import yielded_dataset
from headstart.checks.scripts.interpreter import Interpreter
from headstart.checks.scripts.plain import is_partial
from headstart.checks.scripts.values import Function, Generator, Instance, ListedLayer, Method, Variables
from headstart.checks.shapes import output_shape, parse_shape, parse_size


class Models:
    """Creates bases, layers and models, and calls their methods.

    Args:
        report: receives the mistakes.
        interpreter: executes the functions in Lambda layers.
    """

    def __init__(self, report: Report, interpreter: Interpreter) -> None:
        self.report, self.interpreter = report, interpreter
        self._networks: list[Network] = []
        self._bases: list[Base] = []

    def finish(self) -> None:
        """Check the models that were never compiled, and the bases that were never trained."""
        for network in self._networks:
            check_architecture(network, None, self.report)
        for base in self._bases:
            check_slices(base, self.report)

    # --- creation --------------------------------------------------------------------------------------------------

    def base(self, name: str, config: dict[str, Any], line: int) -> Base:
        """A model of Keras Applications."""
        is_complete = "**" not in config
        weights = config.get("weights", "imagenet" if is_complete else UNKNOWN)
        has_top = config.get("include_top", True if is_complete else UNKNOWN)
        input_tensor, shape = config.get("input_tensor"), parse_shape(config.get("input_shape"))
        base = Base(
            kind=name,
            config=config,
            line=line,
            name=str(config.get("name") or name.lower()),
            model_info=APPLICATIONS[name],
            weights=weights if weights is None or isinstance(weights, str) else UNKNOWN,
            has_top=bool(has_top) if isinstance(has_top, int) else UNKNOWN,
            input_size=parse_size(shape),
            input_node=input_tensor.node
            if isinstance(input_tensor, Tensor)
            else Node(Layer("InputLayer"), shape=shape),
        )
        self._bases.append(base)
        return base

    def layer(self, name: str, config: dict[str, Any], line: int) -> Layer:
        """Any other layer."""
        if "activation" in config:
            config = {**config, "activation": activation_name(config["activation"])}
        layer = Layer(name, config, line, str(config.get("name") or ""))
        if "trainable" in config:
            layer.set_trainable(config["trainable"], WHOLE_MODEL, line)
        return layer

    def input(self, config: dict[str, Any], line: int) -> Tensor:
        """``keras.Input``."""
        shape, batch_shape = parse_shape(config.get("shape")), parse_shape(config.get("batch_shape"))
        if not shape and batch_shape:
            shape = batch_shape[1:]
        return Tensor(Node(Layer("InputLayer", {}, line), line=line, shape=shape))

    def sequential(self, layers: Any, line: int) -> Network:
        """``keras.Sequential``."""
        network = Network("Sequential", {}, line)
        network.inputs = network.outputs = [Node(Layer("InputLayer"), line=line)]
        self._networks.append(network)
        for layer in layers if isinstance(layers, (list, tuple)) else [] if layers is None else [UNKNOWN]:
            self._add(network, layer, line)
        if is_partial(layers):
            self._add(network, UNKNOWN, line)
        return network

    def _add(self, network: Network, layer: Any, line: int) -> None:
        outputs_before = network.outputs
        if isinstance(layer, Tensor) and not network.added_layers:
            network.inputs = network.outputs = [layer.node]
            return
        output: Any = UNKNOWN
        if isinstance(layer, Layer):
            shape = parse_shape(layer.config.get("input_shape")) if not isinstance(layer, Base) else None
            if shape and not network.added_layers:
                outputs_before[0].shape = shape
            output = self.apply(layer, [Tensor(outputs_before[0])], {}, layer.line or line)
        if not isinstance(output, Tensor):
            output = apply_layer(Layer("unknown"), [Tensor(outputs_before[0])], line)
        network.added_layers.append((layer, outputs_before))
        network.outputs = [output.node]

    def functional(self, config: dict[str, Any], line: int) -> Any:
        """``keras.Model(inputs, outputs)``."""
        inputs, outputs = (_nodes(config.get(name)) for name in ("inputs", "outputs"))
        if not inputs or not outputs:
            return UNKNOWN
        network = Network("Functional", {}, line, str(config.get("name") or ""))
        network.inputs, network.outputs = inputs, outputs
        self._networks.append(network)
        return network

    # --- layers and bases ------------------------------------------------------------------------------------------

    def apply(self, layer: Layer, args: list[Any], config: dict[str, Any], line: int) -> Any:
        """Call a layer or a model."""
        function = layer.config.get("function")
        if layer.kind == "Lambda" and isinstance(function, (Function, Symbol)) and args:
            return self.interpreter.call(function, args[:1], {}, _call_at(line))
        tensors = list(args[0] if args and isinstance(args[0], (list, tuple)) else args[:1])
        if args and is_partial(args[0]):
            tensors.append(UNKNOWN)
        training = config.get("training", args[1] if len(args) > 1 and isinstance(layer, (Base, Network)) else None)
        return apply_layer(layer, tensors, line, training)

    def base_method(self, base: Base, name: str, config: dict[str, Any], line: int) -> Any:
        """Call a method of a base."""
        if name == "get_layer":
            return ListedLayer(base, SOME_LAYERS)
        if name in ("load_weights", "set_weights"):
            base.mark_as_trained()
        if name in ("predict", "compile", "fit", "evaluate"):
            network = Network("Functional", {}, base.line, base.name, base.trainable)
            network.inputs, network.outputs = [base.input_node], [self._output(base).node]
            self.method(network, name, [], config, line)
        return UNKNOWN

    def _output(self, base: Base, *, is_partial: bool = False) -> Tensor:
        shape = None if is_partial else output_shape(base, [base.input_node.shape])
        return Tensor(Node(base, [base.input_node], None, base.line, shape, is_partial))

    def attribute(self, layer: Layer, name: str) -> Any:
        """An attribute of a layer, a base or a model."""
        if name in ("trainable_variables", "trainable_weights"):  # for a custom training loop
            self.mark_as_trained(layer)
            return Variables(layer)
        if name == "trainable":
            return layer.trainable.flag
        if isinstance(layer, Base) and name in ("output", "outputs"):
            return self._output(layer)
        if isinstance(layer, Base) and name in ("input", "inputs"):
            return Tensor(layer.input_node)
        if isinstance(layer, Network) and name in ("output", "outputs", "input", "inputs"):
            nodes = layer.outputs if name.startswith("out") else layer.inputs
            return Tensor(nodes[0]) if len(nodes) == 1 else UNKNOWN
        return Method(layer, name)

    def listed_layer_attribute(self, layer: ListedLayer, name: str) -> Any:
        """An attribute of any layer in a base or a model."""
        if name == "output" and isinstance(layer.model, Base):
            return self._output(layer.model, is_partial=True)
        return UNKNOWN

    def layers_in_slice(self, model: Base | Network, index: slice) -> list[Any] | None:
        """``model.layers[index]`` of a sequential model; None if the layers are not known."""
        if not isinstance(model, Network) or not model.added_layers:
            return None
        bounds = (index.start, index.stop, index.step)
        if not all(bound is None or type(bound) is int for bound in bounds):
            return None
        return [layer for layer, _ in model.added_layers][index]

    def layer_at(self, model: Base | Network, index: Any) -> Layer | None:
        """``model.layers[index]``; None if the layer is not known."""
        if not isinstance(model, Network) or not isinstance(index, int):
            return None
        layers = [layer for layer, _ in model.added_layers]
        if not layers and len(model.outputs) == 1 and index == -1:
            layers = [model.outputs[0].layer]
        layer = layers[index] if -len(layers) <= index < len(layers) else None
        return layer if isinstance(layer, Layer) else None

    def mark_as_trained(self, layer: Layer) -> None:
        """The weights of a base, or of all bases in a model, may have been trained."""
        for part in layer.layers() if isinstance(layer, Network) else [layer]:
            if isinstance(part, Base):
                part.mark_as_trained()

    # --- models ----------------------------------------------------------------------------------------------------

    def method(self, network: Network, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
        """Call a method of a model."""
        if name == "add" and args:
            self._add(network, args[0], line)
        elif name == "pop" and network.added_layers:
            _, network.outputs = network.added_layers.pop()
        elif name == "get_layer":
            return _find_layer(network, args[0] if args else config.get("name"))
        elif name in ("load_weights", "set_weights"):
            self.mark_as_trained(network)
        elif name == "compile":
            self._compile(network, config, line)
        elif name == "fit":
            self._fit(network, config, line)
        elif name in ("predict", "evaluate"):
            self._predict_or_evaluate(network, name, config, line)
        return UNKNOWN

    def _compile(self, network: Network, config: dict[str, Any], line: int) -> None:
        known_arguments = config if "**" not in config else {}
        optimizer, rate = read_optimizer(known_arguments.get("optimizer", "rmsprop" if known_arguments else UNKNOWN))
        loss, from_logits = read_loss(known_arguments.get("loss", UNKNOWN))
        network.compile_config = CompileConfig(
            line=line,
            optimizer=optimizer,
            learning_rate=rate,
            loss=loss,
            from_logits=from_logits,
            threshold_metrics=find_threshold_metrics(known_arguments.get("metrics")),
            optimizer_object=known_arguments.get("optimizer"),
        )
        check_outputs(network, self.report)

    def _dataset(self, x: Any, y: Any, line: int) -> Dataset:
        """The arguments of a method as a dataset."""
        if isinstance(x, Dataset):
            return x
        get_item = x.cls.names.get("__getitem__") if isinstance(x, Instance) else None
        if isinstance(get_item, Function):  # keras.utils.Sequence
            element = self.interpreter.invoke(get_item, {**dict.fromkeys(get_item.arguments, UNKNOWN), "self": x})
            return yielded_dataset(Generator(element), x, line)
        if isinstance(x, Generator):
            return yielded_dataset(x, x, line)
        return Dataset(x, y, x if isinstance(x, Tensor) else object())

    def _fit(self, network: Network, config: dict[str, Any], line: int) -> None:
        data = self._dataset(config.get("x", UNKNOWN), config.get("y", UNKNOWN), line)
        validation = config.get("validation_data")
        if isinstance(validation, tuple) and len(validation) >= 2:
            validation = self._dataset(validation[0], validation[1], line)
        elif isinstance(validation, (Generator, Instance)):
            validation = self._dataset(validation, UNKNOWN, line)
        if network.compile_config and _may_set_learning_rate(config.get("callbacks")):
            network.compile_config.learning_rate = UNKNOWN
        check_architecture(network, _image_node(data), self.report)
        check_training(network, line, self.report)
        if isinstance(data.labels, Labels):
            check_labels(network, data.labels.form, data.labels.class_count, line, self.report)
        if isinstance(validation, Dataset):
            check_validation(data, validation, line, self.report)
        self._check_optimizer(network)
        for base, _ in network.bases():
            if trainable_in(network, base) != (False, False):
                base.mark_as_trained()
        if network.compile_config:
            network.compile_config.states_at_fit = network.trainable_states()
        network.fit_line, network.fit_data = line, data

    def _check_optimizer(self, network: Network) -> None:
        optimizer = network.compile_config.optimizer_object if network.compile_config else None
        if isinstance(optimizer, KerasObject):
            trained, states, compile_config = optimizer.last_fit or (None, {}, None)
            if trained and compile_config is not network.compile_config:
                check_optimizer(trained, states, network, self.report)
            optimizer.last_fit = (network, network.trainable_states(), network.compile_config)

    def _predict_or_evaluate(self, network: Network, name: str, config: dict[str, Any], line: int) -> None:
        data = self._dataset(config.get("x", UNKNOWN), config.get("y", UNKNOWN), line)
        if name == "predict" and data.read_lines:
            data.read_lines.predictions = line
        check_architecture(network, _image_node(data), self.report)
        if name == "evaluate" and data is not network.fit_data:
            check_augmented(data, self.report)


def activation_name(value: Any) -> Any:
    """The name of an activation, None or UNKNOWN."""
    if isinstance(value, Symbol):
        return value.name
    return value if value is None or isinstance(value, str) else UNKNOWN


def _call_at(line: int) -> ast.Call:
    """A call node for a line where the script has no call."""
    return ast.Call(func=ast.Name(id="", ctx=ast.Load()), args=[], keywords=[], lineno=line)


def _find_layer(network: Network, name: Any) -> Any:
    """``model.get_layer(name)``. Keras appends numbers and options to the names of models."""
    for layer in network.layers():
        if isinstance(name, str) and layer.name and name.lower().startswith(layer.name.lower()):
            return layer
    return ListedLayer(network, SOME_LAYERS)


def _may_set_learning_rate(callbacks: Any) -> bool:
    """Whether callbacks may set the learning rate, beginning with the first epoch."""
    if is_partial(callbacks):
        return True
    callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    return not all(
        callback is None or (isinstance(callback, KerasObject) and callback.kind != "LearningRateScheduler")
        for callback in callbacks
    )


def _image_node(data: Dataset) -> Node | None:
    return data.images.node if isinstance(data.images, Tensor) else None


def _nodes(value: Any) -> list[Node] | None:
    """The nodes of one tensor or a list of tensors; None for anything else."""
    tensors = value if isinstance(value, (list, tuple)) else [value]
    if is_partial(value) or not all(isinstance(tensor, Tensor) for tensor in tensors):
        return None
    return [tensor.node for tensor in tensors]
