"""A base: a pretrained model without its top, and everything that belongs to it."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from headstart.data.readers import Modality, Reader, Resize
from headstart.errors import InputError
from headstart.system.keras_worker import INFERENCE_BACKEND

if TYPE_CHECKING:
    from headstart.data.images import Decoder

DataFormat = Literal["channels_last", "channels_first"]


@dataclass(frozen=True)
class Preprocessing:
    """The affine map from raw pixels (0 to 255, RGB) to what a base was trained on: ``x * scale + offset``.

    Every published image preprocessing is of this form: one number, or one per channel, after an optional swap of
    RGB to BGR. Keeping it as data lets it travel inside the saved model as ordinary Keras layers, so that it is
    applied exactly once wherever the model goes.

    Args:
        name: what users call it: ``[-1, 1]``, ``caffe``, ``torch``, ``built in`` …
        scale: multiplies the pixels; one number, or three in the order of the base's own channels.
        offset: added after scaling; likewise.
        bgr: whether the base wants its channels as BGR.
    """

    name: str
    scale: float | tuple[float, float, float] = 1.0
    offset: float | tuple[float, float, float] = 0.0
    bgr: bool = False

    def array(self, pixels: np.ndarray) -> np.ndarray:
        """Apply to pixels (..., h, w, 3) of any dtype; gives float32 of the same shape."""
        x = pixels.astype(np.float32)
        x = x[..., ::-1] if self.bgr else x
        return x * np.asarray(self.scale, np.float32) + np.asarray(self.offset, np.float32)

    def layer(self, x: Any, channel_axis: int = -1) -> Any:
        """Apply as Keras layers to a symbolic uint8 tensor (n, h, w, 3); gives float32."""
        import keras

        if self.bgr:
            x = keras.ops.flip(x, axis=channel_axis)
        scale, offset = (_per_channel(value, channel_axis) for value in (self.scale, self.offset))
        return keras.layers.Rescaling(scale, offset, name="preprocessing")(x)


def _per_channel(value: float | tuple[float, ...], channel_axis: int) -> Any:
    """As Keras's Rescaling wants it: it lays out ``scale`` by the global data format, and ``offset`` not at all."""
    if not isinstance(value, tuple):
        return value
    return [[[v]] for v in value] if channel_axis == 1 else list(value)


@dataclass(frozen=True)
class BaseSpec:
    """What it takes to load the same base again, in this process or another: plain data.

    Args:
        handle: canonical ``source:name``.
        weights: ``"imagenet"`` (the published ones), ``"none"`` (random) or the path of a weights file.
        input_size: (height, width) in pixels; None means the base's default.
        cut: layer at which to remove the top (``file:`` bases only); None means to find it.
        tuned: a ``.npz`` of weights that replace those of the base, see :mod:`headstart.bases.derived`.
        ends_after: block after which the base ends, so that it gives that block's output; None means its features.
        words: folder with the words and vectors that were chosen for some data (word vectors only).
        words_by: file of the tokenizer that divides texts into words (word vectors only); None where spaces do.
        folder: with the base's files, where these are not in the source's own place (from a bundle).
        taps: what the features are instead of the base's own, see :func:`headstart.bases.derived.tapped`.
    """

    handle: str
    weights: str = "imagenet"
    input_size: tuple[int, int] | None = None
    cut: str | None = None
    tuned: str | None = None
    ends_after: str | None = None
    words: str | None = None
    words_by: str | None = None
    folder: str | None = None
    taps: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As a dict that :meth:`from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "BaseSpec":
        """The inverse of :meth:`to_json`."""
        size, taps = value.get("input_size"), value.get("taps")
        return cls(**{**value, "input_size": tuple(size) if size else None, "taps": tuple(taps) if taps else None})


@dataclass(frozen=True, kw_only=True)
class Base(ABC):
    """A pretrained model without its top.

    Nothing heavy happens until :meth:`model` is called; making a Base imports neither Keras nor a backend.

    Args:
        spec: how to load it again.
        build: ``build(include_top) -> keras.Model``, the network itself; reads the weights.
        weights_path: the file the weights come from, or None for random ones.
        weights_sha256: digest of that file (hex), or the word ``random``.
        files: all files that loading needs, by the names that they have in ``spec.folder``; empty where that is
            ``weights_path`` alone.
        tuned_sha256: digest of the tuned weights (hex), where ``spec`` names any.
        feature_dim: d, where known without building.
        licence: of the weights, where known.
        tuning_rate: learning rate to fine-tune with, unless told otherwise.
        tuning_epochs: likewise, for how long at most.
        frozen_because: why it cannot be fine-tuned; empty if it can.
        backends: Keras backends that can build it where nothing is trained, the one that starts fastest first.
    """

    modality: ClassVar[Modality]

    spec: BaseSpec
    build: Callable[[bool], Any] = field(repr=False, compare=False)
    weights_path: Path | None
    weights_sha256: str
    feature_dim: int | None = None
    licence: str = "see the source"
    tuned_sha256: str | None = None
    tuning_rate: float = 1e-3
    tuning_epochs: int = 6
    frozen_because: str = ""
    backends: tuple[str, ...] = (INFERENCE_BACKEND, "tensorflow")
    files: Mapping[str, Path] = field(default_factory=dict, repr=False, compare=False)

    @property
    def handle(self) -> str:
        """The canonical ``source:name``."""
        return self.spec.handle

    @cached_property
    def digest(self) -> str:
        """Identifies what this base computes: hex SHA-256 over weights, architecture and what becomes of its input."""
        identity = {
            "handle": self.handle,
            "cut": self.spec.cut,
            "weights": self.weights_sha256,
            "tuned": self.tuned_sha256,
            "ends_after": self.spec.ends_after,
            "taps": self.spec.taps,
            **self._network_facts(),
            "keras": version("keras"),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @abstractmethod
    def input_facts(self) -> dict[str, Any]:
        """What it does with its input as plain data, of which :func:`~headstart.data.readers.open_reader` makes one."""

    @abstractmethod
    def _network_facts(self) -> dict[str, Any]:
        """What of that is part of the model, and not of the reader."""

    @abstractmethod
    def reader(self) -> Reader:
        """What turns the content of an example into what the model takes."""

    @abstractmethod
    def start(self) -> tuple[Any, Any]:
        """A Keras input for what the reader gives, and what the network is to be given of it."""

    @abstractmethod
    def pool(self, x: Any) -> Any:
        """What the base's own features are: the network's output as one vector for each example, (n, d)."""

    @abstractmethod
    def pool_by(self, x: Any, pooling: str) -> Any:
        """The output of a block as one vector for each example, (n, c): the ``mean`` or the ``max`` of its places."""

    def features(self, x: Any) -> Any:
        """The network's output, or the outputs of the tapped blocks, as one vector for each example, (n, d)."""
        import keras

        if self.spec.taps is None:
            return self.pool(x)
        blocks = tapped_blocks(self.spec.taps)
        outputs = dict(zip(blocks, x if len(blocks) > 1 else [x], strict=True))
        pooled = [self.pool_by(outputs[block], pooling) for block, pooling in map(split_tap, self.spec.taps)]
        return keras.layers.Concatenate(name="taps")(pooled) if len(pooled) > 1 else pooled[0]

    @abstractmethod
    def model(self, *, include_top: bool = False, data_format: DataFormat = "channels_last") -> Any:
        """Build the Keras model, frozen: what the reader gives in, features (n, d) out.

        A base that ends early gives the output of its last block instead, (n, h', w', c) for images.

        Every layer's ``trainable`` is False, so BatchNormalization runs in inference mode whatever a caller passes
        for ``training``; the idiom ``base(x, training=False)`` alone does not ensure that (keras issue 20285).

        Args:
            include_top: keep the original classifier, giving probabilities (n, classes).
            data_format: ``channels_first`` is for engines that want (n, 3, h, w); the input changes shape with it.
        """


@dataclass(frozen=True, kw_only=True)
class ImageBase(Base):
    """A base for images: its model takes raw uint8 pixels (n, h, w, 3).

    Args:
        input_size: (height, width) in pixels.
        preprocessing: from raw pixels to the network's input.
        build: gives a model from preprocessed float32 images to feature maps (n, h', w', c), or to class probabilities.
        resize: how a photo of another shape becomes ``input_size``.
    """

    modality = "image"

    input_size: tuple[int, int]
    preprocessing: Preprocessing
    resize: Resize = "stretch"

    def input_facts(self) -> dict[str, Any]:
        """Size and preprocessing."""
        return {**self._network_facts(), "resize": self.resize}

    def _network_facts(self) -> dict[str, Any]:
        return {"input_size": list(self.input_size), "preprocessing": asdict(self.preprocessing)}

    def reader(self) -> "Decoder":
        """The one decoding path, for this base's size."""
        from headstart.data.images import Decoder

        return Decoder(self.input_size, self.resize)

    def start(self) -> tuple[Any, Any]:
        """A Keras input for pixels, and the preprocessed pixels."""
        import keras

        first = keras.config.image_data_format() == "channels_first"
        h, w = self.input_size
        inputs = keras.Input((3, h, w) if first else (h, w, 3), dtype="uint8", name="pixels")
        return inputs, self.preprocessing.layer(inputs, channel_axis=1 if first else -1)

    def pool(self, x: Any) -> Any:
        """The mean over the positions of a feature map; a vector as it is."""
        import keras

        return keras.layers.GlobalAveragePooling2D(name="features")(x) if len(x.shape) > 2 else x

    def pool_by(self, x: Any, pooling: str) -> Any:
        """The mean or maximum over the positions of a feature map, or over tokens."""
        from keras import layers

        if len(x.shape) == 4:
            return (layers.GlobalAveragePooling2D if pooling == "mean" else layers.GlobalMaxPooling2D)()(x)
        over_tokens = layers.GlobalAveragePooling1D if pooling == "mean" else layers.GlobalMaxPooling1D
        return over_tokens(data_format="channels_last")(x)

    def model(self, *, include_top: bool = False, data_format: DataFormat = "channels_last") -> Any:
        """Build the Keras model; see :meth:`Base.model`."""
        import keras

        first = data_format == "channels_first"
        before = keras.config.image_data_format()
        keras.config.set_image_data_format(data_format)
        try:
            network = self.build(include_top)
            network.trainable = False
            inputs, x = self.start()
            x = network(x, training=False)
            if self.spec.ends_after is not None:
                x = keras.layers.Permute((2, 3, 1), name="channels_last")(x) if first else x
            elif not include_top:
                x = self.features(x)
            return keras.Model(inputs, x, name="base")
        finally:
            keras.config.set_image_data_format(before)


def split_tap(tap: str) -> tuple[str, str]:
    """Block and pooling of a tap such as ``block5a:mean``."""
    block, _, pooling = tap.rpartition(":")
    return block, pooling


def tapped_blocks(taps: Iterable[str]) -> list[str]:
    """The blocks of some taps, in their order."""
    return list(dict.fromkeys(split_tap(tap)[0] for tap in taps))


def refuse_weights(spec: BaseSpec) -> None:
    """For sources whose bases bring their own weights.

    Raises:
        InputError: others are asked for.
    """
    if spec.weights != "imagenet":
        raise InputError(f"--weights {spec.weights} cannot be used with {spec.handle}: it brings its own weights.")


def stated_licence(folder: Path) -> str:
    """As the front matter of the model's own page, ``README.md``, states it."""
    path = folder / "README.md"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    stated = next((line for line in lines[1:60] if line.startswith("license:")), "")
    return stated.partition(":")[2].strip() or "see the source"


def files_sha256(paths: Iterable[Path]) -> str:
    """Hex SHA-256 over the names and bytes of several files."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + bytes.fromhex(file_sha256(path)))
    return whole.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
