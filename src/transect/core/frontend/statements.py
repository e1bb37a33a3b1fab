# SPDX-License-Identifier: Apache-2.0
"""Statements to typed tree, with what is known after each of them."""

from __future__ import annotations

import ast
from dataclasses import replace

from transect.base.diagnostic import Label
from transect.core import ir
from transect.core.frontend.expressions import BINARY, Expressions, literal_kind
from transect.core.frontend.facts import Facts, Present, changes_state, implied
from transect.core.frontend.patterns import Patterns
from transect.core.frontend.typing import convert, join, short
from transect.core.ir import BinaryOp, Block, Expr, Place, Stmt
from transect.core.types import (
    INT,
    ArrayType,
    BytesType,
    CounterType,
    DurationType,
    HistogramType,
    IntType,
    KeyType,
    OptionType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    UnitType,
    ViewType,
    is_value,
    spell,
)


class Statements(Patterns, Expressions):
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

    # ------------------------------------------------------------ assignment

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
        self.facts = self.facts.assign(name)
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
            self.scope.types[name] = joined
            self.scope.changed = True
        return joined

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

    # ------------------------------------------------------------ places

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
                if isinstance(value, ir.Some) and not path:
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
                    f"a `{spell(base.type)}` has no fields to write",
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

    # ------------------------------------------------------------ updates, deletion, effects

    def _augment(self, node: ast.AugAssign) -> Block:
        op = BINARY.get(type(node.op))
        if op is None:
            self.error(
                "P047",
                node,
                "this operator is not part of the language",
                "write powers as multiplications or shifts",
                label="not part of the language",
            )
            return ()
        if isinstance(node.target, ast.Name):
            load = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            combined = ast.copy_location(ast.BinOp(load, node.op, node.value), node)
            return self._bind_local(node, node.target.id, combined)
        current = self._place_type_read(node.target)
        place = None if current is None else self.place(node.target, stores=False)
        if place is None or current is None:
            return ()
        value = self.expression(node.value, literal_kind(op, current, on_left=False))
        if value is None:
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
        if isinstance(place, ir.ViewPlace):
            read = ir.ViewField(place.base, place.name, type=place.type, span=place.span)
            new = self.combine(node, op, read, value)
            e = None if new is None else convert(new, place.type)
            self._written(place, None)
            return (ir.Store(place, e, self.span(node)),) if e is not None else ()
        self._written(place, None)
        return (ir.Update(place, op, value, self.span(node)),)

    def _place_type_read(self, target: ast.expr) -> Type | None:
        """The type of the place as it reads now."""
        kept = self.facts
        place = self.place(target, stores=False)
        self.facts = kept
        if place is None:
            return None
        if isinstance(place.type, OptionType):
            self.error(
                "P022",
                target,
                f"`{short(target)}` may be None",
                "test it, then assign a new value",
                label=f"`{spell(place.type)}`",
            )
            return None
        return place.type

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
            case ast.Call(func=ast.Name(id="drop"), args=[key], keywords=[]) if (
                self.scope.lookup("drop") is None and "drop" in self.module.names
            ):
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
                f"`drop` forgets a client or task, not a `{spell(e.type)}`",
                "delete entries by `del self.table[key]`",
                label=f"`{spell(e.type)}`",
            )
            return ()
        fields = [
            f for f in self.policy.fields.values() if isinstance(f.type, TableType) and f.type.key == e.type
        ]
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
        self.facts = self._loop_entry(node.body)
        before = self.facts
        for name, t in zip(names, walked.items, strict=True):
            self.scope.first.setdefault(name, self.span(node.target))
            self._local_type(node.target, name, t)
        unique = tuple(names)
        self.facts = self.facts.assign(*unique).having(self.entry_facts(walked, unique))
        with self.within(walked, unique):
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

    def _loop_entry(self, body: list[ast.stmt]) -> Facts:
        """What still holds at the start of every iteration: nothing about what the body may write."""
        facts = self.facts
        for statement in body:
            for n in ast.walk(statement):
                facts = self._spoilt(facts, n)
        return replace(facts, assigned=self.facts.assigned)

    def _spoilt(self, facts: Facts, node: ast.AST) -> Facts:
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                return facts.assign(name)
            case ast.Attribute(attr=attr, ctx=ast.Store() | ast.Del()):
                return self._spoilt_attribute(facts, node, attr)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                field = self.own(value)
                return facts if field is None else facts.write_field(field, removes=True)
            case ast.Call(func=ast.Attribute(value=value, attr="put" | "pop_first" | "get")):
                field = self.own(value)
                return facts if field is None else facts.write_field(field, removes=True)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"))) | ast.Call(func=ast.Name()):
                return facts.write_anything()
            case _:
                return facts

    def _spoilt_attribute(self, facts: Facts, node: ast.Attribute, attr: str) -> Facts:
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute | ast.Subscript):
            field = self.own(inner)
            if field is not None:
                return facts.write_field(field, removes=True)
            inner = inner.value
        if isinstance(inner, ast.Name):
            facts = facts.assign(inner.id)
        return facts.write_view(attr)

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
                    f"return a `{spell(self.returns)}`",
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


def convertible(t: Type, wanted: Type) -> bool:
    return join(wanted, t) == wanted


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
