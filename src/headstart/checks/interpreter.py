"""Goes through a script statement by statement, as Python would, but on what is known of its values.

Nothing is executed. A function of the script is followed where it is called, a loop is gone through once (or over the
elements of a list that is known), and a condition that is not known is taken both ways, one after the other, in runs of
their own: see :func:`headstart.checks.script.check_script`.
"""

import ast
from contextlib import suppress
from typing import Any

from headstart.checks.expressions import PLAIN, End, Expressions, parameters
from headstart.checks.names import canonical
from headstart.checks.network import UNKNOWN
from headstart.checks.sources import Sources
from headstart.checks.values import Class, Element, Enumerated, Function, Instance, LayersOf, Scope, Symbol

MAX_STEPS = 30_000
"""Statements after which a script has been seen enough of."""


class _Return(Exception):  # noqa: N818
    def __init__(self, value: Any) -> None:
        self.value = value


class _Break(Exception):  # noqa: N818
    pass


class _Continue(Exception):  # noqa: N818
    pass


class Interpreter(Expressions):
    """One way through a script.

    Args:
        sources: the script.
        prefix: which way to go at the first conditions that are not known; True at all later ones.

    Attributes:
        trail: the way that was gone.
        steps: statements gone through so far.
    """

    def __init__(self, sources: Sources, prefix: list[bool]) -> None:
        super().__init__()
        self.sources, self.prefix = sources, prefix
        self.trail: list[bool] = []
        self._globals = self.scope
        self._decided: dict[str, bool] = {}
        self._equal: dict[str, Any] = {}
        self._called: set[ast.AST] = set()
        self._active: list[ast.AST] = []  # the functions that are being gone through
        self._modules = {sources.main: Class("__main__", self.scope.names)}
        self.steps = 0

    def run(self) -> None:
        """Go through the script, then through those of its functions and methods that nobody called."""
        with suppress(End, RecursionError, _Return, _Break, _Continue):
            self._block(self.sources.main.body)
        for value in list(self._globals.names.values()):
            own = Instance(value) if isinstance(value, Class) else None
            for function in value.names.values() if isinstance(value, Class) else [value]:
                if isinstance(function, Function) and function.node not in self._called:
                    with suppress(End, RecursionError, _Break, _Continue):
                        names = dict.fromkeys(parameters(function.node), UNKNOWN)
                        self.invoke(function, {**names, **({next(iter(names)): own} if own and names else {})})

    # --- statements ------------------------------------------------------------------------------------------------

    def _block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise End
            method = getattr(self, f"_do_{type(statement).__name__.lower()}", None)
            if method:
                method(statement)

    def _do_expr(self, node: ast.Expr) -> None:
        self.value(node.value)

    def _do_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def _do_annassign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.assign(node.target, self.value(node.value))

    def _do_augassign(self, node: ast.AugAssign) -> None:
        before, change = self.value(node.target), self.value(node.value)
        if isinstance(before, list):
            self.library.collected(change, node.lineno)
        self.assign(node.target, self.operate(node.op, before, change, node.lineno))

    def _do_return(self, node: ast.Return) -> None:
        raise _Return(self.value(node.value) if node.value else None)

    def _do_raise(self, node: ast.Raise) -> None:
        raise End

    def _do_break(self, node: ast.Break) -> None:
        raise _Break

    def _do_continue(self, node: ast.Continue) -> None:
        raise _Continue

    def _do_global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.scope.elsewhere |= set(node.names)

    _do_nonlocal = _do_global

    def _do_import(self, node: ast.Import) -> None:
        for alias in node.names:
            path = alias.name if alias.asname else alias.name.partition(".")[0]
            module = self._module(path, 0, node.lineno)
            self.scope.set(alias.asname or path, module or Symbol(canonical(path)))

    def _do_importfrom(self, node: ast.ImportFrom) -> None:
        module = self._module(node.module or "", node.level, node.lineno)
        for alias in node.names:
            if module and alias.name == "*":
                self.scope.names.update(module.names)
                continue
            symbol = Symbol(canonical(f"{'.' * node.level}{node.module or ''}.{alias.name}"))
            name = f"{node.module}.{alias.name}" if node.module else alias.name
            inside = self._module(name, node.level, node.lineno) or symbol
            self.scope.set(alias.asname or alias.name, module.names.get(alias.name, inside) if module else inside)

    def _module(self, name: str, level: int, line: int) -> Class | None:
        """A module of the script's own, gone through when it is first imported."""
        tree = self.sources.module(name, level, line)
        if tree is None or tree in self._modules:
            return self._modules[tree] if tree else None
        outer, self.scope = self.scope, Scope({"__name__": name})
        self._modules[tree] = Class(name, self.scope.names)
        try:
            with suppress(End, _Return, _Break, _Continue):
                self._block(tree.body)
        finally:
            self.scope = outer
        return self._modules[tree]

    def _do_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scope.set(node.name, self.function(node))

    _do_asyncfunctiondef = _do_functiondef

    def _do_classdef(self, node: ast.ClassDef) -> None:
        outer, self.scope = self.scope, Scope(outer=self.scope)
        try:
            self._block(node.body)
        finally:
            inner, self.scope = self.scope, outer
        self.scope.set(node.name, Class(node.name, inner.names))

    def _do_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.value(item.context_expr)
            if item.optional_vars:
                self.assign(item.optional_vars, value if isinstance(value, Instance) else UNKNOWN)
        self._block(node.body)

    _do_asyncwith = _do_with

    def _do_try(self, node: ast.Try) -> None:
        try:
            self._block([*node.body, *node.orelse])
        finally:
            self._block(node.finalbody)

    _do_trystar = _do_try

    def _do_while(self, node: ast.While) -> None:
        if self.value(node.test) is not False:
            self._loop_body(node.body)

    def _do_for(self, node: ast.For | ast.AsyncFor) -> None:
        over = self.value(node.iter)
        layers = isinstance(over.of if isinstance(over, Enumerated) else over, LayersOf)
        outer = self.element
        for value in self.elements(over):
            if layers and any(isinstance(inner, ast.Break) for inner in ast.walk(node)):
                value = _narrowed(value, "some")
            self.assign(node.target, value)
            self.element = _name_of_element(node.target) if layers else None
            try:
                if not self._loop_body(node.body):
                    break
            finally:
                self.element = outer

    _do_asyncfor = _do_for

    def _loop_body(self, body: list[ast.stmt]) -> bool:
        """Go through it once; whether the loop goes on."""
        try:
            self._block(body)
        except _Continue:
            return True
        except _Break:
            return False
        return True

    def _do_if(self, node: ast.If) -> None:
        truth = self.truth(self.value(node.test))
        if truth is UNKNOWN and self.element:
            self._both(node)
            return
        self._block(node.body if self.decide(node.test, truth) else node.orelse)

    def _both(self, node: ast.If) -> None:
        """In a loop over layers: some of them meet the condition, the others do not."""
        name = self.element or ""
        layer = self.scope.names.get(name, UNKNOWN)
        staying = []
        for part, block in zip(self._parts(node.test), (node.body, node.orelse), strict=True):
            self.scope.set(name, _narrowed(layer, part))
            if self._goes_on(block):
                staying.append(part)
        # After `if isinstance(layer, BatchNormalization): continue` it is about the others.
        self.scope.set(name, _narrowed(layer, staying[0]) if len(staying) == 1 else layer)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.scope.set(inner.id, UNKNOWN)

    def _goes_on(self, block: list[ast.stmt]) -> bool:
        """Go through it; whether what comes after it in the loop is reached."""
        try:
            self._block(block)
        except (_Continue, _Break):
            return False
        return True

    def _parts(self, test: ast.expr) -> tuple[str, str]:
        """Which part of the layers meets a condition, and which does not."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            met, unmet = self._parts(test.operand)
            return unmet, met
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance":
            kind = self.value(test.args[1]) if len(test.args) == 2 else UNKNOWN
            if isinstance(kind, Symbol) and kind.name == "BatchNormalization":
                return "normalization", "others"
        return "some", "some"

    # --- conditions ------------------------------------------------------------------------------------------------

    def decide(self, test: ast.expr, truth: Any) -> bool:
        """The truth of a condition; where it is not known one of the two, the same each time it is asked for."""
        if truth is not UNKNOWN:
            return truth
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return not self.decide(test.operand, UNKNOWN)
        key = ast.dump(test)
        if key in self._decided:
            return self._decided[key]
        subject, constant = self._equality(test)
        if subject in self._equal:
            return self._equal[subject] == constant
        choice = self.prefix[len(self.trail)] if len(self.trail) < len(self.prefix) else True
        self.trail.append(choice)
        self._decided[key] = choice
        if subject and choice:
            self._equal[subject] = constant
        return choice

    def _equality(self, test: ast.expr) -> tuple[str, Any]:
        """Of ``mode == "train"`` both sides: what equals one constant does not equal another."""
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
            constant = self.value(test.comparators[0])
            if isinstance(constant, PLAIN):
                return ast.dump(test.left), constant
        return "", None

    def invoke(self, function: Function, names: dict[str, Any]) -> Any:
        """Go through a function of the script with these arguments, and give what it returns."""
        if function.node in self._active:  # what recursion comes to is not known
            return UNKNOWN
        self._called.add(function.node)
        self._active.append(function.node)
        outer, element = self.scope, self.element
        self.scope, self.element = Scope(names, function.scope), None
        try:
            if isinstance(function.node, ast.Lambda):
                return self.value(function.node.body)
            self._block(function.node.body)
        except _Return as returned:
            return returned.value
        finally:
            self._active.pop()
            self.scope, self.element = outer, element
        return None


def _narrowed(value: Any, part: str) -> Any:
    """A layer out of a part of the layers that it was one of; of an enumeration, the second of two."""
    if isinstance(value, tuple) and len(value) == 2:
        return value[0], _narrowed(value[1], part)
    if not isinstance(value, Element):
        return value
    extent, _, kind = value.part.partition(" ")
    return Element(value.owner, f"some {kind}".strip() if part == "some" or kind else f"{extent} {part}")


def _name_of_element(target: ast.expr) -> str | None:
    """The name that a loop over layers gives to each, ``for i, layer in enumerate(...)`` included."""
    if isinstance(target, (ast.Tuple, ast.List)) and target.elts:
        target = target.elts[-1]
    return target.id if isinstance(target, ast.Name) else None
