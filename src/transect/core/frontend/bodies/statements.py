# SPDX-License-Identifier: Apache-2.0
"""Statements to typed tree, with what is known after each of them."""

from __future__ import annotations

import ast
from functools import reduce

from transect.core import ir
from transect.core.frontend.bodies.assignments import Assignments
from transect.core.frontend.bodies.facts import AtLeast, AtMost, Fact, Facts, implied
from transect.core.frontend.bodies.loops import Target
from transect.core.frontend.bodies.sources import Walked
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
            case ast.Break():
                return self._leave(self.breaks, ir.Break(self.span(node)))
            case ast.Continue():
                return self._leave(self.continues, ir.Continue(self.span(node)))
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

    def _leave(self, ways: list[Facts], s: ir.Stmt) -> Block:
        """The round ends here; what holds goes along."""
        ways.append(self.facts)
        self.facts = self.facts.dead()
        return (s,)

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
        targets = None if walked is None else self.targets(node.target, walked)
        if walked is None or targets is None:
            self._poison(node)
            return ()
        for name in (n for t in targets for n in t.names):
            if name in self.scope.params:
                self.error(
                    "P037",
                    node.target,
                    f"the parameter `{name}` cannot be assigned",
                    "give the loop variable a name of its own",
                    label="a parameter",
                )
                return ()
        before = self.facts
        for part in [node.target, *node.body]:  # every round may see what an earlier one did
            self.facts = self.without_spoilt(part)
        held = self._held(node, before)
        self.facts = self.facts.having(held)
        unique = self._bind_targets(node, targets, walked)
        self.facts = self.facts.assign(*unique).having(self.entry_facts(walked, unique))
        parts = self._take_parts(node, targets, walked, unique)
        outer = self.breaks, self.continues
        self.breaks, self.continues = [], []
        with self.within(walked, unique, targets, node.body):
            body = (*parts, *self.block(node.body))
        ended = reduce(Facts.join, self.continues, self.facts)
        self._confirm(node, held, before.join(ended))
        self.facts = reduce(Facts.join, self.breaks, before.join(ended))
        self.breaks, self.continues = outer
        return (ir.For(unique, walked.source, body, self.module.source.header(node)),)

    def _bind_targets(self, node: ast.For, targets: list[Target], walked: Walked) -> tuple[str, ...]:
        """The locals that take the items: of a target in brackets, one that nobody names."""
        unique = []
        for target, t in zip(targets, walked.items, strict=True):
            if target.parts:
                unique.append(self.scope.unique("item", t))
            else:
                self.bind_exactly(node.target, target.name, t)
                unique.append(target.name)
        return tuple(unique)

    def _take_parts(
        self, node: ast.For, targets: list[Target], walked: Walked, unique: tuple[str, ...]
    ) -> Block:
        """Targets in brackets take the parts of their item."""
        lets: Block = ()
        for target, name, t in zip(targets, unique, walked.items, strict=True):
            whole = ir.Local(name, type=t, span=self.span(node.target))
            for part, e in zip(target.parts, self.parts_of(whole), strict=True) if target.parts else ():
                lets = (*lets, *self.take(node.target, part, e))
        self.facts = self.facts.having(self.part_facts(targets, walked))
        return lets

    def _held(self, node: ast.For, before: Facts) -> frozenset[Fact]:
        """What is taken to hold at the start of each round, though the body assigns it: at first, what held before the
        loop.  `_confirm` says whether the rounds keep to it."""
        if self.scope.rounds > GUESSES:
            return frozenset()
        return self.scope.held.get(id(node), before.known - self.facts.known)

    def _confirm(self, node: ast.For, held: frozenset[Fact], after: Facts) -> None:
        """Else the function is typed again: from what held before the loop and after a round, then from what did not
        change any more, and then from nothing."""
        kept = frozenset(f for f in after.known if any(_speaks_of_the_same(f, g) for g in held))
        if kept != held:
            settled = kept if self.scope.rounds == 1 else kept & held
            self.scope.held[id(node)] = settled if self.scope.rounds < GUESSES else frozenset()
            self.scope.changed = True

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


GUESSES = 3  # times that a function is typed with guesses of what its loops keep


def _speaks_of_the_same(f: Fact, g: Fact) -> bool:
    match f, g:
        case (AtLeast(value=a), AtLeast(value=b)) | (AtMost(value=a), AtMost(value=b)):
            return a == b
        case _:
            return f == g


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
