# SPDX-License-Identifier: Apache-2.0
"""Assignments, updates, deletions, and expressions for their effect."""

from __future__ import annotations

import ast
from dataclasses import replace

from transect.base.diagnostic import Label
from transect.core import ir
from transect.core.frontend.bodies.context import convert, join, loose, short, widen
from transect.core.frontend.bodies.facts import Present, bounds, changes_state
from transect.core.frontend.bodies.operators import literal_kind
from transect.core.frontend.bodies.places import Places
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

GROWING = 8  # rounds of typing after which a set that still grows has no bound


class Assignments(Places):
    """Typing of statements that change something."""

    def _assign(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> Block:
        match target:
            case ast.Name(id=name):
                return self._bind_local(node, name, value)
            case ast.Tuple():
                return self._unpack(node, target, value)
            case ast.Attribute() | ast.Subscript():
                return self._store(node, target, value)
            case _:
                self.error(
                    "P047",
                    target,
                    "this cannot be assigned to",
                    "assign to a name, a state field or an entry of a table",
                    label="not a target",
                )
                return ()

    def _bind_local(self, node: ast.stmt, name: str, value: ast.expr) -> Block:
        if name in self.scope.params:
            self.error(
                "P037",
                node,
                f"the parameter `{name}` cannot be assigned",
                "give the new value a name of its own",
                label="a parameter",
            )
            return ()
        known = self.scope.types.get(name)
        e = self.expression(value, known)
        return self.take(node, name, e)

    def take(self, node: ast.AST, name: str, e: Expr | None) -> Block:
        """A local takes a value; its type is the join over all its assignments."""
        span = self.span(node)
        self.scope.first.setdefault(name, span)
        if e is None:
            if name not in self.scope.types:
                self.scope.types[name] = None
            self.facts = self.facts.assign(name)
            return ()
        t = self._local_type(node, name, e.type)
        converted = None if t is None else convert(e, t)
        if t is None or converted is None:
            self.facts = self.facts.assign(name)
            return ()
        local = ir.Local(name, type=t, span=span)
        known = bounds(local, converted, self.facts) if t == INT else []
        self.facts = self.facts.assign(name).having(known)
        if isinstance(t, OptionType) and isinstance(converted, ir.Some):
            self.facts = self.facts.having([Present(ir.Local(name, type=t, span=span))])
        return (ir.Let(name, converted, span),)

    def _local_type(self, node: ast.AST, name: str, t: Type) -> Type | None:
        """The local's type, widened to take this one as well; None with a diagnostic."""
        if name not in self.scope.types or self.scope.types[name] is None:
            self.scope.changed = self.scope.changed or name not in self.scope.types
            self.scope.types[name] = t
            return t
        known = self.scope.types[name]
        assert known is not None
        joined = known if name in self.scope.declared and convertible(t, known) else join(known, t)
        if joined is None or (name in self.scope.declared and joined != known):
            self.error(
                "P011",
                node,
                f"`{name}` is `{spell(known)}` elsewhere and `{spell(t)}` here",
                "use another name; a local has one type",
                label=f"`{spell(t)}`",
                others=(Label(self.scope.first[name], f"`{spell(known)}` here"),),
            )
            return None
        if joined != known:
            if self.scope.rounds > GROWING:
                joined = loose(joined)
            self.scope.types[name] = joined
            self.scope.changed = True
        return joined

    def bind_exactly(self, node: ast.AST, name: str, t: Type) -> None:
        """A loop or pattern gives a local its value: the local has just that type."""
        self.scope.first.setdefault(name, self.span(node))
        joined = self._local_type(node, name, t)
        if joined is not None and loose(joined) != loose(t):
            self.error(
                "P011",
                node,
                f"`{name}` is `{spell(joined)}` elsewhere and `{spell(t)}` here",
                "use another name; a local has one type",
                label=f"`{spell(t)}`",
            )

    def _declare(self, node: ast.AnnAssign) -> Block:
        """`x: u64 = 5`: a local with a type of its own."""
        if not isinstance(node.target, ast.Name):
            self.error(
                "P047",
                node,
                "only locals are annotated in a handler",
                "declare state fields in the class",
                label="an annotation here",
            )
            return ()
        name = node.target.id
        t = self.world.type_of(self.module, node.annotation)
        if t is None:
            return ()
        if isinstance(t, IntType) and t.bits < 64:
            self.error(
                "P030",
                node.annotation,
                f"`{spell(t)}` is storage, for state and views; a local has 64 bits",
                f"write `{name}: int`",
                label="not the type of a local",
            )
            return ()
        if name in self.scope.params:
            self.error(
                "P037",
                node,
                f"the parameter `{name}` cannot be declared again",
                "use another name",
                label="a parameter",
            )
            return ()
        self.scope.first.setdefault(name, self.span(node))
        if self.scope.types.get(name) != t:
            self.scope.changed = True
        self.scope.types[name] = t
        self.scope.declared.add(name)
        if node.value is None:
            return ()
        e = self.value(node.value, t, f"`{name}`")
        return self.take(node, name, e)

    def _unpack(self, node: ast.stmt, target: ast.Tuple, value: ast.expr) -> Block:
        names = [e.id for e in target.elts if isinstance(e, ast.Name)]
        if len(names) < len(target.elts):
            self.error(
                "P047",
                target,
                "a tuple is taken apart into names",
                "assign to places one by one",
                label="not a name",
            )
            return ()
        e = self.expression(value)
        if e is None:
            return tuple(s for n in names for s in self.take(node, n, None))
        if not isinstance(e.type, TupleType) or len(e.type.items) != len(names):
            self.error(
                "P011",
                value,
                f"`{spell(e.type)}` does not have {len(names)} parts",
                "name as many as the tuple has",
                label=f"`{spell(e.type)}`",
            )
            return tuple(s for n in names for s in self.take(node, n, None))
        whole = self.scope.unique("parts", e.type)
        span = self.span(node)
        local = ir.Local(whole, type=e.type, span=span)
        first: Stmt = ir.Let(whole, e, span)
        items = [ir.Item(local, i, type=t, span=span) for i, t in enumerate(e.type.items)]
        return (first, *(s for n, item in zip(names, items, strict=True) for s in self.take(node, n, item)))

    # ------------------------------------------------------------ updates, deletion, effects

    def _augment(self, node: ast.AugAssign) -> Block:
        op = self.operator(node)
        if op is None:
            return ()
        if isinstance(node.target, ast.Name):
            load = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            combined = ast.copy_location(ast.BinOp(load, node.op, node.value), node)
            return self._bind_local(node, node.target.id, combined)
        place = self.place(node.target, stores=False)
        if place is None or not self._readable(node.target, place):
            return ()
        current = place.type
        value = self.expression(node.value, literal_kind(op, current, on_left=False))
        if value is None or not self.still_there(node.target, place):
            return ()
        stand_in = ir.Const(
            0, type=INT if isinstance(current, IntType) and current.bits < 64 else current, span=place.span
        )
        result = self.combine(node, op, stand_in, value)
        if result is None:
            return ()
        if convert(result, place.type) is None:
            self.mismatch(result, place.type, node)
            return ()
        self._written(place, None)
        if isinstance(place, ir.ViewPlace) or changes_state(value):
            return self._read_then_store(node, op, place, value)
        return self.within_option(ir.Update(place, op, value, self.span(node)))

    def _read_then_store(self, node: ast.AugAssign, op: BinaryOp, place: Place, value: Expr) -> Block:
        """Evaluating the value may change the place, which is read before: no single step does that."""
        span = self.span(node)
        lets: list[Stmt] = []
        if isinstance(place, ir.EntryPlace) and not isinstance(place.key, ir.Const | ir.Local):
            name = self.scope.unique("key", place.key.type)
            lets.append(ir.Let(name, place.key, span))
            place = replace(place, key=ir.Local(name, type=place.key.type, span=span))
        before = widen(self.reading(place))
        name = self.scope.unique("before", before.type)
        lets.append(ir.Let(name, before, span))
        new = self.combine(node, op, ir.Local(name, type=before.type, span=span), value)
        e = None if new is None else convert(new, place.type)
        return () if e is None else (*lets, *self.within_option(ir.Store(place, e, span)))

    def _readable(self, target: ast.expr, place: Place) -> bool:
        """Whether there is something to begin from; else a diagnostic."""
        if not isinstance(place.type, OptionType):
            return True
        self.error(
            "P022",
            target,
            f"`{short(target)}` may be None",
            "test it, then assign a new value",
            label=f"`{spell(place.type)}`",
        )
        return False

    def _delete(self, target: ast.expr) -> Block:
        match target:
            case ast.Subscript(value=ast.Attribute() as table) if self.own(table) is not None:
                name = self.own(table)
                assert name is not None
                f = self.state_field(table, name)
                if f is None or not self.writable_field(target, f):
                    return ()
                if not isinstance(f.type, TableType):
                    self.error(
                        "P031",
                        target,
                        f"entries of `{name}` cannot be deleted",
                        "store a zero instead",
                        label=f"`{spell(f.type)}`",
                    )
                    return ()
                key = self.value(target.slice, f.type.key, "the key")
                self.facts = self.facts.write_field(name, removes=True)
                return () if key is None else (ir.Remove(name, key, self.span(target)),)
            case _:
                self.error(
                    "P047",
                    target,
                    "only entries of tables are deleted",
                    "write `del self.table[key]`",
                    label="not an entry",
                )
                return ()

    def _do(self, node: ast.Expr, value: ast.expr) -> Block:
        match value:
            case ast.Call(func=function, args=[key], keywords=[]) if self.language_name(function) == "drop":
                return self._drop(node, key)
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute() as owner, attr="add" | "observe" as method)
            ) if self.own(owner) is not None:
                meter = self._meter(node, value, owner, method)
                if meter is not None:
                    return meter
            case _:
                pass
        before, self.formats = self.formats, False
        e = self.raw(value)
        self.formats = before
        if e is None:
            return ()
        if not isinstance(e, ir.Call | ir.Intrinsic | ir.Lookup) or (
            isinstance(e, ir.Lookup) and e.op not in (ir.TableRead.PUT, ir.TableRead.POP_FIRST)
        ):
            self.error(
                "P047",
                node,
                "this value is not used",
                "assign it, return it, or leave it out",
                label="has no effect",
            )
            return ()
        return (ir.Do(e, self.span(node)),)

    def _drop(self, node: ast.Expr, key: ast.expr) -> Block:
        e = self.expression(key)
        if e is None:
            return ()
        if not isinstance(e.type, KeyType):
            self.error(
                "P011",
                key,
                f"`drop` forgets a client or task, not {an(e.type)}",
                "delete entries by `del self.table[key]`",
                label=f"`{spell(e.type)}`",
            )
            return ()
        fields = [
            f for f in self.policy.fields.values() if isinstance(f.type, TableType) and f.type.key == e.type
        ]
        entry = ast.copy_location(ast.Subscript(key, key, ast.Del()), node)
        if not all([self.writable_field(entry, f) for f in fields]):
            return ()
        for f in fields:
            self.facts = self.facts.write_field(f.name, removes=True)
        return tuple(ir.Remove(f.name, e, self.span(node)) for f in fields)

    def _meter(self, node: ast.Expr, call: ast.Call, owner: ast.Attribute, method: str) -> Block | None:
        name = self.own(owner)
        f = self.policy.fields.get(name or "")
        if f is None or not isinstance(f.type, CounterType | HistogramType):
            return None
        wanted = "add" if isinstance(f.type, CounterType) else "observe"
        if method != wanted:
            self.error(
                "P031",
                call.func,
                f"`{spell(f.type)}` has no method `{method}`",
                f"write `.{wanted}(…)`",
                label="unknown method",
            )
            return ()
        one = ir.Const(1, type=INT, span=self.span(node))
        args = self.arguments(call, [None], f"`{method}`", least=0 if method == "add" else 1)
        if args is None:
            return ()
        value = args[0] if args else one
        if isinstance(value.type, DurationType) and method == "observe":
            value = ir.Cast(value, type=INT, span=value.span)
        converted = self.convert(value, INT, call, "the value")
        return (
            ()
            if converted is None
            else (
                ir.Update(
                    ir.StatePlace(f.name, (), f.type, self.span(owner)),
                    BinaryOp.ADD,
                    converted,
                    self.span(node),
                ),
            )
        )


def convertible(t: Type, wanted: Type) -> bool:
    return join(wanted, t) == wanted
