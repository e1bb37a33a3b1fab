# SPDX-License-Identifier: Apache-2.0
"""Seconds that a policy adds to one engine step, by the number of tenants that wait.

A step: 32 running requests each produce a token, one ends, one arrives, one is chosen and admitted, and the bound is
checked.  VTC in machine code (`transect.llm.native`); the control is the same policy as emitted Python.  Where there is
an engine, what our scheduler adds to a step of vLLM's own, with all bookkeeping, stands beside it.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[2]),
    str(Path(__file__).parents[1] / "llm_engine"),
]

from measured import side
from measuring import Control, Samples, begin, claim, report, result

from tests.parts import need
from transect.base.unavailable import Unavailable
from transect.llm.adapter import Chooser, chooser_of
from transect.llm.native import native
from transect.llm.policies import load
from transect.llm.queue import TenantQueues
from transect.llm.request import Held
from transect.llm.watch import Watcher

COST = Path(__file__).parents[1] / "llm_engine" / "cost.py"
RUNNING = 32
TENANTS = (16, 1000, 10_000)
ROUNDS = 400
TURNS = 40  # rounds of each side of the engine


def steps(chooser: Chooser, tenants: int, rounds: int) -> list[float]:
    queues, watch = TenantQueues(chooser), Watcher(1 << 62)
    for _ in range(2):
        for tenant in range(tenants):
            queues.add(Held(f"t{tenant}", input=100))
    running = [queues.pop() for _ in range(RUNNING)]
    took = []
    for number in range(rounds):
        fresh = Held(f"t{number * 7919 % tenants}", input=100)
        began = time.perf_counter()
        queues.produced_in_step([(request, 1) for request in running])
        queues.finish(running.pop(0))
        queues.add(fresh)
        queues.peek()
        running.append(queues.pop())
        watch.look(queues)
        took.append(time.perf_counter() - began)
    return took


def in_the_engine(python: Path) -> dict[str, dict[str, float]]:
    """Seconds that our scheduler adds to a step of the engine's own, the median of rounds by turns; what the engine's
    own adds to itself; and its step.  Raises `Unavailable` where that takes too long."""
    found = {}
    with ExitStack() as stack:
        ours, own = (stack.enter_context(side(python, name, script=COST)) for name in ("vtc", "fcfs"))
        for tenants in TENANTS:
            for one in (ours, own):
                one.told(str(tenants))
            base: list[float] = []
            vtc: list[float] = []
            again: list[float] = []
            for _ in range(TURNS):
                for rows, one in ((base, own), (vtc, ours), (again, own)):
                    rows.append(statistics.median(one.told("go")))
            found[f"t{tenants}"] = {
                "added": statistics.median(a - b for a, b in zip(vtc, base, strict=True)),
                "against_itself": statistics.median(a - b for a, b in zip(again, base, strict=True)),
                "own": statistics.median(base),
            }
    return found


def main() -> None:
    policy = load("vtc")
    samples = Samples()
    for tenants in TENANTS:
        for value in steps(native(policy.program), tenants, ROUNDS):
            samples.add(f"t{tenants}", value)
    python = {n: sorted(steps(chooser_of(policy.make(), policy.program), n, 20))[10] for n in TENANTS}
    try:
        found = need("vllm")
        assert isinstance(found, Path)
        engine: dict[str, dict[str, float]] | str = in_the_engine(found)
    except Unavailable as lacking:
        engine = str(lacking)
    the_claim = claim(__file__)
    fails = python[10_000] > the_claim.targets["t10000"].limit
    report(
        result(
            the_claim,
            samples,
            [Control("the same policy as Python, which goes over all who wait", fails)],
            python={f"t{n}": value for n, value in python.items()},
            running=RUNNING,
            in_the_scheduler_of_vllm=engine,
            conditions="median of steps; the machine was used by others as well",
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
