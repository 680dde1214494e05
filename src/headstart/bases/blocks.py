"""The blocks of a base: fine-tuning trains the upper ones, the lower ones stay frozen and run once.

A block boundary is a tensor that every path from the input to the features passes through. In a walk through the graph
in topological order, it is a position where exactly one tensor is still needed by later nodes: all nodes before such a
tensor come earlier in every topological order, all nodes after it come later. Skip connections, branches and
concatenations therefore need no special rules. The layers between two boundaries form a block; its name comes from the
names of its layers.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from headstart.bases.base import Base
from headstart.errors import InputError, did_you_mean
from headstart.system import keras_worker
from headstart.system.keras_compat import node_of

NOMINAL_TOKENS = 64
"""Assumed tokens of a text, for shapes and costs that depend on its length."""

_BYTES_PER_VALUE = 2  # cached in float16

# Names of the layers of one block. The first pattern that matches is used.
_BLOCK_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(conv\d+_block\d+)(?:_|$)",  # ResNet, DenseNet
        r"(block(?:35|17|8)_\d+)(?:_|$)",  # InceptionResNetV2
        r"(downsampling_block_\d+)(?:_|$)",  # ConvNeXt
        r"(sta(?:ge|ck)_?\d+_block_?\d+)(?:_|$)",  # ConvNeXt, KerasHub's ResNet
        r"^(layer_\d+)_",  # headstart's own encoders
        r"^(?!input_)((?:\w+_)?layers?_\d+)$",  # KerasHub's transformers
        r"(expanded_conv(?:_\d+)?)(?:_|$)",  # MobileNetV3
        r"(?:conv_[dp]w|conv_pad)_(\d+)(?:_|$)",  # MobileNet
        r"((?:block|stage|mixed|cell)_?\d+[a-z]?)(?:_|$)",  # VGG, Xception, EfficientNet, MobileNetV2, Inception
    )
)


@dataclass(frozen=True)
class Block:
    """The layers between two neighbouring block boundaries.

    Attributes:
        name: unique in its base.
        layers: names of its layers, in order from the input.
        shape: of its output for one example, such as (h, w, c); (NOMINAL_TOKENS, d) for texts.
        params: number of weights.
        multiply_adds: for one example, counted in the layers that have kernels.
        output: its output, a symbolic tensor of the network; None after :meth:`from_json`.
    """

    name: str
    layers: tuple[str, ...]
    shape: tuple[int, ...]
    params: int
    multiply_adds: int
    output: Any = field(default=None, repr=False, compare=False)

    @property
    def cached_bytes(self) -> int:
        """Size of the output of one example in the cache, in bytes (float16)."""
        return math.prod(self.shape) * _BYTES_PER_VALUE

    def to_json(self) -> dict[str, Any]:
        """A dict that :meth:`from_json` reads, without ``output``."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "output"}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Block":
        """The inverse of :meth:`to_json`."""
        return cls(**{**value, "layers": tuple(value["layers"]), "shape": tuple(value["shape"])})


def find_blocks(network: Any) -> tuple[Block, ...]:
    """Split a network into blocks, from the input to the features.

    Args:
        network: a functional Keras model with one input and one output, as :attr:`headstart.Base.build` returns it.
    """
    nodes = nodes_in_order(network)
    segments: list[list[Any]] = [[]]
    end_ids = {id(node) for node in _block_ends(nodes)}
    for node in nodes:
        segments[-1].append(node)
        if id(node) in end_ids:
            segments.append([])
    merged: list[tuple[str | None, list[Any]]] = []
    for segment in filter(None, segments):
        name = _common_name(segment)
        if merged and name is not None and merged[-1][0] == name:
            merged[-1][1].extend(segment)
        else:
            merged.append((name, list(segment)))
    name_counts = Counter(name for name, _ in merged)
    return tuple(
        _make_block(name if name is not None and name_counts[name] == 1 else _name_of_layer(segment, i), segment)
        for i, (name, segment) in enumerate(merged)
    )


def count_trained_blocks(blocks: Sequence[Block], fine_tune: str) -> int:
    """The number of blocks to train, counted from the features down.

    Args:
        blocks: of the base.
        fine_tune: ``none``, ``all``, ``last:N`` or ``from:NAME`` with the name of a block or of a layer in it.

    Raises:
        InputError: another form, a number out of range, or a name that the base does not have.
    """
    kind, _, value = fine_tune.partition(":")
    if fine_tune == "none":
        return 0
    if fine_tune == "all":
        return len(blocks)
    if kind == "last" and value.isdigit():
        if not 1 <= int(value) <= len(blocks):
            raise InputError(
                f"the base has {len(blocks)} blocks, got {fine_tune}: expected last:1 to last:{len(blocks)}.",
                field="fine_tune",
            )
        return int(value)
    if kind == "from" and value:
        for i, block in enumerate(blocks):
            if value == block.name or value in block.layers:
                return len(blocks) - i
        names = [block.name for block in blocks]
        raise InputError(
            f"the base has no block or layer {value!r}.{did_you_mean(value, names)} Its blocks: {', '.join(names)}.",
            field="fine_tune",
        )
    raise _unknown_form_error(fine_tune)


def _unknown_form_error(fine_tune: str) -> InputError:
    return InputError(
        f"expected auto, none, all, last:N or from:NAME, such as last:2, got {fine_tune!r}.", field="fine_tune"
    )


def blocks_of(base: Base) -> tuple[Block, ...]:
    """The blocks of a base, found in a Keras process."""
    spec, backend = base.spec.to_json(), base.backends[0]
    values = keras_worker.call("headstart.bases.blocks:blocks_as_json", {"spec": spec}, backend=backend)
    return tuple(map(Block.from_json, values))


def blocks_as_json(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a base as plain data, for :meth:`Block.from_json`. Runs in a Keras process.

    Args:
        spec: as :meth:`headstart.bases.BaseSpec.to_json` returns it.
    """
    from headstart.bases import BaseSpec, load_base

    return [block.to_json() for block in find_blocks(load_base(BaseSpec.from_json(spec)).build(False))]


def nodes_in_order(network: Any) -> list[Any]:
    """All nodes (applied layers) that a network's output depends on, in topological order."""
    order: list[Any] = []
    visited: set[int] = set()
    stack = [(node_of(network.outputs[0]), False)]
    while stack:
        node, inputs_visited = stack.pop()
        if id(node) in visited:
            continue
        if inputs_visited:
            visited.add(id(node))
            order.append(node)
            continue
        stack.append((node, True))
        stack += [(node_of(tensor), False) for tensor in reversed(node.input_tensors)]
    return order


def _boundaries(nodes: list[Any]) -> list[int]:
    """Positions after which later nodes need exactly one tensor; the last node is not included.

    A position between two uses of the same layer is not included either: training the blocks above a boundary must not
    change the blocks below it.
    """
    remaining_reads = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    remaining_uses = Counter(id(node.operation) for node in nodes if _is_layer(node) and node.operation.weights)
    live_tensors: set[int] = set()
    reused_layers: set[int] = set()
    positions = []
    for i, node in enumerate(nodes[:-1]):
        layer = id(node.operation)
        remaining_uses[layer] -= 1
        (reused_layers.add if remaining_uses[layer] > 0 else reused_layers.discard)(layer)
        for tensor in node.input_tensors:
            remaining_reads[id(tensor)] -= 1
            if not remaining_reads[id(tensor)]:
                live_tensors.discard(id(tensor))
        live_tensors |= {id(tensor) for tensor in node.outputs if remaining_reads[id(tensor)]}
        if len(live_tensors) == 1 and not reused_layers:
            positions.append(i)
    return positions


def _block_ends(nodes: list[Any]) -> list[Any]:
    """The useful boundaries: before a kernel or a branch, at the smallest tensor.

    A boundary between a convolution and its normalisation and activation has no use. Of boundaries that differ only by
    layers without weights (activation, padding, pooling), the one with the smallest tensor is taken.
    """
    runs: list[list[int]] = []
    for i in _boundaries(nodes):
        if not _starts_block(nodes, i) or not any(_has_kernel(node) for node in nodes[: i + 1]):
            continue
        if runs and not any(node.operation.weights for node in nodes[runs[-1][-1] + 1 : i + 1] if _is_layer(node)):
            runs[-1].append(i)
        else:
            runs.append([i])
    return [nodes[min(reversed(run), key=lambda i: math.prod(_shape(nodes[i])))] for run in runs]


def _starts_block(nodes: list[Any], position: int) -> bool:
    """Whether a branch or a kernel follows, before any other layer with weights."""
    tensor = nodes[position].outputs[0]
    for node in nodes[position + 1 :]:
        readers = [later for later in nodes if any(tensor is source for source in later.input_tensors)]
        if len(readers) > 1 or _has_kernel(readers[0]):
            return True
        if readers[0] is not node or (_is_layer(node) and node.operation.weights):
            return False
        tensor = node.outputs[0]
    return False


def _is_layer(node: Any) -> bool:
    return hasattr(node.operation, "weights")


def _kernels(node: Any) -> list[Any]:
    return [w for w in node.operation.weights if w.path.endswith("kernel")] if _is_layer(node) else []


def _has_kernel(node: Any) -> bool:
    return bool(_kernels(node))


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(int(size or NOMINAL_TOKENS) for size in node.outputs[0].shape[1:])


def _multiply_adds(node: Any) -> int:
    """Each weight of a kernel is used once at every position of the output, in convolutions and in Dense layers."""
    positions = math.prod(_shape(node)[:-1])
    return sum(math.prod(kernel.shape) for kernel in _kernels(node)) * positions


def _common_name(segment: list[Any]) -> str | None:
    """The block name that most layers share; layers with kernels count ten times."""
    votes: Counter[str] = Counter()
    for node in segment:
        for pattern in _BLOCK_NAMES:
            match = pattern.search(node.operation.name)
            if match:
                votes[match[1] if not match[1].isdigit() else f"conv_{match[1]}"] += 1 + 9 * _has_kernel(node)
                break
    return votes.most_common(1)[0][0] if votes else None


def _name_of_layer(segment: list[Any], position: int) -> str:
    """The name of one layer: of the merge that ends a segment with branches, else of the layer with the kernel.

    A name that Keras numbered automatically is not used: the numbers continue from model to model in one process.
    """
    merges = [node for node in segment if len(node.input_tensors) > 1]
    kernels = [node for node in segment if _has_kernel(node)]
    weights = [node for node in segment if _is_layer(node) and node.operation.weights]
    for nodes in (merges, kernels, weights, segment):
        if nodes:
            layer = nodes[-1].operation
            if re.sub(r"_\d+$", "", layer.name).replace("_", "") != type(layer).__name__.lower():
                return layer.name
    return f"part_{position}"


def _make_block(name: str, segment: list[Any]) -> Block:
    layers = {node.operation.name: node.operation for node in segment}
    weights = {id(w): w for layer in layers.values() for w in getattr(layer, "weights", ())}
    return Block(
        name=name,
        layers=tuple(layers),
        shape=_shape(segment[-1]),
        params=sum(math.prod(w.shape) for w in weights.values()),
        multiply_adds=sum(_multiply_adds(node) for node in segment),
        output=segment[-1].outputs[0],
    )
