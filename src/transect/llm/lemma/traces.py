# SPDX-License-Identifier: Apache-2.0
"""Traces on which a policy fails, for steps that are not proved: simulated on a tiny engine, small enough to be read.

They are searched with the policy as emitted Python.  A trace is shown only if the interpreter gives the same result. A
step that is neither proved nor seen to fail stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from transect.llm.adapter import MICRO, counter_field
from transect.llm.bounds import Bound, bound
from transect.llm.interpreted import interpreted
from transect.llm.lemma.calls import refuted
from transect.llm.lemma.claims import COSTS, Claim, Part, Verdict, ahead_of
from transect.llm.policies import Loaded
from transect.llm.simulator.job import Job
from transect.llm.simulator.model import engine
from transect.llm.simulator.run import Run, Setting, simulate
from transect.llm.simulator.search import TINY, apart, gap, limits, most, search, tight
from transect.llm.simulator.trace import Arrival, Trace, in_order
from transect.llm.simulator.workloads import steady

LIE = 10_000  # tokens that a client says it wants, or that a forecast from outside says
TRIES = 200
PUBLISHED = "a10g-llama-2-7b"
SECONDS = (10, 20)  # two lengths of time: a difference that is bounded is no larger after the second


def with_traces(policy: Loaded, found: Iterable[Claim]) -> list[Claim]:
    """The claims; those that a trace refutes are broken."""
    claims = list(found)
    refuted = list(_refutations(policy, claims))
    return [
        next((r for r in refuted if (r.part, r.hook, r.says) == (c.part, c.hook, c.says)), c) for c in claims
    ]


def _refutations(policy: Loaded, claims: Sequence[Claim]) -> Iterator[Claim]:
    open_ = [c for c in claims if c.verdict is Verdict.UNKNOWN]
    refusing = [c for c in open_ if c.hook == "accept"]
    unfair = [c for c in open_ if c.part is Part.FAIRNESS]
    if refusing and (trace := _replayed(policy, refused_for_nothing)):
        yield _broken(refusing[0], trace)
    if not unfair:
        return
    if trace := _replayed(policy, drifts):
        yield _broken(next((c for c in unfair if c.hook == "charge"), unfair[0]), trace)
    elif trace := far_apart(policy):
        yield _broken(unfair[0], trace)
    shown = dict(refuted(policy)) if any(c.hook in COSTS for c in unfair) else {}
    yield from (_broken(c, shown[c.hook]) for c in unfair if c.hook in shown)


def _replayed(policy: Loaded, show: Callable[[Loaded], str]) -> str:
    """What a trace shows, if it is the same on the interpreter."""
    trace = show(policy)
    return trace if trace and show(interpreted(policy)) == trace else ""


def _broken(claim: Claim, trace: str) -> Claim:
    return replace(claim, verdict=Verdict.BROKEN, trace=trace)


# ---------------------------------------------------------------- counters


def far_apart(policy: Loaded) -> str:
    """A trace on which the counters of waiting clients lie further apart than U; clients and forecasts lie."""
    lies = Setting(hint=lambda a: LIE, asked=lambda a: LIE)
    found = search(policy, _bound(policy).total, setting=lies, tries=TRIES)
    same = found.breaks and gap(interpreted(policy), found.trace, TINY, lies) == found.gap
    return str(found) if same else ""


def _bound(policy: Loaded) -> Bound:
    ahead = 0 if ahead_of(policy.program) is None else TINY.longest_output
    return bound(limits(TINY), ahead=ahead)


# ---------------------------------------------------------------- services


def drifts(policy: Loaded) -> str:
    """For a policy whose counters do not depend on what was produced: two clients that always wait, and the difference
    of whose services grows with time.
    """
    if not _blind(policy):
        return ""
    short, long = (apart(_backlog(policy, s), s - 1) for s in SECONDS)
    if long <= 1.7 * short:
        return ""
    lines = [
        "client a sends 4 in, 4 out, and client b 4 in, 32 out, both more than is served",
        *(
            f"after {s} s their services are {tokens:,} weighted tokens apart"
            for s, tokens in zip(SECONDS, (short, long), strict=True)
        ),
    ]
    return "\n".join(lines)


def _blind(policy: Loaded) -> bool:
    """Whether a client's counter is the same however much its requests produce."""
    sums = []
    for output in (4, 32):
        run = simulate(policy, Trace("alone", (Arrival(0.0, "a", 4, output),)), TINY)
        sums.append(run.queues.chooser.counter("a"))
    return counter_field(policy.program) is not None and sums[0] == sums[1]


def _backlog(policy: Loaded, seconds: int) -> list[Job]:
    arrivals = in_order([*steady("a", 80, (4, 4), end=seconds), *steady("b", 16, (4, 32), end=seconds)])
    return simulate(policy, Trace("backlog", arrivals), TINY).jobs


# ---------------------------------------------------------------- work conservation


def refused_for_nothing(policy: Loaded) -> str:
    """One client's request, alone on the engine, that is refused while nobody else waits or runs."""
    trace = Trace("alone", tuple(Arrival(float(n), "a", 4, 4) for n in range(100)))
    run = simulate(policy, trace, TINY)
    refused = next((n for n, job in enumerate(run.jobs) if job.refused), None)
    if refused is None or not _idle(run, refused):
        return ""
    return "\n".join(
        [
            "client a, alone, sends a request of 4 in, 4 out every second",
            f"its request {refused + 1}, at {refused} s, is refused while the engine is idle",
        ]
    )


def _idle(run: Run, refused: int) -> bool:
    now = run.jobs[refused].arrival
    return not any(job.arrival < now < job.done for job in run.jobs)


# ---------------------------------------------------------------- how tight the bound is


@dataclass(frozen=True, slots=True)
class Tight:
    """The gap that a trace made for the purpose reaches on the published engine, in weighted micro-tokens."""

    gap: int
    bound: int  # U
    memory: int  # w_q · M

    def __str__(self) -> str:
        return (
            f"tight: a trace drives waiting clients {self.gap / MICRO:,.0f} weighted tokens apart on {PUBLISHED}, "
            f"{self.gap / self.memory:.1f} times w_q·M; U is {self.bound / MICRO:,.0f}"
        )


def tightness(policy: Loaded) -> Tight:
    """How near to the bound a trace comes, for a policy with every step proved."""
    model = engine(PUBLISHED)
    reached = gap(policy, tight(model), model)
    ahead = 0 if ahead_of(policy.program) is None else model.longest_output
    return Tight(reached, bound(limits(model), ahead=ahead).total, most(model))


__all__ = ["Tight", "tightness", "with_traces"]
