# SPDX-License-Identifier: Apache-2.0
"""Statements to typed tree, with what is known after each of them."""

from __future__ import annotations

import ast

from transect.core import ir
from transect.core.frontend.bodies.assignments import Assignments
from transect.core.frontend.bodies.facts import implied
from transect.core.ir import Block, Expr
from transect.core.types import (
    OptionType,
    UnitType,
    an,
    spell,
)


class Statements(Assignments):
    """Typing of statements; a statement with a diagnostic contributes nothing."""

    def block(self, body: list[ast.stmt]) -> Block:
        return tuple(s for node in body for s in self.statement(node))

    def statement(self, node: ast.stmt) -> Block:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                return ()
            case ast.Expr(value=ast.Constant(value=value)) if value is Ellipsis:
                return ()
            case ast.Expr(value=value):
                return self._do(node, value)
            case ast.Assign(targets=[target], value=value):
                return self._assign(node, target, value)
            case ast.Assign():
                self.error(
                    "P047",
                    node,
                    "one assignment names one target",
                    "write one line for each",
                    label="several targets",
                )
                return ()
            case ast.AnnAssign():
                return self._declare(node)
            case ast.AugAssign():
                return self._augment(node)
            case ast.Delete():
                return tuple(s for t in node.targets for s in self._delete(t))
            case ast.If():
                return self._if(node)
            case ast.For():
                return self._for(node)
            case ast.Match():
                return self._match(node)
            case ast.Return():
                return self._return(node)
            case ast.Break() | ast.Continue():
                self.facts = self.facts.dead()
                return (
                    ir.Break(self.span(node))
                    if isinstance(node, ast.Break)
                    else ir.Continue(self.span(node)),
                )
            case ast.Pass():
                return (ir.Pass(self.span(node)),)
            case _:
                code, message, help = _REFUSED.get(
                    type(node),
                    (
                        "P047",
                        "this statement is not part of the language",
                        "write it with assignments, `if`, `match`, `for` and reductions",
                    ),
                )
                self.error(
                    code, self.module.source.header(node), message, help, label="not part of the language"
                )
                return ()

    # ------------------------------------------------------------ control

    def _if(self, node: ast.If) -> Block:
        cond = self.condition(node.test)
        before = self.facts
        when_true = frozenset() if cond is None else implied(cond, True)
        when_false = frozenset() if cond is None else implied(cond, False)
        self.facts = before.having(when_true)
        then = self.block(node.body)
        after_then = self.facts
        self.facts = before.having(when_false)
        orelse = self.block(node.orelse)
        self.facts = after_then.join(self.facts)
        return () if cond is None else (ir.If(cond, then, orelse, self.module.source.header(node)),)

    def _for(self, node: ast.For) -> Block:
        if node.orelse:
            self.error(
                "P019",
                self.module.source.span(node.orelse[0]),
                "`else` of a loop is not part of the language",
                "set a local before `break` and test it after the loop",
                label="`for … else`",
            )
        walked = self.source(node.iter)
        names = None if walked is None else self.target_names(node.target, walked)
        if walked is None or names is None:
            self._poison(node)
            return ()
        for name in names:
            if name in self.scope.params:
                self.error(
                    "P037",
                    node.target,
                    f"the parameter `{name}` cannot be assigned",
                    "give the loop variable a name of its own",
                    label="a parameter",
                )
                return ()
        for part in [node.target, *node.body]:  # every round may see what an earlier one did
            self.facts = self.without_spoilt(part)
        before = self.facts
        for name, t in zip(names, walked.items, strict=True):
            self.bind_exactly(node.target, name, t)
        unique = tuple(names)
        self.facts = self.facts.assign(*unique).having(self.entry_facts(walked, unique))
        with self.within(walked, unique, node.body):
            body = self.block(node.body)
        self.facts = before
        return (ir.For(unique, walked.source, body, self.module.source.header(node)),)

    def _poison(self, node: ast.For) -> None:
        """The source has a diagnostic: go on with the body, whose targets are then of no type."""
        for name in [n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)]:
            self.scope.types.setdefault(name, None)
            self.facts = self.facts.assign(name)
        before = self.facts
        self.block(node.body)
        self.facts = before

    def _return(self, node: ast.Return) -> Block:
        span = self.span(node)
        before = self.facts
        result: Expr | None = None
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            if isinstance(self.returns, OptionType):
                result = ir.Const(None, type=self.returns, span=span)
            elif not isinstance(self.returns, UnitType):
                self.error(
                    "P011",
                    node,
                    f"`{self.hook or 'this helper'}` returns `{spell(self.returns)}`",
                    f"return {an(self.returns)}",
                    label="returns nothing",
                )
                self.facts = before.dead()
                return ()
        else:
            result = self.value(node.value, self.returns, "the result")
            if result is None:
                self.facts = before.dead()
                return ()
        self.facts = self.facts.dead()
        return (ir.Return(result, span),)


_REFUSED: dict[type[ast.stmt], tuple[str, str, str]] = {
    ast.While: (
        "P013",
        "`while` is not part of the language",
        "write `for i in range(64):` and leave early with `break`",
    ),
    ast.Try: (
        "P014",
        "`try` is not part of the language",
        "operations of the language do not raise; test before you look up",
    ),
    ast.Raise: ("P014", "`raise` is not part of the language", "return a verdict"),
    ast.Assert: ("P014", "`assert` is not part of the language", "test it with `if` and return a verdict"),
    ast.With: ("P047", "`with` is not part of the language", "locks are the runtime's; leave it out"),
    ast.AsyncFor: ("P015", "`async` has no meaning in a policy", "write an ordinary loop"),
    ast.AsyncWith: ("P015", "`async` has no meaning in a policy", "leave it out"),
    ast.AsyncFunctionDef: ("P015", "`async` has no meaning in a policy", "write a helper"),
    ast.FunctionDef: (
        "P016",
        "a function inside a function is not part of the language",
        "write a helper method, `def _name(self, …)`, or a module helper with `@helper`",
    ),
    ast.ClassDef: (
        "P016",
        "a class inside a function is not part of the language",
        "move it to the top of the file",
    ),
    ast.Global: ("P017", "`global` is not part of the language", "keep state in fields of the policy"),
    ast.Nonlocal: ("P017", "`nonlocal` is not part of the language", "keep state in fields of the policy"),
    ast.Import: (
        "P004",
        "an import inside a function is not part of the language",
        "import at the top of the file",
    ),
    ast.ImportFrom: (
        "P004",
        "an import inside a function is not part of the language",
        "import at the top of the file",
    ),
}
