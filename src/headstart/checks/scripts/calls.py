"""Follows the calls in a script: its own functions and classes, built-in functions, and the library."""

import ast
from abc import abstractmethod
from typing import Any

from headstart.checks.dataset import Dataset
from headstart.checks.keras_names import Symbol
from headstart.checks.network import UNKNOWN
from headstart.checks.scripts.expressions import EndOfExecution, Expressions
from headstart.checks.scripts.plain import MAX_ELEMENTS, Dict, List, call_method, convert, is_partial, length
from headstart.checks.scripts.values import Class, Enumeration, Function, Generator, Instance, Method, Variables


class Calls(Expressions):
    """Evaluates expressions with calls and lambdas."""

    @abstractmethod
    def invoke(self, function: Function, names: dict[str, Any]) -> Any:
        """Execute a function of the script with these arguments, and give its return value."""

    def call(self, function: Any, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        """The result of a call, or UNKNOWN."""
        if isinstance(function, Function):
            return self.invoke(function, _bind(function, args, kwargs))
        if isinstance(function, Class):
            return self._instantiate(function, args, kwargs, node)
        if isinstance(function, Method):
            if isinstance(function.owner, (list, dict, str)):
                return self._call_plain_method(function.owner, function.name, args, node.lineno)
            return self.library.method(function.owner, function.name, args, kwargs, node)
        if isinstance(function, Symbol):
            return self._call_symbol(function, args, kwargs, node)
        method = function.cls.names.get("call") if isinstance(function, Instance) and function.cls.is_model else None
        if isinstance(method, Function):
            return self.call(Function(method.node, method.scope, method.defaults, function), args, kwargs, node)
        if function is UNKNOWN or isinstance(function, Instance):
            owner = self.value(node.func.value) if isinstance(node.func, ast.Attribute) else function
            attributes = owner.names.values() if isinstance(owner, Instance) else ()
            self.library.mark_as_changed([*attributes, *args, *kwargs.values()], node.lineno)
            return UNKNOWN
        return self.library.method(function, "__call__", args, kwargs, node)

    def define_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Function:
        """A function of the script, with the present values of its defaults."""
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        with_default = zip(reversed(positional), reversed(arguments.defaults), strict=False)
        defaults = {argument.arg: self.value(default) for argument, default in with_default}
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if default:
                defaults[argument.arg] = self.value(default)
        return Function(node, self.scope, defaults)

    def _of_lambda(self, node: ast.Lambda) -> Any:
        return self.define_function(node)

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

    def _call_symbol(self, function: Symbol, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Any:
        if function.path in ("sys.exit", "builtins.exit", "builtins.quit"):
            raise EndOfExecution
        if function.path == "os.path.join" and args and all(isinstance(part, str) for part in args):
            return "/".join(args)
        if function.path.startswith("builtins."):
            return self._call_builtin(function.name, args, node.lineno)
        return self.library.call(function.path, args, kwargs, node)

    def _call_builtin(self, name: str, args: list[Any], line: int) -> Any:
        first = args[0] if args else UNKNOWN
        if name == "enumerate":
            return Enumeration(first)
        if name in ("list", "tuple", "iter", "sorted", "reversed"):
            return first
        if name == "len":
            return length(first)
        if name == "zip":
            return self._zip(args, line)
        if name == "next":
            return self.elements(first)[0] if isinstance(first, (Dataset, Generator)) else UNKNOWN
        if name == "setattr" and len(args) == 3 and isinstance(args[1], str):
            self.set_attribute(first, args[1], args[2], line)
        return convert(name, first) if len(args) == 1 else UNKNOWN

    def _call_plain_method(self, owner: Any, name: str, args: list[Any], line: int) -> Any:
        if isinstance(owner, list) and name in ("append", "extend") and len(args) == 1:
            self.library.mark_as_collected(args[0], line)
        if isinstance(owner, (List, Dict)):
            added = args[0] if name == "append" else next(iter(args), None)
            is_known = name == "append" or (name == "extend" and isinstance(added, (list, tuple)))
            is_read = name in ("get", "keys", "values", "items", "copy", "index", "count", "sort", "reverse")
            has_space = len(owner) < MAX_ELEMENTS and not self.unknown_loops
            owner.is_partial = owner.is_partial or not (is_read or (is_known and has_space and not is_partial(added)))
        return call_method(owner, name, args)

    def _zip(self, args: list[Any], line: int) -> Any:
        self.library.mark_as_compared(args, line)
        return next((value for value in args if isinstance(value, Variables)), UNKNOWN)

    def _instantiate(self, cls: Class, args: list[Any], kwargs: dict[str, Any], node: ast.Call) -> Instance:
        instance = Instance(cls)
        init = cls.names.get("__init__")
        if isinstance(init, Function):
            self.call(Function(init.node, init.scope, init.defaults, instance), args, kwargs, node)
        else:
            instance.names.update(kwargs)
        return instance


def _bind(function: Function, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Argument -> value for a call of a function of the script."""
    arguments = function.node.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if function.owner is not None:
        args = [function.owner, *args]
    values = dict.fromkeys(function.arguments, UNKNOWN) | function.defaults
    values |= dict(zip(positional, args, strict=False))
    values |= {name: value for name, value in kwargs.items() if name in values}
    if arguments.vararg:
        values[arguments.vararg.arg] = tuple(args[len(positional) :])
    if arguments.kwarg:
        values[arguments.kwarg.arg] = {name: value for name, value in kwargs.items() if name not in positional}
    return values
