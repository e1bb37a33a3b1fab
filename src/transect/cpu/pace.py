# SPDX-License-Identifier: Apache-2.0
"""Whether a simulated machine and its tasks make progress; if not, the policy's line that prevents it.

In a kernel each step takes time.  On a simulated machine none does, so a policy that asks again and again for something
that happens at once, or within some nanoseconds, keeps simulated time from going on.  And a task may wait for ever: the
kernel's watchdog ends a scheduler that lets one wait for as long as `PATIENCE_NS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from transect.base.diagnostic import Diagnostic, Diagnostics, Label
from transect.base.span import Span
from transect.core.ir import Program
from transect.cpu.calls import STARTS, TAKES, Calls
from transect.cpu.explain import puts

PATIENCE_NS = 30_000_000_000  # `TS_PATIENCE` of `runtime/scx.h`
WINDOW_NS = 1_000_000
STEPS, STEPS_CPU = (
    8_000,
    2_000,
)  # in a window: in all, and for each CPU; slices of 1 us take a third of them
STEPS_WAKE = 10  # further ones for each CPU each time that a task wakes up
SHORT_NS = 1_000  # an event sooner than that may keep time from going on

HELP = {
    "cpu.wake_cpu": "wake a CPU when a task has been put where it can take it, and not from its own `dispatch`",
    "cpu.preempt": "preempt a CPU when a task has been put that is to run in place of another",
    "cpu.set_alarm": "set the alarm for a later time",
    "cpu.Fifo.put_for": "give a slice of some microseconds at least",
    "cpu.Timeline.put_for": "give a slice of some microseconds at least",
    "cpu.start_first": "let only those tasks start first that run for a moment and then sleep",
}


class Standstill(Exception):
    """Simulated time does not go on."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics[0].message)


class Pace:
    """Counts the steps of a simulation in each window of time."""

    def __init__(self, program: Program, cpus: int) -> None:
        self.hook = ""  # the hook in which the policy is
        self._program = program
        self._cpus = cpus
        self._asked: Counter[tuple[str, str]] = (
            Counter()
        )  # hook and function of requests that take effect at once
        self._since = 0
        self._left = 0
        self._begin(0)

    def _begin(self, now: int) -> None:
        self._since = now
        self._left = STEPS + STEPS_CPU * self._cpus
        self._asked.clear()

    def ask(self, function: str, after_ns: int = 0) -> None:
        """The policy asks for something that happens after that time."""
        if after_ns < SHORT_NS:
            self._asked[self.hook, function] += 1

    def wake(self) -> None:
        """A task wakes up, which the policy has not caused."""
        self._left += STEPS_WAKE * self._cpus

    def step(self, now: int) -> None:
        """Raises `Standstill`."""
        if now - self._since >= WINDOW_NS:
            self._begin(now)
        self._left -= 1
        if self._left < 0:
            raise Standstill(self._standstill(now))

    def _standstill(self, now: int) -> Diagnostics:
        (hook, function), _ = next(iter(self._asked.most_common(1)), (("dispatch", ""), 0))
        handler = self._program.handler(hook) or self._program.handlers[0]
        spans = [call.span for call, _ in Calls(self._program).of(handler) if call.name == function]
        diagnostics = Diagnostics()
        diagnostics.error(
            "C010",
            f"simulated time does not go on: at {now / 1e9:.6f} s, steps of the policy follow each other without end",
            spans[0] if spans else handler.span,
            label="asked for again and again",
            others=(Label(handler.span, "in this hook"),) if spans else (),
            help=HELP.get(function, "let each task run for some microseconds at least"),
            note="in a kernel the CPU would do nothing else",
        )
        return diagnostics


@dataclass(frozen=True, slots=True)
class Starved:
    """A task that could run and did not, for as long as the kernel's watchdog allows."""

    task: str
    held: str  # where it waits: a queue, `NAME.on(N)` of many, `cpu N`
    since_ns: int
    waited_ns: int

    @property
    def where(self) -> str:
        return f"the own queue of {self.held}" if self.held.startswith("cpu ") else f"the queue `{self.held}`"


def starvation(program: Program, starved: Iterable[Starved]) -> Diagnostics:
    """An error for each starved task, at the line that put it where it waits."""
    diagnostics = Diagnostics()
    for one in starved:
        queue = one.held.partition(".")[0]
        at, label, others, help = _own(program) if one.held.startswith("cpu ") else _shared(program, queue)
        diagnostics.error(
            "C011",
            f"`{one.task}` could run from {one.since_ns / 1e9:.3f} s on and did not for {one.waited_ns / 1e9:.0f} s: it"
            f" waited in {one.where}",
            at,
            label=label,
            others=others,
            help=help,
            note=f"the kernel's watchdog would have ended the scheduler at {(one.since_ns + PATIENCE_NS) / 1e9:.3f} s",
        )
    return diagnostics


Place: TypeAlias = tuple[Span, str, tuple[Label, ...], str]  # where, its label, others, what helps


def _shared(program: Program, queue: str) -> Place:
    """The place of a task in a queue of the policy's."""
    dispatch = program.handler("dispatch")
    others = (Label(dispatch.span, "did not take it"),) if dispatch else ()
    at = puts(program, queue) or [program.handlers[0].span]
    return (
        at[0],
        "put here",
        others,
        f"let `dispatch` come to `{queue}` again and again, whatever waits elsewhere",
    )


def _own(program: Program) -> Place:
    """The place of a task in a CPU's own queue."""
    calls = Calls(program)
    written = [h for h in program.handlers if not h.default]
    found = [call.span for h in written for call, _ in calls.of(h) if call.name in STARTS | TAKES]
    help = "let what runs there come to an end: see `keep`, and what is started before others"
    return (found or [program.handlers[0].span])[0], "given to the CPU here", (), help
