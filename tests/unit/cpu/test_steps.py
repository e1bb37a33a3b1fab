# SPDX-License-Identifier: Apache-2.0
"""A call of a scheduler is short: loops, helpers and what they ask of the kernel multiplied out."""

from __future__ import annotations

import time
from importlib.resources import files

import pytest
from inline_snapshot import snapshot

from tests.unit.cpu.policies import ARBITERS, SCHEDULERS, said, scheduler
from transect.core.bounds import Steps
from transect.core.frontend import compile_file
from transect.cpu.check import check
from transect.cpu.steps import CPUS, LIMIT, step, too_long

NEST = "for i in range({0}):\n    for j in range({0}):\n        self.n += i * j"


def dispatch(lines: str, before: str = "") -> str:
    body = "".join(f"        {line}\n" for line in lines.splitlines())
    fields = "    n: int = 0\n    many: Fifos = given()\n"
    return f"{fields}{before}\n    def dispatch(self, cpu: int) -> None:\n{body}        self.ready.take()\n"


def test_loops_in_each_other_are_refused_with_the_sum_and_the_line() -> None:
    assert said(dispatch(NEST.format(1000))) == snapshot("""\
error[C012]: a call of `dispatch` may take 6,005,017 steps, and 1,000,000 are the most here
 --> p.py:13:9
  | 6,005,004 steps
  | the hook (line 12)
  = help: lower the bound of a loop, or do a part of it in each call
  = note: meanwhile its CPU does nothing else, not even interrupts\
""")


@pytest.mark.parametrize(("rounds", "refused"), [(400, False), (420, True)])
def test_about_a_million_steps_are_the_most(rounds: int, refused: bool) -> None:
    program = scheduler(dispatch(NEST.format(rounds)))
    assert [d.code for d in check(program)] == ["C012"] * refused
    (steps,) = [Steps(program, step).of(h) for h in program.handlers if h.name == "dispatch"]
    assert (steps > LIMIT) == refused


@pytest.mark.parametrize(
    ("line", "most"),
    [("if self.many.on((cpu + i) % cpus()).take():\n        return", 30_000), ("self.many.steal(i)", 97)],
)
def test_what_the_kernel_is_asked_counts_for_more(line: str, most: int) -> None:
    """The queue of each of 1,024 CPUs may be looked at, and not that of each for each."""

    def codes(rounds: int) -> list[str]:
        return [d.code for d in check(scheduler(dispatch(f"for i in range({rounds}):\n    {line}")))]

    assert codes(most) == [] and codes(2 * most) == ["C012"]


def test_helpers_that_call_the_next_one_twice_are_refused_at_once() -> None:
    name = "    def _h{}(self) -> None:\n"
    helpers = [name.format(n) + 2 * f"        self._h{n + 1}()\n" + "\n" for n in range(20)]
    before = "".join(helpers) + name.format(20) + "        self.n += 1\n"
    program = scheduler(dispatch("self._h0()", before))
    began = time.process_time()
    assert [d.code for d in check(program)] == ["C012"]
    assert time.process_time() - began < 1


def test_the_examples_are_far_below_and_cpus_are_those_of_the_runtime() -> None:
    for path in (*SCHEDULERS, *ARBITERS):
        (program,) = compile_file(path).programs
        assert list(too_long(program)) == []
        steps = Steps(program, step)
        assert max(steps.of(handler) for handler in program.handlers) < LIMIT / 20, path.stem
    assert f"#define TS_CPUS {CPUS}\n" in (files("transect.cpu") / "runtime" / "scx.h").read_text()
