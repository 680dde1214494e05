"""What the functions and classes of Keras and TensorFlow do, as far as the rules have to know it."""

import ast
from typing import Any

from headstart.checks import data_rules
from headstart.checks.compiling import loss_of, optimizer_of, thresholded
from headstart.checks.names import CLASSES, bind, is_library
from headstart.checks.network import (
    APPLICATIONS,
    UNKNOWN,
    Base,
    Compiled,
    Layer,
    Network,
    Node,
)
from headstart.checks.network_rules import (
    Report,
    check_architecture,
    check_labels,
    check_outputs,
    check_slices,
    check_training,
)
from headstart.checks.pixels import FAMILIES
from headstart.checks.shapes import output_shape, shape_of, size_of
from headstart.checks.values import (
    Dataset,
    Element,
    Function,
    Labels,
    LayersOf,
    Made,
    Method,
    RateOf,
    Reads,
    Symbol,
    Tensor,
)

_GENERATOR_AUGMENTS = (
    *("rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range", "brightness_range"),
    *("channel_shift_range", "horizontal_flip", "vertical_flip"),
)
_AS_IT_IS = {
    *("array", "asarray", "expand_dims", "squeeze", "cast", "convert_to_tensor", "ensure_shape", "identity"),
    *("float32", "stack", "concatenate", "concat", "vstack", "img_to_array", "squeeze", "reshape"),
}
"""Functions, and methods of the same names, that leave values as they are."""

_METHODS_AS_IT_IS = {"astype", "numpy", "copy", "reshape", "set_shape", "flatten", "squeeze", "tolist"}
_DECODERS = {"decode_jpeg", "decode_png", "decode_image", "load_img"}
_HARMLESS = (
    *("matplotlib", "sklearn", "seaborn", "pandas", "os", "sys", "pathlib", "math", "random", "time", "json", "pickle"),
    *("joblib", "shutil", "logging", "itertools", "collections", "datetime", "argparse", "visualkeras"),
)


class Keras:
    """The library of :class:`headstart.checks.interpreter.Interpreter`.

    Args:
        report: takes what the rules find.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.interpreter: Any = None
        """Set by who makes both: it follows the functions that a data set is mapped with."""
        self._networks: list[Network] = []
        self._bases: list[Base] = []
        self._reads: list[Reads] = []
        self._directories: list[data_rules.Directory] = []

    def finish(self) -> None:
        """Look at what can be judged only when the whole script was seen."""
        for network in self._networks:
            check_architecture(network, None, self.report)
        for base in self._bases:
            check_slices(base, self.report)
        for reads in self._reads:
            data_rules.check_order(reads, self.report)

    # --- the interpreter's questions -------------------------------------------------------------------------------

    def call(self, path: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call something imported."""
        name, line = path.rpartition(".")[2], node.lineno
        config = bind(name, args, kwargs)
        if path.startswith("keras."):
            made = self._keras(path, name, args, config, node)
        else:
            made = self._other(path, name, args, config, line)
        if made is UNKNOWN and not is_library(path) and not path.startswith(_HARMLESS):
            self.let_go([*args, *kwargs.values()], line)
        return made

    def method(self, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call a method of an object of the library, or the object itself (``__call__``)."""
        config, line = bind(name, args, kwargs), node.lineno
        if isinstance(owner, Network) and name != "__call__":
            return self._network_method(owner, name, args, config, node)
        if isinstance(owner, Layer):
            return self._layer_method(owner, name, args, config, line)
        if isinstance(owner, Dataset):
            return self._dataset_method(owner, name, args, config, node)
        if isinstance(owner, Made) and owner.kind == "ImageDataGenerator" and name.startswith("flow"):
            return self._flow(owner, name, config, node)
        if isinstance(owner, RateOf) and name == "assign" and args:
            self.set_attribute(owner, "value", args[0], line)
        if isinstance(owner, (Tensor, Labels)) and name in _METHODS_AS_IT_IS:
            return owner
        return UNKNOWN

    def attribute(self, owner: Any, name: str) -> Any:
        """An attribute of an object of the library."""
        if isinstance(owner, Network) and name == "optimizer":
            return RateOf(owner)
        if isinstance(owner, RateOf):
            return owner if name in ("learning_rate", "lr") else Method(owner, name)
        if isinstance(owner, Element):
            return LayersOf(owner.owner, "some") if name == "layers" else self._element_attribute(owner, name)
        if isinstance(owner, (Base, Network)) and name == "layers":
            return LayersOf(owner)
        if isinstance(owner, Layer):
            return self._layer_attribute(owner, name)
        if isinstance(owner, Dataset) and name in ("classes", "labels"):
            self.collected(Labels(of=owner), owner.line)
            return UNKNOWN
        if isinstance(owner, Dataset) and name in ("class_names", "class_indices", "element_spec", "samples"):
            return UNKNOWN
        return Method(owner, name)

    def set_attribute(self, owner: Any, name: str, value: Any, line: int) -> None:
        """Set an attribute of an object of the library."""
        if name == "trainable":
            value = value if isinstance(value, bool) else UNKNOWN
            if isinstance(owner, Layer):
                owner.set_trainable(value, "all", line)
            elif isinstance(owner, Element):
                owner.owner.set_trainable(value, owner.part, line)
        elif isinstance(owner, RateOf) and owner.network.compiled:
            owner.network.compiled.learning_rate = value if isinstance(value, float) else UNKNOWN
        elif isinstance(owner, Layer) and name == "activation":
            owner.config["activation"] = _activation(value)

    def subscript(self, owner: Any, index: Any) -> Any:
        """An element or a slice of an object of the library."""
        if isinstance(owner, LayersOf):
            if isinstance(index, slice):
                whole = index.start in (None, 0) and index.stop is None
                return owner if whole else LayersOf(owner.owner, "slice" if owner.part == "each" else "some")
            layer = self._nth_layer(owner.owner, index)
            return layer or Element(owner.owner, "some")
        if isinstance(owner, (Tensor, Labels)) and (index is UNKNOWN or isinstance(index, slice)):
            return type(owner)(*vars(owner).values())
        return UNKNOWN

    def arithmetic(self, operation: ast.operator, left: Any, right: Any, line: int) -> Any:
        """Calculate with images: a rescaling, if the other side is a number."""
        if not isinstance(left, Tensor):
            swaps = isinstance(operation, (ast.Add, ast.Mult)) and isinstance(right, Tensor)
            return self.arithmetic(operation, right, left, line) if swaps else UNKNOWN
        config: dict[str, Any] = {"scale": UNKNOWN, "offset": UNKNOWN}
        if isinstance(right, (int, float)):
            by = float(right)
            if isinstance(operation, ast.Div) and by:
                config = {"scale": 1 / by, "offset": 0.0}
            elif isinstance(operation, ast.Mult):
                config = {"scale": by, "offset": 0.0}
            elif isinstance(operation, (ast.Add, ast.Sub)):
                config = {"scale": 1.0, "offset": by if isinstance(operation, ast.Add) else -by}
        return self._applied(Layer("Rescaling", config, line), [left], line)

    def let_go(self, values: list[Any], line: int) -> None:
        """Unknown code was given these: what is trainable in them, and how they are compiled, is not known any more."""
        for value in values:
            if isinstance(value, (list, tuple)):
                self.let_go(list(value), line)
            if isinstance(value, Layer):
                value.set_trainable(UNKNOWN, "all", line)
            if isinstance(value, Network):
                value.compiled = None

    def collected(self, value: Any, line: int) -> None:
        """Labels of a data set were put into a list, to be compared with predictions."""
        if isinstance(value, (list, tuple)):
            for one in value:
                self.collected(one, line)
        if isinstance(value, Labels) and value.of and value.of.reads:
            value.of.reads.labels_line = line

    # --- functions and classes -------------------------------------------------------------------------------------

    def _keras(self, path: str, name: str, args: list[Any], config: dict[str, Any], node: ast.Call) -> Any:
        line = node.lineno
        if path.startswith("keras.applications."):
            return self._application(path, name, config, line)
        if name in ("Input", "InputLayer"):
            return self._input(config, line)
        if name == "Sequential":
            return self._sequential(config.get("layers"), line)
        if name in ("Model", "Functional"):
            return self._model(config, line)
        if name == "load_data":
            return self._arrays(path.split(".")[-2], line)
        if name == "image_dataset_from_directory":
            return self._from_directory(config, node)
        if path.startswith(("keras.layers.", "keras.random.")):
            return _layer(name, config, line)
        if (
            path.startswith(("keras.optimizers.", "keras.losses.", "keras.metrics.", "keras.callbacks."))
            or name == "ImageDataGenerator"
        ):
            return Made(name, config, line)
        if name == "set_value" and isinstance(config.get("x"), RateOf):
            self.set_attribute(config["x"], "value", config.get("value"), line)
        return self._function(name, args, config, line)

    def _other(self, path: str, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
        if path == "tensorflow.data.Dataset.from_tensor_slices" and args:
            images, labels = args[0] if isinstance(args[0], tuple) and len(args[0]) == 2 else (args[0], UNKNOWN)
            return self._dataset(images, labels, origin=object(), line=line)
        if path == "tensorflow_datasets.load":
            return self._from_tfds(config, line)
        if name == "train_test_split":
            return [_another(value) for value in args for _ in range(2)]
        return self._function(name, args, config, line) if is_library(path) else UNKNOWN

    def _function(self, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
        """Functions of images and labels, wherever they come from."""
        first = args[0] if args else config.get("y", config.get("x", UNKNOWN))
        if name in _DECODERS:
            return Tensor(Node(Layer("pixels"), line=line)) if config.get("dtype") is None else UNKNOWN
        if name in ("to_categorical", "one_hot") and isinstance(first, Labels):
            return Labels("one-hot", first.classes if first.classes is not UNKNOWN else UNKNOWN, first.of)
        if isinstance(first, (list, tuple)) and first and name in ("concatenate", "concat", "stack", "vstack", "array"):
            first = first[0]
        if name in _AS_IT_IS and isinstance(first, (Tensor, Labels)):
            return first
        if not isinstance(first, Tensor):
            return UNKNOWN
        if name.startswith(("random_", "stateless_random_")):
            return self._applied(Layer("random image function", {}, line), [first], line)
        if name in ("resize", "resize_with_pad", "resize_with_crop_or_pad", "smart_resize"):
            size = size_of(args[1] if len(args) > 1 else config.get("size"))
            height, width = size or (None, None)
            return self._applied(Layer("Resizing", {"height": height, "width": width}, line), [first], line)
        if name == "convert_image_dtype" and first.node.layer.kind == "pixels":
            return self._applied(Layer("Rescaling", {"scale": 1 / 255}, line), [first], line)
        return self._applied(Layer("unknown", {}, line), [first], line)

    def _application(self, path: str, name: str, config: dict[str, Any], line: int) -> Any:
        family = path.split(".")[-2]
        if name == "preprocess_input" and family in FAMILIES:
            images = config.get("x", UNKNOWN)
            layer = Layer("preprocess_input", {"family": family}, line)
            return self._applied(layer, [images], line) if isinstance(images, Tensor) else UNKNOWN
        if name not in APPLICATIONS:
            return UNKNOWN
        known = "**" not in config
        weights = config.get("weights", "imagenet" if known else UNKNOWN)
        top = config.get("include_top", True if known else UNKNOWN)
        given = config.get("input_tensor")
        shape = shape_of(config.get("input_shape"))
        base = Base(
            kind=name,
            config=config,
            line=line,
            name=str(config.get("name") or name.lower()),
            facts=APPLICATIONS[name],
            weights=weights if weights is None or isinstance(weights, str) else UNKNOWN,
            top=bool(top) if isinstance(top, (bool, int)) else UNKNOWN,
            size=size_of(shape),
        )
        base.start = Node(Layer("InputLayer"), shape=shape)
        if isinstance(given, Tensor):
            base.start = given.node
        self._bases.append(base)
        return base

    def _input(self, config: dict[str, Any], line: int) -> Tensor:
        shape = shape_of(config.get("shape"))
        whole = shape_of(config.get("batch_shape"))
        return Tensor(Node(Layer("InputLayer", {}, line), line=line, shape=shape or (whole[1:] if whole else None)))

    def _sequential(self, layers: Any, line: int) -> Network:
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
        if isinstance(layer, Layer):
            shape = shape_of(layer.config.get("input_shape")) if not isinstance(layer, (Base, Network)) else None
            if not network.parts and shape:
                before[0].shape = shape
            after = self.method(layer, "__call__", [Tensor(before[0])], {}, _at(layer.line or line))
        else:
            after = UNKNOWN
        if not isinstance(after, Tensor):
            after = self._applied(Layer("unknown", {}, line), [Tensor(before[0])], line)
        network.parts.append((layer, before))
        network.outputs = [after.node]

    def _model(self, config: dict[str, Any], line: int) -> Any:
        inputs, outputs = (_tensors(config.get(name)) for name in ("inputs", "outputs"))
        if inputs is None or outputs is None:
            return UNKNOWN
        network = Network("Functional", {}, line, name=str(config.get("name") or ""))
        network.inputs, network.outputs = [one.node for one in inputs], [one.node for one in outputs]
        self._networks.append(network)
        return network

    def _arrays(self, name: str, line: int) -> Any:
        if name not in CLASSES:
            return UNKNOWN
        parts = []
        for part in ("train", "test"):
            dataset = Dataset(UNKNOWN, UNKNOWN, (name, part))
            parts.append((Tensor(Node(Layer("pixels"), line=line)), Labels("int", CLASSES[name], dataset)))
        return tuple(parts)

    def _dataset(self, images: Any, labels: Any, *, origin: Any, line: int, shuffled: bool = False) -> Dataset:
        return Dataset(images, labels, origin, reads=self._new_reads() if shuffled else None, line=line)

    def _new_reads(self) -> Reads:
        self._reads.append(Reads())
        return self._reads[-1]

    def _from_directory(self, config: dict[str, Any], node: ast.Call) -> Any:
        line = node.lineno
        mode = config.get("label_mode", "int")
        form = {"int": "int", "categorical": "one-hot", "binary": "binary"}.get(mode) if isinstance(mode, str) else None
        names = config.get("class_names")
        classes = len(names) if isinstance(names, (list, tuple)) else 2 if mode == "binary" else UNKNOWN
        size = size_of(config.get("image_size", (256, 256)))
        directory = data_rules.Directory.of(config, node, self.interpreter.tree)
        for earlier in self._directories:
            data_rules.check_division(earlier, directory, self.report)
        self._directories.append(directory)

        def part() -> Dataset:
            images = Tensor(Node(Layer("pixels"), line=line, shape=(*size, 3) if size else None))
            labels = Labels(form or UNKNOWN, classes)
            origin = directory if config.get("subset") != "both" else object()
            shuffled = config.get("shuffle", True) is True
            return self._dataset(images, labels, origin=origin, line=line, shuffled=shuffled)

        return (part(), part()) if config.get("subset") == "both" else part()

    def _from_tfds(self, config: dict[str, Any], line: int) -> Any:
        if config.get("as_supervised") is not True:
            return UNKNOWN

        def part(split: Any) -> Any:
            if isinstance(split, (list, tuple)):
                return tuple(part(one) for one in split)
            origin = (config.get("name"), split) if isinstance(split, str) else object()
            return self._dataset(Tensor(Node(Layer("pixels"), line=line)), Labels("int"), origin=origin, line=line)

        loaded = part(config["split"]) if config.get("split") else UNKNOWN
        return (loaded, UNKNOWN) if config.get("with_info") else loaded

    def _flow(self, generator: Made, name: str, config: dict[str, Any], node: ast.Call) -> Any:
        """Images out of an ImageDataGenerator: augmented, then preprocessed, then rescaled."""
        line, made = node.lineno, generator.config
        images = config.get("x", UNKNOWN) if name == "flow" else Tensor(Node(Layer("pixels"), line=line))
        if not isinstance(images, Tensor):
            images = Tensor(Node(Layer("unknown"), line=line))
        if any(made.get(option) for option in _GENERATOR_AUGMENTS):
            images = self._applied(Layer("random image function", {}, generator.line), [images], generator.line)
        function = made.get("preprocessing_function")
        if function is not None:
            result = self.interpreter.call(function, [images], {}, node) if function is not UNKNOWN else UNKNOWN
            images = result if isinstance(result, Tensor) else Tensor(Node(Layer("unknown"), line=line))
        if made.get("rescale") is not None:
            images = self._applied(Layer("Rescaling", {"scale": made["rescale"]}, generator.line), [images], line)
        if any(made.get(option) for option in ("samplewise_center", "featurewise_center", "zca_whitening")):
            images = Tensor(Node(Layer("unknown"), line=line))
        if name == "flow":
            return self._dataset(images, config.get("y", UNKNOWN), origin=object(), line=line)
        mode = config.get("class_mode", "categorical")
        form = {"categorical": "one-hot", "binary": "binary", "sparse": "int"}.get(mode) if mode else None
        classes = config.get("classes")
        labels = Labels(form or UNKNOWN, len(classes) if isinstance(classes, (list, tuple)) else UNKNOWN)
        key = data_rules.directory_key(config, node, self.interpreter.tree) if "directory" in name else object()
        shuffled = config.get("shuffle", True) is True
        return self._dataset(images, labels, origin=(key, config.get("subset")), line=line, shuffled=shuffled)

    # --- layers ----------------------------------------------------------------------------------------------------

    def _applied(self, layer: Layer, tensors: list[Any], line: int, training: Any = None) -> Tensor:
        nodes = [one.node if isinstance(one, Tensor) else Node(Layer("unknown"), line=line) for one in tensors]
        shape = output_shape(layer, [node.shape for node in nodes])
        return Tensor(Node(layer, nodes, training, line, shape))

    def _layer_method(self, layer: Layer, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
        if name == "__call__":
            function = layer.config.get("function")
            if layer.kind == "Lambda" and isinstance(function, (Function, Symbol)) and args:
                return self.interpreter.call(function, args[:1], {}, _at(line))
            tensors = args[0] if args and isinstance(args[0], (list, tuple)) else args[:1]
            return self._applied(layer, list(tensors), line, config.get("training"))
        if not isinstance(layer, Base):
            return UNKNOWN
        if name == "get_layer":
            return Element(layer, "some")
        if name == "load_weights":
            layer.weights = UNKNOWN
        if name in ("predict", "compile", "fit", "evaluate"):
            return self._network_method(self._whole(layer), name, args, config, _at(line))
        return UNKNOWN

    def _whole(self, base: Base) -> Network:
        """A base that is used as a model of its own."""
        network = Network("Functional", {}, base.line, base.name, base.trainable)
        network.inputs, network.outputs = [base.start], [self._output(base).node]
        return network

    def _output(self, base: Base, *, partial: bool = False) -> Tensor:
        shape = None if partial else output_shape(base, [base.start.shape])
        return Tensor(Node(base, [base.start], None, base.line, shape, inline=True, partial=partial))

    def _layer_attribute(self, layer: Layer, name: str) -> Any:
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

    def _element_attribute(self, element: Element, name: str) -> Any:
        if name == "output" and isinstance(element.owner, Base):
            return self._output(element.owner, partial=True)
        return UNKNOWN

    def _nth_layer(self, owner: Base | Network, index: Any) -> Layer | None:
        if not isinstance(owner, Network) or not isinstance(index, int):
            return None
        known = [layer for layer, _ in owner.parts]
        if not known:
            known = [owner.outputs[0].layer] if len(owner.outputs) == 1 and index == -1 else []
        layer = known[index] if -len(known) <= index < len(known) else None
        return layer if isinstance(layer, Layer) else None

    # --- networks --------------------------------------------------------------------------------------------------

    def _network_method(
        self, network: Network, name: str, args: list[Any], config: dict[str, Any], node: ast.Call
    ) -> Any:
        line = node.lineno
        if name == "add" and args:
            self._add(network, args[0], line)
        elif name == "pop" and network.parts:
            _, network.outputs = network.parts.pop()
        elif name == "get_layer":
            return self._named(network, args[0] if args else config.get("name"))
        elif name in ("load_weights", "set_weights"):
            for base, _ in network.bases():
                base.weights = UNKNOWN
        elif name == "compile":
            self._compile(network, config, line)
        elif name == "fit":
            self._fit(network, config, line)
        elif name in ("predict", "evaluate"):
            self._use(network, name, config, line)
        return UNKNOWN

    def _named(self, network: Network, name: Any) -> Any:
        for layer in network.layers():
            if isinstance(name, str) and layer.name and name.lower().startswith(layer.name.lower()):
                return layer
        return Element(network, "some")

    def _compile(self, network: Network, config: dict[str, Any], line: int) -> None:
        known = config if "**" not in config else {}
        optimizer, rate = optimizer_of(known.get("optimizer", "rmsprop" if known else UNKNOWN))
        loss, from_logits = loss_of(known.get("loss", UNKNOWN))
        network.compiled = Compiled(
            line,
            optimizer,
            rate,
            loss,
            from_logits,
            thresholded(known.get("metrics")),
            network.states(),
            known.get("optimizer"),
        )
        check_outputs(network, self.report)

    def _fit(self, network: Network, config: dict[str, Any], line: int) -> None:
        data = self._given(config.get("x", UNKNOWN), config.get("y", UNKNOWN))
        validation = config.get("validation_data")
        if isinstance(validation, tuple) and len(validation) >= 2:
            validation = self._given(*validation[:2])
        if _changes_rate(config.get("callbacks")) and network.compiled:
            network.compiled.learning_rate = UNKNOWN
        check_architecture(network, _images(data), self.report)
        check_training(network, line, self.report)
        if isinstance(data.labels, Labels):
            check_labels(network, data.labels.form, data.labels.classes, line, self.report)
        if isinstance(validation, Dataset):
            data_rules.check_validation(data, validation, line, self.report)
        self._check_optimizer(network)
        network.fitted_line, network.fitted_on = line, data

    def _check_optimizer(self, network: Network) -> None:
        optimizer = network.compiled.made if network.compiled else None
        if isinstance(optimizer, Made):
            if optimizer.fitted and optimizer.fitted[2] is not network.compiled:
                data_rules.check_optimizer(*optimizer.fitted[:2], network, self.report)
            optimizer.fitted = (network, network.states(), network.compiled)

    def _use(self, network: Network, name: str, config: dict[str, Any], line: int) -> None:
        data = self._given(config.get("x", UNKNOWN), config.get("y", UNKNOWN))
        if name == "predict" and data.reads:
            data.reads.predicted_line = line
        check_architecture(network, _images(data), self.report)
        if name == "evaluate" and data is not network.fitted_on:
            data_rules.check_augmented(data, self.report)

    def _given(self, x: Any, y: Any) -> Dataset:
        """What fit was given, as a data set."""
        return x if isinstance(x, Dataset) else Dataset(x, y, x if isinstance(x, Tensor) else object())

    # --- data sets -------------------------------------------------------------------------------------------------

    def _dataset_method(
        self, dataset: Dataset, name: str, args: list[Any], config: dict[str, Any], node: ast.Call
    ) -> Any:
        line = node.lineno
        if name == "map":
            return self._mapped(dataset, config.get("map_func", UNKNOWN), node)
        if name == "cache":
            data_rules.check_cached(dataset, line, self.report)
            return _derived(dataset, reshuffled=frozenset(), reads=None)
        if name == "shuffle":
            again = config.get("reshuffle_each_iteration", True)
            after = dataset.reshuffled | ({line} if again in (True, None) else set())
            return _derived(dataset, reshuffled=after, reads=dataset.reads or self._new_reads())
        if name in ("take", "skip", "shard", "filter"):
            parts = (*dataset.parts, (name, line))
            return _derived(dataset, parts=parts, divided=dataset.divided | dataset.reshuffled, reads=None)
        kept = name in ("batch", "prefetch", "repeat", "unbatch", "with_options", "rebatch", "ignore_errors")
        return _derived(dataset) if kept else UNKNOWN

    def _mapped(self, dataset: Dataset, function: Any, node: ast.Call) -> Any:
        elements = [dataset.images] if dataset.labels is UNKNOWN else [dataset.images, dataset.labels]
        if isinstance(function, Function) and len(function.node.args.args) == 2 and len(elements) == 1:
            elements.append(UNKNOWN)
        result = self.interpreter.call(function, elements, {}, node) if function is not UNKNOWN else UNKNOWN
        if isinstance(result, tuple) and len(result) >= 2:
            return _derived(dataset, images=result[0], labels=result[1])
        if isinstance(result, Labels):
            result = Labels(result.form, result.classes, dataset)
            self.collected(result, node.lineno)
        return _derived(dataset, images=result, labels=UNKNOWN)


def _at(line: int) -> ast.Call:
    """A call at a line, where the script has none."""
    return ast.Call(func=ast.Name(id="", ctx=ast.Load()), args=[], keywords=[], lineno=line)


def _layer(name: str, config: dict[str, Any], line: int) -> Layer:
    if "activation" in config:
        config = {**config, "activation": _activation(config["activation"])}
    layer = Layer(name, config, line, str(config.get("name") or ""))
    if "trainable" in config:
        layer.set_trainable(config["trainable"], "all", line)
    return layer


def _activation(value: Any) -> Any:
    """The name of an activation."""
    if isinstance(value, Symbol):
        return value.name
    if value is None or isinstance(value, str):
        return value
    return "softmax" if isinstance(value, Layer) and value.kind == "Softmax" else UNKNOWN


def _changes_rate(callbacks: Any) -> bool:
    """Whether callbacks may set the learning rate from the first epoch on."""
    several = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    known = [one.kind for one in several if isinstance(one, Made)]
    return "LearningRateScheduler" in known or len(known) < len([one for one in several if one is not None])


def _images(data: Dataset) -> Node | None:
    return data.images.node if isinstance(data.images, Tensor) else None


def _tensors(value: Any) -> list[Tensor] | None:
    several = value if isinstance(value, (list, tuple)) else [value]
    return list(several) if several and all(isinstance(one, Tensor) for one in several) else None


def _another(value: Any) -> Any:
    """A part of images or labels that has nothing in common with another part."""
    if isinstance(value, Tensor):
        return Tensor(Node(Layer("cast"), [value.node], line=value.node.line, shape=value.node.shape))
    return Labels(value.form, value.classes) if isinstance(value, Labels) else UNKNOWN


def _derived(dataset: Dataset, **changes: Any) -> Dataset:
    return Dataset(**{**vars(dataset), **changes})
