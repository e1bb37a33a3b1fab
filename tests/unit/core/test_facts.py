# SPDX-License-Identifier: Apache-2.0
"""Facts about random programs, held against what the interpreter does when it runs them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import pytest

from tests.fuzz.calls import Call, Facts, calls
from tests.fuzz.choices import Choices
from tests.fuzz.generator import program as random_text
from transect.core import ir
from transect.core import types as t
from transect.core.bounds import Bounds
from transect.core.codec import Slot, encode
from transect.core.effects import Facts as Analysis
from transect.core.effects import nodes
from transect.core.frontend import compile_text
from transect.core.interp import Instance, Run
from transect.core.order import order_dependence
from transect.core.passes.flatten import flatten
from transect.core.text import dump, parse
from transect.core.values import normal
from transect.core.verify import require

SEEDS = range(20)


@cache
def programs() -> tuple[ir.Program, ...]:
    found = (compile_text(random_text(Choices.of_seed(seed))) for seed in SEEDS)
    return tuple(p for compiled in found for p in compiled.programs)


def test_random_programs_are_well_formed_and_come_back_from_text() -> None:
    assert len(programs()) == len(SEEDS)
    for program in programs():
        require(program, ir.Stage.CHECKED)
        for flat in (
            flatten(program),
            flatten(program, lambda e: not isinstance(e, ir.Const | ir.Local), loops=True),
        ):
            require(flat, ir.Stage.FLAT)
            assert parse(dump(flat)) == flat
        assert parse(dump(program)) == program


@dataclass(slots=True)
class Watch:
    """What one call did."""

    steps: int = 0
    tape: int = 0


class Watched(Run):
    """Counts nodes, and may go over loops in another order."""

    watch: Watch
    shuffled: frozenset[int] = frozenset()  # ids of sources
    rng: random.Random

    def evaluate(self, e: ir.Expr, frame: dict[str, Any]) -> Any:
        self.watch.steps += 1
        return super().evaluate(e, frame)

    def execute(self, s: ir.Stmt, frame: dict[str, Any]) -> Any:
        self.watch.steps += 1
        return super().execute(s, frame)

    def items(self, source: ir.Source, frame: dict[str, Any]) -> Iterable[Any]:
        found = super().items(source, frame)
        if id(source) not in self.shuffled:
            return found
        mixed = list(found)
        self.rng.shuffle(mixed)
        return mixed


class CountingTape(Facts):
    def __init__(self, call: Call, watch: Watch) -> None:
        super().__init__(call)
        self._watch = watch

    def now(self) -> int:
        self._watch.tape += 1
        return super().now()

    def draw(self) -> int:
        self._watch.tape += 1
        return super().draw()


def run(
    instance: Instance, call: Call, shuffled: frozenset[int] = frozenset(), mixing: int = 0
) -> tuple[Any, Watch]:
    """One call, watched."""
    watch = Watch()
    watched = Watched(instance, CountingTape(call, watch), {}, {"trace": lambda text: None})
    watched.watch, watched.shuffled, watched.rng = watch, shuffled, random.Random(call.seed + mixing)
    if "waiting" in instance.state:
        instance.waiting[:] = call.waiting
    return normal(watched.call(instance.handlers[call.hook], call.args)), watch


def played() -> Iterator[tuple[ir.Program, Instance, Call, bytes]]:
    """Every program, with calls in a row and the state before each."""
    for number, program in enumerate(programs()):
        instance = Instance(program)
        for call in calls(program, number, 12):
            yield program, instance, call, instance.image()


def contents(instance: Instance) -> dict[str, bytes]:
    """The state by field; what is kept by a stratum's own key has no order of its own."""
    found = {}
    for f in instance.program.state:
        if f.kind in (ir.FieldKind.STATE, ir.FieldKind.PARAM):
            found[f.name] = _content(f.type, instance.slots()[f.name])
    return found


def _content(of: t.Type, slot: Slot) -> bytes:
    if isinstance(of, t.TableType) and isinstance(of.key, t.KeyType):
        return repr((sorted((k, normal(v)) for k, v in slot.value.entries()), slot.overflow)).encode()
    return encode(of, slot.value) + slot.overflow.to_bytes(8, "little")


def sizes(instance: Instance) -> dict[str, int]:
    found = {
        f.name: instance.state[f.name] for f in instance.program.state if isinstance(f.type, t.TableType)
    }
    return {name: len(table.entries()) for name, table in found.items()}


def test_no_call_exceeds_its_bounds() -> None:
    closest = 0.0
    for program, instance, call, _ in played():
        budget = Bounds(program).handler(instance.handlers[call.hook])
        before = sizes(instance)
        _, watch = run(instance, call)
        given = {"waiting": len(call.waiting)}
        for name, size in sizes(instance).items():  # a table kept by client has as many as there are
            given[name] = max(size, before[name])
        steps = sum(n * prod(given[d] for d in data) for data, n in budget.steps.terms.items())
        tape = sum(n * prod(given[d] for d in data) for data, n in budget.tape.terms.items())
        assert watch.steps <= steps and watch.tape <= tape, dump(program)
        closest = max(closest, watch.steps / steps)
    assert closest >= 0.9


def test_what_changes_is_among_the_writes() -> None:
    changes = 0
    for program, instance, call, _ in played():
        found = Analysis(program).of(instance.handlers[call.hook])
        before = contents(instance)
        run(instance, call)
        changed = {name for name, content in contents(instance).items() if content != before[name]}
        assert changed <= found.written_fields, dump(program)
        changes += len(changed)
    assert changes > 60


def test_a_verdict_is_among_the_verdicts() -> None:
    for program, instance, call, _ in played():
        handler = instance.handlers[call.hook]
        kinds = Analysis(program).verdicts(handler)
        result, _ = run(instance, call)
        if kinds:
            assert ("None" if result is None else result[0]) in kinds, dump(program)


@pytest.mark.parametrize("mixing", range(1, 3))
def test_a_loop_without_a_reason_means_the_same_in_every_order(mixing: int) -> None:
    mixed = 0
    for program, instance, call, before in played():
        facts = Analysis(program)
        handler = instance.handlers[call.hook]
        free = [
            id(n.source)
            for f in (handler, *program.functions)
            for n in nodes(f)
            if isinstance(n, ir.For | ir.Reduce) and not order_dependence(facts, n, f)
        ]
        result, _ = run(instance, call)
        if not free:
            continue
        mixed += 1
        again = Instance(program)
        again.load(before)
        other, _ = run(again, call, frozenset(free), mixing)
        assert other == result, f"{call}\n{dump(program)}"
        assert contents(again) == contents(instance), f"{call}\n{dump(program)}"
    assert mixed > 10


# ---------------------------------------------------------------- loops of few lines, which nearly commute

FIELDS = """
    n: int = 0
    best: int = 0
    f: float = 0.0
    t: Tally[Client, int] = tally(8)
    u: Tally[int, int] = tally(3)
    m: Map[int, int] = table(8)
    a: Array[int] = array(4)
"""
SOURCES = ("self.waiting", "range(4)", "self.m", "self.a", "{self.t[w] % 3 for w in self.waiting}")
VALUES = (
    "1",
    "k",
    "x",
    "y",
    "self.n",
    "self.best",
    "self.a[1]",
    "self.u[2]",
    "self.m.get(k, 3)",
    "len(self.u)",
)
LINES = (
    *(
        "x = {e}",
        "x += {e}",
        "x = max(x, {e})",
        "x = {e} - x",
        "y = {e}",
        "y += x",
        "x, y = y, x",
        "x ^= {e}",
    ),
    *(
        "self.n = {e}",
        "self.n += {e}",
        "self.n = min(self.n, {e})",
        "self.best = max(self.best, {e})",
        "self.n *= 2",
    ),
    *(
        "self.u[k] += {e}",
        "self.u[{e}] += 1",
        "self.u[k] = {e}",
        "self.m[k] = {e}",
        "del self.m[k]",
        "del self.u[k]",
    ),
    *("self.a[1] = {e}", "self.a[2] += {e}", "self.f += 0.1", "self.u[k] = max(self.u[k], {e})"),
    *("x += k\nself.n += x", "x = max(x, k)\nself.a[k % 4] += x"),
    *("if {e} > 2:\n    {s}", "if x > 1:\n    break", "if {e} == 3:\n    return", "if k == 1:\n    continue"),
)


def _line(rng: random.Random, depth: int = 1) -> str:
    line = rng.choice(LINES if depth else LINES[:-4])
    inner = _line(rng, 0) if "{s}" in line else ""
    return line.replace("{e}", rng.choice(VALUES)).replace("{s}", inner)


def loop_text(seed: int) -> str:
    """A policy whose `arrive` is a loop of a few lines, between the making and the use of two locals."""
    rng = random.Random(seed)
    source = rng.choice(SOURCES)
    lines = [_line(rng) for _ in range(rng.randint(1, 3))]
    if source == "self.waiting":  # a client is no number
        lines = ["k = self.t[c]", *lines]
    body = [f"for {'c' if source == 'self.waiting' else 'k'} in {source}:"]
    body += ["    " + piece for line in lines for piece in line.split("\n")]
    whole = ["x = 0", "y = 1", *body, *rng.sample(["self.n += x", "self.best = y"], rng.randint(0, 2))]
    return "\n".join(
        [
            "from transect.lang import Array, Map, Tally, array, table, tally",
            "from transect.shapes import Arbiter, Client",
            "class P(Arbiter):" + FIELDS,
            "    def pick(self) -> Client:\n        return min(self.waiting, key=self.t.get)",
            "    def arrive(self, client: Client) -> None:",
            *("        " + line for line in whole),
        ]
    )


def started(program: ir.Program, rng: random.Random) -> Instance:
    instance = Instance(program)
    for key in range(rng.randrange(4)):
        instance.state["m"][rng.randrange(6)] = rng.randrange(5)
        instance.state["u"][key] = rng.randrange(3)
    for client in range(1, 6):
        instance.state["t"][client] = rng.randrange(6)
    for index in range(4):
        instance.state["a"][index] = rng.randrange(4)
    return instance


def test_loops_that_nearly_commute() -> None:
    free = bound = 0
    for seed in range(400):
        compiled = compile_text(loop_text(seed))
        if compiled.diagnostics.failed:
            continue
        (program,) = compiled.programs
        arrive = program.handler("arrive")
        assert arrive is not None
        loop = next(n for n in nodes(arrive) if isinstance(n, ir.For))
        if order_dependence(Analysis(program), loop, arrive):
            bound += 1
            continue
        free += 1
        for mixing in range(6):
            rng = random.Random(mixing)
            one = started(program, rng)
            two = Instance(program)
            two.load(one.image())
            call = Call("arrive", (1,), tuple(rng.sample(range(1, 6), rng.randrange(6))), 0, 0)
            run(one, call)
            run(two, call, frozenset({id(loop.source)}), mixing)
            assert contents(one) == contents(two), f"{call}\n{loop_text(seed)}"
    assert free > 40 and bound > 40, (free, bound)
