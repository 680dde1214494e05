"""Operations on the plain values of a script, such as numbers, strings and lists, limited to those that are cheap."""

import ast
import operator
from collections.abc import Callable, Iterable
from typing import Any

from headstart.checks.network import UNKNOWN

PLAIN_TYPES = (int, float, str, bool, type(None), bytes)
"""Types of values that represent themselves."""

MAX_ELEMENTS = 30
"""Largest number of elements of a list that are followed one by one."""


class List(list[Any]):
    """A list of a script.

    Attributes:
        is_partial: it grew in a loop over unknown elements. Its length is not known, and its elements are examples.
    """

    is_partial = False


class Dict(dict[Any, Any]):
    """A dict of a script; ``is_partial``: it has other keys, too."""

    is_partial = False


def is_partial(value: Any) -> bool:
    """Whether a list or dict has other elements than those that are known."""
    return getattr(value, "is_partial", False)


def partial_list(elements: Iterable[Any]) -> List:
    """A list with these elements as examples."""
    result = List(elements)
    result.is_partial = True
    return result


def length(value: Any) -> Any:
    """The number of elements, or UNKNOWN."""
    return len(value) if isinstance(value, (list, tuple, dict, str)) and not is_partial(value) else UNKNOWN


_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    function.__name__: function for function in (int, float, str, bool, abs, round)
}


def are_plain(left: Any, right: Any) -> bool:
    """Whether both operands of an operation are plain values."""
    return isinstance(left, (*PLAIN_TYPES, list, tuple)) and isinstance(right, (*PLAIN_TYPES, list, tuple, dict))


def calculate(operation: ast.operator | ast.cmpop, left: Any, right: Any) -> Any:
    """The result of an operation on two plain values, or UNKNOWN."""
    if is_partial(left) or is_partial(right):
        are_lists = isinstance(left, list) and isinstance(right, list)
        return partial_list([*left, *right]) if are_lists and isinstance(operation, ast.Add) else UNKNOWN
    are_numbers = all(isinstance(value, (int, float)) for value in (left, right))
    if isinstance(operation, ast.Pow):
        is_small = are_numbers and all(abs(value) < 1000 for value in (left, right))
        return _try(operator.pow, left, right) if is_small else UNKNOWN
    may_be_large = isinstance(operation, ast.Mult) and not are_numbers  # "a" * 10**9
    function = None if may_be_large else _OPERATORS.get(type(operation))
    return _try(function, left, right) if function else UNKNOWN


def convert(function_name: str, value: Any) -> Any:
    """The result of a built-in function such as ``int`` for a plain value, or UNKNOWN."""
    function = _CONVERSIONS.get(function_name)
    return _try(function, value) if function and isinstance(value, PLAIN_TYPES) else UNKNOWN


def call_method(value: list[Any] | dict[Any, Any] | str, name: str, args: list[Any]) -> Any:
    """Call a method of a list, dict or string: its result, or UNKNOWN. Lists grow up to MAX_ELEMENTS."""
    first = args[0] if args else UNKNOWN
    if isinstance(value, list) and len(args) == 1 and name in ("append", "extend"):
        if name == "append" and len(value) < MAX_ELEMENTS:
            value.append(first)
        elif name == "extend" and isinstance(first, (list, tuple)):
            value.extend(first[:MAX_ELEMENTS])
    if isinstance(value, dict) and name == "get" and isinstance(first, PLAIN_TYPES):
        missing = UNKNOWN if is_partial(value) else args[1] if len(args) > 1 else None
        return value.get(first, missing)
    if isinstance(value, str) and name in ("lower", "upper") and not args:
        return getattr(value, name)()
    return UNKNOWN


def _try(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN
