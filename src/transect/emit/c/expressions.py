# SPDX-License-Identifier: Apache-2.0
"""Pure expressions of a flat program as C expressions in value form.

The same value may be asked for as a place in storage (`place`), so that a field of a struct in state is read without
loading the struct.  `unstable` says whether a value's texts may be slices of state: code that keeps such a value beyond
the next store must copy it.
"""

from __future__ import annotations

import math
from typing import assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, Expr, FieldKind, TableRead, UnaryOp
from transect.core.passes.ordered_pick import ARGMIN, heap_asked
from transect.core.rules import PARTS_OF_TEXTS
from transect.core.types import (
    INT,
    ArrayType,
    BoolType,
    BytesType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TextType,
    Type,
    UnionType,
    ViewType,
)
from transect.emit.c import forms, layout, waiting
from transect.emit.c import tree as c
from transect.emit.c.comparing import best, less
from transect.emit.c.forms import has_text
from transect.emit.c.layout import equal, load, narrowed, value_type
from transect.emit.c.names import Names
from transect.emit.c.remembered import Remembered
from transect.emit.c.tables import Access
from transect.emit.c.unit import WAITING, Unit

CALL = c.Name("call")

_WRAPPING = {BinaryOp.ADD: "ts_add", BinaryOp.SUB: "ts_sub", BinaryOp.MUL: "ts_mul"}
_FUNCTIONS = {
    BinaryOp.FLOORDIV: "ts_floordiv",
    BinaryOp.MOD: "ts_mod",
    BinaryOp.SHL: "ts_shl",
    BinaryOp.SHR: "ts_shr",
}
_SETS = {BinaryOp.OR: "or", BinaryOp.AND: "and", BinaryOp.SUB: "sub", BinaryOp.XOR: "xor"}
_TEXTS = {"startswith": "ts_startswith", "endswith": "ts_endswith", "contains": "ts_contains"}


def state_place(unit: Unit, field: str) -> c.Expr:
    """Where a field lies."""
    holder = "local" if unit.scope.fields[field].kind is FieldKind.LOCAL else "self"
    return c.arrow(holder, unit.member(field))


def access(unit: Unit, field: str) -> Access:
    """The table of a field."""
    return Access(unit, unit.scope.fields[field], c.Unary("&", state_place(unit, field)))


def is_waiting(e: Expr) -> bool:
    return isinstance(e, ir.State) and e.field == WAITING


class Expressions:
    """Expressions within one function."""

    def __init__(self, unit: Unit, names: Names) -> None:
        self.unit = unit
        self.names = names
        self.borrowed: set[str] = set()  # targets of loops whose texts are slices of the state gone over
        self.memory: Remembered | None = None  # entries that have been found already

    def expr(self, e: Expr) -> c.Expr:
        """The value, in the value form of its type."""
        stored = self.place(e)
        if stored is not None:
            return load(self.unit, e.type, stored)
        match e:
            case ir.Const():
                return constant(self.unit, e.type, e.value)
            case ir.Local(name=name):
                return c.Name(self.names.of(name))
            case ir.State(field=field):
                raise AssertionError(f"{field} is read by questions and loops only")
            case ir.Attr(base=base, name=name):
                return c.dot(self.expr(base), forms.member_of(base.type, name))
            case ir.ViewField(base=base, name=name):
                assert isinstance(base.type, ViewType), "a view"
                return self.unit.views.field(self.unit, self.expr(base), base.type, name)
            case ir.Item(base=base, index=index):
                return c.dot(self.expr(base), f"item{index}")
            case ir.Lookup(op=op, field=field, args=args):
                return self.lookup(op, field, args)
            case ir.Unary(op=op, operand=operand):
                return self.unary(op, e.type, self.expr(operand))
            case ir.Binary(op=op, left=left, right=right):
                return binary(self.unit, op, e.type, self.expr(left), self.expr(right))
            case ir.Compare(op=op, left=left, right=right):
                return self.compare(op, left, right)
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                return c.Binary("&&" if conjunction else "||", self.expr(left), self.expr(right))
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                return c.Ternary(self.expr(cond), self.expr(then), self.expr(orelse))
            case ir.Cast(value=value):
                return self.cast(e.type, value)
            case ir.Some(value=value):
                some = c.braces(c.TRUE, self.expr(value))
                return narrowed(self.unit, e.type, c.Compound(value_type(self.unit, e.type), some))
            case ir.IsSome(value=value):
                return c.dot(self.expr(value), "some")
            case ir.Unwrap(value=value):
                return c.dot(self.expr(value), "value")
            case ir.MakeStruct(values=values):
                return self.record(e.type, values)
            case ir.MakeTuple(items=items):
                return self.record(e.type, items)
            case ir.Contains(item=item, container=container):
                return self.contains(item, container)
            case ir.Call(function=function, args=args):
                given = [self.stable(a) if self.may_store(function) else self.expr(a) for a in args]
                return c.call(self.unit.function(function), *self.unit.context_args(), *given)
            case ir.Intrinsic(name=name, args=args):
                return self.intrinsic(e, name, args)
            case ir.LetIn() | ir.Reduce() | ir.MakeSet() | ir.Format():
                raise AssertionError(f"{type(e).__name__} is a statement in this flat form")
            case _:
                assert_never(e)

    def stable(self, e: Expr) -> c.Expr:
        """The value, with texts that no store changes."""
        value = self.expr(e)
        return layout.keep(self.unit, e.type, value) if self.unstable(e) else value

    def may_store(self, function: str) -> bool:
        return bool(self.unit.facts.helper(function).writes)

    # ---------------------------------------------------------------- storage

    def place(self, e: Expr) -> c.Expr | None:
        """Where the value lies in storage; None when it does not."""
        match e:
            case ir.State(field=field) if field != WAITING:
                return state_place(self.unit, field)
            case ir.Attr(base=base, name=name):
                stored = self.place(base)
                return c.Member(stored, forms.member_of(base.type, name)) if stored else None
            case ir.Item(base=base, index=index):
                stored = self.place(base)
                return c.Member(stored, f"item{index}") if stored else None
            case ir.Lookup(op=TableRead.AT, field=field, args=(key,)):
                if isinstance(self.unit.scope.fields[field].type, ArrayType):
                    return c.Index(state_place(self.unit, field), self.expr(key))
                return c.deref(self.found(field, key) or access(self.unit, field).find(self.expr(key)))
            case _:
                return None

    def found(self, field: str, key: Expr) -> c.Name | None:
        """A pointer to an entry's value, NULL if there is none, that is known from before."""
        return self.memory.find(field, key) if self.memory else None

    def unstable(self, e: Expr) -> bool:
        """Whether the value may hold slices of state."""
        if not has_text(e.type):
            return False
        match e:
            case ir.State():
                return True
            case ir.Lookup(op=op):
                return op is not TableRead.POP_FIRST
            case ir.Local(name=name):
                return name in self.borrowed
            case ir.Call(function=function, args=args):  # may give back what it was given
                return not self.may_store(function) and any(map(self.unstable, args))
            case ir.Intrinsic(name=name, args=args) if name in PARTS_OF_TEXTS:
                return any(map(self.unstable, args))
            case ir.Const() | ir.ViewField() | ir.Intrinsic() | ir.Format():
                return False
            case ir.Attr(base=inner) | ir.Item(base=inner):
                return self.unstable(inner)
            case ir.Unwrap(value=inner) | ir.Some(value=inner) | ir.Cast(value=inner):
                return self.unstable(inner)
            case ir.Choose(then=then, orelse=orelse):
                return self.unstable(then) or self.unstable(orelse)
            case ir.Binary(left=left, right=right):
                return self.unstable(left) or self.unstable(right)
            case ir.MakeStruct(values=parts) | ir.MakeTuple(items=parts):
                return any(map(self.unstable, parts))
            case _:
                return True

    # ---------------------------------------------------------------- state

    def lookup(self, op: TableRead, field: str, args: tuple[Expr, ...]) -> c.Expr:
        t = self.unit.scope.fields[field].type
        if isinstance(t, ArrayType):
            if op is TableRead.LEN:
                return c.Integer(t.length)
            assert op is TableRead.OVERFLOW, f"an array has no {op}"
            return c.Cast(c.I64, c.arrow("self", self.unit.overflow_member(field)))
        if not isinstance(t, TableType):
            return c.Cast(c.I64, c.arrow("self", self.unit.overflow_member(field)))
        if args and op is not TableRead.PUT and (found := self.found(field, args[0])):
            return access(self.unit, field).read_found(op, found, [self.expr(a) for a in args[1:]])
        # What is put may come from the very storage that it goes to.
        given = [self.stable(a) if op is TableRead.PUT else self.expr(a) for a in args]
        return access(self.unit, field).read(op, given)

    # ---------------------------------------------------------------- operators

    def unary(self, op: UnaryOp, t: Type, operand: c.Expr) -> c.Expr:
        match op:
            case UnaryOp.NOT:
                return c.negated(operand)
            case UnaryOp.NEG if isinstance(t, FloatType) or is_unsigned(t):
                return c.Unary("-", operand)
            case UnaryOp.NEG:
                return c.call("ts_neg", operand)
            case UnaryOp.INVERT:
                return c.Unary("~", operand)
            case _:
                assert_never(op)

    def compare(self, op: CompareOp, left: Expr, right: Expr) -> c.Expr:
        t = left.type
        a, b = self.expr(left), self.expr(right)
        match op:
            case CompareOp.EQ:
                return equal(self.unit, t, a, b)
            case CompareOp.NE:
                same = equal(self.unit, t, a, b)
                plain = isinstance(same, c.Binary) and same.op == "=="
                return c.Binary("!=", a, b) if plain else c.negated(same)
            case CompareOp.LT:
                return less(self.unit, t, a, b)
            case CompareOp.GT:
                return less(self.unit, t, b, a) if not is_number(t) else c.Binary(">", a, b)
            case CompareOp.LE | CompareOp.GE:
                if is_number(t):
                    return c.Binary(op.value, a, b)
                smaller = less(self.unit, t, a, b) if op is CompareOp.LE else less(self.unit, t, b, a)
                return c.Binary("||", smaller, equal(self.unit, t, a, b))
            case _:
                assert_never(op)

    def cast(self, t: Type, value: Expr) -> c.Expr:
        inner, source = self.expr(value), value.type
        match t:
            case UnionType(cases=cases) if isinstance(source, StructType):
                index = cases.index(source)
                payload = c.Braces(((forms.case_member(t, index), inner),))
                return c.Compound(value_type(self.unit, t), c.braces(c.Integer(index), payload))
            case IntType() if isinstance(source, FloatType):
                function = "ts_int_of_float" if t.signed else "ts_u64_of_float"
                return narrowed(self.unit, t, c.call(function, inner))
            case InstantType() | DurationType() | EnumType() if isinstance(source, FloatType):
                return c.call("ts_int_of_float", inner)
            case FloatType():
                return c.Cast(c.DOUBLE, inner)
            case IntType() | InstantType() | DurationType() | EnumType():
                target = value_type(self.unit, t)
                same = value_type(self.unit, source) == target
                return narrowed(self.unit, t, inner if same else c.Cast(target, inner))
            case _:
                return narrowed(self.unit, t, inner)

    def record(self, t: Type, parts: tuple[Expr, ...]) -> c.Expr:
        kinds = [kind for _, kind in forms.members(t)]
        values = [narrowed(self.unit, kind, self.expr(p)) for kind, p in zip(kinds, parts, strict=True)]
        return c.Compound(value_type(self.unit, t), c.braces(*values) if values else c.braces(c.ZERO))

    # ---------------------------------------------------------------- containers

    def contains(self, item: Expr, container: Expr) -> c.Expr:
        asked = self.expr(item)
        if is_waiting(container):
            return waiting.has(self.unit, asked)
        held = self.expr(container)
        match container.type:
            case SetType() as t:
                return c.call(f"{layout.set_name(self.unit, t)}_has", held, asked)
            case SeqType() | DictType() as t:
                return self.unit.views.has(self.unit, held, t, asked)
            case _:
                raise AssertionError(f"not a container: {container.type}")

    def length(self, e: Expr) -> c.Expr:
        if is_waiting(e):
            return waiting.count()
        held = self.expr(e)
        match e.type:
            case SetType():
                return c.Cast(c.I64, c.arrow(held, "count"))
            case SeqType() | DictType() as t:
                return self.unit.views.length(self.unit, held, t)
            case _:
                return c.Cast(c.I64, c.dot(held, "size"))

    # ---------------------------------------------------------------- functions

    def intrinsic(self, e: ir.Intrinsic, name: str, args: tuple[Expr, ...]) -> c.Expr:
        asked = heap_asked(e)
        if asked is not None:
            assert name != ARGMIN, "an arg-min is a statement in this flat form"
            return waiting.smallest(self.unit, asked)
        match name, args:
            case "len", (x,):
                return self.length(x)
            case "abs", (x,):
                return self.absolute(e.type, self.expr(x))
            case "startswith" | "endswith" | "contains", (a, b):
                return c.call(_TEXTS[name], self.expr(a), self.expr(b))
            case "fits", (a, b):
                return c.call("ts_fits", self.expr(a), self.expr(b))
            case "removeprefix" | "removesuffix", (text, part):
                return c.call(f"ts_{name}", self.expr(text), self.expr(part))
            case "strip", (text,):
                return c.call("ts_strip", self.expr(text))
            case "lower", (text,):
                return c.call("ts_lower", CALL, self.expr(text))
            case "partition", (text, separator):
                return self.partition(e.type, self.expr(text), self.expr(separator))
            case "parse_int", (text,):
                return self.parsed(self.expr(text))
            case "hash64", (x, seed):
                function = "ts_hash64" if isinstance(x.type, TextType | BytesType) else "ts_hash64_word"
                return c.call(function, self.expr(x), self.expr(seed))
            case "now", ():
                return c.call("ts_now", CALL)
            case "rand", ():
                return c.call("ts_rand", CALL)
            case "rand_below", (n,):
                return c.call("ts_rand_below", CALL, self.expr(n))
            case "trace", (text,):
                return c.call("ts_trace", CALL, self.expr(text))
            case "mul_div", _:
                suffix = "_u64" if is_unsigned(e.type) else ""
                return c.call(f"ts_mul_div{suffix}", *map(self.expr, args))
            case "dict.get", (mapping, key):
                return self.dict_get(mapping, key)
            case "dict.get_or", (mapping, key, default):
                return self.dict_get_or(mapping, key, default)
            case _:
                declared = self.unit.scope.intrinsics[name]
                given = [self.stable(a) for a in args]
                if declared.named:
                    return self.unit.views.told(self.unit, declared, given, [a.type for a in args])
                return self.unit.views.intrinsic(self.unit, declared, given)

    def partition(self, t: Type, text: c.Expr, separator: c.Expr) -> c.Expr:
        parts = value_type(self.unit, t)

        def make(name: str) -> list[c.Decl]:
            whole, mark, at = c.Name("text"), c.Name("separator"), c.Name("at")
            none = c.Binary(
                "||", c.Binary("==", c.dot(mark, "size"), c.ZERO), c.Binary("==", at, c.Name("UINT32_MAX"))
            )
            behind = c.call("ts_from", whole, c.Binary("+", at, c.dot(mark, "size")))
            return [
                layout.inline(
                    name,
                    parts,
                    (c.Var("text", c.SLICE), c.Var("separator", c.SLICE)),
                    c.Var("at", c.U32, c.call("ts_find", whole, mark)),
                    c.If(
                        none,
                        c.Block(
                            (
                                c.Return(
                                    c.Compound(parts, c.braces(whole, c.Name("TS_EMPTY"), c.Name("TS_EMPTY")))
                                ),
                            )
                        ),
                    ),
                    c.Return(c.Compound(parts, c.braces(c.call("ts_until", whole, at), mark, behind))),
                )
            ]

        return c.call(self.unit.once("partition", make), text, separator)

    def parsed(self, text: c.Expr) -> c.Expr:
        option = value_type(self.unit, OptionType(INT))

        def make(name: str) -> list[c.Decl]:
            number, held = c.Name("number"), c.Name("text")
            some = c.call("ts_parse_int", held, c.Unary("&", number))
            return [
                layout.inline(
                    name,
                    option,
                    (c.Var("text", c.SLICE),),
                    c.Var("number", c.I64),
                    c.Var("some", c.BOOL, some),
                    c.Return(c.Compound(option, c.braces(c.Name("some"), number))),
                )
            ]

        return c.call(self.unit.once("parsed_int", make), text)

    def dict_get(self, mapping: Expr, key: Expr) -> c.Expr:
        assert isinstance(mapping.type, DictType), "a map of outside data"
        return self.unit.views.get(self.unit, self.expr(mapping), mapping.type, self.expr(key))

    def dict_get_or(self, mapping: Expr, key: Expr, default: Expr) -> c.Expr:
        option = OptionType(default.type)
        of_kind = value_type(self.unit, default.type)

        def make(name: str) -> list[c.Decl]:
            params = (c.Var("found", value_type(self.unit, option)), c.Var("otherwise", of_kind))
            found, otherwise = c.Name("found"), c.Name("otherwise")
            result = c.Ternary(c.dot(found, "some"), c.dot(found, "value"), otherwise)
            return [layout.inline(name, of_kind, params, c.Return(result))]

        function = self.unit.once(f"value_or_{forms.tag(forms.plain(default.type))}", make)
        return c.call(function, self.dict_get(mapping, key), self.expr(default))

    def absolute(self, t: Type, x: c.Expr) -> c.Expr:
        if isinstance(t, FloatType):
            return c.call("ts_abs_float", x)
        return x if is_unsigned(t) else c.call("ts_abs", x)

    def piece(self, part: Expr) -> c.Expr:
        value = self.expr(part)
        match part.type:
            case BoolType():
                return c.call("ts_spell_bool", value)
            case TextType():
                return value
            case _ if is_unsigned(part.type):
                return c.call("ts_decimal_u64", CALL, value, c.FALSE)
            case _:
                return c.call("ts_decimal", CALL, value)


def is_unsigned(t: Type) -> bool:
    return t == IntType(64, False) or isinstance(t, KeyType)


def is_number(t: Type) -> bool:
    """Whether C compares it by an operator."""
    return isinstance(t, IntType | FloatType | InstantType | DurationType | EnumType | KeyType)


def binary(unit: Unit, op: BinaryOp, t: Type, a: c.Expr, b: c.Expr) -> c.Expr:
    """`a op b` with a result of type t (narrow ones: of `int`)."""
    if op in (BinaryOp.MIN, BinaryOp.MAX):
        return best(unit, t, smallest=op is BinaryOp.MIN, a=a, b=b)
    if isinstance(t, SetType):
        return c.call(f"{layout.set_name(unit, t)}_{_SETS[op]}", CALL, a, b)
    if op in (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR):
        return (
            c.Binary("!=", a, b)
            if isinstance(t, BoolType) and op is BinaryOp.XOR
            else c.Binary(op.value, a, b)
        )
    if isinstance(t, FloatType):
        return c.Binary(op.value, a, b)
    if op in _WRAPPING:
        return c.Binary(op.value, a, b) if is_unsigned(t) else c.call(_WRAPPING[op], a, b)
    return c.call(f"{_FUNCTIONS[op]}_u64" if is_unsigned(t) else _FUNCTIONS[op], a, b)


# ---------------------------------------------------------------- constants


def constant(unit: Unit, t: Type, value: object) -> c.Expr:
    """A constant in value form."""
    match value:
        case None:
            return c.Compound(value_type(unit, t), c.braces(c.ZERO))
        case bool():
            return c.TRUE if value else c.FALSE
        case int():
            return integer(t, value)
        case float():
            return real(value)
        case str():
            return text(value.encode())
        case bytes():
            return text(value)
        case _:
            raise AssertionError(f"not a constant: {value!r}")


def text(value: bytes) -> c.Expr:
    return c.call("TS_TEXT", c.String(value)) if value else c.Name("TS_EMPTY")


def integer(t: Type, value: int) -> c.Expr:
    if is_unsigned(t):
        return c.Integer(value, "ull")
    if value == -(2**63):
        return c.Name("INT64_MIN")
    return c.Unary("-", c.Integer(-value)) if value < 0 else c.Integer(value)


def real(value: float) -> c.Expr:
    if math.isnan(value):
        return c.call("__builtin_nan", c.String(b""))
    size: c.Expr = c.call("__builtin_inf") if math.isinf(value) else c.Real(abs(value))
    return c.Unary("-", size) if math.copysign(1.0, value) < 0 else size


def zero_init(t: Type) -> c.Init:
    """What a variable of a type begins with when its first value comes later."""
    match t:
        case SetType() | ViewType():
            return c.NULL
        case BoolType():
            return c.FALSE
        case FloatType():
            return c.Real(0.0)
        case _ if is_number(t):
            return c.ZERO
        case _:
            return c.braces(c.ZERO)
