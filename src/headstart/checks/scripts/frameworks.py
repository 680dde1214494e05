"""Recognizes scripts without Keras training, and what they use instead."""

import ast
from collections.abc import Iterator
from itertools import pairwise

from headstart.checks.scripts.sources import Sources

_FRAMEWORKS = {
    **dict.fromkeys(("torch", "torchvision", "timm", "fastai", "ignite"), "PyTorch"),
    **dict.fromkeys(("pytorch_lightning", "lightning", "ultralytics"), "PyTorch"),
    **dict.fromkeys(("jax", "flax", "haiku", "equinox", "optax"), "JAX"),
    **dict.fromkeys(("mxnet", "gluoncv", "paddle", "theano", "lasagne", "chainer", "caffe", "cntk", "tflearn"), ""),
    **dict.fromkeys(("transformers", "sentence_transformers", "setfit"), "Hugging Face"),
    **dict.fromkeys(("headstart", "spacy", "xgboost", "lightgbm", "catboost"), ""),
    "sklearn": "scikit-learn",
    "tensorflow": "TensorFlow without Keras",
}
"""Package -> name of the framework, those that decide first; empty if it has the name of the package."""

_DATA_MODULES = {"datasets", "utils", "preprocessing", "backend", "config", "src"}
"""Modules of Keras that are also used with other frameworks."""

_ARGUMENTS_OF_KERAS_1 = {
    **dict.fromkeys(("border_mode", "nb_filter", "nb_row", "nb_col", "dim_ordering", "W_regularizer"), "layer"),
    **dict.fromkeys(("b_regularizer", "W_constraint", "b_constraint", "subsample_length"), "layer"),
    **dict.fromkeys(("nb_epoch", "samples_per_epoch", "nb_val_samples", "val_samples"), "method"),
}
_METHODS_OF_KERAS_1 = {"fit", "fit_generator", "evaluate_generator", "predict_generator"}


def describe_other_framework(sources: Sources) -> str | None:
    """Say what a script uses instead of Keras 2 or 3; None if it uses Keras.

    Args:
        sources: the script. The modules that it imports from files beside it count, too.
    """
    if sources.language:
        return f"it is a notebook in the language {sources.language}"
    trees = sources.read_all()
    imports = {name: line for tree in reversed(trees) for name, line in _imports(tree)}
    keras_parts = {part for tree in trees for part in _parts_of_keras(tree)}
    frameworks = [name for name in _FRAMEWORKS if name in imports]
    if keras_parts - _DATA_MODULES or (keras_parts and not set(frameworks) - {"tensorflow", "sklearn"}):
        return _describe_keras_1(trees, sources)
    if frameworks:
        name = frameworks[0]
        label = f" ({_FRAMEWORKS[name]})" if _FRAMEWORKS[name] else ""
        return f"it imports {name}{label} in {sources.describe(imports[name])}"
    names = sorted(imports, key=imports.__getitem__)[:3]
    return f"it imports {', '.join(names) or 'nothing'}"


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The packages that a module imports, the first import of each last."""
    other_framework = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            other_framework += [(alias.name.partition(".")[0], node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            other_framework.append((node.module.partition(".")[0], node.lineno))
    return iter(sorted(other_framework, key=lambda item: item[1], reverse=True))


def _parts_of_keras(tree: ast.Module) -> Iterator[str]:
    """The modules or names of Keras that a script mentions: ``layers`` for ``tf.keras.layers.Dense``, ``*`` for all."""
    nodes = list(ast.walk(tree))
    owners = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            paths = [(f"{node.module or ''}.{alias.name}", alias.asname) for alias in node.names]
        elif isinstance(node, ast.Import):
            paths = [(alias.name, alias.asname) for alias in node.names]
        elif isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            paths = [(f"{owner}.{node.attr}", None if node in owners else "*")]
        else:
            continue
        for path, other_name in paths:
            parts = path.split(".")
            yield from (after for part, after in pairwise(parts) if _is_keras(part))
            is_renamed = other_name is not None and _is_keras(parts[-1]) and not _is_keras(other_name)
            if is_renamed or (parts[0] == "transformers" and parts[-1].startswith("TF")):  # its models for Keras
                yield "*"


def _is_keras(name: str) -> bool:
    """Whether a name is a package of Keras, such as ``tf_keras``, ``keras_hub`` or ``autokeras``."""
    return "keras" in name.lower()


def _describe_keras_1(trees: list[ast.Module], sources: Sources) -> str | None:
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: node.lineno):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        kind = "method" if name in _METHODS_OF_KERAS_1 else "layer" if name[:1].isupper() else ""
        old = [key.arg for key in call.keywords if key.arg and _ARGUMENTS_OF_KERAS_1.get(key.arg) == kind]
        sizes = [argument for argument in call.args if isinstance(argument, ast.Constant)]
        if name == "Convolution2D" and len(sizes) == len(call.args) >= 3:
            old.append("three numbers")
        if old:
            place = sources.describe(call.lineno)
            return f"it is code for Keras 1 ({name} with {old[0]} in {place}), which Keras 2 and 3 do not read"
    return None
