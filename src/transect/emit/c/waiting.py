# SPDX-License-Identifier: Apache-2.0
"""`waiting` in C: who waits, oldest first, with a heap for each tally that some ordered pick asks.

Like the tables kept by client, both grow, so that every client can wait.  The adapter calls `P_waiting_add` and
`P_waiting_remove`; handlers move a waiting client in a heap whenever they change its entry of that heap's tally.
"""

from __future__ import annotations

from transect.core.types import FloatType
from transect.emit.c import tree as c
from transect.emit.c.layout import inline, load, value_type
from transect.emit.c.tables import Access, first_room, table_type, zero
from transect.emit.c.unit import WAITING, Unit

SELF, CLIENT = c.Name("self"), c.Name("client")
_CLIENT = c.Var("client", c.U64)


def waiting_struct(unit: Unit) -> str:
    """The tag of the table of those who wait: client → number of its arrival."""

    def make(name: str) -> list[c.Decl]:
        functions = (c.Name("ts_hash_handle"), c.Name("TS_SAME"), c.Name("TS_KEEP"))
        room = first_room(unit.clients)
        return [c.Macro("TS_GROWING", (c.Name(name), c.U64, c.U64, room, c.U64, *functions))]

    return unit.once("waiting_table", make)


def heap_struct(unit: Unit, field: str) -> str:
    """The tag of the heap that orders the waiting clients by a tally.

    A client's slot is twice the number of its entry in the tally; of one that the tally lacks, twice the number of its
    entry among the waiting, and one.
    """
    t = table_type(unit.program.field(field))
    smaller = c.Name("TS_SMALLER_FLOAT" if isinstance(t.value, FloatType) else "TS_SMALLER")

    def make(name: str) -> list[c.Decl]:
        sizes = (first_room(unit.clients), first_room(t.capacity + unit.clients))
        return [c.Macro("TS_HEAP", (c.Name(name), value_type(unit, t.value), smaller, *sizes))]

    return unit.once(f"{field}_heap", make)


def waiting() -> c.Expr:
    """The table of those who wait, as an lvalue."""
    return c.arrow(SELF, WAITING)


def kept(unit: Unit) -> list[c.Var]:
    """The members of the state for waiting clients that loading an image leaves as they are."""
    return [c.Var(WAITING, c.StructType(waiting_struct(unit))), c.Var("arrivals", c.U64)]


def members(unit: Unit) -> list[c.Var]:
    """The members of the state for waiting clients."""
    heaps = [c.Var(unit.heap_member(f), c.StructType(heap_struct(unit, f))) for f in unit.heaps]
    return [*kept(unit), *heaps]


def lookup(unit: Unit, client: c.Expr) -> c.Expr:
    """The number of a waiting client's entry; 0 when it does not wait."""
    return c.call(f"{waiting_struct(unit)}_lookup", c.Unary("&", waiting()), client, c.Cast(c.U32, client))


def has(unit: Unit, client: c.Expr) -> c.Expr:
    return c.Binary("!=", lookup(unit, client), c.ZERO)


def count() -> c.Expr:
    return c.Cast(c.I64, c.dot(c.dot(waiting(), "order"), "count"))


def walk() -> c.Expr:
    """The beginning of a loop over them."""
    return c.call("ts_walk_over", c.Unary("&", c.dot(waiting(), "order")))


def _heap(unit: Unit, field: str) -> c.Expr:
    return c.arrow(SELF, unit.heap_member(field))


def smallest(unit: Unit, field: str) -> c.Expr:
    """The smallest value of a tally among the waiting clients, of which there is at least one."""
    return c.dot(c.Index(c.dot(_heap(unit, field), "items"), c.ZERO), "value")


def top_slot(unit: Unit, field: str) -> c.Expr:
    """The slot of the waiting client with the smallest value, who has waited longest among equals."""
    return c.dot(c.Index(c.dot(_heap(unit, field), "items"), c.ZERO), "slot")


def client_at(unit: Unit, field: str, slot: c.Expr) -> c.Expr:
    """The client of a slot."""
    listed, waits = c.arrow(_entry(unit, field, slot), "key"), c.arrow(_waits(unit, slot), "key")
    return c.Ternary(_is_waiting_slot(slot), waits, listed)


def entry_at(unit: Unit, field: str, slot: c.Expr) -> c.Expr:
    """A pointer to the tally's value at a slot; NULL when the tally lacks the client."""
    value = c.arrow(_entry(unit, field, slot), "value")
    return c.Ternary(_is_waiting_slot(slot), c.NULL, c.Unary("&", value))


def _is_waiting_slot(slot: c.Expr) -> c.Expr:
    return c.Binary("!=", c.Binary("&", slot, c.ONE), c.ZERO)


def _number_of(slot: c.Expr) -> c.Expr:
    return c.Binary("/", slot, c.Integer(2))


def _entry(unit: Unit, field: str, slot: c.Expr) -> c.Expr:
    """A pointer to the tally's entry at a slot."""
    table = access(unit, field)
    return c.call(f"{table.struct}_at", table.table, _number_of(slot))


def _waits(unit: Unit, slot: c.Expr) -> c.Expr:
    """A pointer to the entry at a slot among the waiting."""
    return c.call(f"{waiting_struct(unit)}_at", c.Unary("&", waiting()), _number_of(slot))


def _tally_slot(unit: Unit, field: str, entry: c.Expr) -> c.Expr:
    """The slot of a client whose value of the tally `entry` points to."""
    return c.Binary("*", c.call(f"{access(unit, field).struct}_number", entry), c.Integer(2))


def _tally(unit: Unit, field: str) -> c.Expr:
    return c.arrow(SELF, unit.member(field))


def access(unit: Unit, field: str) -> Access:
    return Access(unit, unit.program.field(field), c.Unary("&", _tally(unit, field)))


def _call_heap(unit: Unit, field: str, function: str, *args: c.Expr) -> c.Expr:
    return c.call(f"{heap_struct(unit, field)}_{function}", c.Unary("&", _heap(unit, field)), *args)


def moved(unit: Unit, field: str, client: c.Expr, entry: c.Expr) -> list[c.Stmt]:
    """What follows a change of a client's value of a tally, which `entry` points to; nothing without a heap."""
    if field not in unit.heaps:
        return []
    return [
        c.Do(
            c.call(
                unit.once(f"{field}_moved", lambda n: [_moved(unit, n, field)], source=True),
                SELF,
                client,
                entry,
            )
        )
    ]


def _moved(unit: Unit, name: str, field: str) -> c.Decl:
    """A function for a changed entry; a new entry may be that of a client which already waits."""
    slot, number, entry = c.Name("slot"), c.Name("number"), c.Name("entry")
    here = _call_heap(unit, field, "has", slot)
    change = c.Do(_call_heap(unit, field, "change", slot, c.deref(entry)))
    rename = c.Do(_call_heap(unit, field, "rename", _waiting_slot(number), slot))
    newly = (
        c.Var("number", c.U32, lookup(unit, CLIENT)),
        c.If(c.Binary("!=", number, c.ZERO), c.Block((rename, change))),
    )
    body = (
        c.Var("slot", c.U32, _tally_slot(unit, field, entry)),
        c.If(here, c.Block((change,)), c.Block(newly)),
    )
    params = (c.Var("self", unit.state_type), _CLIENT, c.Var("entry", access(unit, field).entry_pointer))
    return inline(name, c.VOID, params, *body)


def _waiting_slot(number: c.Expr) -> c.Expr:
    """The slot of a client that the tally lacks, by its entry among the waiting, counted from 1."""
    return c.Binary("-", c.Binary("*", number, c.Integer(2)), c.ONE)


def remove(unit: Unit, field: str, client: c.Expr) -> c.Stmt:
    """Take a client out of a tally that has a heap."""
    name = unit.once(f"{field}_remove", lambda n: [_remove_entry(unit, n, field)], source=True)
    return c.Do(c.call(name, SELF, client))


def _remove_entry(unit: Unit, name: str, field: str) -> c.Decl:
    """A function that removes an entry; a client that waits goes on with the value 0."""
    table, entry, slot = access(unit, field), c.Name("entry"), c.Name("slot")
    other = _waiting_slot(lookup(unit, CLIENT))
    keep = (
        c.Var("other", c.U32, other),
        c.Do(_call_heap(unit, field, "rename", slot, c.Name("other"))),
        c.Do(_call_heap(unit, field, "change", c.Name("other"), zero(table.type.value))),
    )
    body = (
        c.Var("entry", table.entry_pointer, table.find(CLIENT)),
        c.If(c.Binary("==", entry, c.NULL), c.Block((c.Return(),))),
        c.Var("slot", c.U32, _tally_slot(unit, field, entry)),
        c.If(_call_heap(unit, field, "has", slot), c.Block(keep)),
        c.Do(table.remove(CLIENT)),
    )
    return inline(name, c.VOID, (c.Var("self", unit.state_type), _CLIENT), *body)


# ---------------------------------------------------------------- what the adapter calls


def _slot(unit: Unit, field: str, number: c.Expr) -> list[c.Stmt]:
    """`entry` and `slot` of the client whose number among the waiting is given."""
    table = access(unit, field)
    known = _tally_slot(unit, field, c.Name("entry"))
    slot = c.Ternary(c.Binary("!=", c.Name("entry"), c.NULL), known, _waiting_slot(number))
    return [c.Var("entry", table.entry_pointer, table.find(CLIENT)), c.Var("slot", c.U32, slot)]


def _enter(unit: Unit, field: str, number: c.Expr, arrival: c.Expr) -> c.Stmt:
    """A client becomes a member of a heap."""
    entry = c.Name("entry")
    t = table_type(unit.program.field(field))
    value = c.Ternary(c.Binary("!=", entry, c.NULL), load(unit, t.value, c.deref(entry)), zero(t.value))
    add = c.Do(_call_heap(unit, field, "add", c.Name("slot"), arrival, value))
    return c.Block((*_slot(unit, field, number), add))


def adapter(unit: Unit) -> list[c.Function]:
    """`P_waiting_add` and `P_waiting_remove`: false when there was nothing to do."""
    self = c.Var("self", unit.state_type)
    return [
        c.Function(unit.name("waiting_add"), c.BOOL, (self, _CLIENT), c.Block(_add(unit))),
        c.Function(unit.name("waiting_remove"), c.BOOL, (self, _CLIENT), c.Block(_remove(unit))),
    ]


def _add(unit: Unit) -> tuple[c.Stmt, ...]:
    arrival, number = c.Name("arrival"), c.Name("number")
    refuse = c.If(has(unit, CLIENT), c.Block((c.Return(c.FALSE),)))
    place = c.call(f"{waiting_struct(unit)}_place", c.Unary("&", waiting()), CLIENT)
    next_arrival = c.Postfix("++", c.arrow(SELF, "arrivals"))
    held = c.Var("held", c.Pointer(c.U64), place)
    numbered = c.Var("number", c.U32, _number(unit, c.Name("held")))
    enter = [_enter(unit, f, number, arrival) for f in unit.heaps]
    return (
        refuse,
        c.Var("arrival", c.U64, next_arrival),
        held,
        c.assign(c.deref(c.Name("held")), arrival),
        *((numbered,) if enter else ()),
        *enter,
        c.Return(c.TRUE),
    )


def _number(unit: Unit, held: c.Expr) -> c.Expr:
    """The number, from 1, of the entry among the waiting whose arrival `held` points to."""
    return c.Binary("+", c.call(f"{waiting_struct(unit)}_number", held), c.ONE)


def give_back(unit: Unit) -> list[c.Stmt]:
    """The memory of the heaps; `forgotten` gives back that of those who wait."""
    return [c.Do(_call_heap(unit, f, "give_back")) for f in unit.heaps]


def forgotten(unit: Unit) -> list[c.Stmt]:
    return [c.Do(c.call(f"{waiting_struct(unit)}_give_back", c.Unary("&", waiting())))]


def _remove(unit: Unit) -> tuple[c.Stmt, ...]:
    number = c.Name("number")
    absent = c.If(c.Binary("==", number, c.ZERO), c.Block((c.Return(c.FALSE),)))
    leave = [
        c.Block((*_slot(unit, f, number), c.Do(_call_heap(unit, f, "remove", c.Name("slot")))))
        for f in unit.heaps
    ]
    gone = c.call(f"{waiting_struct(unit)}_remove", c.Unary("&", waiting()), CLIENT)
    return (c.Var("number", c.U32, lookup(unit, CLIENT)), absent, *leave, c.Return(gone))


def settle(unit: Unit) -> list[c.Stmt]:
    """After the tallies have been loaded, build the heaps anew from the waiting clients and their arrivals."""
    if not unit.heaps:
        return []
    struct = waiting_struct(unit)
    step = c.call(f"{struct}_step", c.Unary("&", waiting()), c.Unary("&", c.Name("walk")))
    number = _number(unit, c.Unary("&", c.arrow("waits", "value")))
    body = (
        c.Var("client", c.U64, c.arrow("waits", "key")),
        c.Var("number", c.U32, number),
        *(_enter(unit, f, c.Name("number"), c.arrow("waits", "value")) for f in unit.heaps),
    )
    return [
        c.Var("walk", c.StructType("ts_walk"), walk()),
        c.Var("waits", c.pointer(f"{struct}_entry")),
        c.While(c.Binary("!=", c.Assign("=", c.Name("waits"), step), c.NULL), c.Block(body)),
    ]
