# SPDX-License-Identifier: Apache-2.0
"""Tables kept by client: they cannot fill, the number is a hint, and what is kept goes when the client goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.core.running import IMPORTS, arbiter, compiled
from transect.core import ir
from transect.core.bounds import bounds
from transect.core.codec import CodecError, decode_state
from transect.core.conversion import SAME, relation
from transect.core.frontend import compile_text
from transect.core.schema import Schema, schema
from transect.core.types import INT, KeyType, TableKind, TableType
from transect.core.upgrade import Action, compare, upgrade

SERVED = "served: Tally[Client, int] = tally(2)\nseen: Map[Client, str] = table(1)\n"


def test_a_table_kept_by_client_has_room_for_each_client() -> None:
    p = arbiter(SERVED, 'self.served[client] += cost\nself.seen[client] = "yes"')
    for client in range(100):
        p.call("charge", (client, client + 1))
    assert len(p.state["served"]) == len(p.state["seen"]) == 100
    assert p.state["served"].overflow == p.state["seen"].overflow == 0


def test_a_tuple_with_a_client_is_a_key_like_any_other() -> None:
    p = arbiter("pairs: Tally[tuple[Client, int], int] = tally(2)", "self.pairs[client, cost] += 1")
    for client in range(3):
        p.call("charge", (client, 1))
    assert (len(p.state["pairs"]), p.state["pairs"].overflow) == (2, 1)


def test_an_lru_kept_by_client_evicts_as_it_says() -> None:
    p = arbiter("last: Map[Client, int] = lru(2)", "self.last[client] = cost")
    for client in range(3):
        p.call("charge", (client, 1))
    assert [client for client, _ in p.state["last"].entries()] == [1, 2]


def test_a_text_beyond_its_bound_still_overflows() -> None:
    p = arbiter("seen: Map[Client, str] = table(9, value=text(2))", 'self.seen[client] = "long"')
    p.call("charge", (1, 1))
    assert (len(p.state["seen"]), p.state["seen"].overflow) == (0, 1)


def test_a_loop_over_clients_goes_round_as_often_as_there_are_some() -> None:
    p = arbiter(SERVED + "total: int = 0", "self.total = sum(self.served.values())")
    assert bounds(p.program)["charge"].steps.data == ("served",)


def test_an_image_holds_any_number_of_clients() -> None:
    p = arbiter(SERVED, "self.served[client] += cost")
    for client in range(50):
        p.call("charge", (client, 1))
    again = arbiter(SERVED)
    again.load(p.image())
    assert again.image() == p.image()
    full = arbiter("few: Map[int, int] = table(60)", "for i in range(60):\n    self.few[i] = i")
    full.call("charge", (0, 0))
    small = arbiter("few: Map[int, int] = table(2)").program
    with pytest.raises(CodecError, match="60 entries, where the capacity is 2"):
        decode_state(small.state, full.image())


# ---------------------------------------------------------------- schema and upgrade: the number is a hint


def versions(*numbers: int) -> list[ir.Program]:
    return [arbiter(f"served: Tally[Client, int] = tally({n})").program for n in numbers]


def test_another_hint_is_the_same_schema() -> None:
    few, many = map(schema, versions(2, 4096))
    assert few.hash == many.hash
    assert Schema.from_json(few.to_json()) == few
    assert compare(many, few).decisions[0].action is Action.KEEP
    table = TableType(TableKind.TABLE, INT, INT, 2)
    assert relation(table, replace(table, capacity=3)) != SAME
    assert (
        relation(replace(table, key=KeyType("Client")), TableType(TableKind.TABLE, KeyType("Client"), INT, 9))
        == SAME
    )


def test_an_upgrade_to_a_smaller_hint_keeps_every_client() -> None:
    old, new = versions(4096, 1)
    p = arbiter("served: Tally[Client, int] = tally(4096)", "self.served[client] += cost")
    for client in range(300):
        p.call("charge", (client, 2))
    assert upgrade(p.image(), schema(old), new) == p.image()


def test_old_state_need_not_repeat_the_hint() -> None:
    new = compiled("""
        class V1(OldState):
            served: Tally[Client, int]
        class P(Arbiter):
            total: int = 0
            def pick(self) -> Client:
                return min(self.waiting, key=lambda c: 0)
            def migrate(self, old: V1) -> None:
                self.total = sum(old.served.values())
    """)
    p = arbiter("served: Tally[Client, int] = tally(8)", "self.served[client] += cost")
    p.call("charge", (1, 40))
    p.call("charge", (2, 2))
    image = upgrade(p.image(), schema(p.program), new)
    assert decode_state(new.state, image)["total"].value == 42


# ---------------------------------------------------------------- what goes when the client goes


def forgetting(body: str) -> ir.Program:
    lines = "\n".join(f"                {line}" for line in body.splitlines())
    return compiled(f"""
        class P(Arbiter):
            served: Tally[Client, int] = tally(4)
            names: Map[Client, str] = table(4)
            lost: int = 0
            def pick(self) -> Client:
                return min(self.waiting, key=lambda c: 0)
            def charge(self, client: Client, cost: int) -> None:
                self.served[client] += cost
            def forget(self, who: Client) -> None:
{lines}
    """)


def test_a_policy_that_forgets_in_its_own_way_reads_what_is_kept_and_then_it_goes() -> None:
    from transect.core.interp import Instance

    body = "if self.served[who] > 10:\n    self.lost += self.served[who]\n    return\nself.lost += 1"
    p = Instance(forgetting(body))
    p.call("charge", (1, 11))
    p.call("charge", (2, 5))
    p.call("forget", (1,))
    assert (p.state["lost"], p.state["served"].entries()) == (11, [(2, 5)])
    p.call("forget", (2,))
    assert (p.state["lost"], p.state["served"].entries()) == (12, [])


@pytest.mark.parametrize(
    "body",
    [
        "for i in range(3):\n    if i == self.served[who]:\n        return",
        "match self.served[who]:\n    case 1:\n        return\n    case _:\n        self.lost = 1",
        "return",
    ],
)
def test_on_every_path(body: str) -> None:
    from transect.core.interp import Instance

    for cost in (1, 9):
        p = Instance(forgetting(body))
        p.call("charge", (1, cost))
        p.call("forget", (1,))
        assert p.state["served"].entries() == []


def test_what_the_policy_drops_itself_is_dropped_once() -> None:
    for body in ("drop(who)", "drop(who)\nreturn"):
        handler = forgetting(body).handler("forget")
        assert handler is not None
        assert sum(isinstance(s, ir.Remove) for s in handler.body) == 2
    default = arbiter(SERVED).program.handler("forget")
    assert default is not None and len(default.body) == 2


# ---------------------------------------------------------------- clients have no order


@pytest.mark.parametrize("key", ["Client", "tuple[int, Client]"])
def test_an_ordered_table_is_not_kept_by_what_has_no_order(key: str) -> None:
    text = f"""class P(Arbiter):
    queue: Ordered[{key}, int] = ordered(4)
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""
    found = compile_text(IMPORTS + text)
    assert [(d.code, d.message) for d in found.diagnostics] == [
        ("P028", f"a `{key}` has no order, so an ordered table cannot be kept by it")
    ]
