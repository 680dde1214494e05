"""A base: a pretrained model without its top, with its preprocessing, reader and provenance."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from headstart.data.examples import Example, check_pointer
from headstart.data.modalities import IMAGE, Modality
from headstart.data.readers import Reader
from headstart.data.resizing import OWN_RULE, Resize, ResizeRule
from headstart.errors import BadExample, InputError, field_name
from headstart.system.checksums import file_sha256
from headstart.system.keras_worker import INFERENCE_BACKEND

if TYPE_CHECKING:
    from headstart.data.audit import Finding
    from headstart.data.images import Decoder

DataFormat = Literal["channels_last", "channels_first"]


OWN = "own"
"""The tap that gives the base's own features."""

STD_EPSILON = 1e-6
"""Added to a variance before its square root, whose gradient is infinite at 0."""

_STD_POSITIONS = 14  # along the shorter side: finer maps are averaged first, which is faster and as good
_MOST_OTHER_TOKENS = 5  # beside those of patches: of the class, of the distillation, registers


@dataclass(frozen=True)
class Preprocessing:
    """The affine map from raw pixels (0 to 255, RGB) to the input a base was trained on: ``x * scale + offset``.

    Every published image preprocessing has this form: one number, or one per channel, after an optional swap of
    RGB to BGR. It is stored as data, so that it can be saved inside the model as ordinary Keras layers and is applied
    exactly once.

    Args:
        name: the name users know: ``[-1, 1]``, ``caffe``, ``torch``, ``built in`` …
        scale: multiplies the pixels; one number, or three in the base's channel order.
        offset: added after scaling; one number, or three in the base's channel order.
        bgr: whether the base expects its channels as BGR.
    """

    name: str
    scale: float | tuple[float, float, float] = 1.0
    offset: float | tuple[float, float, float] = 0.0
    bgr: bool = False

    def array(self, pixels: np.ndarray) -> np.ndarray:
        """Apply to pixels (..., h, w, 3) of any dtype; returns float32 of the same shape."""
        x = pixels.astype(np.float32)
        x = x[..., ::-1] if self.bgr else x
        return x * np.asarray(self.scale, np.float32) + np.asarray(self.offset, np.float32)

    def layer(self, x: Any, channel_axis: int = -1) -> Any:
        """Apply as Keras layers to a symbolic uint8 tensor (n, h, w, 3); returns float32."""
        import keras

        if self.bgr:
            x = keras.ops.flip(x, axis=channel_axis)
        scale, offset = (_per_channel(value, channel_axis) for value in (self.scale, self.offset))
        return keras.layers.Rescaling(scale, offset, name="preprocessing")(x)


def _per_channel(value: float | tuple[float, ...], channel_axis: int) -> Any:
    """The value in the shape that Keras's Rescaling needs: it broadcasts over the last axis only."""
    if not isinstance(value, tuple):
        return value
    return [[[v]] for v in value] if channel_axis == 1 else list(value)


@dataclass(frozen=True)
class BaseSpec:
    """Everything needed to load the same base again, in this process or another one, as plain data.

    Args:
        handle: canonical ``source:name``.
        weights: ``"imagenet"`` (the published ones), ``"none"`` (random) or the path of a weights file.
        input_size: (height, width) in pixels; None means the base's default.
        feature_layer: layer whose output is the features (``file:`` bases only); None means to find it.
        tuned_weights: a ``.npz`` of weights that replace those of the base, see :mod:`headstart.bases.derived`.
        last_block: block after which the base is truncated: its output is that block's output; None means features.
        words_folder: folder with the words and vectors that were selected for a data set (word vectors only).
        segmenter: file of the tokenizer that splits texts into words (word vectors only); None means at spaces.
        folder: with the base's files, where they come from a bundle; None means the source's own folder.
        taps: outputs of blocks that replace the base's own features, see :func:`headstart.bases.derived.with_taps`.
        sample_range: values that are black and white in images with more than 8 bits, see
            :mod:`headstart.data.bit_depth`.
        maps: blocks whose outputs are the features, see :func:`headstart.bases.maps.with_maps`.
    """

    handle: str
    weights: str = "imagenet"
    input_size: tuple[int, int] | None = None
    feature_layer: str | None = None
    tuned_weights: str | None = None
    last_block: str | None = None
    words_folder: str | None = None
    segmenter: str | None = None
    folder: str | None = None
    taps: tuple[str, ...] | None = None
    sample_range: tuple[float, float] | None = None
    maps: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """A dict that :meth:`from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "BaseSpec":
        """The inverse of :meth:`to_json`."""
        sequences = {name: value.get(name) for name in ("input_size", "taps", "sample_range", "maps")}
        return cls(**{**value, **{name: tuple(items) if items else None for name, items in sequences.items()}})


@dataclass(frozen=True, kw_only=True)
class Base(ABC):
    """A pretrained model without its top.

    Creating a Base imports neither Keras nor a backend; :meth:`model` does.

    Args:
        spec: how to load it again.
        build: ``build(include_top) -> keras.Model``, the network itself; reads the weights.
        weights_path: the file with the weights, or None for random ones.
        weights_sha256: digest of that file (hex), or the word ``random``.
        files: all files that loading needs, by their names in ``spec.folder``; empty if ``weights_path`` is the only
            one.
        tuned_weights_sha256: digest of the tuned weights (hex); None if ``spec`` has none.
        feature_dim: d; None if it is only known after building.
        licence: of the weights, where known.
        fine_tune_learning_rate: default learning rate for fine-tuning.
        fine_tune_epochs: default maximum number of epochs for fine-tuning.
        frozen_reason: why it cannot be fine-tuned; empty if it can.
        backends: Keras backends that can build it for inference, the one that starts fastest first.
    """

    modality: ClassVar[Modality]

    spec: BaseSpec
    build: Callable[[bool], Any] = field(repr=False, compare=False)
    weights_path: Path | None
    weights_sha256: str
    feature_dim: int | None = None
    licence: str = "see the source"
    tuned_weights_sha256: str | None = None
    fine_tune_learning_rate: float = 1e-3
    fine_tune_epochs: int = 6
    frozen_reason: str = ""
    backends: tuple[str, ...] = (INFERENCE_BACKEND, "tensorflow")
    files: Mapping[str, Path] = field(default_factory=dict, repr=False, compare=False)

    @property
    def handle(self) -> str:
        """The canonical ``source:name``."""
        return self.spec.handle

    @cached_property
    def digest(self) -> str:
        """Identifies what this base computes: hex SHA-256 over weights, architecture and input processing."""
        identity = {  # renaming a key would change every digest, and with it every entry of the feature cache
            "handle": self.handle,
            "cut": self.spec.feature_layer,
            "weights": self.weights_sha256,
            "tuned": self.tuned_weights_sha256,
            "ends_after": self.spec.last_block,
            "taps": self.spec.taps,
            **({"maps": self.spec.maps} if self.spec.maps else {}),
            **self._network_facts(),
            "keras": version("keras"),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @abstractmethod
    def input_facts(self) -> dict[str, Any]:
        """What it does with its input as plain data, of which a finished run makes a reader again."""

    @abstractmethod
    def _network_facts(self) -> dict[str, Any]:
        """The input processing that is part of the model, without the reader's part."""

    @abstractmethod
    def reader(self) -> Reader:
        """The reader that turns the content of an example into the model's input."""

    def save_reader(self, folder: Path) -> dict[str, Any] | None:
        """Write what the reader needs into the folder of a run.

        Returns:
            What ``run.json`` records as ``base.tokenizer``; None if the base has none.
        """
        return None

    def with_resize(self, resize: Resize | None) -> "Base":
        """The base with another way to resize images of another shape; None means its own.

        Raises:
            InputError: it takes no images, and something is set that applies to images only.
        """
        spec = self.spec
        values = {"input_size": spec.input_size, "resize": resize, "feature_layer": spec.feature_layer}
        names = [field_name(name) for name, value in values.items() if value]
        if names:
            verb, plural = "applies" if len(names) == 1 else "apply", self.modality.plural
            raise InputError(f"{' and '.join(names)} {verb} to images only, and {self.handle} is a base for {plural}.")
        return self

    def for_images(self) -> "ImageBase":
        """The base itself, as a base for images.

        Raises:
            InputError: it is not one.
        """
        raise InputError(f"{self.handle} is a base for {self.modality.plural}: expected a base for images.")

    def check_inputs(self, names: Sequence[str], examples: Sequence[Example]) -> "list[Finding]":
        """What an audit finds about examples, called by names, as inputs of this base."""
        return []

    @property
    def n_token_ids(self) -> int | None:
        """A number that all token ids in its input are below; None if its input is not token ids."""
        return None

    @property
    def pad_id(self) -> int:
        """Id of the padding among token ids."""
        return 0

    @property
    def can_learn_contrastively(self) -> bool:
        """Whether contrastive learning can train it on a few examples per class."""
        return False

    def batch_size_in_keras(self, typical: int) -> int:
        """How many examples Keras computes at once: a GPU is fastest on many, and has to hold their activations."""
        return typical

    @abstractmethod
    def input_tensors(self) -> tuple[Any, Any]:
        """A Keras input for the reader's output, and the tensor that the network takes, computed from that input."""

    @abstractmethod
    def pool(self, x: Any) -> Any:
        """The base's own features: the network's output as one vector per example, (n, d)."""

    @abstractmethod
    def pool_by(self, x: Any, pooling: str) -> Any:
        """The output of a block as one vector per example, (n, c).

        Args:
            x: the output.
            pooling: over positions: the ``mean``, the ``max`` or the standard deviation (``std``).
        """

    def features(self, x: Any) -> Any:
        """The network's output, or the outputs of the tapped blocks, as one vector per example, (n, d)."""
        import keras

        if self.spec.taps is None:
            return self.pool(x)
        blocks = tapped_blocks(self.spec.taps)
        outputs = dict(zip(blocks, x if len(blocks) > 1 else [x], strict=True))
        pooled = [
            self.pool_by(outputs[block], pooling) if block else self.pool(outputs[block])
            for block, pooling in map(split_tap, self.spec.taps)
        ]
        return keras.layers.Concatenate(name="taps")(pooled) if len(pooled) > 1 else pooled[0]

    @abstractmethod
    def model(self, *, include_top: bool = False, data_format: DataFormat = "channels_last") -> Any:
        """Build the frozen Keras model: from the reader's output to features (n, d).

        A truncated base returns the output of its last block instead, (n, h', w', c) for images.

        Every layer's ``trainable`` is False, so BatchNormalization runs in inference mode for any value of
        ``training``; the idiom ``base(x, training=False)`` alone does not ensure that (keras issue 20285).

        Args:
            include_top: keep the original classifier, which returns probabilities (n, classes).
            data_format: ``channels_first`` for engines that need (n, 3, h, w); the input shape changes with it.
        """


@dataclass(frozen=True, kw_only=True)
class ImageBase(Base):
    """A base for images: its model takes raw uint8 pixels (n, h, w, 3).

    Args:
        input_size: (height, width) in pixels.
        preprocessing: from raw pixels to the network's input.
        build: returns a model from preprocessed float32 images to feature maps (n, h', w', c) or class probabilities.
        resize: how an image of another shape is resized to ``input_size``.
        resize_rule: the details of that resize.
    """

    modality = IMAGE

    input_size: tuple[int, int]
    preprocessing: Preprocessing
    resize: Resize = "stretch"
    resize_rule: ResizeRule = OWN_RULE

    def with_resize(self, resize: Resize | None) -> "ImageBase":
        """The base with another way to resize images, in headstart's own rule."""
        return replace(self, resize=resize, resize_rule=OWN_RULE) if resize and resize != self.resize else self

    def for_images(self) -> "ImageBase":
        """The base itself."""
        return self

    def batch_size_in_keras(self, typical: int) -> int:
        """Fewer of larger images, and up to 128 of small ones."""
        h, w = self.input_size
        return max(1, min(128, typical * 320 * 320 // (h * w)))

    def input_facts(self) -> dict[str, Any]:
        """Size and preprocessing."""
        return {**self._network_facts(), "resize": self.resize, "resize_rule": self.resize_rule.to_json()}

    def _network_facts(self) -> dict[str, Any]:
        return {"input_size": list(self.input_size), "preprocessing": asdict(self.preprocessing)}

    def reader(self) -> "Decoder":
        """The decoder for this base's input size."""
        from headstart.data.images import Decoder

        return Decoder(self.input_size, self.resize, self.resize_rule, self.spec.sample_range)

    def input_tensors(self) -> tuple[Any, Any]:
        """A Keras input for pixels, and the preprocessed pixels."""
        import keras

        channels_first = keras.config.image_data_format() == "channels_first"
        h, w = self.input_size
        inputs = keras.Input((3, h, w) if channels_first else (h, w, 3), dtype="uint8", name="pixels")
        return inputs, self.preprocessing.layer(inputs, channel_axis=1 if channels_first else -1)

    def pool(self, x: Any) -> Any:
        """The mean over the positions of a feature map; a vector is returned unchanged."""
        import keras

        return keras.layers.GlobalAveragePooling2D(name="features")(x) if len(x.shape) > 2 else x

    def pool_by(self, x: Any, pooling: str) -> Any:
        """The mean, maximum or standard deviation over the positions of a feature map, or over tokens."""
        from keras import config, layers, ops

        if pooling == "std":
            is_turned = len(x.shape) == 4 and config.image_data_format() == "channels_first"
            axes = (2, 3) if is_turned else tuple(range(1, len(x.shape) - 1))
            factor = min(x.shape[axis] for axis in axes) // _STD_POSITIONS if len(x.shape) == 4 else 1
            x = layers.AveragePooling2D(factor)(x) if factor > 1 else x
            deviations = x - ops.mean(x, axis=axes, keepdims=True)
            return ops.sqrt(ops.mean(deviations * deviations, axis=axes) + STD_EPSILON)
        if len(x.shape) == 4:
            return (layers.GlobalAveragePooling2D if pooling == "mean" else layers.GlobalMaxPooling2D)()(x)
        over_tokens = layers.GlobalAveragePooling1D if pooling == "mean" else layers.GlobalMaxPooling1D
        return over_tokens(data_format="channels_last")(x)

    def features(self, x: Any) -> Any:
        """As :meth:`Base.features`; of a base with maps their values, one map after the other, (n, d)."""
        import keras

        if self.spec.maps is None:
            return super().features(x)
        maps = [self._as_map(level) for level in (x if isinstance(x, list | tuple) else [x])]
        # Not by `Flatten`: Keras's OpenVINO backend exports it for one image at a time.
        flat = [keras.ops.reshape(level, (-1, math.prod(level.shape[1:]))) for level in maps]
        return keras.layers.Concatenate(name="maps")(flat) if len(flat) > 1 else flat[0]

    def _as_map(self, x: Any) -> Any:
        """The output of a block as a map (n, h, w, c), or the tokens of its patches (n, h * w, c)."""
        import keras

        if len(x.shape) == 3 and (grid := token_grid(x.shape[1], self.input_size)):
            extra = x.shape[1] - grid[0] * grid[1]  # of the class, or registers: they come first
            return keras.layers.Cropping1D((extra, 0))(x) if extra else x
        is_turned = keras.config.image_data_format() == "channels_first"
        return keras.layers.Permute((2, 3, 1))(x) if is_turned else x

    def model(self, *, include_top: bool = False, data_format: DataFormat = "channels_last") -> Any:
        """Build the Keras model; see :meth:`Base.model`."""
        import keras

        channels_first = data_format == "channels_first"
        previous_format = keras.config.image_data_format()
        keras.config.set_image_data_format(data_format)
        try:
            network = self.build(include_top)
            network.trainable = False
            inputs, x = self.input_tensors()
            x = network(x, training=False)
            if self.spec.last_block is not None:
                x = keras.layers.Permute((2, 3, 1), name="channels_last")(x) if channels_first else x
            elif not include_top:
                x = self.features(x)
            return keras.Model(inputs, x, name="base")
        finally:
            keras.config.set_image_data_format(previous_format)


def token_grid(tokens: int, input_size: tuple[int, int]) -> tuple[int, int] | None:
    """(rows, columns) of the patches of a vision transformer; None if it cannot be told.

    Args:
        tokens: how many there are for one image, those of the class and registers among them.
        input_size: (height, width) in pixels.
    """
    for patch in (14, 16, 8, 32):
        rows, columns = input_size[0] // patch, input_size[1] // patch
        if 0 <= tokens - rows * columns <= _MOST_OTHER_TOKENS:
            return rows, columns
    return None


def split_tap(tap: str) -> tuple[str, str]:
    """The block and the pooling of a tap such as ``block5a:mean``; of :data:`OWN` the block is empty."""
    block, _, pooling = tap.rpartition(":")
    return block, pooling


def tapped_blocks(taps: Iterable[str]) -> list[str]:
    """The distinct blocks of the taps, in their order."""
    return list(dict.fromkeys(split_tap(tap)[0] for tap in taps))


def refuse_weights(spec: BaseSpec) -> None:
    """Check that the user chose no weights, for sources whose bases have weights of their own.

    Raises:
        InputError: the user chose other weights.
    """
    if spec.weights != "imagenet":
        raise InputError(
            f"{spec.weights} cannot be used with {spec.handle}, which has its own weights.", field="weights"
        )


def refuse_pointers(files: Iterable[Path]) -> None:
    """Check that files are there themselves, and not what a clone without Git LFS has in their place.

    Raises:
        InputError: one is not.
    """
    for path in filter(Path.is_file, files):
        with open(path, "rb") as file:
            try:
                check_pointer(file.read(100))
            except BadExample as exc:
                raise InputError(f"{path} is {exc}.") from exc


def read_licence(folder: Path) -> str:
    """The licence in the front matter of the model's own page, ``README.md``."""
    path = folder / "README.md"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    licence_line = next((line for line in lines[1:60] if line.startswith("license:")), "")
    return licence_line.partition(":")[2].strip() or "see the source"


def files_sha256(paths: Iterable[Path]) -> str:
    """Hex SHA-256 over the names and bytes of several files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()
