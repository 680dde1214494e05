"""A network as far as it is known: layers that are called on each other, from a script or from a model file.

Anything that is not known is :data:`UNKNOWN`. No rule reports a mistake that depends on an unknown value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from headstart.bases.keras_table import MODELS, Model


class Unknown(Enum):
    """The type of :data:`UNKNOWN`. An enumeration lets type checkers recognize the single value."""

    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = Unknown.UNKNOWN
SOME: Final = "some"
"""State of ``trainable``: some layers are trainable, others are not."""

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

Extent = Literal["all", "each", "slice", "some"]
Kind = Literal["any", "batchnorm", "other"]


class Selection(NamedTuple):
    """The layers of a model whose ``trainable`` is set.

    Attributes:
        extent: ``all``: the model itself; ``each`` of its layers; a ``slice`` of its layers; ``some`` unknown layers.
        kind: ``batchnorm``: only the BatchNormalization layers among these; ``other``: all but these; ``any``.
    """

    extent: Extent
    kind: Kind = "any"


WHOLE_MODEL = Selection("all")
EACH_LAYER = Selection("each")
SOME_LAYERS = Selection("some")
LAYER_SLICE = Selection("slice")


@dataclass(eq=False)
class Trainable:
    """What is known about ``trainable`` of a layer, or of the layers in a base.

    Attributes:
        flag: the attribute of the layer itself. In Keras 3 the flag of the model that is fitted freezes all weights if
            it is False; the flag of a nested model has no effect, only the flags of its layers.
        weights: True, False, :data:`SOME` or :data:`UNKNOWN`: for all layers but BatchNormalization.
        batchnorm: the same for the BatchNormalization layers.
        redundant_line: where a slice was set trainable although all layers were already trainable, or None.
        changed_line: where ``trainable`` was last set, or 0.
    """

    flag: Any = True
    weights: Any = True
    batchnorm: Any = True
    redundant_line: int | None = None
    changed_line: int = 0

    def set(self, value: Any, selection: Selection, line: int) -> None:
        """Set ``trainable`` for some of the layers.

        Args:
            value: True, False or :data:`UNKNOWN`.
            selection: the layers.
            line: of the assignment.
        """
        self.changed_line = line
        if selection.extent == "all":
            self.flag, self.redundant_line = value, None
        if selection == LAYER_SLICE and value is True and self.weights is True:
            self.redundant_line = line
        elif value is not True and selection.kind != "batchnorm":
            self.redundant_line = None
        if selection.kind != "batchnorm":
            self.weights = _updated_state(self.weights, value, selection.extent)
        if selection.kind != "other":
            self.batchnorm = _updated_state(self.batchnorm, value, selection.extent)


def _updated_state(state: Any, value: Any, extent: Extent) -> Any:
    """The state of layers after ``trainable`` of this extent was set to ``value``."""
    if extent in ("all", "each") or state is value:
        return value
    return UNKNOWN if extent == "some" or UNKNOWN in (state, value) else SOME


@dataclass(eq=False)
class Layer:
    """A layer, or a function that does the work of a layer.

    Attributes:
        kind: its class in Keras; ``preprocess_input``; ``cache`` of a dataset; ``pixels``: raw images from 0 to 255;
            ``unknown``.
        config: its arguments by name.
        line: where it was created; 0 in a model file.
        name: its name in Keras, if known.
        trainable: what is known about its ``trainable``.
    """

    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    line: int = 0
    name: str = ""
    trainable: Trainable = field(default_factory=Trainable)

    def set_trainable(self, value: Any, selection: Selection, line: int) -> None:
        """See :meth:`Trainable.set`."""
        self.trainable.set(value, selection, line)


@dataclass(eq=False)
class Node:
    """One call of a layer on the outputs of other nodes.

    Attributes:
        layer: the layer.
        inputs: one node for each input tensor.
        training: the argument of the call: True, False, :data:`UNKNOWN`, or None if it was not passed.
        line: of the call; 0 in a model file.
        shape: of the output for one example, such as (h, w, c); None if it is not known.
        is_partial: for a base: the output is the output of one of its inner layers.
    """

    layer: Layer
    inputs: list["Node"] = field(default_factory=list)
    training: Any = None
    line: int = 0
    shape: tuple[int | None, ...] | None = None
    is_partial: bool = False


class Site(NamedTuple):
    """A node with the networks that contain it.

    Attributes:
        node: the node.
        outer_inputs: the inputs of each network around the node, from the outermost to the innermost network.
    """

    node: Node
    outer_inputs: tuple[list[Node], ...]

    def upstream(self) -> Iterator[Node]:
        """Yield the node and the nodes before it, back to the source, as long as each node has one input.

        Nested networks are entered. If a node has several inputs, a last node of the kind ``unknown`` follows.
        """
        node, pending_inputs = self.node, list(self.outer_inputs)
        while True:
            layer, inputs = node.layer, node.inputs
            if isinstance(layer, Network):
                if len(layer.outputs) != 1:
                    yield Node(Layer("unknown"))
                    return
                pending_inputs.append(inputs)
                node = layer.outputs[0]
                continue
            if layer.kind == "InputLayer" and not inputs and pending_inputs:
                inputs = pending_inputs.pop()
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
        model_info: the row of this model in the table of Keras Applications.
        weights: ``imagenet``, a path, None for random weights, ``trained`` for random weights that were trained later,
            or :data:`UNKNOWN`.
        has_top: True, False or :data:`UNKNOWN`.
        input_size: height and width of its input, or None.
        input_node: its own input, for models that use the layers of the base one by one.
    """

    model_info: Model = MODELS[0]
    weights: Any = "imagenet"
    has_top: Any = True
    input_size: tuple[int, int] | None = None
    input_node: Node = field(default_factory=lambda: Node(Layer("InputLayer")))

    @property
    def is_pretrained(self) -> bool:
        """Whether its weights certainly come from an earlier training."""
        return isinstance(self.weights, str) and self.weights != "trained"

    def mark_as_trained(self) -> None:
        """Random weights are no longer random: they were trained, or loaded from a file."""
        self.weights = "trained" if self.weights is None else self.weights

    @property
    def has_batchnorm(self) -> bool:
        """Whether any of its layers is a BatchNormalization layer."""
        return self.kind not in WITHOUT_BATCHNORM


TrainableStates = dict[Layer, tuple[Any, Any]]
"""Layer -> state of its weights and of its BatchNormalization layers, see :class:`Trainable`."""


@dataclass(eq=False)
class CompileConfig:
    """How a network was compiled; unknown attributes are :data:`UNKNOWN`.

    Attributes:
        line: of the call; 0 in a model file.
        optimizer: class name.
        learning_rate: of the optimizer.
        loss: ``binary``, ``categorical`` or ``sparse`` crossentropy, or ``other``.
        from_logits: whether the loss expects logits.
        threshold_metrics: names or classes of the metrics that use a threshold of 0.5.
        optimizer_object: the optimizer object of the script.
        states_at_fit: what was trainable in the last fit with this configuration.
    """

    line: int = 0
    optimizer: Any = UNKNOWN
    learning_rate: Any = UNKNOWN
    loss: Any = UNKNOWN
    from_logits: Any = UNKNOWN
    threshold_metrics: tuple[str, ...] = ()
    optimizer_object: Any = None
    states_at_fit: TrainableStates = field(default_factory=dict)


@dataclass(eq=False)
class Network(Layer):
    """A functional or sequential model.

    Attributes:
        inputs: its input nodes.
        outputs: its output nodes; empty if they are not known.
        added_layers: for a sequential model: its layers, each with the outputs of the model before it was added.
        compile_config: how it was compiled, or None.
        fit_line: of the last call of ``fit``, or 0.
        fit_data: the dataset of the last ``fit``.
    """

    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    added_layers: list[Any] = field(default_factory=list)
    compile_config: CompileConfig | None = None
    fit_line: int = 0
    fit_data: Any = None

    def sites(self, outer_inputs: tuple[list[Node], ...] = ()) -> Iterator[Site]:
        """Yield all nodes with the networks that contain them; the nodes of a nested network follow after it.

        Args:
            outer_inputs: the inputs of this network, such as ``([images],)``.
        """
        pending, visited = list(self.outputs), set()
        while pending:
            node = pending.pop()
            if node in visited:
                continue
            visited.add(node)
            pending += node.inputs
            yield Site(node, outer_inputs)
            if isinstance(node.layer, Network):
                yield from node.layer.sites((*outer_inputs, node.inputs))

    def layers(self) -> list[Layer]:
        """All layers, including nested networks and their layers, but not the layers inside a base."""
        return list(dict.fromkeys(site.node.layer for site in self.sites()))

    def bases(self, outer_inputs: tuple[list[Node], ...] = ()) -> list[tuple[Base, Site]]:
        """All bases, each with the site where it is called."""
        sites = {site.node.layer: site for site in self.sites(outer_inputs)}
        return [(layer, site) for layer, site in sites.items() if isinstance(layer, Base)]

    def set_trainable(self, value: Any, selection: Selection, line: int) -> None:
        """Set ``trainable`` of the network, which sets it for all layers, or of some unknown layers."""
        extent, kind = selection
        if extent == "all":
            self.trainable.set(value, selection, line)
        if extent == "slice":  # it may contain all layers of a base, or none
            selection = Selection("some", kind)
        for layer in self.layers():
            if isinstance(layer, Network):
                if extent == "all":
                    layer.trainable.set(value, selection, line)
            elif isinstance(layer, Base):
                layer.set_trainable(value, selection, line)
            elif kind == "any" or (kind == "batchnorm") == (layer.kind == "BatchNormalization"):
                layer.set_trainable(UNKNOWN if extent in ("slice", "some") else value, WHOLE_MODEL, line)

    def trainable_states(self) -> TrainableStates:
        """What is trainable now, for the network and for every layer with weights."""
        layers = [layer for layer in self.layers() if layer.kind not in WITHOUT_WEIGHTS]
        states = {layer: (layer.trainable.weights, layer.trainable.batchnorm) for layer in layers}
        return {**states, self: (self.trainable.flag, self.trainable.flag)}


def changed_layers(before: TrainableStates, after: TrainableStates) -> list[Layer]:
    """The layers whose state is known in both cases and differs."""
    return [
        layer
        for layer, state in after.items()
        if layer in before and any(a != b for a, b in zip(before[layer], state, strict=True) if UNKNOWN not in (a, b))
    ]


def find_augmentation(node: Node) -> str | None:
    """The name of the augmentation that a node applies; None if it applies none, or with ``training=False``."""
    if node.training is False:
        return None
    if isinstance(node.layer, Network):
        return next((layer.kind for layer in node.layer.layers() if layer.kind in AUGMENTATION), None)
    return node.layer.kind if node.layer.kind in AUGMENTATION else None


def trainable_in(network: Network, base: Base) -> tuple[Any, Any]:
    """What a network trains of a base: state of its BatchNormalization layers last, of all other layers first."""
    flag = network.trainable.flag
    return (base.trainable.weights, base.trainable.batchnorm) if flag is True else (flag, flag)
