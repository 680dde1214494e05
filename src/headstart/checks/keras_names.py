"""Names of Keras and TensorFlow: aliases, names of arguments, and the objects that a script creates by these names."""

from dataclasses import dataclass
from typing import Any

from headstart.checks.network import APPLICATIONS, AUGMENTATION, WITHOUT_WEIGHTS

_KERAS_PREFIXES = (
    *("tensorflow.compat.v2.keras.", "tensorflow._api.v2.keras.", "tensorflow.python.keras.", "tensorflow.keras."),
    *("tf_keras.", "keras._tf_keras.keras.", "keras.api.", "keras.src.", "keras.legacy."),
)
_LIBRARY_PREFIXES = ("tensorflow.", "keras.", "numpy.", "tensorflow_datasets.")

_ARGUMENT_NAMES: dict[str, tuple[str, ...]] = {
    "Dense": ("units", "activation"),
    "Rescaling": ("scale", "offset"),
    "Resizing": ("height", "width"),
    "CenterCrop": ("height", "width"),
    "RandomCrop": ("height", "width"),
    "Activation": ("activation",),
    "Normalization": ("axis", "mean", "variance"),
    "Lambda": ("function",),
    "Input": ("shape",),
    "InputLayer": ("shape",),
    "Model": ("inputs", "outputs"),
    "Sequential": ("layers",),
    "SGD": ("learning_rate", "momentum"),
    "RMSprop": ("learning_rate",),
    "BinaryCrossentropy": ("from_logits",),
    "CategoricalCrossentropy": ("from_logits",),
    "SparseCategoricalCrossentropy": ("from_logits",),
    "BinaryAccuracy": ("name", "dtype", "threshold"),
    "Precision": ("thresholds",),
    "Recall": ("thresholds",),
    "image_dataset_from_directory": ("directory", "labels", "label_mode", "class_names", "color_mode", "batch_size"),
    "flow_from_directory": ("directory", "target_size", "color_mode", "classes", "class_mode", "batch_size", "shuffle"),
    "flow": ("x", "y", "batch_size", "shuffle"),
    "flow_from_dataframe": ("dataframe", "directory", "x_col", "y_col"),
    "to_categorical": ("y", "num_classes"),
    "one_hot": ("y", "num_classes"),
    "compile": ("optimizer", "loss"),
    "fit": ("x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data"),
    "evaluate": ("x", "y"),
    "predict": ("x",),
    "preprocess_input": ("x",),
    "shuffle": ("buffer_size", "seed", "reshuffle_each_iteration"),
    "map": ("map_func",),
    "set_value": ("x", "value"),
    "load": ("name", "split"),
    **dict.fromkeys(("decode_jpeg", "decode_bmp"), ("contents", "channels")),
    **dict.fromkeys(("decode_png", "decode_image"), ("contents", "channels", "dtype")),
    "list_files": ("file_pattern", "shuffle", "seed"),
    "load_img": ("path", "color_mode", "target_size"),
}
_OPTIMIZERS = ("Adam", "AdamW", "Nadam", "Adamax", "Adagrad", "Adadelta", "Lion", "Ftrl", "Lamb", "Muon")
_SCHEDULES = ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "PolynomialDecay", "InverseTimeDecay")
_ARGUMENT_NAMES |= dict.fromkeys(_OPTIMIZERS, ("learning_rate",))
_ARGUMENT_NAMES |= dict.fromkeys(_SCHEDULES, ("initial_learning_rate",))
_ARGUMENT_NAMES |= dict.fromkeys(APPLICATIONS, ("include_top", "weights", "input_tensor", "input_shape", "pooling"))
_ARGUMENT_NAMES |= {
    "MobileNet": ("input_shape", "alpha", "depth_multiplier", "dropout", "include_top", "weights", "input_tensor"),
    "MobileNetV2": ("input_shape", "alpha", "include_top", "weights", "input_tensor", "pooling", "classes"),
    "MobileNetV3Small": ("input_shape", "alpha", "minimalistic", "include_top", "weights", "input_tensor"),
    "MobileNetV3Large": ("input_shape", "alpha", "minimalistic", "include_top", "weights", "input_tensor"),
    "NASNetMobile": ("input_shape", "include_top", "weights", "input_tensor", "pooling", "classes"),
    "NASNetLarge": ("input_shape", "include_top", "weights", "input_tensor", "pooling", "classes"),
}
OPTIMIZERS = {name.lower(): name for name in (*_OPTIMIZERS, "SGD", "RMSprop")}
"""Optimizers by the string that ``compile`` accepts."""

DEFAULT_RATES = {"SGD": 0.01, "Adagrad": 0.001, "Adadelta": 0.001, "Lion": 0.001, "Ftrl": 0.001, "Muon": 0.001}
"""Default learning rates by optimizer; 0.001 for all others."""

SCHEDULES = set(_SCHEDULES)
CLASS_COUNTS = {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100}
"""Number of classes of the datasets in ``keras.datasets``."""

EARLIER_NAMES = {"fit_generator": "fit", "evaluate_generator": "evaluate", "predict_generator": "predict"}
"""Methods of models in older versions of Keras -> their present names."""


_LAYERS = (
    (WITHOUT_WEIGHTS | AUGMENTATION | {"Input", "Dense", "Conv2D", "SeparableConv2D", "DepthwiseConv2D", "Conv1D"})
    - {"preprocess_input", "cast", "random image function"}
) | {
    *("BatchNormalization", "LayerNormalization", "Normalization", "Embedding", "LSTM", "GRU", "Bidirectional"),
    *("Lambda", "Layer", "GlobalAvgPool2D", "GlobalMaxPool2D", "MaxPool2D", "AvgPool2D", "TimeDistributed"),
}
_NAMES_IN_MODULES = {
    "keras.layers": _LAYERS,
    "keras.models": {"Sequential", "Model"},
    "keras.applications": set(APPLICATIONS),
    "keras.optimizers": {*_OPTIMIZERS, "SGD", "RMSprop"},
    "keras.preprocessing.image": {"ImageDataGenerator", "load_img", "img_to_array"},
    "keras.utils": {"to_categorical", "load_img", "img_to_array", "image_dataset_from_directory"},
    "keras.losses": {"BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"},
}


@dataclass(frozen=True)
class Symbol:
    """An imported object by its canonical name, such as ``keras.layers.Dense``."""

    path: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


@dataclass(eq=False)
class KerasObject:
    """An optimizer, loss, metric, callback or image generator.

    Attributes:
        kind: its class in Keras.
        config: its arguments by name.
        line: where it was created; 0 in a model file.
        last_fit: for an optimizer: the network it trained last, what was trainable in it, and how it was compiled.
    """

    kind: str
    config: dict[str, Any]
    line: int
    last_fit: Any = None


def canonical_name(path: str) -> str:
    """The canonical name of an object that can be imported in several ways: ``keras.Model`` for ``tf.keras.Model``."""
    path = path + "."
    for prefix in _KERAS_PREFIXES:
        if path.startswith(prefix):
            path = "keras." + path[len(prefix) :]
    for module in ("losses", "optimizers", "metrics"):
        if path.startswith(f"tensorflow.{module}."):
            path = path.replace("tensorflow.", "keras.", 1)
    return path.replace(".layers.experimental.preprocessing.", ".layers.").rstrip(".")


def find_in_modules(name: str, modules: list[str]) -> Symbol | None:
    """The object of Keras that has this name after ``from MODULE import *``; None if it is not known."""
    owners = [module for module in modules if name in _NAMES_IN_MODULES.get(module, ())]
    owners += [module for module in modules if name == "preprocess_input" and module.startswith("keras.applications.")]
    return Symbol(f"{owners[-1]}.{name}") if owners else None


def is_library(path: str) -> bool:
    """Whether a name belongs to a library whose functions do not change the models they receive."""
    return f"{path}.".startswith(_LIBRARY_PREFIXES)


def bind_arguments(name: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name; positional arguments without a known name are omitted."""
    return {**dict(zip(_ARGUMENT_NAMES.get(name, ()), args, strict=False)), **kwargs}
