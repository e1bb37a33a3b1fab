# SPDX-License-Identifier: Apache-2.0
"""Locals that take a value, where C needs more for it than an expression."""

from __future__ import annotations

from transect.core import ir
from transect.core.ir import BinaryOp, Expr, Stmt, TableRead
from transect.core.passes.ordered_pick import heap_asked
from transect.core.types import TEXT, SetType, TableType
from transect.emit.c import layout, waiting
from transect.emit.c import tree as c
from transect.emit.c.expressions import CALL, access
from transect.emit.c.forms import has_text
from transect.emit.c.layout import store
from transect.emit.c.storing import Storing


class Letting(Storing):
    """`Let` statements."""

    def let(self, name: str, value: Expr, s: Stmt) -> list[c.Stmt]:
        match value:
            case ir.MakeSet(source=ir.OverRange(bound=0), type=SetType() as t):
                made = c.call(f"{layout.set_name(self.unit, t)}_make", CALL, c.ZERO)
                return [self.assigned(name, made, s)]
            case ir.Binary(
                op=BinaryOp.OR,
                left=ir.Local(name=left),
                right=ir.MakeSet(source=ir.OverRange(bound=1), item=item),
                type=SetType() as t,
            ) if left == name:
                # The set is still this local's alone.
                add = c.call(
                    f"{layout.set_name(self.unit, t)}_add",
                    CALL,
                    c.Name(self.names.of(name)),
                    self.stable(item),
                )
                return [c.Do(add)]
            case ir.Format(parts=parts):
                return self.format(name, parts, s)
            case ir.Intrinsic(name="now"):
                return [self.time(name, value, s)]
            case ir.Intrinsic(name="waiting.argmin") if (field := heap_asked(value)) is not None:
                return self.pick(name, value, field, s)
            case ir.Lookup(op=TableRead.PUT, field=field, args=(key, new)) if self.can_reuse(field, key):
                return self.put_again(name, field, key, new, s)
            case _:
                return [self.assigned(name, self.stable(value), s), *self.after_put(value)]

    def format(self, name: str, parts: tuple[Expr, ...], s: Stmt) -> list[c.Stmt]:
        """An f-string: room for all its pieces, then one after the other."""
        out: list[c.Stmt] = []
        pieces: list[c.Expr] = []
        size: c.Expr | None = None
        for part in parts:
            piece = self.piece(part)
            length: c.Expr = (
                c.Integer(len(str(part.value).encode()), "u") if isinstance(part, ir.Const) else c.ZERO
            )
            if not (isinstance(part, ir.Const) and isinstance(part.value, str)):
                named, piece = self.named("piece", TEXT, piece)
                out += named
                length = c.dot(piece, "size")
            pieces.append(piece)
            # Slices of one message may come to more than 32 bits tell.
            size = c.Cast(c.SIZE, length) if size is None else c.Binary("+", size, length)
        if size is None:
            return [self.assigned(name, c.Name("TS_EMPTY"), s)]
        whole, text = self.names.fresh("size"), c.Name(self.names.fresh("text"))
        room = c.call("ts_take_text", CALL, c.Name(whole))
        out += [c.Var(whole, c.SIZE, size), c.Var(text.name, c.Pointer(c.U8), room)]
        end = c.Name(self.names.fresh("end"))
        out.append(c.Var(end.name, c.Pointer(c.U8), text))
        out += [c.assign(end, c.call("ts_lay", end, piece)) for piece in pieces]
        return [
            *out,
            self.assigned(name, c.Compound(c.SLICE, c.braces(text, c.Cast(c.U32, c.Name(whole)))), s),
        ]

    def time(self, name: str, value: Expr, s: Stmt) -> c.Stmt:
        """The time of the call, asked for once."""
        known = self.recall.now
        if known is None and self.recall.repeated.is_bound_once(name):
            self.recall.now = c.Name(self.names.of(name))
        return self.assigned(name, known or self.expr(value), s)

    def pick(self, name: str, value: Expr, field: str, s: Stmt) -> list[c.Stmt]:
        """The first of a heap; where its entry is, is known with it."""
        slot = c.Name(self.names.fresh("slot"))
        out: list[c.Stmt] = [
            c.Var(slot.name, c.U32, waiting.top_slot(self.unit, field)),
            self.assigned(name, waiting.client_at(self.unit, field, slot), s),
        ]
        entry = (field, ir.Local(name=name, type=value.type, span=value.span))
        if self.recall.wanted(entry):
            out.append(self.finding(entry, waiting.entry_at(self.unit, field, slot)))
        return out

    def can_reuse(self, field: str, key: Expr) -> bool:
        """Whether the entry has been looked for, and its values always fit."""
        t = self.unit.scope.fields[field].type
        return isinstance(t, TableType) and not has_text(t.value) and self.found(field, key) is not None

    def put_again(self, name: str, field: str, key: Expr, value: Expr, s: Stmt) -> list[c.Stmt]:
        """`put` of an entry that has been looked for."""
        t = self.unit.scope.fields[field].type
        assert isinstance(t, TableType), "a table"
        before, new = self.value_first(field, t, value)
        entry, made = self.entry(field, key)
        done = [
            store(self.unit, t.value, c.deref(entry), new),
            *waiting.moved(self.unit, field, self.expr(key), entry),
        ]
        there = c.Binary("!=", entry, c.NULL)
        return [*before, *made, self.assigned(name, there, s), c.If(there, c.Block(tuple(done)))]

    def after_put(self, value: Expr) -> list[c.Stmt]:
        """A `put` may have moved a client in a heap."""
        match value:
            case ir.Lookup(op=TableRead.PUT, field=field, args=(key, _)) if field in self.unit.heaps:
                client = self.expr(key)
                entry = c.Name(self.names.fresh("entry"))
                table = access(self.unit, field)
                found = c.Var(entry.name, table.entry_pointer, table.find(client))
                moves = c.Block(tuple(waiting.moved(self.unit, field, client, entry)))
                return [found, c.If(c.Binary("!=", entry, c.NULL), moves)]
            case _:
                return []
