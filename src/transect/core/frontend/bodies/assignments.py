# SPDX-License-Identifier: Apache-2.0
"""Assignments, updates, deletions, and expressions for their effect."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from transect.base.diagnostic import Label
from transect.core import ir
from transect.core.frontend.bodies import arguments, arithmetic, methods, places, state
from transect.core.frontend.bodies.arithmetic import literal_kind
from transect.core.frontend.bodies.context import convert, join, loose, short, widen
from transect.core.frontend.bodies.facts import Present, bounds, changes_state
from transect.core.ir import BinaryOp, Block, Expr, Place, Stmt
from transect.core.types import (
    INT,
    CounterType,
    DurationType,
    HistogramType,
    IntType,
    KeyType,
    OptionType,
    TableType,
    TupleType,
    Type,
    an,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


GROWING = 8  # rounds of typing after which a set that still grows has no bound


def assign(typing: Typing, node: ast.stmt, target: ast.expr, value: ast.expr) -> Block:
    match target:
        case ast.Name(id=name):
            return _bind_local(typing, node, name, value)
        case ast.Tuple():
            return _unpack(typing, node, target, value)
        case ast.Attribute() | ast.Subscript():
            return places.store(typing, node, target, value)
        case _:
            typing.error(
                "P047",
                target,
                "this cannot be assigned to",
                "assign to a name, a state field or an entry of a table",
                label="not a target",
            )
            return ()


def _bind_local(typing: Typing, node: ast.stmt, name: str, value: ast.expr) -> Block:
    if typing.is_parameter(node, name, "give the new value a name of its own"):
        return ()
    known = typing.scope.types.get(name)
    e = typing.expression(value, known)
    return take(typing, node, name, e)


def take(typing: Typing, node: ast.AST, name: str, e: Expr | None) -> Block:
    """A local takes a value; its type is the join over all its assignments."""
    span = typing.span(node)
    typing.scope.first.setdefault(name, span)
    if e is None:
        if name not in typing.scope.types:
            typing.scope.types[name] = None
        typing.facts = typing.facts.assign(name)
        return ()
    t = _local_type(typing, node, name, e.type)
    converted = None if t is None else convert(e, t)
    if t is None or converted is None:
        typing.facts = typing.facts.assign(name)
        return ()
    local = ir.Local(name, type=t, span=span)
    known = bounds(local, converted, typing.facts) if t == INT else []
    typing.facts = typing.facts.assign(name).having(known)
    if isinstance(t, OptionType) and isinstance(converted, ir.Some):
        typing.facts = typing.facts.having([Present(ir.Local(name, type=t, span=span))])
    return (ir.Let(name, converted, span),)


def _local_type(typing: Typing, node: ast.AST, name: str, t: Type) -> Type | None:
    """The local's type, widened to take this one as well; None with a diagnostic."""
    if name not in typing.scope.types or typing.scope.types[name] is None:
        typing.scope.changed = typing.scope.changed or name not in typing.scope.types
        typing.scope.types[name] = t
        return t
    known = typing.scope.types[name]
    assert known is not None
    joined = known if name in typing.scope.declared and convertible(t, known) else join(known, t)
    if joined is None or (name in typing.scope.declared and joined != known):
        typing.error(
            "P011",
            node,
            f"`{name}` is `{spell(known)}` elsewhere and `{spell(t)}` here",
            "use another name; a local has one type",
            label=f"`{spell(t)}`",
            others=(Label(typing.scope.first[name], f"`{spell(known)}` here"),),
        )
        return None
    if joined != known:
        if typing.scope.rounds > GROWING:
            joined = loose(joined)
        typing.scope.types[name] = joined
        typing.scope.changed = True
    return joined


def bind_exactly(typing: Typing, node: ast.AST, name: str, t: Type) -> None:
    """A loop or pattern gives a local its value: the local has just that type."""
    typing.scope.first.setdefault(name, typing.span(node))
    joined = _local_type(typing, node, name, t)
    if joined is not None and loose(joined) != loose(t):
        typing.error(
            "P011",
            node,
            f"`{name}` is `{spell(joined)}` elsewhere and `{spell(t)}` here",
            "use another name; a local has one type",
            label=f"`{spell(t)}`",
        )


def declare(typing: Typing, node: ast.AnnAssign) -> Block:
    """`x: u64 = 5`: a local with a type of its own."""
    if not isinstance(node.target, ast.Name):
        typing.error(
            "P047",
            node,
            "only locals are annotated in a handler",
            "declare state fields in the class",
            label="an annotation here",
        )
        return ()
    name = node.target.id
    t = typing.world.type_of(typing.module, node.annotation)
    if t is None:
        return ()
    if isinstance(t, IntType) and t.bits < 64:
        typing.error(
            "P030",
            node.annotation,
            f"`{spell(t)}` is storage, for state and views; a local has 64 bits",
            f"write `{name}: int`",
            label="not the type of a local",
        )
        return ()
    if name in typing.scope.params:
        typing.error(
            "P037",
            node,
            f"the parameter `{name}` cannot be declared again",
            "use another name",
            label="a parameter",
        )
        return ()
    typing.scope.first.setdefault(name, typing.span(node))
    if typing.scope.types.get(name) != t:
        typing.scope.changed = True
    typing.scope.types[name] = t
    typing.scope.declared.add(name)
    if node.value is None:
        return ()
    e = typing.value(node.value, t, f"`{name}`")
    return take(typing, node, name, e)


def _unpack(typing: Typing, node: ast.stmt, target: ast.Tuple, value: ast.expr) -> Block:
    names = [e.id for e in target.elts if isinstance(e, ast.Name)]
    if len(names) < len(target.elts):
        typing.error(
            "P047",
            target,
            "a tuple is taken apart into names",
            "assign to places one by one",
            label="not a name",
        )
        return ()
    e = typing.expression(value)
    if e is None:
        return tuple(s for n in names for s in take(typing, node, n, None))
    if not isinstance(e.type, TupleType) or len(e.type.items) != len(names):
        typing.error(
            "P011",
            value,
            f"`{spell(e.type)}` does not have {len(names)} parts",
            "name as many as the tuple has",
            label=f"`{spell(e.type)}`",
        )
        return tuple(s for n in names for s in take(typing, node, n, None))
    whole = typing.scope.unique("parts", e.type)
    span = typing.span(node)
    local = ir.Local(whole, type=e.type, span=span)
    first: Stmt = ir.Let(whole, e, span)
    items = [ir.Item(local, i, type=t, span=span) for i, t in enumerate(e.type.items)]
    return (first, *(s for n, item in zip(names, items, strict=True) for s in take(typing, node, n, item)))


# ------------------------------------------------------------ updates, deletion, effects


def augment(typing: Typing, node: ast.AugAssign) -> Block:
    op = arithmetic.operator(typing, node)
    if op is None:
        return ()
    if isinstance(node.target, ast.Name):
        load = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
        combined = ast.copy_location(ast.BinOp(load, node.op, node.value), node)
        return _bind_local(typing, node, node.target.id, combined)
    place = places.place_of(typing, node.target, stores=False)
    if place is None or not _readable(typing, node.target, place):
        return ()
    current = place.type
    value = typing.expression(node.value, literal_kind(op, current, on_left=False))
    if value is None or not places.still_there(typing, node.target, place):
        return ()
    stand_in = ir.Const(
        0, type=INT if isinstance(current, IntType) and current.bits < 64 else current, span=place.span
    )
    result = arithmetic.combine(typing, node, op, stand_in, value)
    if result is None:
        return ()
    if convert(result, place.type) is None:
        typing.mismatch(result, place.type, node)
        return ()
    places.written(typing, place, None)
    if isinstance(place, ir.ViewPlace) or changes_state(value):
        return _read_then_store(typing, node, op, place, value)
    return places.within_option(typing, ir.Update(place, op, value, typing.span(node)))


def _read_then_store(typing: Typing, node: ast.AugAssign, op: BinaryOp, place: Place, value: Expr) -> Block:
    """An update whose value may change its own place: the place is read first, so it cannot be one step."""
    span = typing.span(node)
    lets: list[Stmt] = []
    if isinstance(place, ir.EntryPlace) and not isinstance(place.key, ir.Const | ir.Local):
        name = typing.scope.unique("key", place.key.type)
        lets.append(ir.Let(name, place.key, span))
        place = replace(place, key=ir.Local(name, type=place.key.type, span=span))
    before = widen(places.reading(typing, place))
    name = typing.scope.unique("before", before.type)
    lets.append(ir.Let(name, before, span))
    new = arithmetic.combine(typing, node, op, ir.Local(name, type=before.type, span=span), value)
    e = None if new is None else convert(new, place.type)
    return () if e is None else (*lets, *places.within_option(typing, ir.Store(place, e, span)))


def _readable(typing: Typing, target: ast.expr, place: Place) -> bool:
    """Whether the place certainly has a value to update; else a diagnostic."""
    if not isinstance(place.type, OptionType):
        return True
    typing.error(
        "P022",
        target,
        f"`{short(target)}` may be None",
        "test it, then assign a new value",
        label=f"`{spell(place.type)}`",
    )
    return False


def delete(typing: Typing, target: ast.expr) -> Block:
    match target:
        case ast.Subscript(value=ast.Attribute() as table) if state.own(typing, table) is not None:
            name = state.own(typing, table)
            assert name is not None
            f = state.state_field(typing, table, name)
            if f is None or not methods.writable_field(typing, target, f):
                return ()
            if not isinstance(f.type, TableType):
                typing.error(
                    "P031",
                    target,
                    f"entries of `{name}` cannot be deleted",
                    "store a zero instead",
                    label=f"`{spell(f.type)}`",
                )
                return ()
            key = typing.value(target.slice, f.type.key, "the key")
            typing.facts = typing.facts.write_field(name, removes=True)
            return () if key is None else (ir.Remove(name, key, typing.span(target)),)
        case _:
            typing.error(
                "P047",
                target,
                "only entries of tables are deleted",
                "write `del self.table[key]`",
                label="not an entry",
            )
            return ()


def effect(typing: Typing, node: ast.Expr, value: ast.expr) -> Block:
    match value:
        case ast.Call(func=function, args=[key], keywords=[]) if typing.language_name(function) == "drop":
            return _drop(typing, node, key)
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute() as owner, attr="add" | "observe" as method)
        ) if state.own(typing, owner) is not None:
            meter = _meter(typing, node, value, owner, method)
            if meter is not None:
                return meter
        case _:
            pass
    before, typing.formats = typing.formats, False
    e = typing.raw(value)
    typing.formats = before
    if e is None:
        return ()
    if not isinstance(e, ir.Call | ir.Intrinsic | ir.Lookup) or (
        isinstance(e, ir.Lookup) and e.op not in (ir.TableRead.PUT, ir.TableRead.POP_FIRST)
    ):
        typing.error(
            "P047",
            node,
            "this value is not used",
            "assign it, return it, or leave it out",
            label="has no effect",
        )
        return ()
    return (ir.Do(e, typing.span(node)),)


def _drop(typing: Typing, node: ast.Expr, key: ast.expr) -> Block:
    e = typing.expression(key)
    if e is None:
        return ()
    if not isinstance(e.type, KeyType):
        typing.error(
            "P011",
            key,
            f"`drop` forgets a client or task, not {an(e.type)}",
            "delete entries by `del self.table[key]`",
            label=f"`{spell(e.type)}`",
        )
        return ()
    fields = [
        f for f in typing.policy.fields.values() if isinstance(f.type, TableType) and f.type.key == e.type
    ]
    entry = ast.copy_location(ast.Subscript(key, key, ast.Del()), node)
    if not all([methods.writable_field(typing, entry, f) for f in fields]):
        return ()
    for f in fields:
        typing.facts = typing.facts.write_field(f.name, removes=True)
    return tuple(ir.Remove(f.name, e, typing.span(node)) for f in fields)


def _meter(typing: Typing, node: ast.Expr, call: ast.Call, owner: ast.Attribute, method: str) -> Block | None:
    name = state.own(typing, owner)
    f = typing.policy.fields.get(name or "")
    if f is None or not isinstance(f.type, CounterType | HistogramType):
        return None
    wanted = "add" if isinstance(f.type, CounterType) else "observe"
    if method != wanted:
        typing.error(
            "P031",
            call.func,
            f"`{spell(f.type)}` has no method `{method}`",
            f"write `.{wanted}(…)`",
            label="unknown method",
        )
        return ()
    one = ir.Const(1, type=INT, span=typing.span(node))
    args = arguments.by_position(typing, call, [None], f"`{method}`", least=0 if method == "add" else 1)
    if args is None:
        return ()
    value = args[0] if args else one
    if isinstance(value.type, DurationType) and method == "observe":
        value = ir.Cast(value, type=INT, span=value.span)
    converted = typing.convert(value, INT, call, "the value")
    return (
        ()
        if converted is None
        else (
            ir.Update(
                ir.StatePlace(f.name, (), f.type, typing.span(owner)),
                BinaryOp.ADD,
                converted,
                typing.span(node),
            ),
        )
    )


def convertible(t: Type, wanted: Type) -> bool:
    return join(wanted, t) == wanted
