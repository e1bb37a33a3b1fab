# SPDX-License-Identifier: Apache-2.0
"""Proofs about schedulers: queues are the kernel's, so what is put and taken is something done, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.analysis.diff import Difference, diff
from transect.analysis.prove import Finding, Prover, Verdict
from transect.cli.worlds import world_of
from transect.core.frontend import compile_text
from transect.core.frontend.contracts import compile_contracts, contracted
from transect.core.ir import Program

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.cpu import Fifo, Fifos, Scheduler, Task, here
from transect.lang import ensures, given, invariant

"""
PROMISE = """
@invariant(lambda self: self.n <= 51)
class D(Scheduler):
    q: Fifo = given()
    n: int = 0

    @ensures(lambda self, task: self.n <= MOST)
    def enqueue(self, task: Task) -> None:
        if self.n < 50:
            self.n += 1
        self.q.put(task)

    def dispatch(self, cpu: int) -> None:
        self.q.take()
"""
TWO = """
class D(Scheduler):
    fast: Fifo = given()
    slow: Fifo = given()
    each: Fifos = given()
    rate: int = 0

    def enqueue(self, task: Task) -> None:
        if self.rate >= 10 and task.weight > 0:
            self.fast.put(task)
        else:
            self.slow.put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.fast.take():
            if not self.slow.take():
                self.each.on(cpu).take()
"""


def program(text: str) -> Program:
    (found,) = compile_text(HEAD + text).programs
    return found


def findings(path: Path, most: int) -> list[Finding]:
    path.write_text(HEAD + PROMISE.replace("MOST", str(most)))
    (made,) = compile_contracts(path).programs
    return [f for f in Prover(contracted(made), world_of(made)).run() if f.kind == "ensures"]


def compared(new: str) -> Difference:
    a, b = program(TWO), program(new)
    return diff(a, b, world_of(a, b))


def test_a_promise_of_a_hook_that_puts_a_task_is_broken_with_the_state_before(tmp_path: Path) -> None:
    (found,) = findings(tmp_path / "d.py", 50)
    assert found.verdict is Verdict.BROKEN and found.example is not None
    assert found.example.state == {"n": 51} and found.example.after == {}


def test_the_promise_that_holds_is_proved(tmp_path: Path) -> None:
    (found,) = findings(tmp_path / "d.py", 51)
    assert found.verdict is Verdict.PROVED


def test_the_same_scheduler_is_the_same() -> None:
    assert compared(TWO.replace("self.rate >= 10 and task.weight > 0", "not self.rate < 10")).same


@pytest.mark.parametrize(
    ("old", "new", "hook", "shows"),
    [
        ("self.rate >= 10", "self.rate > 10", "enqueue", "calls self.slow.put(task)"),
        ("task.weight > 0", "task.weight > 1", "enqueue", "calls self.slow.put(task)"),
        ("self.each.on(cpu)", "self.each.on(0)", "dispatch", "calls self.each.on(0).take()"),
    ],
)  # fmt: skip
def test_another_queue_is_a_difference_that_is_shown(old: str, new: str, hook: str, shows: str) -> None:
    assert old in TWO
    found = compared(TWO.replace(old, new))
    assert [c.hook for c in found.changes] == [hook] and not found.open
    assert shows in found.changes[0].example.new and shows not in found.changes[0].example.old


def test_queues_taken_from_in_another_order_are_a_difference() -> None:
    swapped = (
        TWO.replace("fast.take", "FIRST").replace("slow.take", "fast.take").replace("FIRST", "slow.take")
    )
    (change,) = compared(swapped).changes
    assert change.example.old.startswith("None; calls self.fast.take()")
    assert change.example.new.startswith("None; calls self.slow.take()")


def test_who_only_looks_does_nothing() -> None:
    asked = TWO.replace("if self.rate >= 10", "if here() == here() and self.rate >= 10")
    assert compared(asked).same
