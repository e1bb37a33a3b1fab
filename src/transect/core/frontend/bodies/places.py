# SPDX-License-Identifier: Apache-2.0
"""Places that can be written, and what is known after a write."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from transect.core import ir
from transect.core.frontend.bodies import loops, members, methods, state
from transect.core.frontend.bodies.context import short, widen
from transect.core.frontend.bodies.facts import Present, changes_state, stable
from transect.core.ir import BinaryOp, Block, Expr, Place
from transect.core.types import (
    ArrayType,
    BytesType,
    CounterType,
    HistogramType,
    IntType,
    OptionType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    ViewType,
    an,
    is_value,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


_STEPS = (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MIN, BinaryOp.MAX)


def store(typing: Typing, node: ast.stmt, target: ast.expr, value: ast.expr) -> Block:
    """The place is typed first, since it gives literals their type.  The value is evaluated first, so no fact that the
    value may end holds for the place.
    """
    before = typing.facts
    typing.facts = given = loops.without_spoilt(typing, value)
    place = place_of(typing, target, stores=True)
    ended = given.known - typing.facts.known
    typing.facts = before
    e = typing.expression(value) if place is None else typing.value(value, place.type, "the value")
    typing.facts = replace(typing.facts, known=typing.facts.known - ended)
    if place is None or e is None:
        return ()
    updated = _as_update(typing, node, place, e)
    written(typing, place, e)
    return within_option(typing, updated if updated is not None else ir.Store(place, e, typing.span(node)))


def within_option(typing: Typing, s: ir.Store | ir.Update) -> Block:
    """`x.field = …` where `x` is an option known to be there: its value is taken out, changed, and put back."""
    place = s.place
    whole = _option(typing, place)
    if whole is None or not isinstance(place, ir.LocalPlace) or not isinstance(whole.type, OptionType):
        return (s,)
    name = typing.scope.unique(place.name, whole.type.item)
    inner = ir.Local(name, type=whole.type.item, span=place.span)
    return (
        ir.Let(name, ir.Unwrap(whole, type=inner.type, span=place.span), s.span),
        replace(s, place=replace(place, name=name)),
        ir.Let(place.name, ir.Some(inner, type=whole.type, span=place.span), s.span),
    )


def _option(typing: Typing, place: Place) -> ir.Local | None:
    """The local whose field the place is, if that is an option."""
    local = typing.scope.lookup(place.name) if isinstance(place, ir.LocalPlace) else None
    if local is None or not isinstance(local[1], OptionType):
        return None
    return ir.Local(local[0], type=local[1], span=place.span)


def written(typing: Typing, place: Place, value: Expr | None) -> None:
    """Facts after a write."""
    match place:
        case ir.StatePlace(field=field, path=path):
            typing.facts = typing.facts.write_field(field, removes=True)
            if isinstance(value, ir.Some) and not path and _surely_stored(value.value, place.type):
                typing.facts = typing.facts.having(
                    [Present(ir.State(field, type=place.type, span=place.span))]
                )
        case ir.EntryPlace(field=field):
            f = typing.policy.fields[field]
            typing.facts = typing.facts.write_field(
                field, removes=isinstance(f.type, TableType) and f.type.kind is TableKind.LRU
            )
        case ir.LocalPlace(name=name):
            typing.facts = typing.facts.assign(name)
            whole = _option(typing, place)
            typing.facts = typing.facts if whole is None else typing.facts.having([Present(whole)])
        case ir.ViewPlace(name=name):
            typing.facts = typing.facts.write_view(name)
        case _:
            assert_never(place)


def _as_update(typing: Typing, node: ast.stmt, place: Place, e: Expr) -> ir.Update | None:
    """`m[k] = max(m[k], e)`, `m[k] = m[k] + e` and their like are one step, as `m[k] += e` is."""
    if isinstance(place, ir.ViewPlace) or (isinstance(place, ir.EntryPlace) and not stable(place.key)):
        return None
    narrow = isinstance(place.type, IntType) and place.type.bits < 64
    match e.value if narrow and isinstance(e, ir.Cast) else e:
        case ir.Binary(op=op, left=left, right=right) if op in _STEPS:
            pass
        case _:
            return None
    old = widen(reading(typing, place))
    if left == old and right.type == old.type and not changes_state(right):
        return ir.Update(place, op, right, typing.span(node))
    commutes = op is not BinaryOp.SUB and isinstance(
        old.type, IntType
    )  # for floats, NaN and the order of equal values matter
    if commutes and right == old and left.type == old.type and not changes_state(left):
        return ir.Update(place, op, left, typing.span(node))
    return None


def place_of(typing: Typing, node: ast.expr, stores: bool) -> Place | None:
    """A place that can be written; `stores`: a whole new value is stored (a new key is welcome)."""
    path: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute) and state.own(typing, inner) is None:
        path.insert(0, inner.attr)
        inner = inner.value
    name = state.own(typing, inner)
    match inner:
        case ast.Attribute() if name is not None:
            return _state_place(typing, node, inner, name, tuple(path))
        case ast.Subscript(value=ast.Attribute() as table) if state.own(typing, table) is not None:
            return _entry_place(typing, node, inner, table, tuple(path), stores)
        case ast.Name(id=local) if path and typing.scope.lookup(local) is not None:
            return _local_place(typing, node, inner, tuple(path))
        case _:
            if isinstance(node, ast.Attribute):
                return _view_place(typing, node)
            typing.error(
                "P047",
                node,
                "this cannot be assigned to",
                "assign to a local, a state field or an entry of a table",
                label="not a target",
            )
            return None


def _state_place(
    typing: Typing, node: ast.expr, inner: ast.Attribute, name: str, path: tuple[str, ...]
) -> Place | None:
    f = state.state_field(typing, inner, name)
    if f is None or not methods.writable_field(typing, node, f):
        return None
    if isinstance(f.type, TableType | ArrayType):
        typing.error(
            "P031",
            node,
            f"the table `{name}` as a whole cannot be assigned",
            "store entries: `self.t[key] = value`; delete them: `del self.t[key]`",
            label=f"`{spell(f.type)}`",
        )
        return None
    if isinstance(f.type, CounterType | HistogramType):
        typing.error(
            "P031",
            node,
            f"`{name}` counts by its method",
            f"in place of this statement write `self.{name}."
            + ("add(1)`" if isinstance(f.type, CounterType) else "observe(value)`"),
            label=f"`{spell(f.type)}`",
        )
        return None
    t = _within(typing, node, f.type, path)
    return None if t is None else ir.StatePlace(name, path, t, typing.span(node))


def _entry_place(
    typing: Typing,
    node: ast.expr,
    inner: ast.Subscript,
    table: ast.Attribute,
    path: tuple[str, ...],
    stores: bool,
) -> Place | None:
    name = state.own(typing, table)
    assert name is not None
    f = state.state_field(typing, table, name)
    if f is None or not methods.writable_field(typing, inner, f):
        return None
    if isinstance(f.type, ArrayType):
        key, item = members.array_index(typing, inner, f), f.type.item
    elif isinstance(f.type, TableType):
        item = f.type.value
        key = typing.value(inner.slice, f.type.key, "the key")
        welcome = stores and not path  # a new key is
        if key is not None and not welcome and not _has_entry(typing, inner, f, f.type, key):
            return None
    else:
        typing.error(
            "P031",
            node,
            f"`{name}` cannot be indexed",
            "only tables and arrays have `[…]`",
            label=f"`{spell(f.type)}`",
        )
        return None
    t = None if key is None else _within(typing, node, item, path)
    return None if key is None or t is None else ir.EntryPlace(name, key, path, t, typing.span(node))


def _has_entry(typing: Typing, node: ast.Subscript, f: ir.StateField, t: TableType, key: Expr) -> bool:
    if t.kind is TableKind.TALLY:
        return True
    if t.kind is TableKind.LRU:
        typing.facts = typing.facts.write_field(f.name, removes=False)
    return members.certainly_has(typing, node, f, key)


def still_there(typing: Typing, target: ast.expr, place: Place) -> bool:
    """Whether the entry whose field takes a value is still there, now that the value has been evaluated."""
    while isinstance(target, ast.Attribute):
        target = target.value
    if not isinstance(place, ir.EntryPlace) or not place.path or not isinstance(target, ast.Subscript):
        return True
    f = typing.policy.fields[place.field]
    return not isinstance(f.type, TableType) or members.certainly_has(typing, target, f, place.key)


def _local_place(typing: Typing, node: ast.expr, inner: ast.Name, path: tuple[str, ...]) -> Place | None:
    base = typing.expression(inner)
    if base is None:
        return None
    if isinstance(base.type, ViewType):
        return _view_place(typing, node) if isinstance(node, ast.Attribute) else None
    if isinstance(base.type, OptionType):
        typing.may_be_none(inner, base.type)
        return None
    if isinstance(base, ir.Unwrap):  # an option that is known to be there
        base = base.value
    assert isinstance(base, ir.Local), f"a name stands for {base}"
    whole = base.type.item if isinstance(base.type, OptionType) else base.type
    if base.name in typing.scope.params:
        typing.error(
            "P025",
            node,
            "a copy is changed and lost",
            f"bind it first: `copy = {base.name}`, change that, and store it",
            label="a parameter is a copy",
        )
        return None
    t = _within(typing, node, whole, path)
    return None if t is None else ir.LocalPlace(base.name, path, t, typing.span(node))


def _view_place(typing: Typing, node: ast.Attribute) -> Place | None:
    base = typing.expression(node.value)
    if base is None:
        return None
    if not isinstance(base.type, ViewType):
        if isinstance(base.type, OptionType):
            typing.may_be_none(node.value, base.type)
        elif isinstance(base.type, StructType):
            typing.error(
                "P025",
                node,
                "a copy is changed and lost",
                "write through the state field or entry itself, or bind the copy to a name and store it",
                label="changes a copy",
            )
        else:
            typing.error(
                "P037",
                node,
                f"{an(base.type)} has no fields to write",
                "write state fields, entries, and fields of messages",
                label=f"`{spell(base.type)}`",
            )
        return None
    e = members.field_of(typing, base, node)
    member = members.view_member(typing, base.type, node.attr)
    if e is None or member is None:
        return None
    if not member.writable or not _writable_type(member.type):
        help = (
            "fields of messages can be written"
            if not member.writable
            else "repeated, map and message fields cannot be replaced as a whole"
        )
        typing.error(
            "P037", node, f"`{node.attr}` of `{base.type.name}` is read-only", help, label="read-only"
        )
        return None
    return ir.ViewPlace(base, node.attr, member.type, typing.span(node))


def reading(typing: Typing, place: Place) -> Expr:
    """What the place holds now."""
    e: Expr
    path: tuple[str, ...] = ()
    match place:
        case ir.StatePlace(field=name, path=path):
            e = ir.State(name, type=typing.policy.fields[name].type, span=place.span)
        case ir.EntryPlace(field=name, key=key, path=path):
            t = typing.policy.fields[name].type
            assert isinstance(t, TableType | ArrayType)
            tally = isinstance(t, TableType) and t.kind is TableKind.TALLY
            item = t.value if isinstance(t, TableType) else t.item
            read = ir.TableRead.TOTAL if tally else ir.TableRead.AT
            e = ir.Lookup(read, name, (key,), type=item, span=place.span)
        case ir.LocalPlace(name=name, path=path):
            local = typing.scope.lookup(name)
            assert local is not None and local[1] is not None
            e = ir.Local(name, type=local[1], span=place.span)
            if isinstance(e.type, OptionType):
                e = ir.Unwrap(e, type=e.type.item, span=place.span)
        case ir.ViewPlace(base=base, name=name):
            e = ir.ViewField(base, name, type=place.type, span=place.span)
        case _:
            assert_never(place)
    for part in path:
        assert isinstance(e.type, StructType)
        field = e.type.field(part)
        assert field is not None
        e = ir.Attr(e, part, type=field.type, span=place.span)
    return e


def _within(typing: Typing, node: ast.expr, t: Type, path: tuple[str, ...]) -> Type | None:
    """The type of a field within a struct."""
    for name in path:
        if isinstance(t, OptionType):
            typing.error(
                "P022",
                node,
                f"`{short(node)}` is within an option; its fields cannot be written",
                "bind its value to a name, change that, and store it",
                label=f"in `{spell(t)}`",
            )
            return None
        f = t.field(name) if isinstance(t, StructType) else None
        if f is None:
            typing.error(
                "P031",
                node,
                f"`{spell(t)}` has no field `{name}`",
                f"it has {', '.join(x.name for x in t.fields)}"
                if isinstance(t, StructType)
                else "plain values have no fields",
                label="unknown field",
            )
            return None
        t = f.type
    return t


def _surely_stored(value: Expr, t: Type) -> bool:
    """Whether the option's value fits its place; a text beyond its bound leaves what was there, perhaps None."""
    item = t.item if isinstance(t, OptionType) else t
    match item, value:
        case TextType(bound=int(bound)), ir.Const(value=str(text)):
            return len(text.encode()) <= bound
        case BytesType(bound=int(bound)), ir.Const(value=bytes(data)):
            return len(data) <= bound
        case _:
            return not _has_text(item)


def _has_text(t: Type) -> bool:
    match t:
        case TextType() | BytesType():
            return True
        case TupleType(items=items):
            return any(map(_has_text, items))
        case StructType(fields=fields):
            return any(_has_text(f.type) for f in fields)
        case OptionType(item=item):
            return _has_text(item)
        case _:
            return False


def _writable_type(t: Type) -> bool:
    match t:
        case OptionType(item=item):
            return _writable_type(item)
        case TextType() | BytesType():
            return True
        case _:
            return is_value(t) and not isinstance(t, StructType | TupleType)
