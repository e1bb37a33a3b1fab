# SPDX-License-Identifier: Apache-2.0
"""Statements to typed tree, with what is known after each of them."""

from __future__ import annotations

import ast
from functools import reduce
from typing import TYPE_CHECKING

from transect.core import ir
from transect.core.frontend.bodies import assignments, loops, patterns, sources
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

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def statement(typing: Typing, node: ast.stmt) -> Block:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return ()
        case ast.Expr(value=ast.Constant(value=value)) if value is Ellipsis:
            return ()
        case ast.Expr(value=value):
            return assignments.effect(typing, node, value)
        case ast.Assign(targets=[target], value=value):
            return assignments.assign(typing, node, target, value)
        case ast.Assign():
            typing.error(
                "P047",
                node,
                "one assignment names one target",
                "write one line for each",
                label="several targets",
            )
            return ()
        case ast.AnnAssign():
            return assignments.declare(typing, node)
        case ast.AugAssign():
            return assignments.augment(typing, node)
        case ast.Delete():
            return tuple(s for t in node.targets for s in assignments.delete(typing, t))
        case ast.If():
            return _if(typing, node)
        case ast.For():
            return _for(typing, node)
        case ast.Match():
            return patterns.match(typing, node)
        case ast.Return():
            return _return(typing, node)
        case ast.Break():
            return _leave(typing, typing.breaks, ir.Break(typing.span(node)))
        case ast.Continue():
            return _leave(typing, typing.continues, ir.Continue(typing.span(node)))
        case ast.Pass():
            return (ir.Pass(typing.span(node)),)
        case _:
            code, message, help = _REFUSED.get(
                type(node),
                (
                    "P047",
                    "this statement is not part of the language",
                    "write it with assignments, `if`, `match`, `for` and reductions",
                ),
            )
            typing.error(
                code, typing.module.source.header(node), message, help, label="not part of the language"
            )
            return ()


# ------------------------------------------------------------ control


def _if(typing: Typing, node: ast.If) -> Block:
    cond = typing.condition(node.test)
    before = typing.facts
    when_true = frozenset() if cond is None else implied(cond, True)
    when_false = frozenset() if cond is None else implied(cond, False)
    typing.facts = before.having(when_true)
    then = typing.block(node.body)
    after_then = typing.facts
    typing.facts = before.having(when_false)
    orelse = typing.block(node.orelse)
    typing.facts = after_then.join(typing.facts)
    return () if cond is None else (ir.If(cond, then, orelse, typing.module.source.header(node)),)


def _leave(typing: Typing, ways: list[Facts], s: ir.Stmt) -> Block:
    """Leave this iteration with the facts that hold here."""
    ways.append(typing.facts)
    typing.facts = typing.facts.dead()
    return (s,)


def _for(typing: Typing, node: ast.For) -> Block:
    if node.orelse:
        typing.error(
            "P019",
            typing.module.source.span(node.orelse[0]),
            "`else` of a loop is not part of the language",
            "set a local before `break` and test it after the loop",
            label="`for … else`",
        )
    walked = sources.source(typing, node.iter)
    targets = None if walked is None else loops.targets(typing, node.target, walked)
    if walked is None or targets is None:
        _poison(typing, node)
        return ()
    for name in (n for t in targets for n in t.names):
        if typing.is_parameter(node.target, name, "give the loop variable a name of its own"):
            return ()
    before = typing.facts
    for part in [node.target, *node.body]:  # an iteration may see what an earlier one changed
        typing.facts = loops.without_spoilt(typing, part)
    held = _held(typing, node, before)
    typing.facts = typing.facts.having(held)
    unique = _bind_targets(typing, node, targets, walked)
    typing.facts = typing.facts.assign(*unique).having(loops.entry_facts(typing, walked, unique))
    parts = _take_parts(typing, node, targets, walked, unique)
    outer = typing.breaks, typing.continues
    typing.breaks, typing.continues = [], []
    with loops.within(typing, walked, unique, targets, node.body):
        body = (*parts, *typing.block(node.body))
    ended = reduce(Facts.join, typing.continues, typing.facts)
    _confirm(typing, node, held, before.join(ended))
    typing.facts = reduce(Facts.join, typing.breaks, before.join(ended))
    typing.breaks, typing.continues = outer
    return (ir.For(unique, walked.source, body, typing.module.source.header(node)),)


def _bind_targets(typing: Typing, node: ast.For, targets: list[Target], walked: Walked) -> tuple[str, ...]:
    """The locals that take the items; a target in brackets gets a temporary one."""
    unique = []
    for target, t in zip(targets, walked.items, strict=True):
        if target.parts:
            unique.append(typing.scope.unique("item", t))
        else:
            assignments.bind_exactly(typing, node.target, target.name, t)
            unique.append(target.name)
    return tuple(unique)


def _take_parts(
    typing: Typing, node: ast.For, targets: list[Target], walked: Walked, unique: tuple[str, ...]
) -> Block:
    """Targets in brackets take the parts of their item."""
    lets: Block = ()
    for target, name, t in zip(targets, unique, walked.items, strict=True):
        whole = ir.Local(name, type=t, span=typing.span(node.target))
        for part, e in zip(target.parts, loops.parts_of(whole), strict=True) if target.parts else ():
            lets = (*lets, *assignments.take(typing, node.target, part, e))
    typing.facts = typing.facts.having(loops.part_facts(typing, targets, walked))
    return lets


def _held(typing: Typing, node: ast.For, before: Facts) -> frozenset[Fact]:
    """Facts assumed at the start of each iteration about variables that the body assigns.  The first guess is what held
    before the loop; `_confirm` checks whether every iteration preserves it.
    """
    if typing.scope.rounds > GUESSES:
        return frozenset()
    return typing.scope.held.get(id(node), before.known - typing.facts.known)


def _confirm(typing: Typing, node: ast.For, held: frozenset[Fact], after: Facts) -> None:
    """Check the assumed facts.  If an iteration does not preserve them, the function is typed again, first with the
    facts that hold both before the loop and after an iteration, then with those that no longer changed, at last with
    none.
    """
    kept = frozenset(f for f in after.known if any(_speaks_of_the_same(f, g) for g in held))
    if kept != held:
        settled = kept if typing.scope.rounds == 1 else kept & held
        typing.scope.held[id(node)] = settled if typing.scope.rounds < GUESSES else frozenset()
        typing.scope.changed = True


def _poison(typing: Typing, node: ast.For) -> None:
    """After an error in the source, type the body all the same, with targets of unknown type."""
    for name in [n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)]:
        typing.scope.types.setdefault(name, None)
        typing.facts = typing.facts.assign(name)
    before = typing.facts
    typing.block(node.body)
    typing.facts = before


def _return(typing: Typing, node: ast.Return) -> Block:
    span = typing.span(node)
    before = typing.facts
    result: Expr | None = None
    if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
        if isinstance(typing.returns, OptionType):
            result = ir.Const(None, type=typing.returns, span=span)
        elif not isinstance(typing.returns, UnitType):
            typing.error(
                "P011",
                node,
                f"`{typing.hook or 'this helper'}` returns `{spell(typing.returns)}`",
                f"return {an(typing.returns)}",
                label="returns nothing",
            )
            typing.facts = before.dead()
            return ()
    else:
        result = typing.value(node.value, typing.returns, "the result")
        if result is None:
            typing.facts = before.dead()
            return ()
    typing.facts = typing.facts.dead()
    return (ir.Return(result, span),)


GUESSES = 3  # how often a function is typed with guesses of the facts that its loops preserve


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
