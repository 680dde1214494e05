"""What is known about the data in a script: images, labels and datasets of both."""

from dataclasses import dataclass
from typing import Any, Optional

from headstart.checks.network import UNKNOWN, Layer, Node
from headstart.checks.shapes import output_shape


@dataclass(eq=False)
class Tensor:
    """Images, or the output of a layer."""

    node: Node


@dataclass(eq=False)
class Labels:
    """Labels of images.

    Attributes:
        form: ``int``, ``one-hot``, ``binary`` (0 and 1 in one column) or :data:`UNKNOWN`.
        class_count: number of classes, or :data:`UNKNOWN`.
        dataset: the dataset they were read from.
        is_in_file_order: whether these are all labels or files of a dataset, in the order of its folder.
    """

    form: Any = UNKNOWN
    class_count: Any = UNKNOWN
    dataset: Optional["Dataset"] = None
    is_in_file_order: bool = False


@dataclass(eq=False)
class ReadLines:
    """Lines where a shuffled dataset was read, or 0. Each reading gives another order."""

    predictions: int = 0
    labels: int = 0


@dataclass(eq=False)
class Dataset:
    """Images with labels.

    Attributes:
        images: a :class:`Tensor`, or :data:`UNKNOWN`.
        labels: :class:`Labels`, or :data:`UNKNOWN`.
        origin: equal for datasets with the same data; compared only within one script.
        selections: the calls of take, skip, shard and filter on it, as ``(name, line)``.
        reshuffles: lines of the shuffles that give a new order each time, since the last cache.
        reshuffles_before_split: those of them that came before a take, skip, shard or filter.
        read_lines: for a shuffled dataset: where it was read.
        line: where it was created.
    """

    images: Any
    labels: Any
    origin: Any
    selections: tuple[tuple[str, int], ...] = ()
    reshuffles: frozenset[int] = frozenset()
    reshuffles_before_split: frozenset[int] = frozenset()
    read_lines: ReadLines | None = None
    line: int = 0


def apply_layer(layer: Layer, tensors: list[Any], line: int, training: Any = None) -> Tensor:
    """The output of a layer for these tensors; an unknown tensor counts as unknown images."""
    nodes = [tensor.node if isinstance(tensor, Tensor) else Node(Layer("unknown"), line=line) for tensor in tensors]
    return Tensor(Node(layer, nodes, training, line, output_shape(layer, [node.shape for node in nodes])))
