"""Evaluates the expressions of a script, as far as the values of its names are known."""

import ast
from abc import ABC, abstractmethod
from typing import Any, Protocol

from headstart.checks.dataset import Dataset, Labels, Tensor
from headstart.checks.keras_names import Symbol, canonical_name, find_in_modules, is_library
from headstart.checks.network import UNKNOWN
from headstart.checks.scripts.plain import (
    MAX_ELEMENTS,
    PLAIN_TYPES,
    Dict,
    List,
    are_plain,
    calculate,
    is_partial,
    partial_list,
)
from headstart.checks.scripts.values import (
    Class,
    Enumeration,
    Function,
    Generator,
    Instance,
    LayerList,
    ListedLayer,
    Method,
    Scope,
)

_BUILTINS = {
    *("print", "len", "range", "isinstance", "enumerate", "zip", "list", "tuple", "int", "float", "str", "bool"),
    *("dict", "set", "sorted", "reversed", "setattr", "getattr", "hasattr", "min", "max", "abs", "round", "sum"),
    *("open", "super", "type", "iter", "next", "map", "filter", "any", "all", "input", "format", "repr", "id", "vars"),
}


class EndOfExecution(Exception):  # noqa: N818 - not an error
    """The script ends here, or has been followed long enough."""


class Library(Protocol):
    """What the functions and objects of Keras and TensorFlow do."""

    def call(self, path: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call an imported function or class."""

    def method(self, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call a method of an object of the library, or the object itself (``__call__``)."""

    def attribute(self, owner: Any, name: str) -> Any:
        """An attribute of an object of the library."""

    def set_attribute(self, owner: Any, name: str, value: Any, line: int) -> None:
        """Set an attribute of an object of the library."""

    def subscript(self, owner: Any, index: Any) -> Any:
        """An element or a slice of an object of the library."""

    def arithmetic(self, operation: ast.operator, left: Any, right: Any, line: int) -> Any:
        """Calculate with objects of the library."""

    def set_item(self, owner: Any, index: Any, value: Any) -> None:
        """Assign a value to an element or a part of an object of the library."""

    def mark_as_compared(self, values: list[Any], line: int) -> None:
        """Values are paired or compared element by element."""

    def mark_as_changed(self, values: list[Any], line: int) -> None:
        """Unknown code received these values and may have changed them."""

    def mark_as_collected(self, value: Any, line: int) -> None:
        """A value was added to a list."""


class Expressions(ABC):
    """Evaluates expressions. Statements are executed by :class:`headstart.checks.scripts.interpreter.Interpreter`.

    Attributes:
        library: what imported functions do; must be set before anything is evaluated.
        scope: the names that are visible now.
        layer_name: in a loop over the layers of a model: the name of the loop variable.
        unknown_loops: number of the loops around the present statement whose elements are not known one by one.
        star_modules: the modules of ``from MODULE import *``.
        yielded: the values that the present function has yielded.
    """

    library: Library

    def __init__(self) -> None:
        self.scope = Scope({"__name__": "__main__"})
        self.layer_name: str | None = None
        self.unknown_loops = 0
        self.star_modules: list[str] = []
        self.yielded: list[Any] = []

    @abstractmethod
    def decide(self, test: ast.expr, truth: Any) -> bool:
        """The truth of a condition. If it is UNKNOWN, choose True or False, always the same for equal conditions."""

    def value(self, node: ast.expr) -> Any:
        """The value of an expression, or UNKNOWN."""
        method = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        return method(node) if method else UNKNOWN

    def _of_constant(self, node: ast.Constant) -> Any:
        return node.value if isinstance(node.value, PLAIN_TYPES) else UNKNOWN

    def _of_name(self, node: ast.Name) -> Any:
        try:
            return self.scope.get(node.id)
        except KeyError:
            if node.id in _BUILTINS:
                return Symbol(f"builtins.{node.id}")
            return find_in_modules(node.id, self.star_modules) or UNKNOWN

    def _of_namedexpr(self, node: ast.NamedExpr) -> Any:
        value = self.value(node.value)
        self.assign(node.target, value)
        return value

    def _of_attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if isinstance(owner, Symbol):
            return Symbol(canonical_name(f"{owner.path}.{node.attr}"))
        if isinstance(owner, Class):
            return owner.names.get(node.attr, UNKNOWN)
        if isinstance(owner, Instance):
            value = owner.names.get(node.attr, owner.cls.names.get(node.attr, UNKNOWN))
            is_method = isinstance(value, Function) and node.attr not in owner.names
            return Function(value.node, value.scope, value.defaults, owner) if is_method else value
        if isinstance(owner, (list, dict, str)):
            return Method(owner, node.attr)
        return UNKNOWN if owner is UNKNOWN else self.library.attribute(owner, node.attr)

    def _of_binop(self, node: ast.BinOp) -> Any:
        return self.operate(node.op, self.value(node.left), self.value(node.right), node.lineno)

    def operate(self, operation: ast.operator | ast.cmpop, left: Any, right: Any, line: int) -> Any:
        """The result of an arithmetic operation or a comparison, or UNKNOWN."""
        if are_plain(left, right):
            return calculate(operation, left, right)
        if isinstance(operation, (ast.Eq, ast.NotEq)):
            self.library.mark_as_compared([left, right], line)
        if isinstance(operation, ast.operator):
            return self.library.arithmetic(operation, left, right, line)
        if right is None and _is_object(left):
            return isinstance(operation, (ast.IsNot, ast.NotEq))
        return UNKNOWN

    def _of_unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            truth = self.truth(value)
            return truth if truth is UNKNOWN else not truth
        if isinstance(value, (int, float)):
            return -value if isinstance(node.op, ast.USub) else value if isinstance(node.op, ast.UAdd) else UNKNOWN
        return UNKNOWN

    def _of_compare(self, node: ast.Compare) -> Any:
        values = [self.value(operand) for operand in (node.left, *node.comparators)]
        results = [
            self.operate(operation, left, right, node.lineno)
            for operation, left, right in zip(node.ops, values, values[1:], strict=False)
        ]
        return UNKNOWN if UNKNOWN in results else all(results)

    def _of_boolop(self, node: ast.BoolOp) -> Any:
        deciding_truth = isinstance(node.op, ast.Or)
        is_known = True
        for operand in node.values:
            value = self.value(operand)
            truth = self.truth(value)
            if truth is deciding_truth:
                return value
            is_known = is_known and truth is not UNKNOWN
        return value if is_known else UNKNOWN

    def _of_ifexp(self, node: ast.IfExp) -> Any:
        truth = self.truth(self.value(node.test))
        if truth is UNKNOWN and self.layer_name:
            return UNKNOWN
        return self.value(node.body if self.decide(node.test, truth) else node.orelse)

    def _of_yield(self, node: ast.Yield) -> Any:
        self.yielded.append(self.value(node.value) if node.value else None)
        return UNKNOWN

    def _of_tuple(self, node: ast.Tuple) -> Any:
        return tuple(self._of_list(node))

    def _of_list(self, node: ast.List | ast.Tuple | ast.Set) -> list[Any]:
        values = List()
        for element in node.elts:
            if isinstance(element, ast.Starred):
                iterable = self.value(element.value)
                values.is_partial = values.is_partial or not is_complete(iterable)
                values += self.elements(iterable)
            else:
                values.append(self.value(element))
        return values

    _of_set = _of_list

    def _of_dict(self, node: ast.Dict) -> Any:
        items = Dict()
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            key, value = self.value(key_node) if key_node else UNKNOWN, self.value(value_node)
            if key_node is None and isinstance(value, dict):  # **value
                items.update(value)
                items.is_partial = items.is_partial or is_partial(value)
            elif isinstance(key, PLAIN_TYPES):
                items[key] = value
            else:
                items.is_partial = True
        return items

    def _of_joinedstr(self, node: ast.JoinedStr) -> Any:
        parts = [self.value(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values]
        has_format = any(isinstance(part, ast.FormattedValue) and part.format_spec for part in node.values)
        if has_format or not all(isinstance(part, PLAIN_TYPES) for part in parts):
            return UNKNOWN
        return "".join(map(str, parts))

    def _of_subscript(self, node: ast.Subscript) -> Any:
        owner = self.value(node.value)
        index = self._index(node.slice)
        if isinstance(owner, list) and is_partial(owner):
            return partial_list(owner) if isinstance(index, slice) else owner[0] if len(owner) == 1 else UNKNOWN
        if isinstance(owner, (list, tuple, dict, str)):
            try:
                return UNKNOWN if index is UNKNOWN else owner[index]
            except (KeyError, IndexError, TypeError, ValueError):
                return UNKNOWN
        return UNKNOWN if owner is UNKNOWN else self.library.subscript(owner, index)

    def _index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            return slice(*(self.value(part) if part else None for part in (node.lower, node.upper, node.step)))
        if isinstance(node, ast.Tuple):
            return tuple(map(self._index, node.elts))
        return ... if isinstance(node, ast.Constant) and node.value is ... else self.value(node)

    def _of_listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Any:
        outer, self.scope = self.scope, Scope(outer=self.scope)
        try:
            results: list[Any] = []
            is_known = self._comprehend(node.generators, node.elt, results)
        finally:
            self.scope = outer
        for result in results:
            self.library.mark_as_collected(result, node.lineno)
        return List(results) if is_known else partial_list(results)

    _of_generatorexp = _of_setcomp = _of_listcomp

    def _comprehend(self, generators: list[ast.comprehension], element: ast.expr, results: list[Any]) -> bool:
        """Append the elements of a comprehension to ``results``; whether these are certainly all elements."""
        if not generators:
            results.append(self.value(element))
            return True
        iterable = self.value(generators[0].iter)
        is_known = is_complete(iterable) and not generators[0].ifs
        for value in self.elements(iterable):
            self.assign(generators[0].target, value)
            is_known = self._comprehend(generators[1:], element, results) and is_known
        return is_known

    def elements(self, iterable: Any) -> list[Any]:
        """The elements of an iterable; one element that represents all of them if they are not known one by one."""
        if isinstance(iterable, Enumeration):
            is_known = is_complete(iterable.iterable)
            elements = self.elements(iterable.iterable)
            return [(i if is_known else UNKNOWN, value) for i, value in enumerate(elements)]
        if isinstance(iterable, (list, tuple, dict)):
            return list(iterable)[:MAX_ELEMENTS]
        if isinstance(iterable, LayerList):
            return [ListedLayer(iterable.model, iterable.selection)]
        if isinstance(iterable, Dataset):
            labels = iterable.labels
            if not isinstance(labels, Labels):
                return [UNKNOWN]
            return [(iterable.images, Labels(labels.form, labels.class_count, iterable))]
        if isinstance(iterable, Generator):
            return [iterable.element]
        return [iterable] if isinstance(iterable, (Labels, Tensor)) else [UNKNOWN]

    def truth(self, value: Any) -> Any:
        """True, False or UNKNOWN."""
        if isinstance(value, (*PLAIN_TYPES, list, tuple, dict)):
            return UNKNOWN if is_partial(value) else bool(value)
        return True if _is_object(value) else UNKNOWN

    def assign(self, target: ast.expr, value: Any) -> None:
        """Assign a value to a name, an attribute, an element, or several of these."""
        if isinstance(target, ast.Name):
            self.scope.set(target.id, value)
        elif isinstance(target, ast.Attribute):
            self.set_attribute(self.value(target.value), target.attr, value, target.lineno)
        elif isinstance(target, ast.Subscript):
            self._set_item(self.value(target.value), self._index(target.slice), value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            has_star = any(isinstance(element, ast.Starred) for element in target.elts)
            is_known = is_complete(value) and len(value) == len(target.elts) and not has_star
            values = value if is_known else [UNKNOWN] * len(target.elts)
            for element, element_value in zip(target.elts, values, strict=True):
                self.assign(element, element_value)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, UNKNOWN)

    def _set_item(self, owner: Any, index: Any, value: Any) -> None:
        if isinstance(owner, dict) and isinstance(index, PLAIN_TYPES):
            owner[index] = value
        elif isinstance(owner, Dict):
            owner.is_partial = True
        elif not isinstance(owner, (list, tuple, Instance, Class, Symbol)) and owner is not UNKNOWN:
            self.library.set_item(owner, index, value)

    def set_attribute(self, owner: Any, name: str, value: Any, line: int) -> None:
        """Assign a value to an attribute of an object."""
        if isinstance(owner, (Instance, Class)):
            owner.names[name] = value
        elif owner is not UNKNOWN and not isinstance(owner, Symbol):
            self.library.set_attribute(owner, name, value, line)


def is_complete(iterable: Any) -> bool:
    """Whether all elements of an iterable are known and few enough to follow them one by one."""
    is_known = isinstance(iterable, (list, tuple, dict)) and not is_partial(iterable)
    return is_known and len(iterable) <= MAX_ELEMENTS


def _is_object(value: Any) -> bool:
    """Whether a value is certainly neither None nor false, because it is a known object."""
    return value is not UNKNOWN and (not isinstance(value, Symbol) or is_library(value.path))
