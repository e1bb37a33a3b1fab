# SPDX-License-Identifier: Apache-2.0
"""Places that can be written, and what is known after a write."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import assert_never

from transect.core import ir
from transect.core.frontend.bodies.context import short, widen
from transect.core.frontend.bodies.expressions import Expressions
from transect.core.frontend.bodies.facts import Present, changes_state, stable
from transect.core.frontend.bodies.patterns import Patterns
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

_STEPS = (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MIN, BinaryOp.MAX)


class Places(Patterns, Expressions):
    """Typing of the left side of assignments."""

    def _store(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> Block:
        """The place is typed first, since it says of which type literals are; evaluated first is the value, so that
        nothing holds for the place which the value may end."""
        before = self.facts
        self.facts = given = self.without_spoilt(value)
        place = self.place(target, stores=True)
        ended = given.known - self.facts.known
        self.facts = before
        e = self.expression(value) if place is None else self.value(value, place.type, "the value")
        self.facts = replace(self.facts, known=self.facts.known - ended)
        if place is None or e is None:
            return ()
        updated = self._as_update(node, place, e)
        self._written(place, e)
        return self.within_option(updated if updated is not None else ir.Store(place, e, self.span(node)))

    def within_option(self, s: ir.Store | ir.Update) -> Block:
        """`x.field = …` where `x` is an option known to be there: its value is taken out, changed, and put back."""
        place = s.place
        whole = self._option(place)
        if whole is None or not isinstance(place, ir.LocalPlace) or not isinstance(whole.type, OptionType):
            return (s,)
        name = self.scope.unique(place.name, whole.type.item)
        inner = ir.Local(name, type=whole.type.item, span=place.span)
        return (
            ir.Let(name, ir.Unwrap(whole, type=inner.type, span=place.span), s.span),
            replace(s, place=replace(place, name=name)),
            ir.Let(place.name, ir.Some(inner, type=whole.type, span=place.span), s.span),
        )

    def _option(self, place: Place) -> ir.Local | None:
        """The local whose field the place is, if that is an option."""
        local = self.scope.lookup(place.name) if isinstance(place, ir.LocalPlace) else None
        if local is None or not isinstance(local[1], OptionType):
            return None
        return ir.Local(local[0], type=local[1], span=place.span)

    def _written(self, place: Place, value: Expr | None) -> None:
        """Facts after a write."""
        match place:
            case ir.StatePlace(field=field, path=path):
                self.facts = self.facts.write_field(field, removes=True)
                if isinstance(value, ir.Some) and not path and _surely_stored(value.value, place.type):
                    self.facts = self.facts.having(
                        [Present(ir.State(field, type=place.type, span=place.span))]
                    )
            case ir.EntryPlace(field=field):
                f = self.policy.fields[field]
                self.facts = self.facts.write_field(
                    field, removes=isinstance(f.type, TableType) and f.type.kind is TableKind.LRU
                )
            case ir.LocalPlace(name=name):
                self.facts = self.facts.assign(name)
                whole = self._option(place)
                self.facts = self.facts if whole is None else self.facts.having([Present(whole)])
            case ir.ViewPlace(name=name):
                self.facts = self.facts.write_view(name)
            case _:
                assert_never(place)

    def _as_update(self, node: ast.stmt, place: Place, e: Expr) -> ir.Update | None:
        """`m[k] = max(m[k], e)`, `m[k] = m[k] + e` and their like are one step, as `m[k] += e` is."""
        if isinstance(place, ir.ViewPlace) or (isinstance(place, ir.EntryPlace) and not stable(place.key)):
            return None
        narrow = isinstance(place.type, IntType) and place.type.bits < 64
        match e.value if narrow and isinstance(e, ir.Cast) else e:
            case ir.Binary(op=op, left=left, right=right) if op in _STEPS:
                pass
            case _:
                return None
        old = widen(self.reading(place))
        if left == old and right.type == old.type and not changes_state(right):
            return ir.Update(place, op, right, self.span(node))
        commutes = op is not BinaryOp.SUB and isinstance(
            old.type, IntType
        )  # of floats, NaN and the first of equals
        if commutes and right == old and left.type == old.type and not changes_state(left):
            return ir.Update(place, op, left, self.span(node))
        return None

    def place(self, node: ast.expr, stores: bool) -> Place | None:
        """A place that can be written; `stores`: a whole new value is stored (a new key is welcome)."""
        path: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute) and self.own(inner) is None:
            path.insert(0, inner.attr)
            inner = inner.value
        name = self.own(inner)
        match inner:
            case ast.Attribute() if name is not None:
                return self._state_place(node, inner, name, tuple(path))
            case ast.Subscript(value=ast.Attribute() as table) if self.own(table) is not None:
                return self._entry_place(node, inner, table, tuple(path), stores)
            case ast.Name(id=local) if path and self.scope.lookup(local) is not None:
                return self._local_place(node, inner, tuple(path))
            case _:
                if isinstance(node, ast.Attribute):
                    return self._view_place(node)
                self.error(
                    "P047",
                    node,
                    "this cannot be assigned to",
                    "assign to a local, a state field or an entry of a table",
                    label="not a target",
                )
                return None

    def _state_place(
        self, node: ast.expr, inner: ast.Attribute, name: str, path: tuple[str, ...]
    ) -> Place | None:
        f = self.state_field(inner, name)
        if f is None or not self.writable_field(node, f):
            return None
        if isinstance(f.type, TableType | ArrayType):
            self.error(
                "P031",
                node,
                f"the table `{name}` as a whole cannot be assigned",
                "store entries: `self.t[key] = value`; delete them: `del self.t[key]`",
                label=f"`{spell(f.type)}`",
            )
            return None
        if isinstance(f.type, CounterType | HistogramType):
            self.error(
                "P031",
                node,
                f"`{name}` counts by its method",
                f"write `self.{name}.add(1)`"
                if isinstance(f.type, CounterType)
                else f"write `self.{name}.observe(value)`",
                label=f"`{spell(f.type)}`",
            )
            return None
        t = self._within(node, f.type, path)
        return None if t is None else ir.StatePlace(name, path, t, self.span(node))

    def _entry_place(
        self, node: ast.expr, inner: ast.Subscript, table: ast.Attribute, path: tuple[str, ...], stores: bool
    ) -> Place | None:
        name = self.own(table)
        assert name is not None
        f = self.state_field(table, name)
        if f is None or not self.writable_field(inner, f):
            return None
        if isinstance(f.type, ArrayType):
            key, item = self.index(inner, f), f.type.item
        elif isinstance(f.type, TableType):
            item = f.type.value
            key = self.value(inner.slice, f.type.key, "the key")
            welcome = stores and not path  # a new key is
            if key is not None and not welcome and not self._has_entry(inner, f, f.type, key):
                return None
        else:
            self.error(
                "P031",
                node,
                f"`{name}` cannot be indexed",
                "only tables and arrays have `[…]`",
                label=f"`{spell(f.type)}`",
            )
            return None
        t = None if key is None else self._within(node, item, path)
        return None if key is None or t is None else ir.EntryPlace(name, key, path, t, self.span(node))

    def _has_entry(self, node: ast.Subscript, f: ir.StateField, t: TableType, key: Expr) -> bool:
        if t.kind is TableKind.TALLY:
            return True
        if t.kind is TableKind.LRU:
            self.facts = self.facts.write_field(f.name, removes=False)
        return self.certainly_has(node, f, key)

    def still_there(self, target: ast.expr, place: Place) -> bool:
        """Whether the entry whose field takes a value is still there, now that the value has been evaluated."""
        while isinstance(target, ast.Attribute):
            target = target.value
        if not isinstance(place, ir.EntryPlace) or not place.path or not isinstance(target, ast.Subscript):
            return True
        f = self.policy.fields[place.field]
        return not isinstance(f.type, TableType) or self.certainly_has(target, f, place.key)

    def _local_place(self, node: ast.expr, inner: ast.Name, path: tuple[str, ...]) -> Place | None:
        base = self.expression(inner)
        if base is None:
            return None
        if isinstance(base.type, ViewType):
            return self._view_place(node) if isinstance(node, ast.Attribute) else None
        if isinstance(base.type, OptionType):
            self._may_be_none(inner, base.type)
            return None
        if isinstance(base, ir.Unwrap):  # an option that is known to be there
            base = base.value
        assert isinstance(base, ir.Local), f"a name stands for {base}"
        whole = base.type.item if isinstance(base.type, OptionType) else base.type
        if base.name in self.scope.params:
            self.error(
                "P025",
                node,
                "a copy is changed and lost",
                f"bind it first: `copy = {base.name}`, change that, and store it",
                label="a parameter is a copy",
            )
            return None
        t = self._within(node, whole, path)
        return None if t is None else ir.LocalPlace(base.name, path, t, self.span(node))

    def _view_place(self, node: ast.Attribute) -> Place | None:
        base = self.expression(node.value)
        if base is None:
            return None
        if not isinstance(base.type, ViewType):
            if isinstance(base.type, OptionType):
                self._may_be_none(node.value, base.type)
            elif isinstance(base.type, StructType):
                self.error(
                    "P025",
                    node,
                    "a copy is changed and lost",
                    "write through the state field or entry itself, or bind the copy to a name and store it",
                    label="changes a copy",
                )
            else:
                self.error(
                    "P037",
                    node,
                    f"{an(base.type)} has no fields to write",
                    "write state fields, entries, and fields of messages",
                    label=f"`{spell(base.type)}`",
                )
            return None
        e = self.field_of(base, node)
        member = self.view_member(base.type, node.attr)
        if e is None or member is None:
            return None
        if not member.writable or not _writable_type(member.type):
            help = (
                "fields of messages can be written"
                if not member.writable
                else "repeated, map and message fields cannot be replaced as a whole"
            )
            self.error(
                "P037", node, f"`{node.attr}` of `{base.type.name}` is read-only", help, label="read-only"
            )
            return None
        return ir.ViewPlace(base, node.attr, member.type, self.span(node))

    def reading(self, place: Place) -> Expr:
        """What the place holds now."""
        e: Expr
        path: tuple[str, ...] = ()
        match place:
            case ir.StatePlace(field=name, path=path):
                e = ir.State(name, type=self.policy.fields[name].type, span=place.span)
            case ir.EntryPlace(field=name, key=key, path=path):
                t = self.policy.fields[name].type
                assert isinstance(t, TableType | ArrayType)
                tally = isinstance(t, TableType) and t.kind is TableKind.TALLY
                item = t.value if isinstance(t, TableType) else t.item
                read = ir.TableRead.TOTAL if tally else ir.TableRead.AT
                e = ir.Lookup(read, name, (key,), type=item, span=place.span)
            case ir.LocalPlace(name=name, path=path):
                local = self.scope.lookup(name)
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

    def _may_be_none(self, node: ast.expr, t: OptionType) -> None:
        text = short(node)
        self.error(
            "P022",
            node,
            f"`{text}` may be None",
            f"test it first: `if {text} is not None:`",
            label=f"`{spell(t)}`",
        )

    def _within(self, node: ast.expr, t: Type, path: tuple[str, ...]) -> Type | None:
        """The type of a field within a struct."""
        for name in path:
            if isinstance(t, OptionType):
                self.error(
                    "P022",
                    node,
                    f"`{short(node)}` is within an option; its fields cannot be written",
                    "bind its value to a name, change that, and store it",
                    label=f"in `{spell(t)}`",
                )
                return None
            f = t.field(name) if isinstance(t, StructType) else None
            if f is None:
                self.error(
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
