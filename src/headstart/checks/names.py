"""The names of Keras and TensorFlow: which of them mean the same, and what their arguments are called."""

from typing import Any

from headstart.checks.network import APPLICATIONS

_KERAS = (
    *("tensorflow.compat.v2.keras.", "tensorflow._api.v2.keras.", "tensorflow.python.keras.", "tensorflow.keras."),
    *("tf_keras.", "keras._tf_keras.keras.", "keras.api.", "keras.src.", "keras.legacy."),
)
_TENSORFLOW_LIKE = ("tensorflow.", "keras.", "numpy.", "tensorflow_datasets.")

_POSITIONS: dict[str, tuple[str, ...]] = {
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
}
_OPTIMIZERS = ("Adam", "AdamW", "Nadam", "Adamax", "Adagrad", "Adadelta", "Lion", "Ftrl", "Lamb", "Muon")
_SCHEDULES = ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "PolynomialDecay", "InverseTimeDecay")
_POSITIONS |= dict.fromkeys(_OPTIMIZERS, ("learning_rate",))
_POSITIONS |= dict.fromkeys(_SCHEDULES, ("initial_learning_rate",))
_POSITIONS |= dict.fromkeys(APPLICATIONS, ("include_top", "weights", "input_tensor", "input_shape", "pooling"))
_POSITIONS |= {
    "MobileNet": ("input_shape", "alpha", "depth_multiplier", "dropout", "include_top", "weights", "input_tensor"),
    "MobileNetV2": ("input_shape", "alpha", "include_top", "weights", "input_tensor", "pooling", "classes"),
    "MobileNetV3Small": ("input_shape", "alpha", "minimalistic", "include_top", "weights", "input_tensor"),
    "MobileNetV3Large": ("input_shape", "alpha", "minimalistic", "include_top", "weights", "input_tensor"),
    "NASNetMobile": ("input_shape", "include_top", "weights", "input_tensor", "pooling", "classes"),
    "NASNetLarge": ("input_shape", "include_top", "weights", "input_tensor", "pooling", "classes"),
}
OPTIMIZERS = {name.lower(): name for name in (*_OPTIMIZERS, "SGD", "RMSprop")}
"""Optimizers by the string that ``compile`` takes."""

DEFAULT_RATES = {"SGD": 0.01, "Adagrad": 0.001, "Adadelta": 0.001, "Lion": 0.001, "Ftrl": 0.001, "Muon": 0.001}
"""Learning rates of optimizers that are given none; 0.001 for all others."""

SCHEDULES = set(_SCHEDULES)
CLASSES = {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100}
"""Classes of the data sets in ``keras.datasets``."""


EARLIER_NAMES = {"fit_generator": "fit", "evaluate_generator": "evaluate", "predict_generator": "predict"}
"""Methods of models that older versions of Keras had."""


def canonical(path: str) -> str:
    """The one name of what may be imported in several ways: of ``tensorflow.keras.Model``, ``keras.Model``."""
    path = path + "."
    for prefix in _KERAS:
        if path.startswith(prefix):
            path = "keras." + path[len(prefix) :]
    return path.replace(".layers.experimental.preprocessing.", ".layers.").rstrip(".")


def is_library(path: str) -> bool:
    """Whether a function of this name leaves the models that it is given as they are."""
    return f"{path}.".startswith(_TENSORFLOW_LIKE)


def bind(name: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name; positions that we do not know are left out."""
    return {**dict(zip(_POSITIONS.get(name, ()), args, strict=False)), **kwargs}
