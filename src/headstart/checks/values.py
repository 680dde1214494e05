"""What the names in a script stand for; numbers, strings, lists and so on stand for themselves."""

import ast
from dataclasses import dataclass, field
from typing import Any, Optional

from headstart.checks.network import UNKNOWN, Base, Layer, Network, Node
from headstart.checks.shapes import output_shape


@dataclass
class Scope:
    """Names and their values, within the scope around it."""

    names: dict[str, Any] = field(default_factory=dict)
    outer: Optional["Scope"] = None
    elsewhere: set[str] = field(default_factory=set)
    """Names that were declared global or nonlocal."""

    def get(self, name: str) -> Any:
        """The value of a name; KeyError if it has none."""
        scope: Scope | None = self
        while scope:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        raise KeyError(name)

    def set(self, name: str, value: Any) -> None:
        """Give a name a value."""
        scope = self
        while name in self.elsewhere and scope.outer and (scope is self or name not in scope.names):
            scope = scope.outer
        scope.names[name] = value


@dataclass(frozen=True)
class Symbol:
    """Something imported, by its one name, such as ``keras.layers.Dense``."""

    path: str

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition(".")[2]


@dataclass(eq=False)
class Function:
    """A function or lambda of the script."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    defaults: dict[str, Any] = field(default_factory=dict)
    owner: Any = None
    """The object of a bound method."""


@dataclass(eq=False)
class Class:
    """A class of the script."""

    name: str
    names: dict[str, Any]


@dataclass(eq=False)
class Instance:
    """An object of a class of the script."""

    of: Class
    names: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A method of something that is known, before it is called."""

    owner: Any
    name: str


@dataclass(eq=False)
class Made:
    """An optimizer, a loss, a metric, a generator of images: what was made of which arguments."""

    kind: str
    config: dict[str, Any]
    line: int
    fitted: Any = None
    """Of an optimizer: the network that it trained last, what was trainable in it, and how it was compiled."""


@dataclass(eq=False)
class Tensor:
    """Images, or what a layer made of them."""

    node: Node


@dataclass(eq=False)
class Labels:
    """Labels of images.

    Attributes:
        form: ``int``, ``one-hot``, ``binary`` (0 and 1 in one column) or :data:`UNKNOWN`.
        classes: how many, or :data:`UNKNOWN`.
        of: the data set that they were read from.
    """

    form: Any = UNKNOWN
    classes: Any = UNKNOWN
    of: Optional["Dataset"] = None


@dataclass(eq=False)
class Reads:
    """Where a shuffled data set was read: two times mean two orders."""

    predicted_line: int = 0
    labels_line: int = 0


@dataclass(eq=False)
class Dataset:
    """Images with labels.

    Attributes:
        images: a :class:`Tensor`, or :data:`UNKNOWN`.
        labels: :class:`Labels`, or :data:`UNKNOWN`.
        origin: what it was read from, equal for equal data: compared only with others of the same script.
        parts: the takes and skips since, as ``(name, line)``.
        reshuffled: lines of the shuffles that give another order each time, since the last cache.
        divided: those of them that came before a take or skip.
        reads: of a shuffled one, where it was read.
        line: where it was made.
    """

    images: Any
    labels: Any
    origin: Any
    parts: tuple[tuple[str, int], ...] = ()
    reshuffled: frozenset[int] = frozenset()
    divided: frozenset[int] = frozenset()
    reads: Reads | None = None
    line: int = 0


@dataclass(frozen=True)
class LayersOf:
    """``model.layers``, or a part of it; see :meth:`headstart.checks.network.Trainable.set`."""

    owner: Base | Network
    part: str = "each"


@dataclass(frozen=True)
class Element:
    """Any layer out of :class:`LayersOf`."""

    owner: Base | Network
    part: str


@dataclass(frozen=True)
class Enumerated:
    """``enumerate(...)``."""

    of: Any


@dataclass(frozen=True)
class RateOf:
    """The learning rate of a compiled network."""

    network: Network


def applied(layer: Layer, tensors: list[Any], line: int, training: Any = None) -> Tensor:
    """What a layer makes of tensors; those that are not known are unknown images."""
    nodes = [one.node if isinstance(one, Tensor) else Node(Layer("unknown"), line=line) for one in tensors]
    return Tensor(Node(layer, nodes, training, line, output_shape(layer, [node.shape for node in nodes])))
