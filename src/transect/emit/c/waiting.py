# SPDX-License-Identifier: Apache-2.0
"""`waiting` in C: who waits, oldest first, with a heap for each tally that some ordered pick asks.

The adapter calls `P_waiting_add` and `P_waiting_remove`; handlers move a waiting client in a heap whenever they change
its entry of that heap's tally.
"""

from __future__ import annotations

from transect.core.ir import TableRead
from transect.core.types import FloatType
from transect.emit.c import tree as c
from transect.emit.c.layout import inline, value_type
from transect.emit.c.tables import Access, index_words, table_type
from transect.emit.c.unit import WAITING, Unit

SELF, CLIENT = c.Name("self"), c.Name("client")
_CLIENT = c.Var("client", c.U64)


def waiting_struct(unit: Unit) -> str:
    """The tag of the table of those who wait: client → number of its arrival."""

    def make(name: str) -> list[c.Decl]:
        sizes = (c.Integer(unit.clients), c.Integer(index_words(unit.clients)))
        functions = (c.Name("ts_hash_handle"), c.Name("TS_SAME"), c.Name("TS_KEEP"))
        return [c.Macro("TS_TABLE", (c.Name(name), c.U64, c.U64, *sizes, c.U64, *functions))]

    return unit.once("waiting_table", make)


def heap_struct(unit: Unit, field: str) -> str:
    """The tag of the heap that orders the waiting clients by a tally."""
    value = table_type(unit.program.field(field)).value
    smaller = c.Name("TS_SMALLER_FLOAT" if isinstance(value, FloatType) else "TS_SMALLER")

    def make(name: str) -> list[c.Decl]:
        args = (c.Name(name), value_type(unit, value), smaller, c.Integer(unit.clients))
        return [c.Macro("TS_HEAP", args)]

    return unit.once(f"{field}_heap", make)


def waiting() -> c.Expr:
    """The table of those who wait, as an lvalue."""
    return c.arrow(SELF, WAITING)


def members(unit: Unit) -> list[c.Var]:
    """What a state holds for them."""
    heaps = [c.Var(unit.heap_member(f), c.StructType(heap_struct(unit, f))) for f in unit.heaps]
    return [
        c.Var(WAITING, c.StructType(waiting_struct(unit))),
        c.Var("arrivals", c.U64),
        *heaps,
    ]


def lookup(unit: Unit, client: c.Expr) -> c.Expr:
    """The number of a waiting client's entry; 0 when it does not wait."""
    return c.call(f"{waiting_struct(unit)}_lookup", c.Unary("&", waiting()), client, c.Cast(c.U32, client))


def has(unit: Unit, client: c.Expr) -> c.Expr:
    return c.Binary("!=", lookup(unit, client), c.ZERO)


def count() -> c.Expr:
    return c.Cast(c.I64, _count())


def _count() -> c.Expr:
    return c.dot(c.dot(waiting(), "order"), "count")


def walk() -> c.Expr:
    """The beginning of a loop over them."""
    return c.call("ts_walk_over", c.Unary("&", c.dot(waiting(), "order")))


def _heap(unit: Unit, field: str) -> c.Expr:
    return c.arrow(SELF, unit.heap_member(field))


def smallest(unit: Unit, field: str) -> c.Expr:
    """The smallest value of a tally among those who wait, who are some."""
    return c.dot(c.Index(c.dot(_heap(unit, field), "items"), c.ZERO), "value")


def first(unit: Unit, field: str) -> c.Expr:
    """The waiting client with the smallest value of a tally, who has waited longest among equals."""
    slot = c.dot(c.Index(c.dot(_heap(unit, field), "items"), c.ZERO), "slot")
    return c.dot(c.Index(c.dot(waiting(), "entries"), slot), "key")


def moved(unit: Unit, field: str, client: c.Expr, value: c.Expr) -> list[c.Stmt]:
    """What follows a change of a client's entry of a tally to that value; nothing without a heap."""
    if field not in unit.heaps:
        return []
    return [c.Do(c.call(_moved_function(unit, field), SELF, client, value))]


def _moved_function(unit: Unit, field: str) -> str:
    value = c.Var("value", value_type(unit, table_type(unit.program.field(field)).value))

    def make(name: str) -> list[c.Decl]:
        entry = c.Name("entry")
        slot = c.Binary("-", entry, c.Integer(1))
        change = c.call(
            f"{heap_struct(unit, field)}_change", c.Unary("&", _heap(unit, field)), slot, c.Name("value")
        )
        body = (
            c.Var("entry", c.U32, lookup(unit, CLIENT)),
            c.If(c.Binary("!=", entry, c.ZERO), c.Block((c.Do(change),))),
        )
        return [inline(name, c.VOID, (c.Var("self", unit.state_type), _CLIENT, value), *body)]

    return unit.once(f"{field}_moved", make, source=True)


# ---------------------------------------------------------------- what the adapter calls


def total(unit: Unit, field: str, client: c.Expr) -> c.Expr:
    """A client's value of a tally."""
    f = unit.program.field(field)
    table = c.Unary("&", c.arrow(SELF, unit.member(field)))
    return Access(unit, f, table).read(TableRead.TOTAL, [client])


def adapter(unit: Unit) -> list[c.Function]:
    """`P_waiting_add` and `P_waiting_remove`: false when there was nothing to do, or no room."""
    self = c.Var("self", unit.state_type)
    return [
        c.Function(unit.name("waiting_add"), c.BOOL, (self, _CLIENT), c.Block(_add(unit))),
        c.Function(unit.name("waiting_remove"), c.BOOL, (self, _CLIENT), c.Block(_remove(unit))),
    ]


def _add(unit: Unit) -> tuple[c.Stmt, ...]:
    arrival, entry = c.Name("arrival"), c.Name("entry")
    table = c.Unary("&", waiting())
    present = c.Binary("||", has(unit, CLIENT), c.Binary("==", _count(), c.Integer(unit.clients)))
    refuse = c.If(present, c.Block((c.Return(c.FALSE),)))
    place = c.call(f"{waiting_struct(unit)}_place", table, CLIENT)
    enter = [
        c.Do(
            c.call(
                f"{heap_struct(unit, f)}_add",
                c.Unary("&", _heap(unit, f)),
                c.Binary("-", entry, c.Integer(1)),
                arrival,
                total(unit, f, CLIENT),
            )
        )
        for f in unit.heaps
    ]
    numbered = c.assign(c.deref(place), arrival)
    named = [c.Var("entry", c.U32, lookup(unit, CLIENT))] if enter else []
    next_arrival = c.Var("arrival", c.U64, c.Postfix("++", c.arrow(SELF, "arrivals")))
    return (refuse, next_arrival, numbered, *named, *enter, c.Return(c.TRUE))


def _remove(unit: Unit) -> tuple[c.Stmt, ...]:
    entry = c.Name("entry")
    absent = c.If(c.Binary("==", entry, c.ZERO), c.Block((c.Return(c.FALSE),)))
    leave = [
        c.Do(
            c.call(
                f"{heap_struct(unit, f)}_remove",
                c.Unary("&", _heap(unit, f)),
                c.Binary("-", entry, c.Integer(1)),
            )
        )
        for f in unit.heaps
    ]
    remove = c.call(f"{waiting_struct(unit)}_remove", c.Unary("&", waiting()), CLIENT)
    return (c.Var("entry", c.U32, lookup(unit, CLIENT)), absent, *leave, c.Return(remove))


def settle(unit: Unit) -> list[c.Stmt]:
    """After all entries of the tallies have changed: every waiting client moves to where it belongs."""
    if not unit.heaps:
        return []
    struct = waiting_struct(unit)
    step = c.call(f"{struct}_step", c.Unary("&", waiting()), c.Unary("&", c.Name("walk")))
    moves = [
        s
        for f in unit.heaps
        for s in moved(unit, f, c.arrow("entry", "key"), total(unit, f, c.arrow("entry", "key")))
    ]
    return [
        c.Var("walk", c.StructType("ts_walk"), walk()),
        c.Var("entry", c.pointer(f"{struct}_entry")),
        c.While(c.Binary("!=", c.Assign("=", c.Name("entry"), step), c.NULL), c.Block(tuple(moves))),
    ]
