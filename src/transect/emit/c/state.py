# SPDX-License-Identifier: Apache-2.0
"""The state of a policy in C: one struct, which begins, is saved as an image, is loaded, and takes parameters.

The image is that of core/codec.py: each field's value, then the number of its overflows.
"""

from __future__ import annotations

from transect.core.ir import Expr, FieldKind, StateField
from transect.core.types import (
    ArrayType,
    CounterType,
    HistogramType,
    TableKind,
    TableType,
    Type,
)
from transect.emit.c import tree as c
from transect.emit.c import waiting
from transect.emit.c.codec import read, write
from transect.emit.c.expressions import Expressions, state_place
from transect.emit.c.layout import fits, load, store, stored_type, value_type
from transect.emit.c.names import Names
from transect.emit.c.tables import Access, table_struct
from transect.emit.c.unit import Unit, grows

SELF, OUT, IN = c.Name("self"), c.Name("out"), c.Name("in")


# ---------------------------------------------------------------- the struct


def declare(unit: Unit) -> list[c.Decl]:
    """The structs of the state, and of one RPC's locals."""
    inside: list[c.Var | c.Comment] = []
    for f in unit.stored:
        inside.append(c.Var(unit.member(f.name), _held(unit, f)))
    for f in unit.stored:
        if not isinstance(f.type, TableType):
            inside.append(c.Var(unit.overflow_member(f.name), c.U64))
    if unit.waits:
        inside.extend(waiting.members(unit))
    result: list[c.Decl] = [c.Struct(unit.name("state"), tuple(inside) or (c.Var("nothing", c.U8),))]
    if unit.has_locals:
        members = [c.Var(unit.member(f.name), _held(unit, f)) for f in unit.fields(FieldKind.LOCAL)]
        result.append(c.Struct(unit.name("local"), tuple(members)))
    return result


def _held(unit: Unit, f: StateField) -> c.CType:
    match f.type:
        case TableType():
            return c.StructType(table_struct(unit, f))
        case ArrayType(item=item, length=length):
            return c.ArrayOf(stored_type(unit, item), c.Integer(length))
        case CounterType():
            return c.U64
        case HistogramType():
            return c.Named("ts_histogram")
        case _:
            return stored_type(unit, f.type)


# ---------------------------------------------------------------- beginning


def lifecycle(unit: Unit) -> list[c.Function]:
    """`P_new`, `P_init` and `P_free`; `P_clear` if the state has memory besides its struct, to be called at the end of
    a state made by `P_init`; and `P_local_init` if there are locals.
    """
    self, seed = c.Var("self", unit.state_type), c.Var("seed", c.U64)
    state = c.StructType(unit.name("state"))
    start = unit.name("start")
    allocate = c.call("TS_ALLOCATE_ZEROED", c.SizeOf(state))
    begin = c.Do(c.call(start, SELF, c.Name("seed")))
    new = (
        c.Var("self", unit.state_type, allocate),
        c.If(c.Binary("!=", SELF, c.NULL), c.Block((begin,))),
        c.Return(SELF),
    )
    clear = c.Do(c.call("memset", SELF, c.ZERO, c.SizeOf(state)))
    functions = [
        c.Function(start, c.VOID, (self, seed), c.Block(_start(unit)), prefix="static"),
        c.Function(unit.name("init"), c.VOID, (self, seed), c.Block((clear, begin))),
        c.Function(unit.name("new"), unit.state_type, (seed,), c.Block(new)),
        *_ending(unit, self),
    ]
    if unit.has_locals:
        local = c.Var("local", unit.local_type)
        zeroed = c.Do(c.call("memset", c.Name("local"), c.ZERO, c.SizeOf(c.StructType(unit.name("local")))))
        body = (zeroed, *(s for f in unit.fields(FieldKind.LOCAL) for s in _default(unit, f)))
        functions.append(c.Function(unit.name("local_init"), c.VOID, (local,), c.Block(body)))
    return functions


def _ending(unit: Unit, self: c.Var) -> list[c.Function]:
    release = c.Do(c.call("TS_RELEASE", SELF))
    kept = [*_give_back(unit), *(waiting.forgotten(unit) if unit.waits else [])]
    if not kept:
        return [c.Function(unit.name("free"), c.VOID, (self,), c.Block((release,)))]
    clear = c.If(c.Binary("!=", SELF, c.NULL), c.Block((c.Do(c.call(unit.name("clear"), SELF)),)))
    return [
        c.Function(unit.name("clear"), c.VOID, (self,), c.Block(tuple(kept))),
        c.Function(unit.name("free"), c.VOID, (self,), c.Block((clear, release))),
    ]


def _give_back(unit: Unit) -> list[c.Stmt]:
    """Free the memory of tables kept by client and of heaps; waiting clients go on waiting."""
    tables = [
        c.Do(c.call(f"{table_struct(unit, f)}_give_back", c.Unary("&", state_place(unit, f.name))))
        for f in unit.stored
        if grows(f)
    ]
    return [*tables, *(waiting.give_back(unit) if unit.waits else [])]


def _start(unit: Unit) -> tuple[c.Stmt, ...]:
    """What is not zero in a new state."""
    body: list[c.Stmt] = []
    for f in unit.stored:
        if isinstance(f.type, TableType):
            body.append(c.assign(c.Member(state_place(unit, f.name), "seed"), c.Name("seed")))
        else:
            body.extend(_default(unit, f))
    read_ = {n.name for s in body for n in c.walk(s) if isinstance(n, c.Name)}
    unused = [c.Do(c.Cast(c.VOID, c.Name(n))) for n in ("self", "seed") if n not in read_]
    return (*unused, *body)


def _default(unit: Unit, f: StateField) -> list[c.Stmt]:
    if f.default is None or _is_zero(f.default):
        return []
    value = Expressions(unit, Names()).expr(f.default)
    place = state_place(unit, f.name)
    if isinstance(f.type, ArrayType):
        i = c.Name("i")
        put = store(unit, f.type.item, c.Index(place, i), value)
        more = c.Binary("<", i, c.Integer(f.type.length))
        return [c.For(c.Var("i", c.U32, c.ZERO), more, c.Postfix("++", i), c.Block((put,)))]
    return [store(unit, f.type, place, value)]


def _is_zero(default: Expr) -> bool:
    value = getattr(default, "value", default)
    return value is None or (isinstance(value, int | str | bytes) and not value)


# ---------------------------------------------------------------- parameters


def setters(unit: Unit) -> list[c.Function]:
    """`P_set_x` for each parameter; false, and one overflow more, when a text does not fit."""
    return [_setter(unit, f) for f in unit.fields(FieldKind.PARAM)]


def _setter(unit: Unit, f: StateField) -> c.Function:
    value = c.Name("value")
    done = store(unit, f.type, state_place(unit, f.name), value)
    test = fits(unit, f.type, value)
    body: tuple[c.Stmt, ...] = (done, c.Return(c.TRUE))
    if test is not None:
        count = c.Do(c.Postfix("++", c.arrow("self", unit.overflow_member(f.name))))
        body = (c.If(c.negated(test), c.Block((count, c.Return(c.FALSE)))), *body)
    params = (c.Var("self", unit.state_type), c.Var("value", value_type(unit, f.type)))
    return c.Function(unit.name(f"set_{f.name}"), c.BOOL, params, c.Block(body))


# ---------------------------------------------------------------- images


def images(unit: Unit) -> list[c.Function]:
    """`P_save` and `P_load`."""
    return [_save(unit), _load(unit)]


def _overflow(unit: Unit, f: StateField) -> c.Expr:
    if isinstance(f.type, TableType):
        return c.Member(state_place(unit, f.name), "overflow")
    return c.arrow("self", unit.overflow_member(f.name))


def _save(unit: Unit) -> c.Function:
    """`P_save`: it returns the size of the image, and writes as much of it as there is room for."""
    params = (c.Var("self", unit.state_type), c.Var("image", c.Pointer(c.U8)), c.Var("room", c.SIZE))
    writer = c.Var("writer", c.StructType("ts_writer"), c.braces(c.Name("image"), c.Name("room"), c.ZERO))
    body: list[c.Stmt] = [writer, c.Var("out", c.pointer("ts_writer"), c.Unary("&", c.Name("writer")))]
    for f in unit.stored:
        body.append(c.Comment(f.name))
        body.append(c.Block(tuple(_save_field(unit, f))))
        body.append(c.Do(c.call("ts_write_u64", OUT, _overflow(unit, f))))
    if not unit.stored:
        body += [c.Do(c.Cast(c.VOID, SELF)), c.Do(c.Cast(c.VOID, OUT))]
    body.append(c.Return(c.dot(c.Name("writer"), "size")))
    return c.Function(unit.name("save"), c.SIZE, params, c.Block(tuple(body)))


def _save_field(unit: Unit, f: StateField) -> list[c.Stmt]:
    place = state_place(unit, f.name)
    match f.type:
        case TableType() as t:
            return _save_table(unit, f, t, place)
        case ArrayType(item=item, length=length):
            one = write(unit, item, OUT, load(unit, item, c.Index(place, c.Name("i"))))
            return [_times(c.Integer(length), one)]
        case CounterType():
            return [c.Do(c.call("ts_write_u64", OUT, place))]
        case HistogramType():
            bucket = c.Index(c.dot(place, "buckets"), c.Name("i"))
            return [_times(c.Integer(64), [c.Do(c.call("ts_write_u64", OUT, bucket))])]
        case t:
            return write(unit, t, OUT, load(unit, t, place))


def _times(count: c.Expr, body: list[c.Stmt]) -> c.Stmt:
    i = c.Name("i")
    return c.For(c.Var("i", c.U32, c.ZERO), c.Binary("<", i, count), c.Postfix("++", i), c.Block(tuple(body)))


def _save_table(unit: Unit, f: StateField, t: TableType, place: c.Expr) -> list[c.Stmt]:
    entry = c.Name("entry")
    parts = [
        *write(unit, t.key, OUT, load(unit, t.key, c.arrow(entry, "key"))),
        *write(unit, t.value, OUT, load(unit, t.value, c.arrow(entry, "value"))),
    ]
    access = Access(unit, f, c.Unary("&", place))
    count = c.Do(c.call("ts_write_u32", OUT, access.count()))
    if t.kind is TableKind.ORDERED:
        walk = access.ascend(access.table, "entry", load(unit, t.key, c.arrow(entry, "key")))
        return [count, *walk.before, c.For(walk.init, walk.cond, walk.step, c.Block(tuple(parts)))]
    walk = access.walk(access.table, "walk", "entry")
    return [count, *walk.before, c.While(walk.cond, c.Block(tuple(parts)))]


def _load(unit: Unit) -> c.Function:
    """`P_load`: it returns 0; or -1, having changed nothing, if the bytes are no image of this state or memory runs
    out.
    """
    params = (
        c.Var("self", unit.state_type),
        c.Var("image", c.Pointer(c.Named("uint8_t", const=True))),
        c.Var("size", c.SIZE),
    )
    fill = unit.name("fill")
    fresh = c.Name("fresh")
    seed = _any_seed(unit)
    adopt = [
        c.assign(c.arrow(fresh, m.name), c.arrow("self", m.name))
        for m in (waiting.kept(unit) if unit.waits else [])
    ]
    body: list[c.Stmt] = [
        c.Var("fresh", unit.state_type, c.call(unit.name("new"), seed)),
        c.If(c.Binary("==", fresh, c.NULL), c.Block((c.Return(c.Unary("-", c.ONE)),))),
        c.Var("in", c.StructType("ts_reader"), c.braces(c.Name("image"), c.Name("size"), c.FALSE)),
        c.Do(c.call(fill, fresh, c.Unary("&", IN))),
        c.Var(
            "good",
            c.BOOL,
            c.Binary("&&", c.negated(c.dot(IN, "bad")), c.Binary("==", c.dot(IN, "left"), c.ZERO)),
        ),
        c.If(
            c.negated(c.Name("good")),
            c.Block((c.Do(c.call(unit.name("free"), fresh)), c.Return(c.Unary("-", c.ONE)))),
        ),
        *_give_back(unit),
        *adopt,
        c.assign(c.deref(SELF), c.deref(fresh)),
        *waiting.settle(unit),
        c.Do(c.call("TS_RELEASE", fresh)),
        c.Return(c.ZERO),
    ]
    return c.Function(unit.name("load"), c.INT, params, c.Block(tuple(body)))


def _any_seed(unit: Unit) -> c.Expr:
    tables = [f for f in unit.stored if isinstance(f.type, TableType)]
    return c.Member(state_place(unit, tables[0].name), "seed") if tables else c.ZERO


def fill(unit: Unit) -> c.Function:
    """Reads an image into a new state."""
    params = (c.Var("self", unit.state_type), c.Var("from", c.pointer("ts_reader")))
    body: list[c.Stmt] = [c.Var("in", c.StructType("ts_reader"), c.deref(c.Name("from")))]
    for f in unit.stored:
        body.append(c.Block(tuple(_load_field(unit, f))))
        body.append(c.assign(_overflow(unit, f), c.call("ts_read_u64", c.Unary("&", IN))))
    if not unit.stored:
        body.append(c.Do(c.Cast(c.VOID, SELF)))
    body.append(c.assign(c.deref(c.Name("from")), IN))
    return c.Function(unit.name("fill"), c.VOID, params, c.Block(tuple(body)), prefix="static")


def _load_field(unit: Unit, f: StateField) -> list[c.Stmt]:
    place = state_place(unit, f.name)
    u64 = c.call("ts_read_u64", c.Unary("&", IN))
    match f.type:
        case TableType() as t:
            return _load_table(unit, f, t, place)
        case ArrayType(item=item, length=length):
            one = _checked(unit, item, c.Index(place, c.Name("i")))
            return [_times(c.Integer(length), one)]
        case CounterType():
            return [c.assign(place, u64)]
        case HistogramType():
            return [_times(c.Integer(64), [c.assign(c.Index(c.dot(place, "buckets"), c.Name("i")), u64)])]
        case t:
            return _checked(unit, t, place)


def _checked(unit: Unit, t: Type, place: c.Expr) -> list[c.Stmt]:
    """Read a value into storage.  A text that is too long makes the reader bad."""
    value = c.Name("value")
    put = store(unit, t, place, value)
    test = fits(unit, t, value)
    done = put if test is None else c.If(test, c.Block((put,)))
    return [c.Var("value", value_type(unit, t), read(unit, t)), done]


def _load_table(unit: Unit, f: StateField, t: TableType, place: c.Expr) -> list[c.Stmt]:
    """Entries in order: none twice, no more than there is room for, those of an ordered map ascending."""
    access = Access(unit, f, c.Unary("&", place))
    in_, key, value = c.Name("in"), c.Name("key"), c.Name("value")
    count = c.Var("count", c.U32, c.call("ts_read_u32", c.Unary("&", in_)))
    known: c.Expr = access.has(key)
    if t.kind is TableKind.ORDERED:
        # Nothing may come at or after the key that is next.
        after = c.call(f"{access.struct}_after", access.table, access.asked(key))
        known = c.Binary("||", known, c.Binary("!=", after, c.NULL))
    bad = c.assign(c.dot(in_, "bad"), c.TRUE)
    put = c.If(c.negated(c.call(access.put_function(), access.table, key, value)), c.Block((bad,)))
    body = (
        c.Var("key", value_type(unit, t.key), read(unit, t.key)),
        c.Var("value", value_type(unit, t.value), read(unit, t.value)),
        c.If(
            c.Binary("||", c.dot(in_, "bad"), known),
            c.Block((bad,)),
            put,
        ),
    )
    more = c.Binary("&&", c.Binary("<", c.Name("i"), c.Name("count")), c.negated(c.dot(in_, "bad")))
    loop = c.For(c.Var("i", c.U32, c.ZERO), more, c.Postfix("++", c.Name("i")), c.Block(body))
    if t.most is None:  # an entry has more than a byte, so that the bytes bound them
        return [count, c.Do(c.call("ts_read_limit", c.Unary("&", in_), c.Unary("&", c.Name("count")))), loop]
    too_many = c.Do(c.Assign("|=", c.dot(in_, "bad"), c.Binary(">", c.Name("count"), c.Integer(t.most, "u"))))
    return [count, too_many, loop]
