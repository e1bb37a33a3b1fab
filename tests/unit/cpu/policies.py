# SPDX-License-Identifier: Apache-2.0
"""Schedulers that tests use, and what is said of them."""

from __future__ import annotations

from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.base.shipped import path_of, paths
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Program
from transect.cpu.check import check

SCHEDULERS = tuple(path for path in paths("cpu") if path.stem != "fair_share")
ARBITERS = (path_of("fair_share"),)
IMPORTS = (
    "\nfrom transect.cpu import Fifo, Fifos, Hint, NodeFifos, NodeTimelines, Said, Scheduler, Task, Timeline,"
    " Timelines, cpus, here, idle_cpu, node_of, nodes, preempt, set_alarm, start, start_first, wake_cpu\n"
    "from transect.lang import Array, Counter, Duration, Local, Map, Param, Tally, array, counter, given, local,"
    " hash64, ms, now, parse_int\n"
    "from transect.lang import OldState, as_u64, param, rand_below, state, table, tally, u8, u16, u64\n"
)
CLASS = """

class {}(Scheduler):
    ready: Fifo = given()
"""
HEAD = IMPORTS + CLASS.format("P")


def example(name: str) -> Program:
    (program,) = compile_file(path_of(name)).programs
    return program


def scheduler(body: str, *, name: str = "P", before: str = "") -> Program:
    """A policy with a queue `ready`; what it does not write is that of a FIFO.  `before`: classes that it uses."""
    text = IMPORTS + before + CLASS.format(name) + body
    if "def enqueue" not in body:
        text += "\n    def enqueue(self, task: Task) -> None:\n        self.ready.put(task)\n"
    if "def dispatch" not in body:
        text += "\n    def dispatch(self, cpu: int) -> None:\n        self.ready.take()\n"
    compiled = compile_text(text, "p.py")
    assert not compiled.diagnostics.failed, render_text(compiled.diagnostics, compiled.sources)
    return compiled.programs[0]


def said(body: str, before: str = "") -> str:
    """The diagnostics of a scheduler, as they are shown."""
    program = scheduler(body, before=before)
    diagnostics = Diagnostics()
    for diagnostic in check(program):
        diagnostics.add(diagnostic)
    return render_text(diagnostics, {})
