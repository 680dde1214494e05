"""What the expressions of a script stand for, and what its calls give, on what is known of its values."""

import ast
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from headstart.checks.names import canonical, is_library
from headstart.checks.network import UNKNOWN
from headstart.checks.values import (
    Class,
    Dataset,
    Element,
    Enumerated,
    Function,
    Instance,
    Labels,
    LayersOf,
    Method,
    Scope,
    Symbol,
)

_MAX_ELEMENTS = 30
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
_BUILTINS = {
    *("print", "len", "range", "isinstance", "enumerate", "zip", "list", "tuple", "int", "float", "str", "bool"),
    *("dict", "set", "sorted", "reversed", "setattr", "getattr", "hasattr", "min", "max", "abs", "round", "sum"),
    *("open", "super", "type", "iter", "next", "map", "filter", "any", "all", "input", "format", "repr", "id", "vars"),
}
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {one.__name__: one for one in (int, float, str, bool, abs, round)}
PLAIN = (int, float, str, bool, type(None), bytes)
"""Types of values that stand for themselves."""


class End(Exception):  # noqa: N818 - not an error: the script ends here, or we have seen enough of it
    """This way through the script goes no further."""


class Library(Protocol):
    """What the functions and objects of Keras and TensorFlow do."""

    def call(self, path: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call something imported."""

    def method(self, owner: Any, name: str, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """Call a method of an object that the library made, or the object itself (``__call__``)."""

    def attribute(self, owner: Any, name: str) -> Any:
        """An attribute of such an object."""

    def set_attribute(self, owner: Any, name: str, value: Any, line: int) -> None:
        """Set one."""

    def subscript(self, owner: Any, index: Any) -> Any:
        """An element, or a slice, of such an object."""

    def arithmetic(self, operation: ast.operator, left: Any, right: Any, line: int) -> Any:
        """Calculate with such objects."""

    def let_go(self, values: list[Any], line: int) -> None:
        """Code that is not known was given these objects and may have changed them."""

    def collected(self, value: Any, line: int) -> None:
        """A value was put into a list."""


class Expressions(ABC):
    """Evaluates expressions; what statements do is left to :class:`headstart.checks.interpreter.Interpreter`.

    Attributes:
        library: what imported functions do; to be set before anything is evaluated.
    """

    library: Library

    def __init__(self) -> None:
        self.scope = Scope({"__name__": "__main__"})
        self.element: str | None = None  # name of the loop's layer, in a loop over the layers of a model

    @abstractmethod
    def decide(self, test: ast.expr, truth: Any) -> bool:
        """The truth of a condition; where it is UNKNOWN one of the two, the same each time it is asked for."""

    @abstractmethod
    def invoke(self, function: Function, names: dict[str, Any]) -> Any:
        """Go through a function of the script with these arguments, and give what it returns."""

    def value(self, node: ast.expr) -> Any:
        """What an expression stands for."""
        method = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        return method(node) if method else UNKNOWN

    def _of_constant(self, node: ast.Constant) -> Any:
        return node.value if isinstance(node.value, PLAIN) else UNKNOWN

    def _of_name(self, node: ast.Name) -> Any:
        try:
            return self.scope.get(node.id)
        except KeyError:
            return Symbol(f"builtins.{node.id}") if node.id in _BUILTINS else UNKNOWN

    def _of_namedexpr(self, node: ast.NamedExpr) -> Any:
        value = self.value(node.value)
        self.assign(node.target, value)
        return value

    def _of_attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if isinstance(owner, Symbol):
            return Symbol(canonical(f"{owner.path}.{node.attr}"))
        if isinstance(owner, Class):
            return owner.names.get(node.attr, UNKNOWN)
        if isinstance(owner, Instance):
            value = owner.names.get(node.attr, owner.of.names.get(node.attr, UNKNOWN))
            is_method = isinstance(value, Function) and node.attr not in owner.names
            return Function(value.node, value.scope, value.defaults, owner) if is_method else value
        if isinstance(owner, (list, dict, str)):
            return Method(_Plain(owner), node.attr)
        return UNKNOWN if owner is UNKNOWN else self.library.attribute(owner, node.attr)

    def _of_binop(self, node: ast.BinOp) -> Any:
        return self.operate(node.op, self.value(node.left), self.value(node.right), node.lineno)

    def operate(self, operation: ast.operator | ast.cmpop, left: Any, right: Any, line: int) -> Any:
        """Calculate, or compare."""
        if isinstance(left, (*PLAIN, list, tuple)) and isinstance(right, (*PLAIN, list, tuple, dict)):
            if isinstance(operation, ast.Pow):
                small = all(isinstance(x, (int, float)) and abs(x) < 1000 for x in (left, right))
                return _calculated(operator.pow, left, right) if small else UNKNOWN
            repeats = isinstance(operation, ast.Mult) and not all(isinstance(x, (int, float)) for x in (left, right))
            function = None if repeats else _OPERATORS.get(type(operation))
            return _calculated(function, left, right) if function else UNKNOWN
        if isinstance(operation, ast.operator):
            return self.library.arithmetic(operation, left, right, line)
        if right is None and _is_something(left):
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
        values = [self.value(one) for one in (node.left, *node.comparators)]
        answers = [
            self.operate(operation, left, right, node.lineno)
            for operation, left, right in zip(node.ops, values, values[1:], strict=False)
        ]
        return UNKNOWN if UNKNOWN in answers else all(answers)

    def _of_boolop(self, node: ast.BoolOp) -> Any:
        stops_at = isinstance(node.op, ast.Or)
        known = True
        for part in node.values:
            value = self.value(part)
            truth = self.truth(value)
            if truth is stops_at:
                return value
            known = known and truth is not UNKNOWN
        return value if known else UNKNOWN

    def _of_ifexp(self, node: ast.IfExp) -> Any:
        truth = self.truth(self.value(node.test))
        if truth is UNKNOWN and self.element:
            return UNKNOWN
        return self.value(node.body if self.decide(node.test, truth) else node.orelse)

    def _of_tuple(self, node: ast.Tuple) -> Any:
        return tuple(self._of_list(node))

    def _of_list(self, node: ast.List | ast.Tuple | ast.Set) -> list[Any]:
        values: list[Any] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                values += self.elements(self.value(element.value))
            else:
                values.append(self.value(element))
        return values

    _of_set = _of_list

    def _of_dict(self, node: ast.Dict) -> Any:
        known: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            name, content = self.value(key) if key else UNKNOWN, self.value(value)
            if key is None and isinstance(content, dict):
                known.update(content)
            elif isinstance(name, PLAIN):
                known[name] = content
        return known

    def _of_joinedstr(self, node: ast.JoinedStr) -> Any:
        parts = [self.value(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values]
        plain = not any(isinstance(part, ast.FormattedValue) and part.format_spec for part in node.values)
        return "".join(map(str, parts)) if plain and all(isinstance(part, PLAIN) for part in parts) else UNKNOWN

    def _of_subscript(self, node: ast.Subscript) -> Any:
        owner = self.value(node.value)
        index = self._slice(node.slice) if isinstance(node.slice, ast.Slice) else self.value(node.slice)
        if isinstance(owner, (list, tuple, dict, str)):
            try:
                return UNKNOWN if index is UNKNOWN else owner[index]
            except (KeyError, IndexError, TypeError, ValueError):
                return UNKNOWN
        return UNKNOWN if owner is UNKNOWN else self.library.subscript(owner, index)

    def _slice(self, node: ast.Slice) -> Any:
        parts = [self.value(part) if part else None for part in (node.lower, node.upper, node.step)]
        return slice(*parts)

    def _of_lambda(self, node: ast.Lambda) -> Any:
        return self.function(node)

    def _of_listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Any:
        outer, self.scope = self.scope, Scope(outer=self.scope)
        try:
            results: list[Any] = []
            exact = self._comprehend(node.generators, node.elt, results)
        finally:
            self.scope = outer
        for result in results:
            self.library.collected(result, node.lineno)
        return results if exact else UNKNOWN

    _of_generatorexp = _of_setcomp = _of_listcomp

    def _comprehend(self, generators: list[ast.comprehension], element: ast.expr, results: list[Any]) -> bool:
        """Collect the elements; whether these are all of them."""
        if not generators:
            results.append(self.value(element))
            return True
        over = self.value(generators[0].iter)
        exact = isinstance(over, (list, tuple)) and len(over) <= _MAX_ELEMENTS and not generators[0].ifs
        for value in self.elements(over):
            self.assign(generators[0].target, value)
            exact = self._comprehend(generators[1:], element, results) and exact
        return exact

    def elements(self, over: Any) -> list[Any]:
        """What a loop goes through: what is known one by one, anything else once."""
        if isinstance(over, Enumerated):
            counted = isinstance(over.of, (list, tuple))
            return [(i if counted else UNKNOWN, value) for i, value in enumerate(self.elements(over.of))]
        if isinstance(over, (list, tuple, dict)):
            return list(over)[:_MAX_ELEMENTS]
        if isinstance(over, LayersOf):
            return [Element(over.owner, over.part)]
        if isinstance(over, Dataset):
            known = isinstance(over.labels, Labels)
            return [(over.images, Labels(over.labels.form, over.labels.classes, over)) if known else UNKNOWN]
        return [over] if isinstance(over, Labels) else [UNKNOWN]

    def truth(self, value: Any) -> Any:
        """True, False or UNKNOWN."""
        if isinstance(value, (*PLAIN, list, tuple, dict)):
            return bool(value)
        return True if _is_something(value) else UNKNOWN

    # --- calls -----------------------------------------------------------------------------------------------------

    def _of_call(self, node: ast.Call) -> Any:
        function = self.value(node.func)
        args = self._of_list(ast.List(elts=node.args, ctx=ast.Load()))
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value)
            if keyword.arg:
                kwargs[keyword.arg] = value
            elif isinstance(value, dict):
                kwargs.update({name: content for name, content in value.items() if isinstance(name, str)})
            else:
                kwargs["**"] = UNKNOWN
        return self.call(function, args, kwargs, node)

    def call(self, function: Any, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """What a call gives."""
        if isinstance(function, Function):
            return self.invoke(function, self._bound(function, args, kwargs))
        if isinstance(function, Class):
            return self._instance(function, args, kwargs, node)
        if isinstance(function, Method):
            if isinstance(function.owner, _Plain):
                return self._plain_method(function.owner.value, function.name, args, node.lineno)
            return self.library.method(function.owner, function.name, args, kwargs, node)
        if isinstance(function, Symbol):
            if function.path == "sys.exit" or function.path in ("builtins.exit", "builtins.quit"):
                raise End
            if function.path == "os.path.join" and args and all(isinstance(part, str) for part in args):
                return "/".join(args)
            if function.path.startswith("builtins."):
                return self._builtin(function.name, args, node.lineno)
            return self.library.call(function.path, args, kwargs, node)
        if function is UNKNOWN or isinstance(function, Instance):
            owner = self.value(node.func.value) if isinstance(node.func, ast.Attribute) else function
            own = owner.names.values() if isinstance(owner, Instance) else ()
            self.library.let_go([*own, *args, *kwargs.values()], node.lineno)
            return UNKNOWN
        return self.library.method(function, "__call__", args, kwargs, node)

    def _instance(self, of: Class, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Instance:
        made = Instance(of)
        begin = of.names.get("__init__")
        if isinstance(begin, Function):
            self.call(Function(begin.node, begin.scope, begin.defaults, made), args, kwargs, node)
        else:
            made.names.update(kwargs)
        return made

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Function:
        """A function of the script, with its defaults as they are now."""
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        given = zip(reversed(positional), reversed(arguments.defaults), strict=False)
        defaults = {argument.arg: self.value(default) for argument, default in given}
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if default:
                defaults[argument.arg] = self.value(default)
        return Function(node, self.scope, defaults)

    def _bound(self, function: Function, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        arguments = function.node.args
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        if function.owner is not None:
            args = [function.owner, *args]
        bound = dict.fromkeys(parameters(function.node), UNKNOWN) | function.defaults
        bound |= dict(zip(names, args, strict=False))
        bound |= {name: value for name, value in kwargs.items() if name in bound}
        if arguments.vararg:
            bound[arguments.vararg.arg] = tuple(args[len(names) :])
        if arguments.kwarg:
            bound[arguments.kwarg.arg] = {name: value for name, value in kwargs.items() if name not in names}
        return bound

    def _builtin(self, name: str, args: list[Any], line: int) -> Any:
        first = args[0] if args else UNKNOWN
        if name == "enumerate":
            return Enumerated(first)
        if name in ("list", "tuple", "iter", "sorted", "reversed"):
            return first
        if name == "len":
            return len(first) if isinstance(first, (list, tuple, dict, str)) else UNKNOWN
        if name == "setattr" and len(args) == 3 and isinstance(args[1], str):
            self._set_attribute(first, args[1], args[2], line)
        if name in _CONVERSIONS and len(args) == 1 and isinstance(first, PLAIN):
            return _calculated(lambda value, _: _CONVERSIONS[name](value), first, None)
        return UNKNOWN

    def _plain_method(self, owner: Any, name: str, args: list[Any], line: int) -> Any:
        """Methods of lists, dictionaries and strings."""
        if isinstance(owner, list) and name in ("append", "extend") and len(args) == 1:
            self.library.collected(args[0], line)
            if name == "append" and len(owner) < _MAX_ELEMENTS:
                owner.append(args[0])
            elif isinstance(args[0], (list, tuple)):
                owner.extend(args[0][:_MAX_ELEMENTS])
        if isinstance(owner, dict) and name == "get" and args and isinstance(args[0], PLAIN):
            return owner.get(args[0], args[1] if len(args) > 1 else None)
        if isinstance(owner, str) and name in ("lower", "upper") and not args:
            return getattr(owner, name)()
        return UNKNOWN

    # --- assignments -----------------------------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: Any) -> None:
        """Give a value to a name, an attribute, an element, or several of these."""
        if isinstance(target, ast.Name):
            self.scope.set(target.id, value)
        elif isinstance(target, ast.Attribute):
            self._set_attribute(self.value(target.value), target.attr, value, target.lineno)
        elif isinstance(target, ast.Subscript):
            owner, index = self.value(target.value), self.value(target.slice)
            if isinstance(owner, dict) and isinstance(index, PLAIN):
                owner[index] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            starred = any(isinstance(element, ast.Starred) for element in target.elts)
            fits = isinstance(value, (list, tuple)) and len(value) == len(target.elts) and not starred
            for element, part in zip(target.elts, value if fits else [UNKNOWN] * len(target.elts), strict=True):
                self.assign(element, part)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, UNKNOWN)

    def _set_attribute(self, owner: Any, name: str, value: Any, line: int) -> None:
        if isinstance(owner, (Instance, Class)):
            owner.names[name] = value
        elif owner is not UNKNOWN and not isinstance(owner, Symbol):
            self.library.set_attribute(owner, name, value, line)


class _Plain:
    """A list, dictionary or string, as the owner of a method."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _calculated(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        return function(left, right)
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN


def _is_something(value: Any) -> bool:
    """Whether a value is certainly not None, nor false: any object that is known."""
    return value is not UNKNOWN and (not isinstance(value, Symbol) or is_library(value.path))


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[str]:
    """The names of a function's arguments."""
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument.arg for argument in (*named, *(one for one in (arguments.vararg, arguments.kwarg) if one))]
