# SPDX-License-Identifier: Apache-2.0
"""Places that can be written, and what is known after a write."""

from __future__ import annotations

import ast

from transect.core import ir
from transect.core.frontend.bodies.context import short
from transect.core.frontend.bodies.expressions import Expressions
from transect.core.frontend.bodies.facts import Present, changes_state
from transect.core.frontend.bodies.patterns import Patterns
from transect.core.ir import BinaryOp, Block, Expr, Place, Stmt
from transect.core.types import (
    ArrayType,
    BytesType,
    CounterType,
    HistogramType,
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


class Places(Patterns, Expressions):
    """Typing of the left side of assignments."""

    def _store(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> Block:
        expected = self._place_type(target)
        e = self.expression(value) if expected is None else self.value(value, expected, "the value")
        place = self.place(target, stores=True)
        if place is None or e is None:
            return ()
        updated = self._as_update(node, place, target, value, e)
        self._written(place, e)
        return (updated if updated is not None else ir.Store(place, e, self.span(node)),)

    def _place_type(self, target: ast.expr) -> Type | None:
        """The type that a place takes, for literals on the right; typed twice, evaluated once."""
        kept = self.facts
        place = self.place(target, stores=True)
        self.facts = kept
        return None if place is None else place.type

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
            case ir.ViewPlace(name=name):
                self.facts = self.facts.write_view(name)

    def _as_update(
        self, node: ast.stmt, place: Place, target: ast.expr, value: ast.expr, e: Expr
    ) -> Stmt | None:
        """`m[k] = max(m[k], e)` is one atomic step."""
        match value, e:
            case ast.Call(func=ast.Name(id="min" | "max"), args=[first, _]), ir.Binary(
                op=BinaryOp.MIN | BinaryOp.MAX as op, right=right
            ):
                same = ast.dump(first) == ast.dump(_as_load(target)) and not any(
                    isinstance(n, ast.Call) for n in ast.walk(target)
                )
                if same and not isinstance(place, ir.ViewPlace) and not changes_state(right):
                    return ir.Update(place, op, right, self.span(node))
            case _:
                pass
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
            known = not path and (stores or f.type.kind is TableKind.TALLY)
            entry = None if known else self.entry(inner, f)
            if not known and entry is None:
                return None
            key = self.value(inner.slice, f.type.key, "the key")
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

    def _local_place(self, node: ast.expr, inner: ast.Name, path: tuple[str, ...]) -> Place | None:
        base = self.expression(inner)
        if base is None:
            return None
        if isinstance(base.type, ViewType):
            return self._view_place(node) if isinstance(node, ast.Attribute) else None
        if isinstance(base.type, OptionType):
            text = short(inner)
            self.error("P022", inner, f"`{text}` may be None", f"test it first: `if {text} is not None:`")
            return None
        if not isinstance(base, ir.Local):
            self.error(
                "P022",
                inner,
                f"`{short(inner)}` is an option; its fields cannot be written",
                "bind its value to a name first, change that, and store it",
                label="an option",
            )
            return None
        if base.name in self.scope.params:
            self.error(
                "P025",
                node,
                "a copy is changed and lost",
                f"bind it first: `copy = {base.name}`, change that, and store it",
                label="a parameter is a copy",
            )
            return None
        t = self._within(node, base.type, path)
        return None if t is None else ir.LocalPlace(base.name, path, t, self.span(node))

    def _view_place(self, node: ast.Attribute) -> Place | None:
        base = self.expression(node.value)
        if base is None:
            return None
        if not isinstance(base.type, ViewType):
            if isinstance(base.type, StructType):
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
            case ir.ViewPlace(base=base, name=name):
                e = ir.ViewField(base, name, type=place.type, span=place.span)
        for part in path:
            assert isinstance(e.type, StructType)
            field = e.type.field(part)
            assert field is not None
            e = ir.Attr(e, part, type=field.type, span=place.span)
        return e

    def _within(self, node: ast.expr, t: Type, path: tuple[str, ...]) -> Type | None:
        """The type of a field within a struct."""
        for name in path:
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
    match t.item if isinstance(t, OptionType) else t, value:
        case TextType(bound=int(bound)), ir.Const(value=str(text)):
            return len(text.encode()) <= bound
        case BytesType(bound=int(bound)), ir.Const(value=bytes(data)):
            return len(data) <= bound
        case item, _:
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


def _as_load(node: ast.expr) -> ast.expr:
    """The target as it would be written on the right."""
    return ast.parse(ast.unparse(node), mode="eval").body


def _writable_type(t: Type) -> bool:
    match t:
        case OptionType(item=item):
            return _writable_type(item)
        case TextType() | BytesType():
            return True
        case _:
            return is_value(t) and not isinstance(t, StructType | TupleType)
