"""Values of names and expressions in a script; numbers, strings, lists, tuples and dicts represent themselves."""

import ast
from dataclasses import dataclass, field
from typing import Any, Optional

from headstart.checks.network import EACH_LAYER, Base, Layer, Network, Selection


@dataclass
class Scope:
    """Names and their values, inside an outer scope.

    Attributes:
        names: name -> value.
        outer: the scope around this one.
        outer_names: names declared global or nonlocal.
    """

    names: dict[str, Any] = field(default_factory=dict)
    outer: Optional["Scope"] = None
    outer_names: set[str] = field(default_factory=set)

    def get(self, name: str) -> Any:
        """The value of a name.

        Raises:
            KeyError: the name has no value.
        """
        scope: Scope | None = self
        while scope:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        raise KeyError(name)

    def set(self, name: str, value: Any) -> None:
        """Assign a value to a name."""
        scope = self
        while name in self.outer_names and scope.outer and (scope is self or name not in scope.names):
            scope = scope.outer
        scope.names[name] = value


@dataclass(eq=False)
class Function:
    """A function or lambda of the script.

    Attributes:
        node: its syntax tree.
        scope: where it was defined.
        defaults: argument -> default value.
        owner: the object of a bound method.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    defaults: dict[str, Any] = field(default_factory=dict)
    owner: Any = None

    @property
    def arguments(self) -> list[str]:
        """The names of its arguments."""
        arguments = self.node.args
        plain_arguments = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        return [argument.arg for argument in (*plain_arguments, *starred)]


@dataclass(eq=False)
class Class:
    """A class or module of the script.

    Attributes:
        name: of the class or module.
        names: what it defines.
        is_model: whether the class is derived from ``keras.Model``.
    """

    name: str
    names: dict[str, Any]
    is_model: bool = False


@dataclass(eq=False)
class Instance:
    """An object of a class of the script."""

    cls: Class
    names: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A method of an object, before it is called."""

    owner: Any
    name: str


@dataclass(frozen=True)
class LayerList:
    """``model.layers``, or some of these layers."""

    model: Base | Network
    selection: Selection = EACH_LAYER


@dataclass(frozen=True)
class ListedLayer:
    """An element of a :class:`LayerList`; it represents all selected layers."""

    model: Base | Network
    selection: Selection


@dataclass(frozen=True)
class Enumeration:
    """``enumerate(iterable)``."""

    iterable: Any


@dataclass(eq=False)
class Generator:
    """What a generator function of the script returns.

    Attributes:
        element: the first value that it yields; it represents all of them.
    """

    element: Any


@dataclass(frozen=True)
class Variables:
    """The trainable variables of a layer or model, alone or with their gradients."""

    owner: Layer


@dataclass(frozen=True)
class LearningRate:
    """The optimizer of a compiled network, or its learning rate."""

    network: Network
