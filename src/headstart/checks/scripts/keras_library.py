"""What the functions and classes of Keras and TensorFlow do, as far as the rules need it."""

import ast
from dataclasses import replace
from typing import Any

from headstart.checks.dataset import Dataset, Labels, Tensor, apply_layer
from headstart.checks.keras_names import EARLIER_NAMES, KerasObject, bind_arguments, is_library
from headstart.checks.network import (
    APPLICATIONS,
    LAYER_SLICE,
    SOME_LAYERS,
    UNKNOWN,
    WHOLE_MODEL,
    Base,
    Layer,
    Network,
)
from headstart.checks.pixels import FAMILIES
from headstart.checks.rules.catalog import Report
from headstart.checks.scripts import images
from headstart.checks.scripts.custom_loops import CustomLoops
from headstart.checks.scripts.datasets import Datasets, yielded_dataset
from headstart.checks.scripts.interpreter import Interpreter
from headstart.checks.scripts.models import Models, activation_name
from headstart.checks.scripts.values import LayerList, LearningRate, ListedLayer, Method

_LABEL_PRESERVING_FUNCTIONS = {
    *("array", "asarray", "expand_dims", "squeeze", "cast", "convert_to_tensor", "identity", "stack", "concatenate"),
    *("concat", "reshape", "float32"),
}
_LABEL_PRESERVING_METHODS = {"astype", "numpy", "copy", "reshape", "flatten", "squeeze", "tolist"}
_OPERATIONS: dict[str, ast.operator] = {
    **dict.fromkeys(("divide", "true_divide", "truediv"), ast.Div()),
    "multiply": ast.Mult(),
    "subtract": ast.Sub(),
    "add": ast.Add(),
}
_ACTIVATIONS = {"softmax", "sigmoid", "relu", "log_softmax"}
_IMAGE_LIBRARIES = ("cv2.", "PIL.", "skimage.", "imageio.")
_COMPARISONS = ("pandas.DataFrame", "pandas.crosstab", "pandas.Series", "tensorflow.math.confusion_matrix")
_OBJECT_MODULES = ("keras.optimizers.", "keras.losses.", "keras.metrics.", "keras.callbacks.")
_MODEL_PRESERVING_LIBRARIES = (
    *("matplotlib", "sklearn", "seaborn", "pandas", "os", "sys", "pathlib", "math", "random", "time", "json", "pickle"),
    *("joblib", "shutil", "logging", "itertools", "collections", "datetime", "argparse", "visualkeras"),
)


class KerasLibrary:
    """The library of :class:`headstart.checks.scripts.interpreter.Interpreter`.

    Args:
        report: receives the mistakes.
        interpreter: executes the functions that are passed to Keras.
    """

    def __init__(self, report: Report, interpreter: Interpreter) -> None:
        self.models, self.datasets = Models(report, interpreter), Datasets(report, interpreter)
        self.loops, self._interpreter = CustomLoops(report), interpreter

    def finish(self) -> None:
        """Check what is known only at the end of the script."""
        self.models.finish()
        self.datasets.finish()

    # --- calls of the interpreter ------------------------------------------------------------------------------------

    def call(self, path: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call an imported function or class."""
        name = path.rpartition(".")[2]
        config = bind_arguments(name, args, kwargs)
        call = self._call_keras if path.startswith("keras.") else self._call_other
        result = call(path, name, args, config, node)
        if result is UNKNOWN and not is_library(path) and not path.startswith(_MODEL_PRESERVING_LIBRARIES):
            self.mark_as_changed([*args, *kwargs.values()], node.lineno)
        return result

    def method(self, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call a method of an object of the library, or the object itself (``__call__``)."""
        name, line = EARLIER_NAMES.get(name, name), node.lineno
        config = bind_arguments(name, args, kwargs)
        if isinstance(owner, Layer) and name == "__call__":
            return self.models.apply(owner, args, config, line)
        if isinstance(owner, Network):
            return self.models.method(owner, name, args, config, line)
        if isinstance(owner, Base):
            return self.models.base_method(owner, name, config, line)
        if isinstance(owner, Dataset):
            return self.datasets.method(owner, name, config, node)
        if isinstance(owner, KerasObject) and owner.kind == "ImageDataGenerator" and name.startswith("flow"):
            return self.datasets.from_generator(owner, name, config, node)
        if isinstance(owner, LearningRate) and name == "assign" and args:
            self.set_attribute(owner, "value", args[0], line)
        if isinstance(owner, KerasObject):
            self.loops.call(owner, name, args, config, line)
        if isinstance(owner, Tensor):
            return images.call_method(owner, name, args, config, line)
        return owner if isinstance(owner, Labels) and name in _LABEL_PRESERVING_METHODS else UNKNOWN

    def attribute(self, owner: Any, name: str) -> Any:
        """An attribute of an object of the library."""
        if isinstance(owner, Network) and name == "optimizer":
            return LearningRate(owner)
        if isinstance(owner, LearningRate):
            return owner if name in ("learning_rate", "lr") else Method(owner, name)
        if isinstance(owner, ListedLayer):
            return self._listed_layer_attribute(owner, name)
        if isinstance(owner, (Base, Network)) and name == "layers":
            return LayerList(owner)
        if isinstance(owner, Layer):
            return self.models.attribute(owner, name)
        if isinstance(owner, Dataset) and name in ("classes", "labels", "filenames", "filepaths", "file_paths"):
            return Labels(dataset=owner, is_in_file_order=True)
        return Method(owner, name)

    def _listed_layer_attribute(self, layer: ListedLayer, name: str) -> Any:
        if name == "layers":
            return LayerList(layer.model, SOME_LAYERS)
        return self.models.listed_layer_attribute(layer, name)

    def set_attribute(self, owner: Any, name: str, value: Any, line: int) -> None:
        """Set an attribute of an object of the library."""
        if name == "trainable":
            value = value if isinstance(value, bool) else UNKNOWN
            if isinstance(owner, Layer):
                owner.set_trainable(value, WHOLE_MODEL, line)
            elif isinstance(owner, ListedLayer):
                owner.model.set_trainable(value, owner.selection, line)
        elif isinstance(owner, LearningRate) and owner.network.compile_config:
            owner.network.compile_config.learning_rate = value if isinstance(value, float) else UNKNOWN
        elif isinstance(owner, Layer) and name == "activation":
            owner.config["activation"] = activation_name(value)

    def subscript(self, owner: Any, index: Any) -> Any:
        """An element or a slice of an object of the library."""
        if isinstance(owner, LayerList):
            return self._layers_at(owner, index)
        if isinstance(owner, Tensor):
            return images.index_images(owner, index)
        if isinstance(owner, Labels) and isinstance(index, slice):
            return replace(owner)
        if isinstance(owner, Labels) and index is UNKNOWN:
            return _subset(owner, is_masked=True)
        return UNKNOWN

    def set_item(self, owner: Any, index: Any, value: Any) -> None:
        """Assign a value to an element or a part of an object of the library."""
        if isinstance(owner, Tensor):
            images.set_images(owner, index, value)

    def _layers_at(self, layers: LayerList, index: Any) -> Any:
        if not isinstance(index, slice):
            return self.models.layer_at(layers.model, index) or ListedLayer(layers.model, SOME_LAYERS)
        is_each = layers.selection.extent == "each"
        known_layers = self.models.layers_in_slice(layers.model, index) if is_each else None
        if known_layers is not None:
            return known_layers
        if index.start in (None, 0) and index.stop is None:
            return layers
        return LayerList(layers.model, LAYER_SLICE if is_each else SOME_LAYERS)

    def arithmetic(self, operation: ast.operator, left: Any, right: Any, line: int) -> Any:
        """Calculate with images: this is a rescaling if the other operand is a number."""
        if not isinstance(left, Tensor):
            is_commutative = isinstance(operation, (ast.Add, ast.Mult)) and isinstance(right, Tensor)
            return self.arithmetic(operation, right, left, line) if is_commutative else UNKNOWN
        config: dict[str, Any] = {"scale": UNKNOWN, "offset": UNKNOWN}
        if images.is_number_or_channels(right):
            config = images.rescaling(operation, right) or config
        return apply_layer(Layer("Rescaling", config, line), [left], line)

    def mark_as_changed(self, values: list[Any], line: int) -> None:
        """Unknown code received these values: what is trainable, and how models are compiled, is no longer known."""
        for value in values:
            if isinstance(value, (list, tuple)):
                self.mark_as_changed(list(value), line)
            elif isinstance(value, Layer):
                value.set_trainable(UNKNOWN, WHOLE_MODEL, line)
                self.models.mark_as_trained(value)
            if isinstance(value, Network):
                value.compile_config = None

    def mark_as_compared(self, values: list[Any], line: int) -> None:
        """Values are paired or compared element by element: labels or files of a dataset with something unknown."""
        labels = [value for value in values if isinstance(value, Labels) and value.is_in_file_order]
        if labels and any(value is UNKNOWN for value in values):
            self.mark_as_collected(labels, line)

    def mark_as_collected(self, value: Any, line: int) -> None:
        """Labels of a dataset were added to a list or passed to a metric, to be compared with predictions."""
        if isinstance(value, (list, tuple, dict)):
            for element in value.values() if isinstance(value, dict) else value:
                self.mark_as_collected(element, line)
        if isinstance(value, Labels) and value.dataset and value.dataset.read_lines:
            value.dataset.read_lines.labels = line

    # --- functions and classes -------------------------------------------------------------------------------------

    def _call_keras(self, path: str, name: str, args: list[Any], config: dict[str, Any], node: ast.Call) -> Any:
        line, family = node.lineno, path.split(".")[-2]
        if name in APPLICATIONS:
            return self.models.base(name, config, line)
        if name == "preprocess_input" and family in FAMILIES:
            return images.transform(Layer(name, {"family": family}, line), config.get("x"), line)
        if path.startswith(("keras.layers.", "keras.Input", "keras.Sequential", "keras.Model", "keras.models.")):
            return self._make_layer(name, config, line)
        is_class = name[:1].isupper() or not path.startswith(("keras.losses.", "keras.metrics."))
        if (path.startswith(_OBJECT_MODULES) and is_class) or name == "ImageDataGenerator":
            return KerasObject(name, config, line)
        if name == "load_data":
            return self.datasets.load_arrays(family, line)
        if name == "image_dataset_from_directory":
            return self.datasets.from_directory(config, node)
        if name == "set_value" and isinstance(config.get("x"), LearningRate):
            self.set_attribute(config["x"], "value", config.get("value"), line)
        return self._call_function(name, args, config, line)

    def _make_layer(self, name: str, config: dict[str, Any], line: int) -> Any:
        if name in ("Input", "InputLayer"):
            return self.models.input(config, line)
        if name == "Sequential":
            return self.models.sequential(config.get("layers"), line)
        if name in ("Model", "Functional"):
            return self.models.functional(config, line)
        return self.models.layer(name, config, line) if name[:1].isupper() else UNKNOWN

    def _call_other(self, path: str, name: str, args: list[Any], config: dict[str, Any], node: ast.Call) -> Any:
        if path.startswith("tensorflow.data."):
            return self._call_data(name, args, config, node)
        if path.endswith(("tensorflow.py_function", "tensorflow.numpy_function")):
            inputs = args[1] if len(args) > 1 else config.get("inp")
            function = args[0] if args else config.get("func")
            return self._interpreter.call(function, list(inputs) if isinstance(inputs, (list, tuple)) else [], {}, node)
        if path.startswith(_IMAGE_LIBRARIES):
            return images.call_library(path, args, config, node.lineno)
        if path == "tensorflow_datasets.load":
            return self.datasets.from_tfds(config, node.lineno)
        if name == "train_test_split":
            return [_subset(value) for value in args for _ in range(2)]
        if path.startswith("sklearn.metrics."):
            self.mark_as_collected([*args, *config.values()], node.lineno)
        if path in _COMPARISONS:
            tables = [value for value in (*args, *config.values()) if isinstance(value, dict)]
            columns = [column for table in tables for column in table.values()]
            self.mark_as_compared([*args, *config.values(), *columns], node.lineno)
        return self._call_function(name, args, config, node.lineno) if is_library(path) else UNKNOWN

    def _call_data(self, name: str, args: list[Any], config: dict[str, Any], node: ast.Call) -> Any:
        """Create a ``tf.data.Dataset``."""
        line = node.lineno
        if name == "from_tensor_slices" and args:
            return self.datasets.from_slices(args[0], line)
        if name == "list_files":
            return self.datasets.from_files(config, line)
        if name == "zip":
            return self.datasets.zipped(args[0] if len(args) == 1 else tuple(args), line)
        if name == "from_generator" and args:
            generator = self._interpreter.call(args[0], [], {}, node)
            return yielded_dataset(generator, object(), line)
        return yielded_dataset(UNKNOWN, object(), line) if name.endswith("Dataset") else UNKNOWN

    def _call_function(self, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
        """Call a function of images or labels, of any library."""
        first = args[0] if args else config.get("y", config.get("x", UNKNOWN))
        if name.endswith(("crossentropy", "_cross_entropy_with_logits")):
            self.loops.call_loss_function(name, args, config, line)
            return UNKNOWN
        if name in ("to_categorical", "one_hot"):
            count = config.get(
                "num_classes", config.get("depth", first.class_count if isinstance(first, Labels) else 0)
            )
            dataset = first.dataset if isinstance(first, Labels) else None
            return Labels("one-hot", count if type(count) is int and count else UNKNOWN, dataset)
        if isinstance(first, Labels) and name in _LABEL_PRESERVING_FUNCTIONS:
            return first
        if name in _OPERATIONS and len(args) == 2:
            return self.arithmetic(_OPERATIONS[name], args[0], args[1], line)
        if name in ("array", "asarray", "constant", "float32") and images.is_number_or_channels(first):
            return first
        if name in _ACTIVATIONS:
            return images.transform(Layer("Activation", {"activation": name}, line), first, line)
        return images.call_function(name, args, config, line)


def _subset(value: Any, *, is_masked: bool = False) -> Any:
    """Some of the images or labels; a mask may exclude classes."""
    if isinstance(value, Tensor):
        return Tensor(value.node)
    if isinstance(value, Labels):
        return Labels(value.form, UNKNOWN if is_masked else value.class_count)
    return UNKNOWN
