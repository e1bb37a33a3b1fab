# SPDX-License-Identifier: Apache-2.0
"""Facts about random programs, held against what the interpreter does when it runs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from tests.fuzz.calls import Call, Facts, calls
from tests.fuzz.choices import Choices
from tests.fuzz.generator import program as random_text
from transect.core import ir
from transect.core import types as t
from transect.core.bounds import Bounds
from transect.core.codec import Slot, encode
from transect.core.effects import Facts as Analysis
from transect.core.frontend import compile_text
from transect.core.interp import Instance, Run
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
    """Counts nodes."""

    watch: Watch

    def evaluate(self, e: ir.Expr, frame: dict[str, Any]) -> Any:
        self.watch.steps += 1
        return super().evaluate(e, frame)

    def execute(self, s: ir.Stmt, frame: dict[str, Any]) -> Any:
        self.watch.steps += 1
        return super().execute(s, frame)


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


def run(instance: Instance, call: Call) -> tuple[Any, Watch]:
    """One call, watched."""
    watch = Watch()
    watched = Watched(instance, CountingTape(call, watch), {}, {"trace": lambda text: None})
    watched.watch = watch
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
