"""The layers of a Darknet cfg with their shapes and weights, and the layer whose output is the features. No Keras."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from headstart.bases.darknet.sections import Section, read_sections
from headstart.errors import InputError, did_you_mean

IMAGE = -1
"""Index of the image among the inputs of layers."""

DETECTIONS = ("yolo", "region")
ACTIVATIONS = ("linear", "leaky", "relu", "relu6", "logistic", "mish", "swish")

MAX_VALUES = 1 << 27
"""Largest output of one layer for one image, in values; YOLOv4 at 608 pixels needs 12 million."""

MAX_WEIGHTS = 1 << 29

Shape = tuple[int, int, int]
"""(height, width, channels)."""

_TRAINING = {  # options of all layers without an effect on what they compute
    "burnin_update", "clip", "dont_update", "dontsave", "dynamic_minibatch", "grad_centr", "learning_rate",
    "onlyforward", "smooth", "stopbackward", "stream", "train_only_bn", "truth", "wait_stream",
}  # fmt: skip
_FOLLOWED: dict[str, set[str]] = {
    "convolutional": {
        "batch_normalize", "filters", "groups", "size", "stride", "stride_x", "stride_y", "pad", "padding", "activation"
    },
    "connected": {"output", "activation", "batch_normalize"},
    "maxpool": {"size", "stride", "padding"},
    "avgpool": set(),
    "upsample": {"stride"},
    "route": {"layers", "groups", "group_id"},
    "shortcut": {"from", "activation"},
    "reorg": {"stride"},
    "dropout": {"probability", "dropblock", "dropblock_size_rel", "dropblock_size_abs"},
    "softmax": {"groups", "temperature", "noloss"},
    "cost": {"type", "scale"},
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer; what it computes is in the options of its section.

    Args:
        index: number in the cfg, from 0 as Darknet counts.
        section: of the cfg.
        inputs: indices of the layers whose outputs it takes.
        input_shape: of its first input.
        shape: of its output.
        weights: shapes of the arrays in the weights file, by name, in their order there.
    """

    index: int
    section: Section
    inputs: tuple[int, ...]
    input_shape: Shape
    shape: Shape
    weights: dict[str, tuple[int, ...]]

    @property
    def kind(self) -> str:
        """Such as ``convolutional``."""
        return self.section.kind

    @property
    def name(self) -> str:
        """Such as ``convolutional_12``."""
        return f"{self.kind}_{self.index}"

    @property
    def n_weights(self) -> int:
        """How many numbers it takes from the weights file."""
        return sum(map(math.prod, self.weights.values()))


@dataclass(frozen=True)
class Network:
    """All layers of a cfg.

    Args:
        net: the section with the size of the image.
        size: (height, width) of the image in pixels.
        layers: in their order in the cfg.
    """

    net: Section
    size: tuple[int, int]
    layers: tuple[Layer, ...]

    @property
    def n_weights(self) -> int:
        """How many numbers are in the weights file."""
        return sum(layer.n_weights for layer in self.layers)

    @property
    def detections(self) -> list[Layer]:
        """Its detection layers; empty for a classifier."""
        return [layer for layer in self.layers if layer.kind in DETECTIONS]

    @cached_property
    def feature_layer(self) -> Layer:
        """The layer whose output is the features.

        For a detector, this is the widest one among the layers with the smallest map that all detections depend on,
        outside of any branch: behind the backbone, before the detections. For a classifier, it is the
        layer before its pooling and its last layers with weights.

        Raises:
            InputError: there is no layer below the top.
        """
        index = self._common_layer() if self.detections else self._below_top()
        if index == IMAGE:
            raise InputError(f"{self.net.path} has no layer below its top.")
        return self.layers[index]

    def find(self, name: str) -> Layer:
        """The layer with this name.

        Raises:
            InputError: there is no such layer.
        """
        by_name = {layer.name: layer for layer in self.layers if layer.kind not in DETECTIONS}
        if name not in by_name:
            names = list(by_name)
            name_list = ", ".join([*names[:3], "…", *names[-8:]] if len(names) > 12 else names)
            raise InputError(
                f"{self.net.path} has no layer {name!r}.{did_you_mean(name, names)} It has: {name_list}.",
                field="feature_layer",
            )
        return by_name[name]

    def needed_for(self, indices: Iterable[int]) -> set[int]:
        """The indices of some layers and of all layers that they depend on."""
        indices_needed, waiting = set[int](), [index for index in indices if index != IMAGE]
        while waiting:
            index = waiting.pop()
            if index not in indices_needed:
                indices_needed.add(index)
                waiting += [source for source in self.layers[index].inputs if source != IMAGE]
        return indices_needed

    def _common_layer(self) -> int:
        """The index of the layer with the features of a detector."""
        below = [self.layers[detection.inputs[0]].inputs[0] for detection in self.detections]
        common = set.intersection(*(self.needed_for([index]) for index in below))
        if not common:
            return IMAGE
        smallest = min(self._positions(i) for i in common)
        last = max(i for i in common if self._positions(i) == smallest)
        layers_needed = sorted(self.needed_for([last]))
        last_reader = {source: index for index in layers_needed for source in self.layers[index].inputs}
        coarse = [
            i
            for i in layers_needed
            if self._positions(i) == smallest
            and all(
                last_reader[j] <= i for j in [IMAGE, *layers_needed] if j < i
            )  # no later layer needs another output
        ]
        return max(coarse, key=lambda i: (self.layers[i].shape[2], i))

    def _positions(self, index: int) -> int:
        return math.prod(self.layers[index].shape[:2])

    def _below_top(self) -> int:
        """The index of the layer with the features of a classifier; the last layer if there is no softmax."""
        index = len(self.layers) - 1
        top = {"softmax", "cost", "dropout", "avgpool"}
        if not any(layer.kind == "softmax" for layer in self.layers):
            return index
        while index != IMAGE and self.layers[index].kind in top:
            index = self.layers[index].inputs[0]
        if index != IMAGE and self.layers[index].kind == "convolutional":
            index = self.layers[index].inputs[0]
            top -= {"softmax", "cost"}
        else:
            top |= {"connected"}
        while index != IMAGE and self.layers[index].kind in top:
            index = self.layers[index].inputs[0]
        return index


def read_network(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read a cfg, and check that headstart can build what it describes.

    Args:
        path: of the cfg.
        size: (height, width) of the image in pixels; None means the size in the cfg.

    Raises:
        InputError: not a cfg, a kind of layer or an option that headstart does not know, or shapes that do not fit.
    """
    net, *sections = read_sections(path)
    if (channels := net.integer("channels", 3)) != 3:
        raise net.error(f"channels={channels}: expected 3, RGB.")
    own_size = net.integer("height", 0, low=1, high=8192), net.integer("width", 0, low=1, high=8192)
    h, w = size or own_size
    layers: list[Layer] = []
    try:
        for section in sections:
            layers.append(_make_layer(section, layers, (h, w, 3)))
    except InputError as exc:
        if size in (None, own_size):
            raise
        raise InputError(
            f"{h}x{w} cannot be used with {path}, which was made for {own_size[0]}x{own_size[1]}; a multiple of 32 "
            f"usually can. {exc.message}",
            field="input_size",
        ) from exc
    network = Network(net, (h, w), tuple(layers))
    if network.n_weights > MAX_WEIGHTS:
        raise InputError(f"{path} needs {network.n_weights:,} weights: expected at most {MAX_WEIGHTS:,}.")
    return network


def _make_layer(section: Section, layers: list[Layer], image: Shape) -> Layer:
    if section.kind not in _PLANS:
        raise section.error(f"headstart does not know this kind of layer: expected one of {', '.join(_PLANS)}.")
    if section.kind in _FOLLOWED:
        section.refuse_others(_FOLLOWED[section.kind] | _TRAINING)
    inputs = _inputs(section, len(layers))
    shapes = [image if index == IMAGE else layers[index].shape for index in inputs]
    shape, weights = _PLANS[section.kind](section, shapes)
    if min(shape) < 1 or math.prod(shape) > MAX_VALUES:
        raise section.error(
            f"layer {len(layers)} would have an output of {shape[0]}x{shape[1]}x{shape[2]} values: expected 1 to "
            f"{MAX_VALUES:,}."
        )
    return Layer(len(layers), section, inputs, shapes[0], shape, weights)


def _inputs(section: Section, index: int) -> tuple[int, ...]:
    if section.kind not in ("route", "shortcut"):
        return (index - 1,)
    name = "layers" if section.kind == "route" else "from"
    sources = tuple(value if value >= 0 else index + value for value in section.integers(name))
    if not sources or not all(0 <= source < index for source in sources):
        raise section.error(
            f"{name}={section.text(name, '')}: expected layers before layer {index}, by number from 0, or from -1 back."
        )
    return (index - 1, *sources) if section.kind == "shortcut" else sources


Plan = tuple[Shape, dict[str, tuple[int, ...]]]


def activation_of(section: Section, default: str) -> str:
    """The activation of a layer.

    Raises:
        InputError: one that headstart does not know.
    """
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        raise section.error(f"activation={name}: expected one of {', '.join(ACTIVATIONS)}.")
    return name


def stride_of(section: Section) -> int:
    """The stride of a convolution, down and across.

    Raises:
        InputError: two strides.
    """
    stride = section.integer("stride", 1, low=1)
    down, across = section.integer("stride_y", stride, low=1), section.integer("stride_x", stride, low=1)
    if down != across:
        raise section.error(f"stride_y={down} and stride_x={across}: expected one stride.")
    return down


def padding_of(section: Section) -> int:
    """The pixels that a convolution adds on each side."""
    if section.integer("pad", 0):
        return section.integer("size", 1, low=1) // 2
    return section.integer("padding", 0)


def _norm_weights(section: Section, n: int) -> dict[str, tuple[int, ...]]:
    normalizes = section.integer("batch_normalize", 0, high=1)
    return dict.fromkeys(("scales", "means", "variances"), (n,)) if normalizes else {}


def _plan_convolutional(section: Section, shapes: list[Shape]) -> Plan:
    (h, w, c), n = shapes[0], section.integer("filters", 1, low=1)
    size, groups, padding = section.integer("size", 1, low=1), section.integer("groups", 1, low=1), padding_of(section)
    activation_of(section, "logistic")
    if c % groups or n % groups:
        raise section.error(f"groups={groups}: expected a divisor of the {c} channels of its input and of filters={n}.")
    stride = stride_of(section)
    shape = (h + 2 * padding - size) // stride + 1, (w + 2 * padding - size) // stride + 1, n
    return shape, {"biases": (n,), **_norm_weights(section, n), "kernel": (n, c // groups, size, size)}


def _plan_connected(section: Section, shapes: list[Shape]) -> Plan:
    n = section.integer("output", 1, low=1)
    activation_of(section, "logistic")
    kernel = (n, math.prod(shapes[0]))
    return (1, 1, n), {"biases": (n,), "kernel": kernel, **_norm_weights(section, n)}


def _plan_maxpool(section: Section, shapes: list[Shape]) -> Plan:
    (h, w, c), stride = shapes[0], section.integer("stride", 1, low=1)
    size = section.integer("size", stride, low=1)
    padding = section.integer("padding", size - 1)
    if padding not in (0, size - 1):
        raise section.error(f"padding={padding}: expected 0 or {size - 1}, the size minus 1.")
    return ((h + padding - size) // stride + 1, (w + padding - size) // stride + 1, c), {}


def _plan_upsample(section: Section, shapes: list[Shape]) -> Plan:
    (h, w, c), stride = shapes[0], section.integer("stride", 2, low=1)
    return (h * stride, w * stride, c), {}


def _plan_route(section: Section, shapes: list[Shape]) -> Plan:
    groups = section.integer("groups", 1, low=1)
    group = section.integer("group_id", 0)
    if len({shape[:2] for shape in shapes}) > 1 or group >= groups or any(c % groups for _, _, c in shapes):
        shape_list = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise section.error(f"cannot concatenate maps of {shape_list} with groups={groups}, group_id={group}.")
    return (*shapes[0][:2], sum(c // groups for _, _, c in shapes)), {}


def _plan_shortcut(section: Section, shapes: list[Shape]) -> Plan:
    activation_of(section, "linear")
    if len({shape[:2] for shape in shapes}) > 1:
        shape_list = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise section.error(f"cannot add maps of {shape_list}: expected one height and width.")
    return shapes[0], {}


def _plan_reorg(section: Section, shapes: list[Shape]) -> Plan:
    (h, w, c), stride = shapes[0], section.integer("stride", 1, low=1)
    if h % stride or w % stride or c % stride**2:
        raise section.error(f"stride={stride} does not divide the map of {h}x{w}x{c}.")
    return (h // stride, w // stride, c * stride**2), {}


def _plan_softmax(section: Section, shapes: list[Shape]) -> Plan:
    if section.number("groups", 1) != 1 or section.number("temperature", 1) != 1 or shapes[0][:2] != (1, 1):
        raise section.error("expected groups=1, temperature=1 and one vector as its input.")
    return shapes[0], {}


def _plan_detection(section: Section, shapes: list[Shape]) -> Plan:
    expected = n_anchors(section) * (5 + section.integer("classes", 20, low=1))
    if shapes[0][2] != expected:
        raise section.error(f"its input has {shapes[0][2]} channels: expected {expected}, anchors times (classes + 5).")
    return shapes[0], {}


def n_anchors(section: Section) -> int:
    """The number of anchors of a detection layer at each position."""
    return len(section.integers("mask")) or section.integer("num", 1, low=1)


_PLANS: dict[str, Callable[[Section, list[Shape]], Plan]] = {
    "convolutional": _plan_convolutional,
    "connected": _plan_connected,
    "maxpool": _plan_maxpool,
    "avgpool": lambda section, shapes: ((1, 1, shapes[0][2]), {}),
    "upsample": _plan_upsample,
    "route": _plan_route,
    "shortcut": _plan_shortcut,
    "reorg": _plan_reorg,
    "dropout": lambda section, shapes: (shapes[0], {}),
    "softmax": _plan_softmax,
    "cost": lambda section, shapes: (shapes[0], {}),
    "yolo": _plan_detection,
    "region": _plan_detection,
}
