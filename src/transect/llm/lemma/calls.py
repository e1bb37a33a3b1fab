# SPDX-License-Identifier: Apache-2.0
"""Short sequences of calls on which a step about charges fails: one request of one client, alone, on the interpreter.

However a policy charges for tokens, each token of output costs something when it is used, unless it was charged ahead;
the end of a request takes back what was charged ahead and not used, so it never charges; and after an admission that is
undone, the counter stands where it stood before.  A policy whose clients pay from deposits is not examined, since there
the counter alone does not tell what was paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from transect.lang.tape import use
from transect.llm.adapter import MICRO, chooser_of, counter_field
from transect.llm.interpreted import interpreted
from transect.llm.lemma.prices import deposits
from transect.llm.policies import Loaded
from transect.llm.queue import TenantQueues
from transect.llm.request import Held
from transect.llm.simulator.world import Clock

INPUT, OUTPUT = 4, 8  # tokens of the request
FORECASTS = (0, 2, OUTPUT, 2 * OUTPUT)
CLIENT = "a"


@dataclass
class Life:
    """One request, call by call, and where its client's counter stands after each."""

    policy: Loaded
    forecast: int
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queues = TenantQueues(chooser_of(interpreted(self.policy).make(), self.policy.program))
        self.request = Held(CLIENT, INPUT, limit=OUTPUT, reserved=OUTPUT, hint=self.forecast)
        self.lines.append(
            f"client {CLIENT}, alone: a request of {INPUT} in, {OUTPUT} out, forecast {self.forecast}"
        )

    def begin(self) -> bool:
        """The calls up to its admission; False when the policy refuses it."""
        if self.queues.add(self.request) is not None:
            return False
        self.first = self.note("it arrives")
        self.queues.pop()
        self.admitted = self.note("it is admitted, and its prompt charged")
        return True

    @property
    def counter(self) -> int:
        return self.queues.chooser.counter(CLIENT)

    def note(self, what: str) -> int:
        self.lines.append(f"{what}: counter {self.counter / MICRO:g}")
        return self.counter

    def shown(self, wrong: str) -> str:
        return "\n".join([*self.lines, wrong])


def refuted(policy: Loaded) -> Iterator[tuple[str, str]]:
    """The hooks whose step fails, each with the calls that show it."""
    counter = counter_field(policy.program)
    if counter is None or policy.program.base == "Arbiter" or deposits(policy.program, counter):
        return
    for hook, show in (("charge", _charged), ("finish", _finished), ("retract", _retracted)):
        trace = next(filter(None, (_trace(policy, forecast, show) for forecast in FORECASTS)), "")
        if trace:
            yield hook, trace


def _trace(policy: Loaded, forecast: int, show: Callable[[Life], str]) -> str:
    """The calls that `show` finds wrong; empty if there are none, or if the request is refused."""
    with use(Clock(None)):  # random draws are the same in every run
        life = Life(policy, forecast)
        return show(life) if life.begin() else ""


def _charged(life: Life) -> str:
    if life.forecast or not _runs(life):
        return ""
    free = life.admitted == life.counter
    return (
        life.shown(f"`charge` takes nothing for {OUTPUT} tokens of output that nobody has paid for")
        if free
        else ""
    )


def _finished(life: Life) -> str:
    used = _runs(life)
    life.queues.finish(life.request)
    more = life.note("it ends") - used
    if more <= 0:
        return ""
    return life.shown(
        f"`finish` charges {more / MICRO:g}, where it may only take back what was charged ahead"
    )


def _retracted(life: Life) -> str:
    life.queues.undo(life.request)
    kept = life.note("it was no admission, and waits again") - life.first
    if not kept:
        return ""
    return life.shown(f"`retract` leaves the counter {kept / MICRO:+g} from where it stood")


def _runs(life: Life) -> int:
    for _ in range(OUTPUT):
        life.queues.produced(life.request, 1)
    return life.note(f"it produces {OUTPUT} tokens, one by one")


__all__ = ["refuted"]
