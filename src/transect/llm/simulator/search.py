# SPDX-License-Identifier: Apache-2.0
"""Traces on which a policy breaks its bound, found by search, and traces that show how tight the bound is.

There are two measures.  *Counters*: the gap between waiting clients, as the watcher sees it.  *Service*: what two
clients that always have requests waiting really got, which a wrong counter cannot hide; it may differ by 2 U, however
long the time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from transect.llm.adapter import INPUT, MICRO, OUTPUT
from transect.llm.bounds import Limits
from transect.llm.policies import Loaded
from transect.llm.simulator.job import Job
from transect.llm.simulator.model import Model, Reserve, Times
from transect.llm.simulator.run import Setting, simulate
from transect.llm.simulator.trace import Arrival, Trace, in_order
from transect.llm.watch import Watcher

TINY = Model(
    name="tiny",
    times=Times(0.01, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0),
    memory=64,
    sequences=8,
    quiet_steps=0,
    reserve=Reserve.SUM,
    longest_input=16,
    longest_output=32,
)
"""Small enough that a counter-example fits on a screen."""


def limits(model: Model) -> Limits:
    """What the bound needs to know of an engine."""
    return Limits(
        model.memory,
        model.sequences,
        model.longest_input,
        model.longest_output,
        whole=model.reserve is Reserve.SUM,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A trace, and the gap that it reaches, in micro-tokens."""

    trace: Trace
    gap: int
    bound: int

    @property
    def breaks(self) -> bool:
        return self.gap > self.bound

    def __str__(self) -> str:
        lines = [
            f"{a.at:7.2f} s  client {a.client}  {a.input:3} in  {a.output:3} out" for a in self.trace.arrivals
        ]
        apart = (
            f"waiting clients {self.gap / MICRO:,.0f} weighted tokens apart; U is {self.bound / MICRO:,.0f}"
        )
        return "\n".join([*lines, apart])


def gap(policy: Loaded, trace: Trace, model: Model, setting: Setting | None = None) -> int:
    """The largest gap between counters of waiting clients, in micro-tokens."""
    watch = Watcher(bound=1 << 62)
    simulate(policy, trace, model, replace(setting or Setting(), watch=watch))
    return watch.worst


def search(
    policy: Loaded,
    bound: int,
    model: Model = TINY,
    *,
    tries: int = 200,
    seed: int = 0,
    setting: Setting | None = None,
) -> Found:
    """The trace with the largest gap among random ones; the search ends with the first that breaks the bound, which is
    then made smaller as long as it does.
    """
    draw = random.Random(seed)
    best = Found(Trace("none", ()), 0, bound)
    for _ in range(tries):
        trace = _random(draw, model)
        found = Found(trace, gap(policy, trace, model, setting), bound)
        if found.gap > best.gap:
            best = found
        if best.breaks:
            return _smaller(policy, best, model, setting)
    return best


def _random(draw: random.Random, model: Model) -> Trace:
    """Two to four clients; each sends in bursts, with or without idle times."""
    arrivals = []
    for client in "abcd"[: draw.randrange(2, 5)]:
        at = draw.choice([0.0, 0.0, draw.uniform(0, 20)])
        for _ in range(draw.randrange(1, 16)):
            at += draw.choice([0.0, 0.0, draw.uniform(0, 1)])
            size = draw.randrange(1, model.longest_input + 1), draw.randrange(1, model.longest_output + 1)
            arrivals.append(Arrival(round(at, 2), client, *size))
    return Trace("found", in_order(arrivals))


def _smaller(policy: Loaded, found: Found, model: Model, setting: Setting | None) -> Found:
    """Leave arrivals out, one by one, as long as the bound stays broken."""
    for arrival in found.trace.arrivals:
        rest = tuple(a for a in found.trace.arrivals if a is not arrival)
        trace = replace(found.trace, arrivals=rest)
        reached = gap(policy, trace, model, setting)
        if reached > found.bound:
            found = Found(trace, reached, found.bound)
    return found


# ---------------------------------------------------------------- how tight it is


def tight(model: Model) -> Trace:
    """A trace that drives the gap under VTC as far as an engine that reserves lets it go.

    `a` is charged a long prompt; `b`, lower by that, then has as many requests admitted as fit, each with the shortest
    prompt, before `a` is its equal.  From then on only `b` is charged, for all that memory holds, while the next
    request of `a` is too large to fit beside them.
    """
    largest = (model.longest_input, model.longest_output)
    outputs = list(_outputs(model))
    arrivals = [Arrival(0.0, "a", min(len(outputs) + 1, model.longest_input), 1)]
    arrivals += [Arrival(0.0, "b", 1, output) for output in outputs]
    arrivals += [Arrival(0.0, client, *largest) for client in "abab"]
    return Trace("tight", tuple(arrivals))


def _outputs(model: Model) -> Iterator[int]:
    """Output lengths, longest first, that together fill the memory at every moment; all their prompts, and one prompt
    that is charged as much as all of them, fit into one prefill.
    """
    held = 1 + model.prompt_extra
    memory = model.memory - 2 * model.client_tokens
    used = model.longest_input + model.prompt_extra + 1  # of the long prompt
    together = (model.batch_tokens - model.prompt_extra) // (held + 1)
    for count in range(1, min(model.sequences, model.longest_input, together)):
        if model.reserve is Reserve.SUM:
            length = min(model.longest_output, memory - used - held)
            used += held + length
        else:  # while the count-th one still runs, so do all those before it
            length = min(model.longest_output, (memory - 1) // count - held)
        if length < 1:
            return
        yield length


def most(model: Model) -> int:
    """w_q M, in micro-tokens: what the paper's bound allows where prompts are shorter than that."""
    return max(OUTPUT * model.memory, INPUT * model.longest_input)


# ---------------------------------------------------------------- service


def apart(jobs: list[Job], until: float) -> int:
    """The difference between the clients' services at that time, in weighted tokens.  All clients must have waited
    until then.
    """
    got: dict[object, int] = {}
    for job in jobs:
        if 0 <= job.first <= until:
            done = job.output if job.done <= until else _produced(job, until)
            got[job.client] = got.get(job.client, 0) + job.input + 2 * done
    waiting = {job.client for job in jobs if job.arrival <= until and (job.first > until or job.first < 0)}
    assert waiting == {job.client for job in jobs}, "somebody had nothing waiting"
    values = [got.get(client, 0) for client in waiting]
    return max(values) - min(values)


def _produced(job: Job, until: float) -> int:
    return (
        round(job.output * (until - job.first) / (job.done - job.first))
        if job.done > job.first
        else job.output
    )
