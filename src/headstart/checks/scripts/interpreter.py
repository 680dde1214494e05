"""Interprets a script statement by statement, as Python would, on what is known about its values.

No code of the script runs. A function of the script is followed where it is called. A loop body is executed once, or
once for each element of a known list. A condition that is not known leads to two executions of the script, one for each
case: see :func:`headstart.checks.scripts.check.check_scripts`.
"""

import ast
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal

from headstart.checks.dataset import Tensor
from headstart.checks.keras_names import Symbol, canonical_name
from headstart.checks.network import UNKNOWN, Kind, Selection
from headstart.checks.scripts.calls import Calls
from headstart.checks.scripts.expressions import EndOfExecution, is_complete
from headstart.checks.scripts.plain import PLAIN_TYPES, List, is_partial, partial_list
from headstart.checks.scripts.sources import Sources
from headstart.checks.scripts.values import (
    Class,
    Enumeration,
    Function,
    Generator,
    Instance,
    LayerList,
    ListedLayer,
    Scope,
)

MAX_STEPS = 30_000
"""Largest number of statements that are executed."""


_MAYBE_IN_PLACE = ("preprocess_input", "Rescaling", "unknown")
"""Kinds of layers whose function may have changed its argument if the script ignores the result."""


class _Return(Exception):  # noqa: N818
    def __init__(self, value: Any) -> None:
        self.value = value


class _Break(Exception):  # noqa: N818
    pass


class _Continue(Exception):  # noqa: N818
    pass


class Interpreter(Calls):
    """One execution of a script.

    Args:
        sources: the script.
        first_decisions: the truth of the first unknown conditions; all later unknown conditions are True.

    Attributes:
        decisions: the truth of all unknown conditions so far.
        steps: number of statements that were executed.
    """

    def __init__(self, sources: Sources, first_decisions: list[bool]) -> None:
        super().__init__()
        self.sources, self.first_decisions = sources, first_decisions
        self.decisions: list[bool] = []
        self._globals = self.scope
        self._truth_of: dict[str, bool] = {}  # condition -> decision
        self._constant_of: dict[str, Any] = {}  # expression -> constant that it was decided to be equal to
        self._invoked: set[ast.AST] = set()
        self._call_stack: list[ast.AST] = []
        self._modules = {sources.main: Class("__main__", self.scope.names)}
        self.steps = 0

    def run(self) -> None:
        """Execute the script, and then its functions and methods that were not called."""
        with suppress(EndOfExecution, RecursionError, _Return, _Break, _Continue):
            self._execute(self.sources.main.body)
        for value in list(self._globals.names.values()):
            instance = Instance(value) if isinstance(value, Class) else None
            for function in value.names.values() if isinstance(value, Class) else [value]:
                if isinstance(function, Function) and function.node not in self._invoked:
                    with suppress(EndOfExecution, RecursionError, _Break, _Continue):
                        names = dict.fromkeys(function.arguments, UNKNOWN)
                        this = {next(iter(names)): instance} if instance and names else {}
                        self.invoke(function, {**names, **this})

    # --- statements ------------------------------------------------------------------------------------------------

    def _execute(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise EndOfExecution
            method = getattr(self, f"_execute_{type(statement).__name__.lower()}", None)
            if method:
                method(statement)

    def _execute_expr(self, node: ast.Expr) -> None:
        result = self.value(node.value)
        if not isinstance(result, Tensor) or result.node.layer.kind not in _MAYBE_IN_PLACE:
            return
        for argument in node.value.args if isinstance(node.value, ast.Call) else []:
            images = self.value(argument) if isinstance(argument, ast.Name) else UNKNOWN
            if isinstance(images, Tensor) and images.node in result.node.inputs:
                self.library.set_item(images, UNKNOWN, UNKNOWN)

    def _execute_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def _execute_annassign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.assign(node.target, self.value(node.value))

    def _execute_augassign(self, node: ast.AugAssign) -> None:
        value, change = self.value(node.target), self.value(node.value)
        if isinstance(value, list):
            self.library.mark_as_collected(change, node.lineno)
        result = self.operate(node.op, value, change, node.lineno)
        if isinstance(result, list):
            result = partial_list(result) if self.unknown_loops or is_partial(result) else List(result)
        self.assign(node.target, result)

    def _execute_return(self, node: ast.Return) -> None:
        raise _Return(self.value(node.value) if node.value else None)

    def _execute_raise(self, node: ast.Raise) -> None:
        raise EndOfExecution

    def _execute_break(self, node: ast.Break) -> None:
        raise _Break

    def _execute_continue(self, node: ast.Continue) -> None:
        raise _Continue

    def _execute_global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.scope.outer_names |= set(node.names)

    _execute_nonlocal = _execute_global

    def _execute_import(self, node: ast.Import) -> None:
        for alias in node.names:
            path = alias.name if alias.asname else alias.name.partition(".")[0]
            module = self._module(path, 0, node.lineno)
            self.scope.set(alias.asname or path, module or Symbol(canonical_name(path)))

    def _execute_importfrom(self, node: ast.ImportFrom) -> None:
        module = self._module(node.module or "", node.level, node.lineno)
        for alias in node.names:
            if module and alias.name == "*":
                self.scope.names.update(module.names)
                continue
            if alias.name == "*":
                self.star_modules.append(canonical_name(node.module or ""))
                continue
            symbol = Symbol(canonical_name(f"{'.' * node.level}{node.module or ''}.{alias.name}"))
            name = f"{node.module}.{alias.name}" if node.module else alias.name
            value = self._module(name, node.level, node.lineno) or symbol
            self.scope.set(alias.asname or alias.name, module.names.get(alias.name, value) if module else value)

    def _module(self, name: str, level: int, line: int) -> Class | None:
        """A module beside the script, executed when it is first imported; None for all others."""
        tree = self.sources.module(name, level, line)
        if tree is None or tree in self._modules:
            return self._modules[tree] if tree else None
        outer, self.scope = self.scope, Scope({"__name__": name})
        self._modules[tree] = Class(name, self.scope.names)
        try:
            with suppress(EndOfExecution, _Return, _Break, _Continue):
                self._execute(tree.body)
        finally:
            self.scope = outer
        return self._modules[tree]

    def _execute_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scope.set(node.name, self.define_function(node))

    _execute_asyncfunctiondef = _execute_functiondef

    def _execute_classdef(self, node: ast.ClassDef) -> None:
        outer, self.scope = self.scope, Scope(outer=self.scope)
        try:
            self._execute(node.body)
        finally:
            inner, self.scope = self.scope, outer
        bases = [self.value(base) for base in node.bases]
        is_model = any(
            base.is_model
            if isinstance(base, Class)
            else isinstance(base, Symbol) and base.path in ("keras.Model", "keras.models.Model")
            for base in bases
        )
        self.scope.set(node.name, Class(node.name, inner.names, is_model))

    def _execute_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.value(item.context_expr)
            if item.optional_vars:
                self.assign(item.optional_vars, value if isinstance(value, (Instance, Tensor)) else UNKNOWN)
        self._execute(node.body)

    _execute_asyncwith = _execute_with

    def _execute_try(self, node: ast.Try) -> None:
        try:
            self._execute([*node.body, *node.orelse])
        finally:
            self._execute(node.finalbody)

    _execute_trystar = _execute_try

    def _execute_while(self, node: ast.While) -> None:
        if self.value(node.test) is not False:
            with self._unknown_loop(node.body):
                self._execute_loop_body(node.body)

    def _execute_for(self, node: ast.For | ast.AsyncFor) -> None:
        iterable = self.value(node.iter)
        is_over_layers = isinstance(_iterable_of(iterable), LayerList)
        with nullcontext() if is_complete(_iterable_of(iterable)) else self._unknown_loop(node.body):
            self._execute_iterations(node, iterable, is_over_layers=is_over_layers)

    def _execute_iterations(self, node: ast.For | ast.AsyncFor, iterable: Any, *, is_over_layers: bool) -> None:
        outer_name = self.layer_name
        for value in self.elements(iterable):
            if is_over_layers and any(isinstance(inner, ast.Break) for inner in ast.walk(node)):
                value = _narrow(value, "some")
            self.assign(node.target, value)
            self.layer_name = _loop_variable(node.target) if is_over_layers else None
            try:
                if not self._execute_loop_body(node.body):
                    break
            finally:
                self.layer_name = outer_name

    _execute_asyncfor = _execute_for

    @contextmanager
    def _unknown_loop(self, body: list[ast.stmt]) -> Iterator[None]:
        """A loop whose body is executed once for all elements: counters have no known value in it and after it."""
        for node in (inner for statement in body for inner in ast.walk(statement)):
            target = node.target if isinstance(node, ast.AugAssign) else None
            if isinstance(target, ast.Name) and isinstance(self.scope.names.get(target.id), PLAIN_TYPES):
                self.scope.set(target.id, UNKNOWN)
        self.unknown_loops += 1
        try:
            yield
        finally:
            self.unknown_loops -= 1

    def _execute_loop_body(self, body: list[ast.stmt]) -> bool:
        """Execute the body of a loop once; whether the loop continues."""
        try:
            self._execute(body)
        except _Continue:
            return True
        except _Break:
            return False
        return True

    def _execute_if(self, node: ast.If) -> None:
        truth = self.truth(self.value(node.test))
        if truth is UNKNOWN and self.layer_name:
            self._execute_both_branches(node)
            return
        self._execute(node.body if self.decide(node.test, truth) else node.orelse)

    def _execute_both_branches(self, node: ast.If) -> None:
        """In a loop over layers: some layers meet the condition, the others do not."""
        name = self.layer_name or ""
        layer = self.scope.names.get(name, UNKNOWN)
        remaining = []
        for layers, branch in zip(_split_layers(self, node.test), (node.body, node.orelse), strict=True):
            self.scope.set(name, _narrow(layer, layers))
            if self._reaches_end(branch):
                remaining.append(layers)
        # After `if isinstance(layer, BatchNormalization): continue` only the other layers remain.
        self.scope.set(name, _narrow(layer, remaining[0]) if len(remaining) == 1 else layer)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.scope.set(inner.id, UNKNOWN)

    def _reaches_end(self, branch: list[ast.stmt]) -> bool:
        """Execute a branch; whether the code after it in the loop is reached."""
        try:
            self._execute(branch)
        except (_Continue, _Break):
            return False
        return True

    # --- conditions ------------------------------------------------------------------------------------------------

    def decide(self, test: ast.expr, truth: Any) -> bool:
        """The truth of a condition. If it is UNKNOWN, choose True or False, always the same for equal conditions."""
        if truth is not UNKNOWN:
            return truth
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return not self.decide(test.operand, UNKNOWN)
        condition = ast.dump(test)
        if condition in self._truth_of:
            return self._truth_of[condition]
        expression, constant = self._equality(test)
        if expression in self._constant_of:
            return self._constant_of[expression] == constant
        number = len(self.decisions)
        decision = self.first_decisions[number] if number < len(self.first_decisions) else True
        self.decisions.append(decision)
        self._truth_of[condition] = decision
        if expression and decision:
            self._constant_of[expression] = constant
        return decision

    def _equality(self, test: ast.expr) -> tuple[str, Any]:
        """Expression and constant of ``mode == "train"``: if it is equal to one constant, it is not equal to others."""
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
            constant = self.value(test.comparators[0])
            if isinstance(constant, PLAIN_TYPES):
                return ast.dump(test.left), constant
        return "", None

    def invoke(self, function: Function, names: dict[str, Any]) -> Any:
        """Execute a function of the script with these arguments, and give its return value."""
        if function.node in self._call_stack:  # the result of a recursion is not known
            return UNKNOWN
        self._invoked.add(function.node)
        self._call_stack.append(function.node)
        outer = self.scope, self.layer_name, self.yielded
        self.scope, self.layer_name, self.yielded = Scope(names, function.scope), None, []
        try:
            if isinstance(function.node, ast.Lambda):
                return self.value(function.node.body)
            self._execute(function.node.body)
            result = None
        except _Return as returned:
            result = returned.value
        finally:
            self._call_stack.pop()
            yielded = self.yielded
            self.scope, self.layer_name, self.yielded = outer
        return Generator(yielded[0]) if yielded else result


def _iterable_of(value: Any) -> Any:
    return value.iterable if isinstance(value, Enumeration) else value


_Layers = Kind | Literal["some"]
"""Which of the layers of a loop are meant: those of a kind, or some unknown ones."""


def _split_layers(interpreter: Interpreter, test: ast.expr) -> tuple[_Layers, _Layers]:
    """The layers that meet a condition, and those that do not."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        met, unmet = _split_layers(interpreter, test.operand)
        return unmet, met
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance":
        kind = interpreter.value(test.args[1]) if len(test.args) == 2 else UNKNOWN
        if isinstance(kind, Symbol) and kind.name == "BatchNormalization":
            return "batchnorm", "other"
    return "some", "some"


def _narrow(value: Any, layers: _Layers) -> Any:
    """The value of a loop variable, narrowed to some of its layers; of an enumeration, the second of two values."""
    if isinstance(value, tuple) and len(value) == 2:
        return value[0], _narrow(value[1], layers)
    if not isinstance(value, ListedLayer):
        return value
    extent, kind = value.selection
    if layers == "some" or kind != "any":
        return ListedLayer(value.model, Selection("some", kind))
    return ListedLayer(value.model, Selection(extent, layers))


def _loop_variable(target: ast.expr) -> str | None:
    """The name of each layer in a loop over layers, also in ``for i, layer in enumerate(...)``."""
    if isinstance(target, (ast.Tuple, ast.List)) and target.elts:
        target = target.elts[-1]
    return target.id if isinstance(target, ast.Name) else None
