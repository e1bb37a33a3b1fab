# SPDX-License-Identifier: Apache-2.0
"""C that writes and reads values in the encoding of core/codec.py.

Writers are statements on a `struct ts_writer *`; readers are expressions on the `struct ts_reader in` that is in scope,
which say in `in.bad` whether the bytes were an encoding of the type.  Texts read are slices of what was read from.
"""

from __future__ import annotations

from typing import assert_never

from transect.core.types import (
    ArrayType,
    BoolType,
    BytesType,
    CounterType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    HistogramType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
)
from transect.emit.c import tree as c
from transect.emit.c.forms import bounded_tag, case_member, member_names, members, plain, tag
from transect.emit.c.layout import inline, set_name, value_type
from transect.emit.c.names import snake
from transect.emit.c.unit import Loop, Unit

IN = c.Unary("&", c.Name("in"))

# ---------------------------------------------------------------- writing


def write(unit: Unit, t: Type, out: c.Expr, value: c.Expr) -> list[c.Stmt]:
    """Append the value to the writer that `out` points to."""
    t = plain(t)
    match t:
        case UnitType():
            return []
        case IntType(signed=signed):
            function = "ts_write_i64" if signed else "ts_write_u64"
        case BoolType():
            function = "ts_write_bool"
        case FloatType():
            function = "ts_write_float"
        case TextType():
            function = "ts_write_text"
        case _:
            function = unit.once(f"write_{tag(t)}", lambda name: [_writer(unit, name, t)], source=True)
    return [c.Do(c.call(function, out, value))]


def _writer(unit: Unit, name: str, t: Type) -> c.Decl:
    out, value = c.Name("out"), c.Name("value")
    params = (c.Var("out", c.pointer("ts_writer")), c.Var("value", value_type(unit, t)))
    return inline(name, c.VOID, params, *_writing(unit, t, out, value))


def _writing(unit: Unit, t: Type, out: c.Expr, value: c.Expr) -> list[c.Stmt]:
    match t:
        case OptionType(item=item):
            present = c.If(
                c.dot(value, "some"), c.Block(tuple(write(unit, item, out, c.dot(value, "value"))))
            )
            return [c.Do(c.call("ts_write_bool", out, c.dot(value, "some"))), present]
        case TupleType() | StructType():
            return [s for m, item in members(t) for s in write(unit, item, out, c.dot(value, m))]
        case UnionType(cases=cases):
            kind = c.dot(value, "kind")
            result: list[c.Stmt] = [c.Do(c.call("ts_write_u8", out, c.Cast(c.U8, kind)))]
            for index, case in enumerate(cases):
                inside = write(unit, case, out, c.dot(c.dot(value, "as"), case_member(t, index)))
                result.append(c.If(c.Binary("==", kind, c.Integer(index, "u")), c.Block(tuple(inside))))
            return result
        case SetType(item=item):
            at = c.Index(c.arrow(value, "items"), c.Name("i"))
            return _counted(out, c.arrow(value, "count"), write(unit, item, out, at))
        case SeqType(item=item):
            loop = unit.views.loop(unit, value, t, "i")
            count = c.Cast(c.U32, unit.views.length(unit, value, t))
            return _looped(out, count, loop, write(unit, item, out, loop.items[0]))
        case DictType(key=key, value=held):
            loop = unit.views.loop(unit, value, t, "i")
            count = c.Cast(c.U32, unit.views.length(unit, value, t))
            both = [*write(unit, key, out, loop.items[0]), *write(unit, held, out, loop.items[1])]
            return _looped(out, count, loop, both)
        case ViewType(name=name) if name not in unit.scope.views:
            return []
        case ViewType(name=name):
            names = [m.name for m in unit.scope.views[name].members]
            types = [unit.scope.member_type(t, m) for m in names]
            return [
                s
                for m, kind in zip(names, types, strict=True)
                if kind is not None
                for s in write(unit, kind, out, unit.views.field(unit, value, t, m))
            ]
        case _:
            raise AssertionError(f"no encoding of its own: {t}")


def _counted(out: c.Expr, count: c.Expr, body: list[c.Stmt]) -> list[c.Stmt]:
    i = c.Name("i")
    step = c.For(c.Var("i", c.U32, c.ZERO), c.Binary("<", i, count), c.Postfix("++", i), c.Block(tuple(body)))
    return [c.Do(c.call("ts_write_u32", out, count)), step]


def _looped(out: c.Expr, count: c.Expr, loop: Loop, body: list[c.Stmt]) -> list[c.Stmt]:
    step = c.For(loop.init, loop.cond, loop.step, c.Block((*loop.first, *body)))
    return [c.Do(c.call("ts_write_u32", out, count)), *loop.before, step]


# ---------------------------------------------------------------- reading


def read(unit: Unit, t: Type) -> c.Expr:
    """The next value of the reader `in`."""
    match t:
        case IntType(bits=64, signed=True) | InstantType() | DurationType():
            return c.call("ts_read_i64", IN)
        case IntType(bits=64) | KeyType():
            return c.call("ts_read_u64", IN)
        case IntType(bits=bits, signed=signed):
            low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
            return c.call("ts_read_within", IN, _number(low), _number(high))
        case EnumType(open=True):
            return c.call("ts_read_i64", IN)
        case EnumType(name=name):
            return _reading(unit, t, f"enum_{snake(name)}")
        case BoolType():
            return c.call("ts_read_bool", IN)
        case FloatType():
            return c.call("ts_read_float", IN)
        case TextType(bound=bound) | BytesType(bound=bound) if bound is not None:
            utf8 = c.TRUE if isinstance(t, TextType) else c.FALSE
            return c.call("ts_read_bounded", IN, c.Integer(bound, "u"), utf8)
        case TextType():
            return c.call("ts_read_text", IN)
        case BytesType():
            return c.call("ts_read_blob", IN)
        case UnitType():
            raise AssertionError("nothing to read")
        case OptionType() | TupleType() | StructType() | UnionType():
            return _reading(unit, t, bounded_tag(t))
        case SetType() | SeqType() | DictType() | ViewType():
            return _reading(unit, t, bounded_tag(t))
        case TableType() | ArrayType() | CounterType() | HistogramType():
            raise AssertionError(f"not a value: {t}")
        case _:
            assert_never(t)


def _number(value: int) -> c.Expr:
    return c.Unary("-", c.Integer(-value)) if value < 0 else c.Integer(value)


def _needs_call(t: Type) -> bool:
    """Whether reading it takes memory of the call."""
    match t:
        case SetType() | SeqType() | DictType() | ViewType():
            return True
        case OptionType(item=item):
            return _needs_call(item)
        case TupleType(items=items):
            return any(map(_needs_call, items))
        case _:
            return False


def _reading(unit: Unit, t: Type, wish: str) -> c.Expr:
    function = unit.once(f"read_{wish}", lambda name: [_reader(unit, name, t)], source=True)
    return c.call(function, *((c.Name("call"),) if _needs_call(t) else ()), IN)


def _reader(unit: Unit, name: str, t: Type) -> c.Decl:
    """A function with its own `in`, which it gives back."""
    given = c.Var("from", c.pointer("ts_reader"))
    params = (c.Var("call", c.pointer("ts_call")), given) if _needs_call(t) else (given,)
    body = [
        c.Var("in", c.StructType("ts_reader"), c.deref(c.Name("from"))),
        c.Var("value", value_type(unit, t), None if _is_scalar(t) else c.braces(c.ZERO)),
        *_parts(unit, t, c.Name("value")),
        c.assign(c.deref(c.Name("from")), c.Name("in")),
        c.Return(c.Name("value")),
    ]
    return inline(name, value_type(unit, t), params, *body)


def _is_scalar(t: Type) -> bool:
    return isinstance(t, EnumType | SetType | ViewType)


def _parts(unit: Unit, t: Type, value: c.Expr) -> list[c.Stmt]:
    match t:
        case EnumType(members=known):
            wrong = [c.Binary("!=", value, _number(number)) for _, number in known]
            bad: c.Expr = wrong[0] if wrong else c.TRUE
            for one in wrong[1:]:
                bad = c.Binary("&&", bad, one)
            flag = c.Assign("|=", c.dot(c.Name("in"), "bad"), bad)
            return [c.assign(value, c.call("ts_read_i64", IN)), c.Do(flag)]
        case OptionType(item=item):
            inner = c.assign(c.dot(value, "value"), read(unit, item))
            return [
                c.assign(c.dot(value, "some"), c.call("ts_read_bool", IN)),
                c.If(c.dot(value, "some"), c.Block((inner,))),
            ]
        case TupleType() | StructType():
            return [c.assign(c.dot(value, m), read(unit, item)) for m, item in members(t)]
        case UnionType(cases=cases):
            kind = c.dot(value, "kind")
            result: list[c.Stmt] = [c.assign(kind, c.call("ts_read_u8", IN))]
            for index, case in enumerate(cases):
                place = c.dot(c.dot(value, "as"), case_member(t, index))
                inside = c.assign(place, read(unit, case))
                result.append(c.If(c.Binary("==", kind, c.Integer(index, "u")), c.Block((inside,))))
            bad = c.Binary(">=", kind, c.Integer(len(cases), "u"))
            return [*result, c.Do(c.Assign("|=", c.dot(c.Name("in"), "bad"), bad))]
        case SetType(item=item):
            add = c.Do(c.call(f"{set_name(unit, t)}_add", c.Name("call"), value, read(unit, item)))
            made = c.call(f"{set_name(unit, t)}_make", c.Name("call"), c.ZERO)
            return [c.assign(value, made), *_times(add)]
        case SeqType(item=item):
            return _array(value, [c.assign(c.Index(c.dot(value, "items"), c.Name("i")), read(unit, item))])
        case DictType(key=key, value=held):
            pair = c.Index(c.dot(value, "items"), c.Name("i"))
            return _array(
                value,
                [
                    c.assign(c.dot(pair, "key"), read(unit, key)),
                    c.assign(c.dot(pair, "value"), read(unit, held)),
                ],
            )
        case ViewType(name=name) if name not in unit.scope.views:
            return [c.assign(value, c.NULL)]
        case ViewType(name=name):
            return _view(unit, t, name, value)
        case _:
            raise AssertionError(f"no encoding of its own: {t}")


def _times(*body: c.Stmt) -> list[c.Stmt]:
    i, count = c.Name("i"), c.Name("count")
    more = c.Binary("&&", c.Binary("<", i, count), c.negated(c.dot(c.Name("in"), "bad")))
    return [
        c.Var("count", c.U32, c.call("ts_read_u32", IN)),
        c.For(c.Var("i", c.U32, c.ZERO), more, c.Postfix("++", i), c.Block(body)),
    ]


def _array(value: c.Expr, body: list[c.Stmt]) -> list[c.Stmt]:
    """Items of plain sequences; each takes at least a byte, so a count beyond what is left is wrong."""
    counting, loop = _times(*body)
    size = c.SizeOfValue(c.deref(c.dot(value, "items")))
    take = c.call("ts_take", c.Unary("&", c.arrow("call", "arena")), c.Binary("*", c.Name("count"), size))
    limit = c.Do(c.call("ts_read_limit", IN, c.Unary("&", c.Name("count"))))
    return [
        counting,
        limit,
        c.assign(c.dot(value, "items"), take),
        c.assign(c.dot(value, "count"), c.Name("count")),
        loop,
    ]


def _view(unit: Unit, t: ViewType, name: str, value: c.Expr) -> list[c.Stmt]:
    """A plain view: its fields in order."""
    names = [m.name for m in unit.scope.views[name].members]
    types = [unit.scope.member_type(t, m) for m in names]
    take = c.call("ts_take", c.Unary("&", c.arrow("call", "arena")), c.SizeOfValue(c.deref(value)))
    fields = [
        c.assign(c.arrow(value, member), read(unit, kind))
        for member, kind in zip(member_names(names), types, strict=True)
        if kind is not None
    ]
    return [c.assign(value, take), *fields]
