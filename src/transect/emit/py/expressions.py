# SPDX-License-Identifier: Apache-2.0
"""Expressions of the tree as expressions of Python, with the meaning that the interpreter gives them.

Structs are objects that can change, so whatever is bound, passed or stored is copied, unless nobody else holds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from transect.core import ir
from transect.core.types import DictType, OptionType, SetType, StructType, TupleType, Type
from transect.core.values import is_mutable, storer
from transect.core.walk import walk
from transect.emit.py import arithmetic, calls, loops, nodes
from transect.emit.py.literals import has_defaults, has_float, literal
from transect.emit.py.names import Names
from transect.emit.py.nodes import LOCAL, SELF
from transect.emit.py.positions import Places
from transect.emit.py.scope import Scope


class Expressions:
    """The expressions of one function."""

    def __init__(self, scope: Scope, names: Names, places: Places) -> None:
        self.scope = scope
        self.names = names
        self.places = places
        self._pending: dict[str, ast.expr] = {}  # values of LetIn, to be bound where the name is first used
        self._constants: dict[str, ir.Const] = {}  # the same, where they are constants
        self._twice: set[str] = set()  # names of LetIn which occur just twice
        self._walrus = True  # the source of a comprehension may hold none

    # ---------------------------------------------------------------- the ways to ask for one

    def plain(self, e: ir.Expr) -> ast.expr:
        """The value, only to be read: a struct may be an object that something else holds."""
        return self.places.put(self._plain(e), e.span)

    def owned(self, e: ir.Expr) -> ast.expr:
        """The value, as one that nobody else can change."""
        value = self.plain(e)
        return nodes.call("copied", value) if is_mutable(e.type) and not fresh(e) else value

    def made(self, t: Type, e: ir.Expr) -> ast.expr:
        """The owned value as one of type t: narrow integers within it truncate."""
        if e.type == t or isinstance(t, StructType) or storer(t, check=False) is None:
            return self.owned(e)
        if arithmetic.is_narrow(t):
            return arithmetic.narrowed(self, t, e)
        return nodes.call(self.scope.maker(t, check=False), self.plain(e))

    def field(self, name: str) -> ast.expr:
        """A state field, wherever it is kept."""
        return nodes.member(LOCAL if self.scope.is_local(name) else SELF, name)

    @contextmanager
    def without_walrus(self) -> Iterator[None]:
        """Within the block, no `:=`."""
        before, self._walrus = self._walrus, False
        try:
            yield
        finally:
            self._walrus = before

    # ---------------------------------------------------------------- all nodes

    def _plain(self, e: ir.Expr) -> ast.expr:
        match e:
            case ir.Const(type=t, value=value):
                return literal(t, value, self.scope.classes)
            case ir.Local(name=name):
                return self._local(name)
            case ir.State(field=field):
                return self.field(field)
            case ir.Attr(base=base, name=name) | ir.ViewField(base=base, name=name):
                return nodes.attribute(self.plain(base), name)
            case ir.Item(base=base, index=index):
                return nodes.item(self.plain(base), nodes.constant(index))
            case ir.Lookup():
                return calls.lookup(self, e)
            case ir.Unary():
                return arithmetic.unary(self, e)
            case ir.Binary():
                return arithmetic.binary(self, e)
            case ir.Compare():
                return arithmetic.compare(self, e)
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                both = nodes.both(self.plain(left), ast.And() if conjunction else ast.Or(), self.plain(right))
                return self._chained(both)
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                return ast.IfExp(self.plain(cond), self.plain(then), self.plain(orelse))
            case ir.LetIn():
                return self._let_in(e)
            case ir.Cast():
                return arithmetic.cast(self, e)
            case ir.Some(value=value, type=t):
                return self.made(t.item if isinstance(t, OptionType) else t, value)
            case ir.IsSome(value=value):
                return nodes.compare(self.plain(value), ast.IsNot(), nodes.constant(None))
            case ir.Unwrap(value=value):
                return self.plain(value)
            case ir.MakeStruct():
                return self._struct(e)
            case ir.MakeTuple(items=items, type=t):
                assert isinstance(t, TupleType)
                return nodes.tuple_of(self.made(part, i) for part, i in zip(t.items, items, strict=True))
            case ir.Contains(item=item, container=container):
                return self._contains(item, container)
            case ir.Call():
                return calls.helper(self, e)
            case ir.Intrinsic():
                return calls.intrinsic(self, e)
            case ir.Reduce():
                return loops.reduce(self, e)
            case ir.MakeSet():
                return loops.make_set(self, e)
            case ir.Format():
                return calls.formatted(self, e)
            case _:
                assert_never(e)

    def _local(self, name: str) -> ast.expr:
        if name in self._constants:
            return self.plain(self._constants[name])
        if name in self._pending:
            return ast.NamedExpr(nodes.target(self.names[name]), self._pending.pop(name))
        return nodes.name(self.names[name])

    def _let_in(self, e: ir.LetIn) -> ast.expr:
        """A constant in place of its name; `:=` where the body begins with it; else a function of one argument."""
        if isinstance(e.value, ir.Const):
            self._constants[e.name] = e.value
            return self.plain(e.body)
        uses = sum(isinstance(node, ir.Local) and node.name == e.name for node in walk(e.body))
        if self._walrus and e.name in leading(e.body)[0]:
            self._twice |= {self.names[e.name]} if uses == 2 else set()
            self._pending[e.name] = self.owned(e.value)
            return self.plain(e.body)
        made = nodes.lambda_of([self.names[e.name]], self.plain(e.body))
        return nodes.call(made, self.owned(e.value))

    def _chained(self, both: ast.BoolOp) -> ast.expr:
        """`a < b < c` for `a < (x := b) and x < c`, where x occurs nowhere else."""
        values: list[ast.expr] = []
        for value in both.values:
            match values[-1:], value:
                case (
                    [ast.Compare(comparators=[*middle, ast.NamedExpr(ast.Name(x), shared)]) as first],
                    ast.Compare(left=ast.Name(y)),
                ) if x == y and x in self._twice and isinstance(both.op, ast.And):
                    first.comparators = [*middle, shared, *value.comparators]
                    first.ops += value.ops
                case _:
                    values.append(value)
        return values[0] if len(values) == 1 else ast.BoolOp(both.op, values)

    def _struct(self, e: ir.MakeStruct) -> ast.expr:
        """A call of the struct's class; fields that keep their default are left out."""
        assert isinstance(e.type, StructType)
        args: list[ast.expr] = []
        keywords: dict[str, ast.expr] = {}
        skipped, usable = False, has_defaults(e.type)
        for f, value in zip(e.type.fields, e.values, strict=True):
            if usable and not f.required and value == ir.Const(f.default, type=value.type, span=value.span):  # type: ignore[arg-type]
                skipped = True
            elif skipped:
                keywords[f.name] = self.made(f.type, value)
            else:
                args.append(self.made(f.type, value))
        return nodes.call(self.scope.classes[e.type.name], *args, **keywords)

    def _contains(self, item: ir.Expr, container: ir.Expr) -> ast.expr:
        if isinstance(container.type, SetType | DictType) or not (
            is_mutable(item.type) or has_float(item.type)
        ):
            return nodes.compare(self.plain(item), ast.In(), self.plain(container))
        return nodes.call("contains", item=self.plain(item), items=self.plain(container))


def fresh(e: ir.Expr) -> bool:
    """Whether a struct was made or copied by the expression itself, so that nobody else holds it."""
    match e:
        case (
            ir.MakeStruct() | ir.MakeTuple() | ir.Call() | ir.Lookup() | ir.Const() | ir.Reduce() | ir.Some()
        ):
            return True
        case ir.Cast(value=inner) | ir.Unwrap(value=inner) | ir.Attr(base=inner) | ir.Item(base=inner):
            return fresh(inner)
        case ir.Choose(then=then, orelse=orelse):
            return fresh(then) and fresh(orelse)
        case _:
            return False


def leading(e: ir.Expr) -> tuple[list[str], bool]:
    """The locals that evaluating the expression reads before anything else happens, in order; whether that is all."""
    match e:
        case ir.Const():
            return [], True
        case ir.Local(name=name):
            return [name], True
        case ir.Unary(operand=inner) | ir.Cast(value=inner) | ir.IsSome(value=inner) | ir.Unwrap(value=inner):
            return leading(inner)
        case ir.Attr(base=first) | ir.ViewField(base=first) | ir.Item(base=first):
            return leading(first)[0], False
        case ir.Logic(left=first) | ir.Choose(cond=first):
            return leading(first)[0], False
        case ir.Binary(left=left, right=right) | ir.Compare(left=left, right=right):
            names, all_of_left = leading(left)
            more, all_of_right = leading(right) if all_of_left else ([], False)
            return names + more, all_of_right
        case ir.LetIn(name=name, value=value, body=body):
            names = leading(body)[0]
            before = names[: names.index(name)] if name in names else []
            return before + leading(value)[0], False
        case _:
            return [], False
