# SPDX-License-Identifier: Apache-2.0
"""A policy's pick asks a heap: it says what the loop would, whatever happened to tally and waiting, in good time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.core.running import IMPORTS
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.emit.py.build import build
from transect.emit.py.image import image, restore
from transect.emit.py.ordering import OrderedTally

TEXT = """
class P(Arbiter):
    served: Tally[Client, {value}] = tally(8)
    least: {least} = {zero}
    worked: bool = False

    def arrive(self, client: Client) -> None:
        self.least = min((self.served[c] for c in self.waiting), default=self.least)

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, client: Client, cost: int) -> None:
        self.served[client] = {cost}

    def leave(self, client: Client) -> None:
        del self.served[client]
"""

VALUES = {
    "int": ("int", "int", "0", "self.served[client] + cost"),
    "narrow": ("u8", "int", "0", "self.served[client] + cost"),
    "unsigned": ("u64", "u64", "0", "as_u64(cost)"),
    "float": (
        "float",
        "float",
        "0.0",
        "1e309 - 1e309 if cost % 5 == 0 else as_float(cost) / as_float(cost % 3)",
    ),
    "duration": ("Duration", "Duration", "0", "ns(3) if cost % 2 == 0 else self.served[client] - ns(1)"),
}


def program(value: str = "int") -> Program:
    names = dict(zip(("value", "least", "zero", "cost"), VALUES[value], strict=True))
    compiled = compile_text(IMPORTS + TEXT.format(**names))
    assert compiled.programs, [f"{d.code} {d.message}" for d in compiled.diagnostics]
    return compiled.programs[0]


def policy() -> Any:
    return build(program())()


# ---------------------------------------------------------------- the interpreter's meaning


@pytest.mark.parametrize("clients", [3, 60])
@pytest.mark.parametrize("value", VALUES)
def test_it_means_what_the_interpreter_means(value: str, clients: int) -> None:
    """Charges up and down, entries that go, arrivals, departures, assignments and images, in any order."""
    draw = random.Random(f"{value} {clients}")
    made = program(value)
    definition, emitted = Instance(made), build(made)()
    for _ in range(500):
        client = draw.randrange(clients)
        match draw.randrange(9):
            case 0 | 1 if client not in definition.waiting:
                definition.waiting.append(client)
                emitted.waiting.append(client)
            case 2 if client in definition.waiting:
                definition.waiting.remove(client)
                emitted.waiting.remove(client)
            case 3:
                hook = draw.choice(("leave", "forget"))
                definition.call(hook, (client,))
                getattr(emitted, hook)(client)
            case 4 if draw.random() < 0.1:
                given = draw.sample(range(clients), draw.randrange(clients))
                definition.waiting[:] = given
                emitted.waiting = given
            case 5 if draw.random() < 0.1:
                again, as_it_was = build(made)(), definition.image()
                again.waiting = list(emitted.waiting)
                restore(again, as_it_was)
                emitted = again
            case _:
                cost = draw.choice((draw.randrange(-3, 9), draw.randrange(-(2**63), 2**63)))
                definition.call("charge", (client, cost))
                emitted.charge(client, cost)
        definition.call("arrive", (client,))
        emitted.arrive(client)
        assert image(emitted) == definition.image()
        if definition.waiting:
            assert emitted.pick() == definition.call("pick", ())


def test_a_test_may_assign_the_state() -> None:
    p = policy()
    p.waiting = ["a", "b", "c"]
    p.served = {"a": 5, "b": 4, "c": 3}
    assert p.pick() == "c"
    p.served = {"a": 5, "c": 9}
    assert p.pick() == "b"
    p.served["b"] = 7
    assert p.pick() == "a"
    del p.served["c"]
    assert p.pick() == "c"
    p.waiting = ["b", "a"]
    assert p.pick() == "a"


def test_of_equals_the_oldest_is_picked() -> None:
    p = policy()
    p.waiting = ["b", "a", "c"]
    assert p.pick() == "b"
    p.waiting.append("b")  # it keeps its place
    assert p.pick() == "b"
    p.waiting.remove("b")
    p.waiting.append("b")
    assert p.pick() == "a"


def test_who_leaves_is_never_picked() -> None:
    p = policy()
    p.waiting = ["a", "b"]
    p.served = {"b": 3}
    assert p.pick() == "a"
    p.waiting.remove("a")
    p.waiting.remove("a")  # no matter
    assert p.pick() == "b"


def test_restoring_an_image_while_clients_wait() -> None:
    p, other = policy(), policy()
    p.waiting = [1, 2]
    p.served = {1: 10, 2: 20}
    assert p.pick() == 1
    other.served = {1: 20, 2: 10}
    restore(p, image(other))
    assert p.pick() == 2


def test_nobody_waits() -> None:
    with pytest.raises(ValueError, match="nobody waits"):
        policy().pick()


def test_only_a_tally_that_orders_the_waiting_has_a_heap() -> None:
    text = TEXT.format(value="int", least="int", zero="0", cost="self.other[client]")
    text = text.replace("    worked", "    other: Tally[Client, int] = tally(8)\n    worked")
    p = build(compile_text(IMPORTS + text).programs[0])()
    assert (type(p.served).__name__, type(p.other).__name__) == ("OrderedTally", "Tally")


# ---------------------------------------------------------------- how much it does


def test_a_heap_has_one_item_for_each_who_waits() -> None:
    p = policy()
    for round_ in range(5):
        for client in range(20):
            p.waiting.append(client)
            p.charge(p.pick(), 1)
            p.charge(client, 3 * round_)
        heap = p.served.heap
        assert len(heap) == len(p.waiting) == 20
        for client in range(20):
            p.waiting.remove(client)
        assert len(heap) == 0


class Counting(int):
    """A value that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: object) -> bool:
        Counting.compared += 1
        return int(self) < other  # type: ignore[operator]

    def __eq__(self, other: object) -> bool:
        Counting.compared += 1
        return int(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    "change",
    [lambda value: value + 500, lambda value: value - 500, lambda value: value + 1],
    ids=["grows", "shrinks", "grows by one"],
)
def test_a_charge_and_a_pick_cost_a_logarithm(change: Callable[[int], int]) -> None:
    """Of 4,096 who wait: fewer than 100 comparisons each, where a loop makes 4,096."""
    p = policy()
    p.waiting = range(4096)
    served: OrderedTally = p.served
    for client in range(4096):
        served[client] = Counting(client * 7919 % 4096)
    p.pick()
    Counting.compared = 0
    for _ in range(300):
        chosen = p.pick()
        served[chosen] = Counting(change(int(served[chosen])))
        p.pick()
    assert Counting.compared < 300 * 2 * 100
