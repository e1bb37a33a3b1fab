# SPDX-License-Identifier: Apache-2.0
"""Loops: their targets, what is known within, and what a round may write that the next one sees."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from transect.base.record import record
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bodies import state
from transect.core.frontend.bodies.context import convert, widen
from transect.core.frontend.bodies.facts import AtLeast, AtMost, Changes, Fact, Facts, Has, interval
from transect.core.frontend.bodies.sources import Walked
from transect.core.frontend.modules import FunctionDef
from transect.core.ir import Expr, OverRange, OverState, Part
from transect.core.types import (
    INT,
    ArrayType,
    KeyType,
    TableType,
    TupleType,
    Type,
    an,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


@record
class Target:
    """What takes one item of a source: a name, or, in brackets, names for the parts of a tuple."""

    name: str
    parts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that a person gave."""
        return self.parts or (self.name,)


@record
class OpenLoop:
    """A loop being typed, for the rule about changing a table during a loop over it."""

    field: str
    # The local that holds the current key, or those that hold its parts; empty if any of them is assigned
    keys: tuple[str, ...]
    span: Span


ITEM = "<item>"  # what `min(self.waiting)` calls an item: no name that a policy could have


# ------------------------------------------------------------ targets


def targets(typing: Typing, target: ast.expr, walked: Walked) -> list[Target] | None:
    """A loop's targets, one for each item of the source (two for items())."""
    single = isinstance(target, ast.Tuple) and len(walked.items) == 1
    parts = target.elts if isinstance(target, ast.Tuple) and not single else [target]
    if len(parts) != len(walked.items) or (single and not isinstance(walked.items[0], TupleType)):
        typing.error(
            "P034",
            target,
            f"there {'are two' if len(walked.items) == 2 else 'is one'} to name here",
            "name as many as the source gives: one, or key and value for `items()`"
            if ast.unparse(target) != ITEM
            else "take one of the two: `min(self.table, key=lambda k: self.table[k], default=…)` gives a key,"
            " `min((v for k, v in self.table.items()), default=…)` a value",
            label=f"{len(target.elts) if isinstance(target, ast.Tuple) else 1} named",
        )
        return None
    found = [_target(typing, part, t) for part, t in zip(parts, walked.items, strict=True)]
    good = [f for f in found if f is not None]
    return good if len(good) == len(found) else None


def _target(typing: Typing, node: ast.expr, t: Type) -> Target | None:
    match node:
        case ast.Name(id=name):
            return Target(name)
        case ast.Tuple(elts=elts) if isinstance(t, TupleType) and len(elts) == len(t.items):
            names = tuple(e.id for e in elts if isinstance(e, ast.Name))
            if len(names) == len(elts):
                return Target("", names)
        case _:
            pass
    typing.error(
        "P034",
        node,
        "loop targets are names, and names in brackets for the parts of a tuple",
        "take other parts out inside the loop",
        label=f"takes {an(t)}",
    )
    return None


def parts_of(whole: ir.Local) -> list[Expr]:
    assert isinstance(whole.type, TupleType), f"no parts: {whole}"
    return [widen(ir.Item(whole, i, type=t, span=whole.span)) for i, t in enumerate(whole.type.items)]


def part_facts(typing: Typing, targets: list[Target], walked: Walked) -> list[Fact]:
    """The fact that the parts of a key, put together, are a key of the table."""
    if walked.key is None or not isinstance(walked.source, OverState) or not targets[walked.key].parts:
        return []
    span = walked.source.span
    found = [(name, typing.scope.lookup(name)) for name in targets[walked.key].parts]
    locals_ = [ir.Local(f[0], type=f[1], span=span) for _, f in found if f is not None and f[1] is not None]
    made = ir.MakeTuple(tuple(locals_), type=TupleType(tuple(x.type for x in locals_)), span=span)
    key = convert(made, walked.items[walked.key])
    return [] if key is None or len(locals_) < len(found) else [Has(walked.source.field, key)]


def entry_facts(typing: Typing, walked: Walked, names: tuple[str, ...]) -> list[Fact]:
    """What is known inside the loop about its targets."""
    source = walked.source
    facts: list[Fact] = []
    if isinstance(source, OverRange):
        local = ir.Local(names[0], type=INT, span=source.span)
        low, high = (interval(source.start, typing.facts)[0], interval(source.stop, typing.facts)[1] - 1)
        if source.step < 0:
            low, high = (interval(source.stop, typing.facts)[0] + 1, interval(source.start, typing.facts)[1])
        facts += [AtLeast(local, low), AtMost(local, high)]
    if isinstance(source, OverState):
        f = typing.policy.old_fields.get(source.field) or typing.policy.fields[source.field]
        if isinstance(f.type, ArrayType) and source.part is Part.ITEMS:
            local = ir.Local(names[0], type=INT, span=source.span)
            facts += [AtLeast(local, 0), AtMost(local, f.type.length - 1)]
        elif walked.key is not None:
            facts.append(
                Has(
                    source.field,
                    widen(ir.Local(names[walked.key], type=walked.items[walked.key], span=source.span)),
                )
            )
    return facts


@contextmanager
def within(
    typing: Typing,
    walked: Walked,
    names: tuple[str, ...],
    targets: Sequence[Target],
    body: Sequence[ast.stmt] = (),
) -> Iterator[None]:
    """Note, for the duration of the body, that a loop goes over a table."""
    before = typing.open_loops
    source = walked.source
    if isinstance(source, OverState):
        keys = () if walked.key is None else targets[walked.key].parts or (names[walked.key],)
        kept = () if any(_binds(body, key) for key in keys) else keys
        typing.open_loops = (*before, OpenLoop(source.field, kept, source.span))
    try:
        yield
    finally:
        typing.open_loops = before


def disturbed(typing: Typing, node: ast.AST, field: str) -> OpenLoop | None:
    """The loop over the field whose current key is not what the subscript, or the call of `put`, names."""
    loops = (loop for loop in typing.open_loops if loop.field == field)
    return next((loop for loop in loops if not _touches_current(typing, node, loop)), None)


def _touches_current(typing: Typing, node: ast.AST, loop: OpenLoop) -> bool:
    match node:
        case ast.Subscript(slice=key) | ast.Call(func=ast.Attribute(attr="put"), args=[key, _]):
            parts = key.elts if isinstance(key, ast.Tuple) else [key]
            found = [typing.scope.lookup(p.id) if isinstance(p, ast.Name) else None for p in parts]
            return bool(loop.keys) and tuple(f[0] if f else "" for f in found) == loop.keys
        case _:
            return False


# ------------------------------------------------------------ what a body may write


def without_spoilt(typing: Typing, body: ast.AST) -> Facts:
    """What holds whenever the body begins, however often it has run: no facts about anything that it may write."""
    facts = typing.facts
    inner = {
        id(n) for c in ast.walk(body) if isinstance(c, ast.comprehension) for n in ast.walk(c.target)
    }  # a comprehension's own variables are no locals
    for node in ast.walk(body):
        facts = facts if id(node) in inner else _spoilt(typing, facts, node)
    return replace(facts, assigned=typing.facts.assigned)


def _spoilt(typing: Typing, facts: Facts, node: ast.AST) -> Facts:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.MatchAs(name=str(name)):
            return facts.assign(name)
        case ast.keyword(arg="key", value=ast.Attribute() | ast.Name() as called):
            return _spoilt(typing, facts, ast.copy_location(ast.Call(called, [], []), called))
        case ast.Attribute(attr=attr, ctx=ast.Store() | ast.Del()):
            return _spoilt_attribute(typing, facts, node, attr)
        case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
            field = state.own(typing, value)
            return facts if field is None else facts.write_field(field, removes=True)
        case ast.Call():
            changes = _changes(typing, node)
            return facts.write_anything() if changes is None else facts.after(changes)
        case _:
            return facts


def _changes(typing: Typing, node: ast.Call) -> Changes | None:
    """What a call may write; None when that is not known."""
    match node.func:
        case ast.Attribute(value=value, attr=attr) if (field := state.own(typing, value)) is not None:
            # Reading an lru changes its order, which is no fact.
            return Changes(frozenset({field}) if attr in ("put", "pop_first") else frozenset())
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super"), args=[]), attr=attr):
            other = attr in typing.policy.hook_names() and attr != typing.hook
            return _super_changes(typing, node, attr) if typing.owner is not None and not other else None
        case ast.Attribute(attr=attr) if state.own(typing, node.func) is not None:
            return _helper_changes(typing, node.func, attr)
        case ast.Name() as function if typing.language_name(function) == "drop":
            fields = typing.policy.fields.values()
            return Changes(frozenset(f.name for f in fields if _kept_by_identity(f.type)))
        case ast.Name() | ast.Attribute():
            return _function_changes(typing, node, node.func)
        case _:
            return Changes()


def _super_changes(typing: Typing, node: ast.Call, attr: str) -> Changes | None:
    assert typing.owner is not None, "`super()` has an owner"
    signature = typing.policy.parent_hook(attr, typing.owner, typing.span(node))
    return None if signature is None else typing.policy.changes(signature.name)


def _helper_changes(typing: Typing, function: ast.Attribute, attr: str) -> Changes | None:
    """Of `self._helper(…)`; what the stratum's runtime gives writes no state."""
    if not attr.startswith("_"):
        return Changes()
    signature = typing.policy.helper_method(attr, typing.span(function))
    return None if signature is None else typing.policy.changes(signature.name)


def _function_changes(typing: Typing, node: ast.Call, function: ast.Name | ast.Attribute) -> Changes | None:
    """Of a function of a module; those of the language, of a stratum and of values write no state."""
    if isinstance(function, ast.Name) and typing.scope.lookup(function.id) is not None:
        return Changes()
    binding = typing.world.binding(typing.module, function)
    if not isinstance(binding, FunctionDef) or binding.module.library:
        return Changes()
    signature = typing.policy.helper(binding, typing.span(node))
    return None if signature is None else typing.policy.changes(signature.name)


def _spoilt_attribute(typing: Typing, facts: Facts, node: ast.Attribute, attr: str) -> Facts:
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute | ast.Subscript):
        field = state.own(typing, inner)
        if field is not None:
            return facts.write_field(field, removes=True)
        inner = inner.value
    if isinstance(inner, ast.Name):
        facts = facts.assign(inner.id)
    return facts.write_view(attr)


def _kept_by_identity(t: Type) -> bool:
    return isinstance(t, TableType) and isinstance(t.key, KeyType)


def _binds(body: Sequence[ast.stmt], name: str) -> bool:
    """Whether statements give the name another value."""
    nodes = (n for statement in body for n in ast.walk(statement))
    return any(
        isinstance(n, ast.Name | ast.MatchAs) and name == (n.id if isinstance(n, ast.Name) else n.name)
        for n in nodes
        if not isinstance(getattr(n, "ctx", None), ast.Load)
    )
