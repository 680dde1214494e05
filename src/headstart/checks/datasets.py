"""Images with labels in a script: where they come from, and what their methods do."""

import ast
from typing import Any

from headstart.checks import data_rules
from headstart.checks.interpreter import Interpreter
from headstart.checks.names import CLASSES
from headstart.checks.network import UNKNOWN, Layer, Node
from headstart.checks.network_rules import Report
from headstart.checks.shapes import size_of
from headstart.checks.values import Dataset, Function, Labels, Made, Reads, Tensor, applied

_GENERATOR_AUGMENTS = (
    *("rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range", "brightness_range"),
    *("channel_shift_range", "horizontal_flip", "vertical_flip"),
)
_GENERATOR_STATISTICS = ("samplewise_center", "featurewise_center", "zca_whitening", "samplewise_std_normalization")
_SAME_ELEMENTS = ("batch", "prefetch", "repeat", "unbatch", "with_options", "rebatch", "ignore_errors")
_LABEL_MODES = {"int": "int", "categorical": "one-hot", "binary": "binary"}
_CLASS_MODES = {"sparse": "int", "categorical": "one-hot", "binary": "binary"}


class Datasets:
    """Makes data sets and answers for them.

    Args:
        report: takes what the rules find.
        interpreter: follows the functions that data sets are mapped with.
    """

    def __init__(self, report: Report, interpreter: Interpreter) -> None:
        self.report, self.interpreter = report, interpreter
        self._reads: list[Reads] = []
        self._directories: list[data_rules.Directory] = []

    def finish(self) -> None:
        """Look at what can be judged only when the whole script was seen."""
        for reads in self._reads:
            data_rules.check_order(reads, self.report)

    def arrays(self, name: str, line: int) -> Any:
        """``keras.datasets.NAME.load_data()``."""
        if name not in CLASSES:
            return UNKNOWN
        return tuple((_pixels(line), Labels("int", CLASSES[name])) for _ in ("train", "test"))

    def from_slices(self, given: Any, line: int) -> Dataset:
        """``Dataset.from_tensor_slices``."""
        images, labels = given if isinstance(given, tuple) and len(given) == 2 else (given, UNKNOWN)
        return Dataset(images, labels, object(), line=line)

    def from_directory(self, config: dict[str, Any], node: ast.Call) -> Any:
        """``image_dataset_from_directory``."""
        mode, names = config.get("label_mode", "int"), config.get("class_names")
        form = _LABEL_MODES.get(mode, UNKNOWN) if isinstance(mode, str) else UNKNOWN
        classes = len(names) if isinstance(names, (list, tuple)) else 2 if mode == "binary" else UNKNOWN
        size = size_of(config.get("image_size", (256, 256)))
        directory = data_rules.Directory.of(config, node, self.interpreter.sources)
        for earlier in self._directories:
            data_rules.check_split(earlier, directory, self.report)
        self._directories.append(directory)

        def part(origin: Any, **changes: Any) -> Dataset:
            images = _pixels(node.lineno, (*size, 3) if size else None)
            labels = UNKNOWN if mode is None else Labels(form, classes)
            return self._made(images, labels, origin, {**config, **changes}, node.lineno)

        # Of the two parts, Keras shuffles the first only.
        return (part(object()), part(object(), shuffle=False)) if config.get("subset") == "both" else part(directory)

    def from_tfds(self, config: dict[str, Any], line: int) -> Any:
        """``tensorflow_datasets.load``."""
        if config.get("as_supervised") is not True:
            return UNKNOWN

        def part(split: Any) -> Any:
            if isinstance(split, (list, tuple)):
                return tuple(part(one) for one in split)
            origin = (config.get("name"), split) if isinstance(split, str) else object()
            return Dataset(_pixels(line), Labels("int"), origin, line=line)

        loaded = part(config["split"]) if config.get("split") else UNKNOWN
        return (loaded, UNKNOWN) if config.get("with_info") else loaded

    def from_generator(self, generator: Made, name: str, config: dict[str, Any], node: ast.Call) -> Dataset:
        """``ImageDataGenerator.flow…``: images are augmented, then preprocessed, then rescaled."""
        images = self._generated(generator, config.get("x", UNKNOWN) if name == "flow" else _pixels(node.lineno), node)
        if name == "flow":
            return Dataset(images, config.get("y", UNKNOWN), object(), line=node.lineno)
        mode, names = config.get("class_mode", "categorical"), config.get("classes")
        form = _CLASS_MODES.get(mode, UNKNOWN) if isinstance(mode, str) else UNKNOWN
        labels = Labels(form, len(names) if isinstance(names, (list, tuple)) else UNKNOWN)
        key = object() if "dataframe" in name else data_rules.directory_key(config, node, self.interpreter.sources)
        return self._made(images, labels, (key, config.get("subset")), config, node.lineno)

    def _generated(self, generator: Made, images: Any, node: ast.Call) -> Tensor:
        made, line = generator.config, generator.line
        if not isinstance(images, Tensor) or any(made.get(option) for option in _GENERATOR_STATISTICS):
            images = applied(Layer("unknown"), [images], line)
        if any(made.get(option) for option in _GENERATOR_AUGMENTS):
            images = applied(Layer("random image function", {}, line), [images], line)
        function = made.get("preprocessing_function")
        if function is not None:
            result = self.interpreter.call(function, [images], {}, node)
            images = result if isinstance(result, Tensor) else applied(Layer("unknown"), [images], line)
        if made.get("rescale") is not None:
            images = applied(Layer("Rescaling", {"scale": made["rescale"]}, line), [images], line)
        return images

    def _made(self, images: Any, labels: Any, origin: Any, config: dict[str, Any], line: int) -> Dataset:
        reads = self._new_reads() if config.get("shuffle", True) is True else None
        return Dataset(images, labels, origin, reads=reads, line=line)

    def _new_reads(self) -> Reads:
        self._reads.append(Reads())
        return self._reads[-1]

    def method(self, dataset: Dataset, name: str, config: dict[str, Any], node: ast.Call) -> Any:
        """Call a method of a data set."""
        line = node.lineno
        if name == "map":
            return self._mapped(dataset, config.get("map_func", UNKNOWN), node)
        if name == "cache":
            data_rules.check_cached(dataset, line, self.report)
            return _derived(dataset, reshuffled=frozenset(), reads=None)
        if name == "shuffle":
            again = config.get("reshuffle_each_iteration", True) in (True, None)
            reshuffled = dataset.reshuffled | ({line} if again else set())
            return _derived(dataset, reshuffled=reshuffled, reads=dataset.reads or self._new_reads())
        if name in ("take", "skip", "shard", "filter"):
            divided = dataset.divided | dataset.reshuffled
            return _derived(dataset, parts=(*dataset.parts, (name, line)), divided=divided, reads=None)
        return _derived(dataset) if name in _SAME_ELEMENTS else UNKNOWN

    def _mapped(self, dataset: Dataset, function: Any, node: ast.Call) -> Dataset:
        elements = [dataset.images]
        if dataset.labels is not UNKNOWN or (isinstance(function, Function) and len(function.node.args.args) == 2):
            elements.append(dataset.labels)
        result = self.interpreter.call(function, elements, {}, node)
        if isinstance(result, tuple) and len(result) >= 2:
            return _derived(dataset, images=result[0], labels=result[1])
        if isinstance(result, Labels) and dataset.reads:
            dataset.reads.labels_line = node.lineno
        return _derived(dataset, images=result, labels=UNKNOWN)


def _pixels(line: int, shape: tuple[int, ...] | None = None) -> Tensor:
    """Raw images."""
    return Tensor(Node(Layer("pixels"), line=line, shape=shape))


def _derived(dataset: Dataset, **changes: Any) -> Dataset:
    return Dataset(**{**vars(dataset), **changes})
