"""What the functions and classes of Keras and TensorFlow do, as far as the rules have to know it."""

import ast
from typing import Any

from headstart.checks.datasets import Datasets
from headstart.checks.interpreter import Interpreter
from headstart.checks.models import Models, activation_of
from headstart.checks.names import EARLIER_NAMES, bind, is_library
from headstart.checks.network import APPLICATIONS, UNKNOWN, Base, Layer, Network, Node
from headstart.checks.network_rules import Report
from headstart.checks.pixels import FAMILIES
from headstart.checks.shapes import size_of
from headstart.checks.values import Dataset, Element, Labels, LayersOf, Made, Method, RateOf, Tensor, applied

_AS_IT_IS = {
    *("array", "asarray", "expand_dims", "squeeze", "cast", "convert_to_tensor", "ensure_shape", "identity"),
    *("float32", "stack", "concatenate", "concat", "vstack", "img_to_array", "reshape"),
}
_METHODS_AS_IT_IS = {"astype", "numpy", "copy", "reshape", "set_shape", "flatten", "squeeze", "tolist"}
_OF_SEVERAL = {"concatenate", "concat", "stack", "vstack", "array"}
_DECODERS = {"decode_jpeg", "decode_png", "decode_image", "load_img"}
_RESIZERS = {"resize", "resize_with_pad", "resize_with_crop_or_pad", "smart_resize"}
_OBJECTS = ("keras.optimizers.", "keras.losses.", "keras.metrics.", "keras.callbacks.")
_HARMLESS = (
    *("matplotlib", "sklearn", "seaborn", "pandas", "os", "sys", "pathlib", "math", "random", "time", "json", "pickle"),
    *("joblib", "shutil", "logging", "itertools", "collections", "datetime", "argparse", "visualkeras"),
)


class Keras:
    """The library of :class:`headstart.checks.interpreter.Interpreter`.

    Args:
        report: takes what the rules find.
        interpreter: follows the functions that Keras is given.
    """

    def __init__(self, report: Report, interpreter: Interpreter) -> None:
        self.models, self.datasets = Models(report, interpreter), Datasets(report, interpreter)

    def finish(self) -> None:
        """Look at what can be judged only when the whole script was seen."""
        self.models.finish()
        self.datasets.finish()

    # --- the interpreter's questions -------------------------------------------------------------------------------

    def call(self, path: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call something imported."""
        name = path.rpartition(".")[2]
        config = bind(name, args, kwargs)
        make = self._keras if path.startswith("keras.") else self._other
        made = make(path, name, args, config, node)
        if made is UNKNOWN and not is_library(path) and not path.startswith(_HARMLESS):
            self.let_go([*args, *kwargs.values()], node.lineno)
        return made

    def method(self, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call a method of an object of the library, or the object itself (``__call__``)."""
        name, line = EARLIER_NAMES.get(name, name), node.lineno
        config = bind(name, args, kwargs)
        if isinstance(owner, Layer) and name == "__call__":
            return self.models.apply(owner, args, config, line)
        if isinstance(owner, Network):
            return self.models.method(owner, name, args, config, line)
        if isinstance(owner, Base):
            return self.models.base_method(owner, name, config, line)
        if isinstance(owner, Dataset):
            return self.datasets.method(owner, name, config, node)
        if isinstance(owner, Made) and owner.kind == "ImageDataGenerator" and name.startswith("flow"):
            return self.datasets.from_generator(owner, name, config, node)
        if isinstance(owner, RateOf) and name == "assign" and args:
            self.set_attribute(owner, "value", args[0], line)
        return owner if isinstance(owner, (Tensor, Labels)) and name in _METHODS_AS_IT_IS else UNKNOWN

    def attribute(self, owner: Any, name: str) -> Any:
        """An attribute of an object of the library."""
        if isinstance(owner, Network) and name == "optimizer":
            return RateOf(owner)
        if isinstance(owner, RateOf):
            return owner if name in ("learning_rate", "lr") else Method(owner, name)
        if isinstance(owner, (Element, Base, Network)) and name == "layers":
            return LayersOf(owner.owner, "some") if isinstance(owner, Element) else LayersOf(owner)
        if isinstance(owner, Element):
            return self.models.element_attribute(owner, name)
        if isinstance(owner, Layer):
            return self.models.attribute(owner, name)
        if isinstance(owner, Dataset) and name in ("classes", "labels"):
            return Labels(of=owner)
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
            owner.config["activation"] = activation_of(value)

    def subscript(self, owner: Any, index: Any) -> Any:
        """An element or a slice of an object of the library."""
        if isinstance(owner, LayersOf) and isinstance(index, slice):
            known = self.models.some_layers(owner.owner, index) if owner.part == "each" else None
            if known is not None:
                return known
            whole = index.start in (None, 0) and index.stop is None
            return owner if whole else LayersOf(owner.owner, "slice" if owner.part == "each" else "some")
        if isinstance(owner, LayersOf):
            return self.models.nth_layer(owner.owner, index) or Element(owner.owner, "some")
        if isinstance(owner, (Tensor, Labels)) and (index is UNKNOWN or isinstance(index, slice)):
            return _part(owner, masked=index is UNKNOWN)
        return UNKNOWN

    def arithmetic(self, operation: ast.operator, left: Any, right: Any, line: int) -> Any:
        """Calculate with images: a rescaling, if the other side is a number."""
        if not isinstance(left, Tensor):
            swaps = isinstance(operation, (ast.Add, ast.Mult)) and isinstance(right, Tensor)
            return self.arithmetic(operation, right, left, line) if swaps else UNKNOWN
        config: dict[str, Any] = {"scale": UNKNOWN, "offset": UNKNOWN}
        if isinstance(right, (int, float)):
            if isinstance(operation, ast.Div) and right:
                config = {"scale": 1 / right}
            elif isinstance(operation, ast.Mult):
                config = {"scale": right}
            elif isinstance(operation, (ast.Add, ast.Sub)):
                config = {"offset": right if isinstance(operation, ast.Add) else -right}
        return applied(Layer("Rescaling", config, line), [left], line)

    def let_go(self, values: list[Any], line: int) -> None:
        """Unknown code was given these: what is trainable in them, and how they are compiled, is not known any more."""
        for value in values:
            if isinstance(value, (list, tuple)):
                self.let_go(list(value), line)
            elif isinstance(value, Layer):
                value.set_trainable(UNKNOWN, "all", line)
                self.models.may_be_trained(value)
            if isinstance(value, Network):
                value.compiled = None

    def collected(self, value: Any, line: int) -> None:
        """Labels of a data set were put into a list, or given to a function, to be compared with predictions."""
        if isinstance(value, (list, tuple)):
            for one in value:
                self.collected(one, line)
        if isinstance(value, Labels) and value.of and value.of.reads:
            value.of.reads.labels_line = line

    # --- functions and classes -------------------------------------------------------------------------------------

    def _keras(self, path: str, name: str, args: list[Any], config: dict[str, Any], node: ast.Call) -> Any:
        line, family = node.lineno, path.split(".")[-2]
        if name in APPLICATIONS:
            return self.models.base(name, config, line)
        if name == "preprocess_input" and family in FAMILIES:
            return self._images(Layer(name, {"family": family}, line), config.get("x"), line)
        if path.startswith(("keras.layers.", "keras.Input", "keras.Sequential", "keras.Model", "keras.models.")):
            return self._model(name, config, line)
        if path.startswith(_OBJECTS) or name == "ImageDataGenerator":
            return Made(name, config, line)
        if name == "load_data":
            return self.datasets.arrays(family, line)
        if name == "image_dataset_from_directory":
            return self.datasets.from_directory(config, node)
        if name == "set_value" and isinstance(config.get("x"), RateOf):
            self.set_attribute(config["x"], "value", config.get("value"), line)
        return self._function(name, args, config, line)

    def _model(self, name: str, config: dict[str, Any], line: int) -> Any:
        if name in ("Input", "InputLayer"):
            return self.models.input(config, line)
        if name == "Sequential":
            return self.models.sequential(config.get("layers"), line)
        if name in ("Model", "Functional"):
            return self.models.functional(config, line)
        return self.models.layer(name, config, line) if name[:1].isupper() else UNKNOWN

    def _other(self, path: str, name: str, args: list[Any], config: dict[str, Any], node: ast.Call) -> Any:
        if path == "tensorflow.data.Dataset.from_tensor_slices" and args:
            return self.datasets.from_slices(args[0], node.lineno)
        if path == "tensorflow_datasets.load":
            return self.datasets.from_tfds(config, node.lineno)
        if name == "train_test_split":
            return [_part(value) for value in args for _ in range(2)]
        if path.startswith("sklearn.metrics."):
            self.collected(args, node.lineno)
        return self._function(name, args, config, node.lineno) if is_library(path) else UNKNOWN

    def _function(self, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
        """Functions of images and labels, wherever they come from."""
        first = args[0] if args else config.get("y", config.get("x", UNKNOWN))
        if name in _DECODERS:
            return Tensor(Node(Layer("pixels"), line=line)) if config.get("dtype") is None else UNKNOWN
        if name in _OF_SEVERAL and isinstance(first, (list, tuple)) and first:
            first = first[0]
        if isinstance(first, Labels) and name in ("to_categorical", "one_hot"):
            return Labels("one-hot", first.classes, first.of)
        if isinstance(first, (Tensor, Labels)) and name in _AS_IT_IS:
            return first
        if name.startswith(("random_", "stateless_random_")):
            return self._images(Layer("random image function", {}, line), first, line)
        if name in _RESIZERS:
            height, width = size_of(args[1] if len(args) > 1 else config.get("size")) or (None, None)
            return self._images(Layer("Resizing", {"height": height, "width": width}, line), first, line)
        if name == "convert_image_dtype" and isinstance(first, Tensor) and first.node.layer.kind == "pixels":
            return self._images(Layer("Rescaling", {"scale": 1 / 255}, line), first, line)
        return self._images(Layer("unknown", {}, line), first, line)

    def _images(self, layer: Layer, images: Any, line: int) -> Any:
        return applied(layer, [images], line) if isinstance(images, Tensor) else UNKNOWN


def _part(value: Any, *, masked: bool = False) -> Any:
    """Images or labels that are not the same as those that they are a part of; a mask may leave classes out."""
    if isinstance(value, Tensor):
        return Tensor(value.node)
    return Labels(value.form, UNKNOWN if masked else value.classes) if isinstance(value, Labels) else UNKNOWN
