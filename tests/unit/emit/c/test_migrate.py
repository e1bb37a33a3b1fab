# SPDX-License-Identifier: Apache-2.0
"""Policies that migrate old state, in C: what serves is emitted without it; as C it means what it means anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import transect
from tests.unit.core.running import IMPORTS, compiled
from tests.unit.emit.c.machine import STRICT, Session, build, compile_c, interpreted, shown
from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.schema import schema
from transect.core.upgrade import upgrade
from transect.emit.c import emit, lower
from transect.emit.py.image import image

POLICY = """
@struct
class Pair:
    a: int
    b: u8 = 3
class V1(OldState):
    served: Tally[str, int] = tally(8)
    pairs: Map[int, Pair] = table(4)
    level: u8 = 0
    word: str = text(3)
class P(Arbiter):
    counts: Map[str, int] = table(2)
    level: int = 0
    word: str = text(2)
    total: int = 0
    kept: int = 7
    def _twice(self, x: int) -> int:
        return x * 2
    def migrate(self, old: V1) -> None:
        self.level = old.level + 1
        self.word = old.word
        for who in old.served:
            self.counts[who] = self._twice(old.served[who])
        self.total = sum(p.a + p.b for p in old.pairs.values()) + len(old.served)
    def charge(self, client: Client, cost: int) -> None:
        self.kept += cost
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""
OLD = """
@struct
class Pair:
    a: int
    b: u8 = 3
class P(Arbiter):
    served: Tally[str, int] = tally(8)
    pairs: Map[int, Pair] = table(4)
    level: u8 = 0
    word: str = text(3)
    kept: int = 7
    def charge(self, client: Client, cost: int) -> None:
        self.served["a" if cost > 5 else "b" if cost > 2 else "c"] += cost
        self.pairs[cost] = Pair(cost, cost)
        self.level += cost
        self.word = "xyz" if cost > 7 else "x"
        self.kept = cost
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""


def with_old_state(program: Program) -> Program:
    """A program in which the old fields are fields, as an upgrade runs it."""
    old = tuple(replace(f, kind=FieldKind.STATE) for f in program.old_state)
    return replace(program, state=(*program.state, *old), old_state=())


def old_version(*costs: int) -> Instance:
    old = Instance(compiled(OLD))
    for cost in costs:
        old.call("charge", (1, cost))
    return old


def test_a_migration_in_c_is_that_of_the_interpreter(tmp_path: Path) -> None:
    program = with_old_state(compiled(POLICY))
    session, wanted = Session(build([program], tmp_path), [program]), []
    for costs in ((), (1,), (9, 3, 250), (7, 6, 1, 300, 4)):
        instance, old = Instance(program), old_version(*costs)
        for f in old.program.state:
            if f"old.{f.name}" in instance.state:
                instance.state[f"old.{f.name}"] = old.state[f.name]
        session.start()
        session.load(instance.image())
        session.call("migrate", None)
        wanted += [True, interpreted(instance, "migrate", None)]
    assert [found if isinstance(found, bool) else shown(found) for found in session.run()] == wanted


def test_what_serves_is_emitted_without_it(tmp_path: Path) -> None:
    program = compiled(POLICY)
    assert "migrate" not in lower(program).prototypes
    emit(program).write(tmp_path)
    compile_c(tmp_path, "-c", "p.c", flags=(*STRICT, "-O1"))
    assert "old" not in (tmp_path / "p.h").read_text()


def test_every_target_goes_on_from_the_migrated_image(tmp_path: Path) -> None:
    from transect.emit.py.image import restore

    program, old = compiled(POLICY), old_version(6, 3, 7)
    taken = upgrade(old.image(), schema(old.program), program)
    instance = Instance(program)
    instance.load(taken)
    emitted = transect.load(IMPORTS + POLICY).P()
    restore(emitted, taken)
    session = Session(build([program], tmp_path), [program])
    session.start()
    session.load(taken)
    session.call("charge", 1, 5)
    wanted = interpreted(instance, "charge", 1, 5)
    emitted.charge(1, 5)
    assert [shown(f) for f in session.run()[1:]] == [wanted]
    assert image(emitted) == instance.image()
