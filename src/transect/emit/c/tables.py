# SPDX-License-Identifier: Apache-2.0
"""Tables, arrays and the heaps of waiting clients in C: their declarations, and the functions that ask and change them.

A table field f of a unit P is a `struct P_f_table` of the runtime's templates.  Functions of `P_f_table_…` come from
there; those of `P_f_…` are made here, each when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable

from transect.core.ir import StateField, TableRead
from transect.core.types import BoolType, FloatType, OptionType, TableKind, TableType, TupleType, Type
from transect.emit.c import tree as c
from transect.emit.c.comparing import keep_function, order_function, recall_function, same_function
from transect.emit.c.layout import (
    fits,
    hash_function,
    inline,
    keep,
    load,
    narrowed,
    store,
    stored_type,
    value_type,
)
from transect.emit.c.unit import Unit

TABLE, KEY = c.Name("table"), c.Name("key")


def table_type(f: StateField) -> TableType:
    assert isinstance(f.type, TableType), f"not a table: {f.name}"
    return f.type


# ---------------------------------------------------------------- declarations


def table_struct(unit: Unit, f: StateField) -> str:
    """The tag of the table's struct."""
    return unit.once(f"{unit.member(f.name)}_table", lambda name: _declare(unit, name, table_type(f)))


def _declare(unit: Unit, name: str, t: TableType) -> list[c.Decl]:
    key, value, asked = stored_type(unit, t.key), stored_type(unit, t.value), value_type(unit, t.key)
    keep_key, capacity = c.Name(keep_function(unit, t.key)), c.Integer(t.capacity)
    if t.kind is TableKind.ORDERED:
        functions = (c.Name(order_function(unit, t.key)), keep_key, c.Name(recall_function(unit, t.key)))
        return [c.Macro("TS_ORDERED", (c.Name(name), key, value, capacity, asked, *functions))]
    words = c.Integer(index_words(t.capacity))
    hash_key = c.Name(hash_function(unit, t.key))
    functions = (hash_key, c.Name(same_function(unit, t.key)), keep_key)
    if t.most is None:
        return [c.Macro("TS_GROWING", (c.Name(name), key, value, first_room(t.capacity), asked, *functions))]
    table = c.Macro("TS_TABLE", (c.Name(name), key, value, capacity, words, asked, *functions))
    if t.kind is not TableKind.LRU:
        return [table]
    recall = c.Name(recall_function(unit, t.key))
    return [table, c.Macro("TS_LRU", (c.Name(name), value, capacity, words, asked, hash_key, recall))]


MAX_FIRST = 1 << 16  # entries


def first_room(hint: int) -> c.Expr:
    """The number of entries for which a table kept by client has room at first: a power of two near the hint."""
    return c.Integer(min(1 << (hint - 1).bit_length(), MAX_FIRST), "u")


def index_words(capacity: int) -> int:
    """The size of a table's index: a power of two, at least twice the capacity."""
    return 1 << max(1, (2 * capacity - 1).bit_length())


# ---------------------------------------------------------------- functions of one table


class Access:
    """Questions to one table and changes of it.  `table` is an expression for a pointer to it; keys and values are in
    value form, and free of side effects."""

    def __init__(self, unit: Unit, f: StateField, table: c.Expr) -> None:
        self.unit = unit
        self.field = f
        self.type = table_type(f)
        self.table = table
        self.struct = table_struct(unit, f)

    # --- names

    def _function(self, suffix: str, make: Callable[[str], c.Decl]) -> str:
        return self.unit.once(
            f"{self.unit.member(self.field.name)}_{suffix}", lambda name: [make(name)], source=True
        )

    def _params(self, *more: c.Var) -> tuple[c.Var, ...]:
        return (c.Var("table", c.pointer(self.struct)), *more)

    @property
    def _key(self) -> c.Var:
        return c.Var("key", value_type(self.unit, self.type.key))

    @property
    def _value(self) -> c.Var:
        return c.Var("value", value_type(self.unit, self.type.value))

    @property
    def entry_pointer(self) -> c.CType:
        """A pointer to a stored value."""
        return c.Pointer(stored_type(self.unit, self.type.value))

    @property
    def is_lru(self) -> bool:
        return self.type.kind is TableKind.LRU

    def asked(self, key: c.Expr) -> c.Expr:
        """The key, converted to its storage type."""
        return narrowed(self.unit, self.type.key, key)

    # --- reading

    def find(self, key: c.Expr) -> c.Expr:
        """A pointer to the stored value; NULL when there is none.  In an lru, this counts as use."""
        return self._raw("use" if self.is_lru else "find", self.table, self.asked(key))

    def _raw(self, function: str, *args: c.Expr) -> c.Expr:
        return c.call(f"{self.struct}_{function}", *args)

    def has(self, key: c.Expr) -> c.Expr:
        """Membership; in an lru, this does not count as use."""
        return c.Binary("!=", self._raw("find", self.table, self.asked(key)), c.NULL)

    def read(self, op: TableRead, args: list[c.Expr]) -> c.Expr:
        """The answer in value form; its texts are slices of the table."""
        match op:
            case TableRead.AT:
                return load(self.unit, self.type.value, c.deref(self.find(args[0])))
            case TableRead.HAS:
                return self.has(args[0])
            case TableRead.LEN if self.type.kind is TableKind.TALLY:
                return c.call(self._function("length", self._length), self.table)
            case TableRead.LEN:
                return c.Cast(c.I64, self.count())
            case TableRead.OVERFLOW:
                return c.Cast(c.I64, c.field_of(self.table, "overflow"))
            case TableRead.GET:
                return c.call(self._function("get", self._get), self.table, self.asked(args[0]))
            case TableRead.GET_OR:
                return c.call(
                    self._function("get_or", self._get_or), self.table, self.asked(args[0]), args[1]
                )
            case TableRead.TOTAL:
                return c.call(self._function("total", self._total), self.table, self.asked(args[0]))
            case TableRead.FIRST:
                return c.call(self._function("first", self._first), self.table)
            case TableRead.POP_FIRST:
                return c.call(self._function("pop_first", self._pop_first), c.Name("call"), self.table)
            case TableRead.PUT:
                return self.put(args[0], args[1])

    def read_found(self, op: TableRead, found: c.Expr, rest: list[c.Expr]) -> c.Expr:
        """The answer to a question about an entry which `found` points to; NULL: there is none."""
        missing = c.Binary("==", found, c.NULL)
        match op:
            case TableRead.HAS:
                return c.Binary("!=", found, c.NULL)
            case TableRead.GET:
                return c.call(self._function("option", self._option), found)
            case TableRead.GET_OR:
                return c.Ternary(missing, rest[0], self.loaded(found))
            case TableRead.TOTAL:
                return c.Ternary(missing, zero(self.type.value), self.loaded(found))
            case _:
                raise AssertionError(f"not a question about an entry: {op}")

    def loaded(self, found: c.Expr) -> c.Expr:
        """The value that a pointer leads to."""
        return load(self.unit, self.type.value, c.deref(found))

    def _option(self, name: str) -> c.Decl:
        option = value_type(self.unit, OptionType(self.type.value))
        none, some = (c.Compound(option, i) for i in (c.braces(c.ZERO), c.braces(c.TRUE, self._loaded())))
        params = (c.Var("found", self.entry_pointer),)
        return inline(name, option, params, c.Return(c.Ternary(self._missing(), none, some)))

    def count(self) -> c.Expr:
        """How many entries there are, zeros included."""
        if self.type.kind is TableKind.ORDERED:
            return c.field_of(self.table, "count")
        return c.dot(c.field_of(self.table, "order"), "count")

    def _found(self) -> c.Var:
        function = "use" if self.is_lru else "find"
        return c.Var("found", self.entry_pointer, self._raw(function, TABLE, KEY))

    def _loaded(self) -> c.Expr:
        return load(self.unit, self.type.value, c.deref(c.Name("found")))

    def _missing(self) -> c.Expr:
        return c.Binary("==", c.Name("found"), c.NULL)

    def _get(self, name: str) -> c.Decl:
        option = value_type(self.unit, OptionType(self.type.value))
        none = c.If(self._missing(), c.Block((c.Return(c.Compound(option, c.braces(c.ZERO))),)))
        some = c.Return(c.Compound(option, c.braces(c.TRUE, self._loaded())))
        return inline(name, option, self._params(self._key), self._found(), none, some)

    def _get_or(self, name: str) -> c.Decl:
        result = c.Ternary(self._missing(), c.Name("value"), self._loaded())
        params = self._params(self._key, self._value)
        return inline(name, self._value.type, params, self._found(), c.Return(result))

    def _total(self, name: str) -> c.Decl:
        result = c.Ternary(self._missing(), zero(self.type.value), self._loaded())
        return inline(name, self._value.type, self._params(self._key), self._found(), c.Return(result))

    def _length(self, name: str) -> c.Decl:
        """Zeros do not count."""
        n, entry = c.Name("n"), c.Name("entry")
        present = c.Binary("!=", c.arrow(entry, "value"), c.ZERO)
        walk = self.walk(TABLE, "walk", "entry")
        count = c.Do(c.Assign("+=", n, present))
        loop = c.For(walk.init, walk.cond, walk.step, c.Block((count,)))
        return inline(name, c.I64, self._params(), c.Var("n", c.I64, c.ZERO), *walk.before, loop, c.Return(n))

    def _entry_option(self) -> c.CType:
        return value_type(self.unit, OptionType(TupleType((self.type.key, self.type.value))))

    def _entry_value(self, keeps: bool) -> c.Expr:
        """An Option of the entry `found`."""
        pair_type = TupleType((self.type.key, self.type.value))
        parts = [
            load(self.unit, t, c.arrow("found", m))
            for m, t in (("key", self.type.key), ("value", self.type.value))
        ]
        pair: c.Expr = c.Compound(value_type(self.unit, pair_type), c.braces(*parts))
        if keeps:
            pair = keep(self.unit, pair_type, pair)
        return c.Compound(self._entry_option(), c.braces(c.TRUE, pair))

    def _found_first(self) -> c.Var:
        return c.Var("found", c.pointer(f"{self.struct}_entry"), self._raw("first", TABLE))

    def _no_entry(self) -> c.Stmt:
        none = c.Compound(self._entry_option(), c.braces(c.ZERO))
        return c.If(self._missing(), c.Block((c.Return(none),)))

    def _first(self, name: str) -> c.Decl:
        body = (self._found_first(), self._no_entry(), c.Return(self._entry_value(keeps=False)))
        return inline(name, self._entry_option(), self._params(), *body)

    def _pop_first(self, name: str) -> c.Decl:
        result = c.Var("result", self._entry_option(), self._entry_value(keeps=True))
        key = c.dot(c.dot(c.Name("result"), "value"), "item0")
        remove = c.Do(self._raw("remove", TABLE, key))
        body = (self._found_first(), self._no_entry(), result, remove, c.Return(c.Name("result")))
        params = (c.Var("call", c.pointer("ts_call")), *self._params())
        return inline(name, self._entry_option(), params, *body)

    # --- changing

    def entry(self, key: c.Expr) -> c.Expr:
        """A pointer to the value stored under the key, which is added if it is missing; NULL, and one overflow more, if
        there is no room.
        """
        return c.call(self._function("entry", self._entry), self.table, self.asked(key))

    def added(self, key: c.Expr) -> c.Expr:
        """The same, for a key that the table is known to lack."""
        if self.type.kind is TableKind.ORDERED:
            return self.entry(key)
        return c.call(self._function("added", self._added), self.table, self.asked(key))

    def _entry(self, name: str) -> c.Decl:
        return self._with_room(name, self._raw("renew" if self.is_lru else "place", TABLE, KEY))

    def _added(self, name: str) -> c.Decl:
        return self._with_room(name, self._raw("insert", TABLE, KEY))

    def _with_room(self, name: str, place: c.Expr) -> c.Decl:
        test = fits(self.unit, self.type.key, KEY)
        if test is not None:
            place = c.Ternary(test, place, c.NULL)
        found = c.Var("found", self.entry_pointer, place)
        count = c.Do(c.Postfix("++", c.arrow(TABLE, "overflow")))
        full = c.If(self._missing(), c.Block((count,)))
        return inline(
            name, self.entry_pointer, self._params(self._key), found, full, c.Return(c.Name("found"))
        )

    def put(self, key: c.Expr, value: c.Expr) -> c.Expr:
        """Store; whether there was room."""
        return c.call(self.put_function(), self.table, self.asked(key), value)

    def put_function(self) -> str:
        """The name of a function of (table, key, value) that stores, and says whether there was room."""
        return self._function("put", self._put)

    def _put(self, name: str) -> c.Decl:
        body: list[c.Stmt] = []
        value = c.Name("value")
        test = fits(self.unit, self.type.value, value)
        if test is not None:
            count = c.Do(c.Postfix("++", c.arrow(TABLE, "overflow")))
            body.append(c.If(c.negated(test), c.Block((count, c.Return(c.FALSE)))))
        own = Access(self.unit, self.field, TABLE)
        body.append(c.Var("found", self.entry_pointer, own.entry(KEY)))
        put = store(self.unit, self.type.value, c.deref(c.Name("found")), value)
        body.append(c.If(c.Binary("!=", c.Name("found"), c.NULL), c.Block((put,))))
        body.append(c.Return(c.Binary("!=", c.Name("found"), c.NULL)))
        return inline(name, c.BOOL, self._params(self._key, self._value), *body)

    def remove(self, key: c.Expr) -> c.Expr:
        return self._raw("remove", self.table, self.asked(key))

    # --- loops

    def walk(self, table: c.Expr, walk: str, entry: str) -> Walk:
        """A loop over the entries; in its body, `entry` points to one.  Not for ordered maps."""
        start = c.call("ts_walk_over", c.address(c.field_of(table, "order")))
        walking = c.Var(walk, c.StructType("ts_walk"), start)
        step = self._raw("step", table, c.Unary("&", c.Name(walk)))
        here = c.Var(entry, c.pointer(f"{self.struct}_entry"))
        return Walk((walking, here), None, c.Binary("!=", c.Assign("=", c.Name(entry), step), c.NULL), None)

    def ascend(self, table: c.Expr, entry: str, key: c.Expr) -> Walk:
        """A loop over the entries of an ordered map; `key`, in value form, is that of the current one at its end."""
        here = c.Var(entry, c.pointer(f"{self.struct}_entry"), self._raw("first", table))
        after = c.Assign("=", c.Name(entry), self._raw("after", table, key))
        return Walk((), here, c.Binary("!=", c.Name(entry), c.NULL), after)


class Walk:
    """The head of a C loop."""

    def __init__(
        self, before: tuple[c.Stmt, ...], init: c.Var | None, cond: c.Expr, step: c.Expr | None
    ) -> None:
        self.before = before
        self.init = init
        self.cond = cond
        self.step = step


def zero(t: Type) -> c.Expr:
    """The number 0 of a kind."""
    match t:
        case FloatType():
            return c.Real(0.0)
        case BoolType():
            return c.FALSE
        case _:
            return c.ZERO
