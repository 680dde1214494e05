"""Creates the datasets of a script, and follows what their methods do."""

import ast
from typing import Any

from headstart.checks.dataset import Dataset, Labels, ReadLines, Tensor, apply_layer
from headstart.checks.keras_names import CLASS_COUNTS, KerasObject
from headstart.checks.network import UNKNOWN, Layer
from headstart.checks.rules.catalog import Report
from headstart.checks.rules.data import DirectoryCall, check_cached, check_order, check_split
from headstart.checks.scripts.images import raw_images
from headstart.checks.scripts.interpreter import Interpreter
from headstart.checks.scripts.plain import length
from headstart.checks.scripts.sources import Sources
from headstart.checks.scripts.values import Function, Generator
from headstart.checks.shapes import parse_size

_GENERATOR_AUGMENTATIONS = (
    *("rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range", "brightness_range"),
    *("channel_shift_range", "horizontal_flip", "vertical_flip"),
)
_GENERATOR_STATISTICS = ("samplewise_center", "featurewise_center", "zca_whitening", "samplewise_std_normalization")
_ELEMENT_PRESERVING = ("batch", "prefetch", "repeat", "unbatch", "with_options", "rebatch", "ignore_errors")
_LABEL_MODES = {"int": "int", "categorical": "one-hot", "binary": "binary"}
_CLASS_MODES = {"sparse": "int", "categorical": "one-hot", "binary": "binary"}


class Datasets:
    """Creates datasets, and calls their methods.

    Args:
        report: receives the mistakes.
        interpreter: executes the functions that are passed to ``map``.
    """

    def __init__(self, report: Report, interpreter: Interpreter) -> None:
        self.report, self.interpreter = report, interpreter
        self._read_lines: list[ReadLines] = []
        self._directory_calls: list[DirectoryCall] = []

    def finish(self) -> None:
        """Check what is known only at the end of the script."""
        for read_lines in self._read_lines:
            check_order(read_lines, self.report)

    def load_arrays(self, name: str, line: int) -> Any:
        """``keras.datasets.NAME.load_data()``."""
        if name not in CLASS_COUNTS:
            return UNKNOWN
        return tuple(
            (raw_images(line, None, dtype="int"), Labels("int", CLASS_COUNTS[name])) for _ in ("train", "test")
        )

    def from_slices(self, slices: Any, line: int) -> Dataset:
        """``Dataset.from_tensor_slices``."""
        images, labels = slices if isinstance(slices, tuple) and len(slices) == 2 else (slices, UNKNOWN)
        return Dataset(images, labels, object(), line=line)

    def from_files(self, config: dict[str, Any], line: int) -> Dataset:
        """``Dataset.list_files``: shuffles by default, in another order each time, also with a seed."""
        if config.get("shuffle") not in (None, True):
            return Dataset(UNKNOWN, UNKNOWN, object(), line=line)
        return Dataset(
            UNKNOWN, UNKNOWN, object(), reshuffles=frozenset([line]), read_lines=self._new_read_lines(), line=line
        )

    def zipped(self, datasets: Any, line: int) -> Any:
        """``Dataset.zip((images, labels))``."""
        if not isinstance(datasets, (list, tuple)) or len(datasets) != 2:
            return UNKNOWN
        if not all(isinstance(dataset, Dataset) for dataset in datasets):
            return Dataset(UNKNOWN, UNKNOWN, object(), line=line)
        images, labels = datasets
        return Dataset(
            images=images.images,
            labels=labels.images if isinstance(labels.images, Labels) else labels.labels,
            origin=(images.origin, labels.origin),
            selections=images.selections,
            reshuffles=images.reshuffles | labels.reshuffles,
            reshuffles_before_split=images.reshuffles_before_split | labels.reshuffles_before_split,
            read_lines=images.read_lines,
            line=line,
        )

    def from_directory(self, config: dict[str, Any], node: ast.Call) -> Any:
        """``image_dataset_from_directory``."""
        mode, names = config.get("label_mode", "int"), config.get("class_names")
        form = _LABEL_MODES.get(mode, UNKNOWN) if isinstance(mode, str) else UNKNOWN
        class_count = 2 if mode == "binary" and not isinstance(names, (list, tuple)) else _count(names)
        size = parse_size(config.get("image_size", (256, 256)))
        call = DirectoryCall(
            directory=_directory_key(config, node, self.interpreter.sources),
            validation_split=config.get("validation_split"),
            subset=config.get("subset"),
            seed=config.get("seed"),
            shuffle=config.get("shuffle", True),
            line=node.lineno,
        )
        for earlier_call in self._directory_calls:
            check_split(earlier_call, call, self.report)
        self._directory_calls.append(call)

        def dataset(origin: Any, shuffle: Any) -> Dataset:
            images = raw_images(node.lineno, (*size, 3) if size else None, dtype="float")
            labels = UNKNOWN if mode is None else Labels(form, class_count)
            return self._new_dataset(images, labels, origin, shuffle, node.lineno)

        if config.get("subset") == "both":  # Keras shuffles the training split only
            return dataset(object(), call.shuffle), dataset(object(), False)
        return dataset(call, call.shuffle)

    def from_tfds(self, config: dict[str, Any], line: int) -> Any:
        """``tensorflow_datasets.load``."""
        if config.get("as_supervised") is not True:
            return UNKNOWN

        def dataset(split: Any) -> Any:
            if isinstance(split, (list, tuple)):
                return tuple(dataset(name) for name in split)
            origin = (config.get("name"), split) if isinstance(split, str) else object()
            return Dataset(raw_images(line, dtype="int"), Labels("int"), origin, line=line)

        loaded = dataset(config["split"]) if config.get("split") else UNKNOWN
        return (loaded, UNKNOWN) if config.get("with_info") else loaded

    def from_generator(self, generator: KerasObject, name: str, config: dict[str, Any], node: ast.Call) -> Dataset:
        """``ImageDataGenerator.flow…``: augments, calls the preprocessing function, and then rescales."""
        source = config.get("x", UNKNOWN) if name == "flow" else raw_images(node.lineno, None, dtype="float")
        images = self._generated_images(generator, source, node)
        if name == "flow":
            return Dataset(images, config.get("y", UNKNOWN), object(), line=node.lineno)
        mode, names = config.get("class_mode", "categorical"), config.get("classes")
        form = _CLASS_MODES.get(mode, UNKNOWN) if isinstance(mode, str) else UNKNOWN
        labels = Labels(form, _count(names))
        folder = object() if "dataframe" in name else _directory_key(config, node, self.interpreter.sources)
        origin = (folder, config.get("subset"))
        return self._new_dataset(images, labels, origin, config.get("shuffle", True), node.lineno)

    def _generated_images(self, generator: KerasObject, images: Any, node: ast.Call) -> Tensor:
        options, line = generator.config, generator.line
        if not isinstance(images, Tensor) or any(options.get(name) for name in _GENERATOR_STATISTICS):
            images = apply_layer(Layer("unknown"), [images], line)
        if any(options.get(name) for name in _GENERATOR_AUGMENTATIONS):
            images = apply_layer(Layer("random image function", {}, line), [images], line)
        function = options.get("preprocessing_function")
        if function is not None:
            result = self.interpreter.call(function, [images], {}, node)
            images = result if isinstance(result, Tensor) else apply_layer(Layer("unknown"), [images], line)
        if options.get("rescale") is not None:
            images = apply_layer(Layer("Rescaling", {"scale": options["rescale"]}, line), [images], line)
        return images

    def _new_dataset(self, images: Any, labels: Any, origin: Any, shuffle: Any, line: int) -> Dataset:
        read_lines = self._new_read_lines() if shuffle is True else None
        return Dataset(images, labels, origin, read_lines=read_lines, line=line)

    def _new_read_lines(self) -> ReadLines:
        self._read_lines.append(ReadLines())
        return self._read_lines[-1]

    def method(self, dataset: Dataset, name: str, config: dict[str, Any], node: ast.Call) -> Any:
        """Call a method of a dataset."""
        line = node.lineno
        if name == "map":
            return self._map(dataset, config.get("map_func", UNKNOWN), node)
        if name == "cache":
            check_cached(dataset, line, self.report)
            return _derive(dataset, reshuffles=frozenset(), read_lines=None)
        if name == "shuffle":
            is_repeated = config.get("reshuffle_each_iteration", True) in (True, None)
            reshuffles = dataset.reshuffles | ({line} if is_repeated else set())
            return _derive(dataset, reshuffles=reshuffles, read_lines=dataset.read_lines or self._new_read_lines())
        if name in ("take", "skip", "shard", "filter"):
            return _derive(
                dataset,
                selections=(*dataset.selections, (name, line)),
                reshuffles_before_split=dataset.reshuffles_before_split | dataset.reshuffles,
                read_lines=None,
            )
        return _derive(dataset) if name in _ELEMENT_PRESERVING else UNKNOWN

    def _map(self, dataset: Dataset, function: Any, node: ast.Call) -> Dataset:
        elements = [dataset.images]
        takes_labels = isinstance(function, Function) and _required_count(function) == 2
        if dataset.labels is not UNKNOWN or takes_labels:
            elements.append(dataset.labels)
        result = self.interpreter.call(function, elements, {}, node)
        if isinstance(result, tuple) and len(result) >= 2:
            return _derive(dataset, images=result[0], labels=result[1])
        if isinstance(result, Labels) and dataset.read_lines:
            dataset.read_lines.labels = node.lineno
        return _derive(dataset, images=result, labels=UNKNOWN)


def _directory_key(config: dict[str, Any], node: ast.Call, sources: Sources) -> Any:
    """A key that is equal for equal folders: a path, or an expression of names that have only one value each."""
    path = config.get("directory")
    if isinstance(path, str):
        return path
    arguments = [keyword.value for keyword in node.keywords if keyword.arg == "directory"] or node.args[:1]
    if not arguments:
        return object()
    names = {name.id for name in ast.walk(arguments[0]) if isinstance(name, ast.Name)}
    return ast.dump(arguments[0]) if names and not names & sources.reassigned_names() else object()


def _required_count(function: Function) -> int:
    """The number of positional arguments without a default."""
    return len(function.node.args.args) - len(function.node.args.defaults)


def yielded_dataset(generator: Any, origin: Any, line: int) -> Dataset:
    """A dataset of what a generator yields: images, or images and labels.

    Args:
        generator: a generator of the script; anything else has unknown elements.
        origin: of the data.
        line: where the dataset is created.
    """
    element = generator.element if isinstance(generator, Generator) else UNKNOWN
    images, labels = element[:2] if isinstance(element, tuple) and len(element) >= 2 else (element, UNKNOWN)
    return Dataset(images, labels, origin, line=line)


def _count(class_names: Any) -> Any:
    return length(class_names) if isinstance(class_names, (list, tuple)) else UNKNOWN


def _derive(dataset: Dataset, **changes: Any) -> Dataset:
    return Dataset(**{**vars(dataset), **changes})
