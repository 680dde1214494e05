"""Where a base can be cut: below the cut it stays frozen and runs once, above it is fine-tuned.

A cut is a tensor that every path from the pixels to the features passes through. Walking the graph in any topological
order, these are the moments when exactly one tensor is still awaited: whatever precedes a tensor on all paths comes
before it in every such order, whatever follows it comes after. So skips, branches and concatenations need no rules of
their own. Between two cuts lies a block; a block's name comes from those of its layers.
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
"""Of a text, where figures depend on its length."""

_BYTES = 2  # a cached value, in float16

# How the models of Keras Applications name the layers of one block; the first pattern that fits counts.
_BLOCK_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(conv\d+_block\d+)(?:_|$)",  # ResNet, DenseNet
        r"(block(?:35|17|8)_\d+)(?:_|$)",  # InceptionResNetV2
        r"(downsampling_block_\d+)(?:_|$)",  # ConvNeXt
        r"(sta(?:ge|ck)_?\d+_block_?\d+)(?:_|$)",  # ConvNeXt, KerasHub's ResNet
        r"^(layer_\d+)_",  # our own encoders
        r"^(?!input_)((?:\w+_)?layers?_\d+)$",  # KerasHub's transformers
        r"(expanded_conv(?:_\d+)?)(?:_|$)",  # MobileNetV3
        r"(?:conv_[dp]w|conv_pad)_(\d+)(?:_|$)",  # MobileNet
        r"((?:block|stage|mixed|cell)_?\d+[a-z]?)(?:_|$)",  # VGG, Xception, EfficientNet, MobileNetV2, Inception
    )
)


@dataclass(frozen=True)
class Block:
    """The layers between two neighbouring cuts.

    Attributes:
        name: unique in its base.
        layers: names of its layers, from the pixels on.
        shape: of its output for one example, such as (h, w, c); (NOMINAL_TOKENS, d) for texts.
        params: number of weights.
        multiply_adds: for one example, counted in the layers that have kernels.
        output: its output, a symbolic tensor of the network that was cut; None in a mere description.
    """

    name: str
    layers: tuple[str, ...]
    shape: tuple[int, ...]
    params: int
    multiply_adds: int
    output: Any = field(default=None, repr=False, compare=False)

    @property
    def cached_bytes(self) -> int:
        """What the output of one example takes in the cache, in bytes (float16)."""
        return math.prod(self.shape) * _BYTES

    def to_json(self) -> dict[str, Any]:
        """As a dict that :meth:`from_json` reads back; without ``output``."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "output"}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Block":
        """The inverse of :meth:`to_json`."""
        return cls(**{**value, "layers": tuple(value["layers"]), "shape": tuple(value["shape"])})


def find_blocks(network: Any) -> tuple[Block, ...]:
    """Divide a network into blocks, from the pixels to the features.

    Args:
        network: a functional Keras model of one input and one output, as :attr:`headstart.Base.build` gives it.
    """
    nodes = nodes_in_order(network)
    units: list[list[Any]] = [[]]
    ends = {id(node) for node in _block_ends(nodes)}
    for node in nodes:
        units[-1].append(node)
        if id(node) in ends:
            units.append([])
    merged: list[tuple[str | None, list[Any]]] = []
    for unit in filter(None, units):
        key = _block_name(unit)
        if merged and key is not None and merged[-1][0] == key:
            merged[-1][1].extend(unit)
        else:
            merged.append((key, list(unit)))
    seen = Counter(key for key, _ in merged)
    return tuple(
        _block(key if key is not None and seen[key] == 1 else _own_name(unit, i), unit)
        for i, (key, unit) in enumerate(merged)
    )


def blocks_above(blocks: Sequence[Block], fine_tune: str) -> int:
    """How many blocks, counted from the features down, ``--fine-tune`` asks to train.

    Args:
        blocks: of the base.
        fine_tune: ``none``, ``all``, ``last:N`` or ``from:NAME`` with the name of a block or of a layer in it.

    Raises:
        InputError: none of these forms, a number out of range, or a name that the base does not have.
    """
    kind, _, value = fine_tune.partition(":")
    if fine_tune == "none":
        return 0
    if fine_tune == "all":
        return len(blocks)
    if kind == "last" and value.isdigit():
        if not 1 <= int(value) <= len(blocks):
            raise InputError(
                f"--fine-tune {fine_tune}: expected last:1 to last:{len(blocks)}, as many as it has blocks."
            )
        return int(value)
    if kind == "from" and value:
        for i, block in enumerate(blocks):
            if value == block.name or value in block.layers:
                return len(blocks) - i
        known = [block.name for block in blocks]
        raise InputError(
            f"--fine-tune {fine_tune}: the base has no block or layer of this name.{did_you_mean(value, known)} "
            f"Its blocks: {', '.join(known)}."
        )
    raise _unknown_form(fine_tune)


def _unknown_form(fine_tune: str) -> InputError:
    return InputError(f"--fine-tune {fine_tune}: expected auto, none, all, last:N or from:NAME, such as last:2.")


def blocks_of(base: Base) -> tuple[Block, ...]:
    """The blocks of a base, found in a Keras process."""
    backend = base.backends[0]
    described = keras_worker.call("headstart.bases.blocks:describe", {"spec": base.spec.to_json()}, backend=backend)
    return tuple(map(Block.from_json, described))


def describe(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a base as plain data, for :meth:`Block.from_json`. In a Keras process.

    Args:
        spec: as :meth:`headstart.bases.BaseSpec.to_json` gives it.
    """
    from headstart.bases import BaseSpec, load_base

    return [block.to_json() for block in find_blocks(load_base(BaseSpec.from_json(spec)).build(False))]


def nodes_in_order(network: Any) -> list[Any]:
    """All nodes (layers applied) that a network's output depends on, each after those that it depends on."""
    order: list[Any] = []
    done: set[int] = set()
    waiting = [(node_of(network.outputs[0]), False)]
    while waiting:
        node, ready = waiting.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            order.append(node)
            continue
        waiting.append((node, True))
        waiting += [(node_of(tensor), False) for tensor in reversed(node.input_tensors)]
    return order


def _cuts(nodes: list[Any]) -> list[int]:
    """Positions after which one tensor is awaited by all that follows; the last node, being the end, is none.

    Nor is any position between two uses of one layer: what is trained above a cut must not change what lies below.
    """
    awaited = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses = Counter(id(node.operation) for node in nodes if _is_layer(node) and node.operation.weights)
    live: set[int] = set()
    shared: set[int] = set()
    cuts = []
    for i, node in enumerate(nodes[:-1]):
        layer = id(node.operation)
        uses[layer] -= 1
        (shared.add if uses[layer] > 0 else shared.discard)(layer)
        for tensor in node.input_tensors:
            awaited[id(tensor)] -= 1
            if not awaited[id(tensor)]:
                live.discard(id(tensor))
        live |= {id(tensor) for tensor in node.outputs if awaited[id(tensor)]}
        if len(live) == 1 and not shared:
            cuts.append(i)
    return cuts


def _block_ends(nodes: list[Any]) -> list[Any]:
    """Of all cuts those worth making: in front of a kernel or of a branch, where the least has to be stored.

    Between a convolution and the normalisation and activation that belong to it nothing is gained by cutting; and of
    the places that differ by layers without weights (activation, padding, pooling) the smallest tensor is the best.
    """
    runs: list[list[int]] = []
    for i in _cuts(nodes):
        if not _starts_block(nodes, i) or not any(_has_kernel(node) for node in nodes[: i + 1]):
            continue
        if runs and not any(node.operation.weights for node in nodes[runs[-1][-1] + 1 : i + 1] if _is_layer(node)):
            runs[-1].append(i)
        else:
            runs.append([i])
    return [nodes[min(reversed(run), key=lambda i: math.prod(_shape(nodes[i])))] for run in runs]


def _starts_block(nodes: list[Any], position: int) -> bool:
    """Whether a branch or a kernel comes next, before any other layer with weights."""
    tensor = nodes[position].outputs[0]
    for node in nodes[position + 1 :]:
        mine = [later for later in nodes if any(tensor is into for into in later.input_tensors)]
        if len(mine) > 1 or _has_kernel(mine[0]):
            return True
        if mine[0] is not node or (_is_layer(node) and node.operation.weights):
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
    """Each weight of a kernel is used once at every position of the output: true of convolutions and of Dense."""
    positions = math.prod(_shape(node)[:-1])
    return sum(math.prod(kernel.shape) for kernel in _kernels(node)) * positions


def _block_name(unit: list[Any]) -> str | None:
    """What most of its layers with kernels have in common by name."""
    found: Counter[str] = Counter()
    for node in unit:
        for pattern in _BLOCK_NAMES:
            match = pattern.search(node.operation.name)
            if match:
                found[match[1] if not match[1].isdigit() else f"conv_{match[1]}"] += 1 + 9 * _has_kernel(node)
                break
    return found.most_common(1)[0][0] if found else None


def _own_name(unit: list[Any], position: int) -> str:
    """A layer's own name: of the merge that ends a branched unit, or of the kernel in a plain one.

    Not, however, a name that Keras numbered by itself: such numbers go on from model to model in one process.
    """
    merges = [node for node in unit if len(node.input_tensors) > 1]
    kernels = [node for node in unit if _has_kernel(node)]
    weights = [node for node in unit if _is_layer(node) and node.operation.weights]
    for nodes in (merges, kernels, weights, unit):
        if nodes:
            layer = nodes[-1].operation
            if re.sub(r"_\d+$", "", layer.name).replace("_", "") != type(layer).__name__.lower():
                return layer.name
    return f"part_{position}"


def _block(name: str, unit: list[Any]) -> Block:
    layers = {node.operation.name: node.operation for node in unit}
    weights = {id(w): w for layer in layers.values() for w in getattr(layer, "weights", ())}
    return Block(
        name=name,
        layers=tuple(layers),
        shape=_shape(unit[-1]),
        params=sum(math.prod(w.shape) for w in weights.values()),
        multiply_adds=sum(_multiply_adds(node) for node in unit),
        output=unit[-1].outputs[0],
    )
