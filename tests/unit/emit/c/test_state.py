# SPDX-License-Identifier: Apache-2.0
"""State in C: images that go out and come in, parameters, waiting clients and their heaps."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.emit.c.machine import Session, build, interpreted, shown
from transect.core.codec import encode
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.core.types import INT
from transect.emit.c import lower

EVERYTHING = """
from enum import IntEnum

from transect.lang import (
    Array, Counter, Duration, Histogram, Instant, Map, Ordered, Param, Tally, array, blob, counter, histogram, i16,
    lru, now, ordered, param, state, struct, table, tally, text, u8,
)
from transect.shapes import Arbiter, Client


class Colour(IntEnum):
    RED = 0
    BLUE = 7


@struct
class Pair:
    a: int
    b: u8 = 3
    t: str = text(4)


class P(Arbiter):
    limit: Param[int] = param(5)
    word: Param[str] = param("abc")
    flag: bool = True
    real: float = 0.5
    small: i16 = -3
    colour: Colour = Colour.BLUE
    data: bytes = blob(8)
    when: Instant = 0
    maybe: int | None = state(4)
    pair: Pair = Pair(1)
    pairs: Map[str, Pair] = table(3, key=text(3))
    tuples: Map[tuple[int, bool], float] = table(4)
    served: Tally[Client, int] = tally(4)
    queue: Ordered[str, int] = ordered(4, key=text(3))
    recent: Map[int, str] = lru(3, value=text(4))
    slots: Array[u8] = array(4)
    calls: Counter = counter()
    took: Histogram = histogram()

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, client: Client, cost: int) -> None:
        name = "a" if cost % 3 == 0 else "bb" if cost % 3 == 1 else "long"
        self.pairs[name] = Pair(cost, cost, "xy")
        self.tuples[cost % 5, cost > 4] = 0.5
        self.served[client] += cost
        self.queue["q" if cost % 2 == 0 else "p"] = cost
        if cost % 4 == 0:
            self.queue.pop_first()
        self.recent[cost % 5] = "r"
        if self.recent.get(cost % 3, "") == "r":
            self.flag = not self.flag
        self.slots[cost % 4] = cost
        self.calls.add(cost)
        self.took.observe(cost)
        self.pair.t = "12345" if cost == 7 else "1234"
        self.maybe = cost if cost % 2 == 0 else None
        self.when = now()
        self.real = self.real / 3.0
        if cost > 5 and "a" in self.pairs:
            del self.pairs["a"]
"""


def policy(text: str, name: str = "P") -> Program:
    compiled = compile_text(text)
    assert compiled.programs, [f"{d.code} {d.message}" for d in compiled.diagnostics]
    return compiled.program(name)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    program = policy(EVERYTHING)
    return program, build([program], tmp_path_factory.mktemp("everything"))


def test_images_are_those_of_the_interpreter(everything: tuple[Program, Path]) -> None:
    program, binary = everything
    session, instance = Session(binary, [program]), Instance(program)
    session.start()
    wanted: list[object] = []
    session.show()
    wanted.append(instance.image())
    for cost in (0, 1, 2, 3, 4, 8, 5, 6, 7, 9, 10, 300):
        session.call("charge", cost % 6, cost, now=cost)
        interpreted(instance, "charge", cost % 6, cost, now=cost)
        session.show()
        wanted.append(instance.image())
    assert session.run()[::2] == wanted


def test_an_image_is_loaded_and_goes_on_as_before(everything: tuple[Program, Path]) -> None:
    program, binary = everything
    instance = Instance(program)
    for cost in (0, 1, 2, 3, 4, 8, 5, 6, 7):
        interpreted(instance, "charge", cost % 6, cost, now=cost)
    session = Session(binary, [program])
    session.start()
    session.load(instance.image())
    session.show()
    images = [instance.image()]
    for cost in (4, 9, 3, 8):
        session.call("charge", cost % 6, cost)
        interpreted(instance, "charge", cost % 6, cost)
        session.show()
        images.append(instance.image())
    loaded, *rest = session.run()
    assert loaded is True
    assert [rest[0], *rest[2::2]] == images


def test_what_is_no_image_is_refused_and_changes_nothing(everything: tuple[Program, Path]) -> None:
    program, binary = everything
    instance = Instance(program)
    for cost in (0, 1, 2, 3, 5):
        interpreted(instance, "charge", cost % 6, cost)
    image = instance.image()
    broken = [image[:size] for size in range(0, len(image), 7)] + [image + b"\0"]
    for place in range(len(image)):
        changed = bytearray(image)
        changed[place] ^= 0x80
        broken.append(bytes(changed))
    session = Session(binary, [program])
    session.start()
    for each in broken:
        session.load(image)
        session.load(each)
        session.show()
    found = session.run()
    for index, each in enumerate(broken):
        first, second, after = found[3 * index : 3 * index + 3]
        assert first is True
        assert second is readable(program, each), f"byte {index}"
        assert after == (each if second else image)


def readable(program: Program, image: bytes) -> bool:
    """Whether the definition of images takes it."""
    try:
        Instance(program).load(image)
    except Exception:
        return False
    return True


def test_parameters_are_set(everything: tuple[Program, Path]) -> None:
    program, binary = everything
    session, instance = Session(binary, [program]), Instance(program)
    session.start()
    for index, (name, value) in enumerate([("limit", 9), ("word", "x" * 64), ("word", "x" * 65)]):
        instance.set_param(name, value)
        encoded = (
            encode(program.field(name).type, value) if index < 2 else (65).to_bytes(4, "little") + b"x" * 65
        )
        session.requests.set(0 if name == "limit" else 1, encoded)
        session.readers.append(lambda reader: reader.integer(1) == 1)
    session.show()
    first, second, third, image = session.run()
    assert (first, second) == (True, True)
    assert third is False
    assert image[:8] == encode(INT, 9)


# ---------------------------------------------------------------- heaps

PICKS = """
from transect.lang import Duration, Tally, tally, u8
from transect.shapes import Arbiter, Client


class P(Arbiter):
    served: Tally[Client, int] = tally(64)
    share: Tally[Client, float] = tally(64)
    small: Tally[Client, u8] = tally(3)
    level: int = 0

    def arrive(self, client: Client) -> None:
        floor = min((self.served[c] for c in self.waiting), default=self.level)
        self.served[client] = max(self.served[client], floor)

    def pick(self) -> Client:
        if self.level % 3 == 0:
            return min(self.waiting, key=self.served.get)
        if self.level % 3 == 1:
            return min(self.waiting, key=self.share.get)
        return min(self.waiting, key=self.small.get)

    def charge(self, client: Client, cost: int) -> None:
        self.level += 1
        self.served[client] += cost
        self.small[client] = cost
        if cost % 5 == 0:
            self.share[client] /= 0.0
        elif cost % 5 == 1:
            self.share[client] = -1.0 / 0.0 + 1.0 / 0.0
        else:
            self.share.put(client, 1.0)
        if cost % 7 == 0:
            del self.served[client]
        if cost % 11 == 0:
            self.served.put(client, -cost)
"""


def test_heaps_pick_what_loops_pick(tmp_path: Path) -> None:
    """Ties, NaN, tallies beyond their hint, deletions: a few thousand steps with up to 40 who wait."""
    program = policy(PICKS)
    assert lower(program).unit.heaps == ("served", "share", "small")
    session, instance = Session(build([program], tmp_path), [program]), Instance(program)
    session.start()
    rng = random.Random(5)
    wanted = []
    for _ in range(3000):
        client, cost = rng.randrange(40), rng.randint(-20, 20)
        hook, args = rng.choice([("arrive", (client,)), ("charge", (client, cost)), ("pick", ())])
        waiting = list(instance.waiting)
        if hook == "pick" and not waiting:
            continue
        if rng.random() < 0.3:
            waiting = rng.sample(range(40), rng.randrange(1, 40))
        elif client in waiting and rng.random() < 0.5:
            waiting.remove(client)
        elif client not in waiting:
            waiting.append(client)
        if hook == "pick" and not waiting:
            continue
        if waiting != instance.waiting:
            session.requests.waiting(waiting)
            instance.waiting[:] = waiting
        session.call(hook, *args)
        wanted.append(interpreted(instance, hook, *args))
    assert [shown(found) for found in session.run()] == wanted


def test_a_load_puts_the_heaps_in_order(tmp_path: Path) -> None:
    program = policy(PICKS)
    session, instance = Session(build([program], tmp_path), [program]), Instance(program)
    for client in range(10):
        instance.call("charge", (client, 2 * client + 22))  # the eleventh deletes no one
    image = instance.image()
    session.start()
    session.requests.waiting(list(range(9, -1, -1)))
    session.load(image)
    instance.waiting[:] = range(9, -1, -1)
    wanted = []
    for _ in range(12):
        session.call("pick")
        chosen, _ = result = interpreted(instance, "pick")
        wanted.append(result)
        session.call("charge", chosen, 33)
        wanted.append(interpreted(instance, "charge", chosen, 33))
    loaded, *found = session.run()
    assert loaded is True
    assert [shown(f) for f in found] == wanted
