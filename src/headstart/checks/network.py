"""A network as far as it is known: layers applied to each other, from a script or from a model file.

What is not known is :data:`UNKNOWN`, and no rule speaks of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

from headstart.bases.keras_table import MODELS, Model


class Unknown(Enum):
    """A type for one value, so that checkers of types know it."""

    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = Unknown.UNKNOWN
SOME: Final = "some"
"""Trainable: some layers are, others are not."""

APPLICATIONS = {model.name: model for model in MODELS}
"""The models of Keras Applications by name."""

WITHOUT_BATCHNORM = {"VGG16", "VGG19", *(name for name in APPLICATIONS if name.startswith("ConvNeXt"))}
WITHOUT_WEIGHTS = {
    *("InputLayer", "Activation", "Softmax", "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout2D"),
    *("GaussianNoise", "GaussianDropout", "Flatten", "Reshape", "Permute", "Rescaling", "Resizing", "CenterCrop"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "AveragePooling2D", "MaxPooling2D", "ZeroPadding2D"),
    *("Concatenate", "Add", "Multiply", "Average", "Identity", "UpSampling2D", "preprocess_input", "cast"),
}
AUGMENTATION = {
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast", "RandomBrightness", "RandomTranslation"),
    *("RandomCrop", "RandomHeight", "RandomWidth", "RandomShear", "RandomHue", "RandomSaturation", "RandomErasing"),
    *("RandomColorJitter", "RandomColorDegeneration", "RandomGrayscale", "RandomPerspective", "RandomElasticTransform"),
    *("RandomGaussianBlur", "RandomSharpness", "RandomPosterization", "RandomInvert", "RandAugment", "AugMix"),
    *("AutoContrast", "Solarization", "Equalization", "CutMix", "MixUp", "random image function"),
}


@dataclass(eq=False)
class Trainable:
    """What has been said about a layer's ``trainable``, or about that of the layers in a base.

    Attributes:
        own: the attribute of the layer itself. In Keras 3 it counts for the model that is fitted, whose weights are all
            frozen if it is False; of a model inside that one the layers count.
        weights: True, False, :data:`SOME` or :data:`UNKNOWN`: of its layers but BatchNormalization.
        normalization: likewise of its BatchNormalization layers.
        idle_line: where a slice was set trainable although all layers were, or None.
        changed_line: where it was last set; 0 if it was not.
    """

    own: Any = True
    weights: Any = True
    normalization: Any = True
    idle_line: int | None = None
    changed_line: int = 0

    def set(self, value: Any, part: str, line: int) -> None:
        """Set it for a part of the layers.

        Args:
            value: True, False or :data:`UNKNOWN`.
            part: ``all`` (the model itself), ``each`` of its layers, a ``slice`` of them, or ``some`` that are not
                known; the last three also as in ``each normalization``, the BatchNormalization layers among them, and
                ``each others``, all but these.
            line: where.
        """
        self.changed_line = line
        if part == "all":
            self.own, self.idle_line = value, None
        extent, _, kind = part.partition(" ")
        if part == "slice" and value is True and self.weights is True:
            self.idle_line = line
        elif value is not True and kind != "normalization":
            self.idle_line = None
        if kind != "normalization":
            self.weights = _merged(self.weights, value, extent)
        if kind != "others":
            self.normalization = _merged(self.normalization, value, extent)


def _merged(before: Any, value: Any, extent: str) -> Any:
    """What is said of layers after it was set to ``value`` for this part of them."""
    if extent in ("all", "each") or before is value:
        return value
    return UNKNOWN if extent == "some" or UNKNOWN in (before, value) else SOME


@dataclass(eq=False)
class Layer:
    """A layer, or a function that does what a layer does.

    Attributes:
        kind: its class in Keras; ``preprocess_input``; ``cache`` of a data set; ``pixels``, raw images of 0 to 255;
            ``unknown``.
        config: its arguments by name.
        line: where it was made; 0 in a model file.
        name: as Keras calls it, where that is known.
        trainable: what was said of that.
    """

    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    line: int = 0
    name: str = ""
    trainable: Trainable = field(default_factory=Trainable)

    def set_trainable(self, value: Any, part: str, line: int) -> None:
        """See :meth:`Trainable.set`."""
        self.trainable.set(value, part, line)


@dataclass(eq=False)
class Node:
    """A layer applied to what other nodes give.

    Attributes:
        layer: the layer.
        inputs: one node for each tensor that it takes.
        training: the argument of the call: True, False, :data:`UNKNOWN`, or None if it was not given.
        line: where; 0 in a model file.
        shape: of its output for one example, such as (h, w, c); None where it is not known.
        partial: of a base: the output is that of a layer within it.
    """

    layer: Layer
    inputs: list["Node"] = field(default_factory=list)
    training: Any = None
    line: int = 0
    shape: tuple[int | None, ...] | None = None
    partial: bool = False


class Site(NamedTuple):
    """Where a node is.

    Attributes:
        node: the node.
        outside: what the input of each network around it is given, from the outermost to the innermost.
    """

    node: Node
    outside: tuple[list[Node], ...]

    def upstream(self) -> Iterator[Node]:
        """The node, and those before it back to the source, as long as each has one input.

        Nested networks are looked into. Where the way divides, the last node is of the kind ``unknown``.
        """
        node, waiting = self.node, list(self.outside)
        while True:
            layer, inputs = node.layer, node.inputs
            if isinstance(layer, Network):
                if len(layer.outputs) != 1:
                    yield Node(Layer("unknown"))
                    return
                waiting.append(inputs)
                node = layer.outputs[0]
                continue
            if layer.kind == "InputLayer" and not inputs and waiting:
                inputs = waiting.pop()
            else:
                yield node
            if len(inputs) != 1:
                if inputs:
                    yield Node(Layer("unknown"))
                return
            node = inputs[0]


@dataclass(eq=False)
class Base(Layer):
    """A model of Keras Applications.

    Attributes:
        facts: what is known of all such models.
        weights: ``imagenet``, a path, None for random ones, ``own`` for what they became, or :data:`UNKNOWN`.
        top: whether it has its top, or :data:`UNKNOWN`.
        size: height and width of its input, or None.
        start: its own input, for models that take in its layers one by one.
    """

    facts: Model = MODELS[0]
    weights: Any = "imagenet"
    top: Any = True
    size: tuple[int, int] | None = None
    start: Node = field(default_factory=lambda: Node(Layer("InputLayer")))

    @property
    def pretrained(self) -> bool:
        """Whether its weights are certainly those of another training."""
        return isinstance(self.weights, str) and self.weights != "own"

    def may_be_trained(self) -> None:
        """Random weights are none any more, once something has trained or loaded them."""
        self.weights = "own" if self.weights is None else self.weights

    @property
    def has_batchnorm(self) -> bool:
        """Whether any of its layers is a BatchNormalization."""
        return self.kind not in WITHOUT_BATCHNORM


@dataclass(eq=False)
class Compiled:
    """How a network was compiled; unknown parts are :data:`UNKNOWN`.

    Attributes:
        line: where; 0 in a model file.
        optimizer: class name.
        learning_rate: of the optimizer.
        loss: ``binary``, ``categorical`` or ``sparse`` crossentropy, ``other``.
        from_logits: whether the loss expects logits.
        metrics: names or classes of metrics that compare with a threshold of 0.5.
        made: the optimizer object of the script.
        fitted_states: what was trainable in the last fit since.
    """

    line: int = 0
    optimizer: Any = UNKNOWN
    learning_rate: Any = UNKNOWN
    loss: Any = UNKNOWN
    from_logits: Any = UNKNOWN
    metrics: tuple[str, ...] = ()
    made: Any = None
    fitted_states: dict[Layer, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(eq=False)
class Network(Layer):
    """A model: functional, or sequential, whose ``parts`` are its layers in order.

    Attributes:
        inputs: its input nodes.
        outputs: its output nodes; empty where they are not known.
        parts: of a sequential one, its layers and the outputs before each was added.
        compiled: how, or None.
        fitted_line: where it was last fitted; 0 if it was not.
        fitted_on: the data set.
    """

    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)
    compiled: Compiled | None = None
    fitted_line: int = 0
    fitted_on: Any = None

    def sites(self, outside: tuple[list[Node], ...] = ()) -> Iterator[Site]:
        """All its nodes, each with what surrounds it; after a nested network come its own nodes.

        Args:
            outside: what the network's input is given, from within: ``([images],)``.
        """
        waiting, seen = list(self.outputs), set()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            waiting += node.inputs
            yield Site(node, outside)
            if isinstance(node.layer, Network):
                yield from node.layer.sites((*outside, node.inputs))

    def layers(self) -> list[Layer]:
        """All its layers, nested networks and the layers in these included; bases are not looked into."""
        return list(dict.fromkeys(site.node.layer for site in self.sites()))

    def bases(self, outside: tuple[list[Node], ...] = ()) -> list[tuple[Base, Site]]:
        """Every base, and where it is applied."""
        found = {site.node.layer: site for site in self.sites(outside)}
        return [(layer, site) for layer, site in found.items() if isinstance(layer, Base)]

    def set_trainable(self, value: Any, part: str, line: int) -> None:
        """Set it for the network, which hands it on to all its layers, or for layers that are not known."""
        if part == "all":
            self.trainable.set(value, part, line)
        extent, _, kind = part.partition(" ")
        part = part.replace("slice", "some")  # of the layers of a base it may be all or none
        for layer in self.layers():
            if isinstance(layer, Network):
                if part == "all":
                    layer.trainable.set(value, part, line)
            elif isinstance(layer, Base):
                layer.set_trainable(value, part, line)
            elif not kind or (kind == "normalization") == (layer.kind == "BatchNormalization"):
                layer.set_trainable(UNKNOWN if extent in ("slice", "some") else value, "all", line)

    def states(self) -> dict[Layer, tuple[Any, Any]]:
        """What of the network and of every layer is trainable now."""
        layers = [layer for layer in self.layers() if layer.kind not in WITHOUT_WEIGHTS]
        states = {layer: (layer.trainable.weights, layer.trainable.normalization) for layer in layers}
        return {**states, self: (self.trainable.own, self.trainable.own)}


def differ(before: dict[Layer, tuple[Any, Any]], after: dict[Layer, tuple[Any, Any]]) -> list[Layer]:
    """The layers whose state is known both times and not the same."""
    return [
        layer
        for layer, state in after.items()
        if layer in before and any(a != b for a, b in zip(before[layer], state, strict=True) if UNKNOWN not in (a, b))
    ]


def trains(base: Base, network: Network) -> tuple[Any, Any]:
    """What of a base a network trains: of its other layers, and of its BatchNormalization layers."""
    own = network.trainable.own
    return (base.trainable.weights, base.trainable.normalization) if own is True else (own, own)
