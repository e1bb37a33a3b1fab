# SPDX-License-Identifier: Apache-2.0
"""Seconds that a policy adds to one engine step, by the number of tenants that wait.

A step: 32 running requests each produce a token, one ends, one arrives, one is chosen and admitted, and the bound is
looked at.  VTC in machine code (`transect.llm.native`); the control is the same policy as emitted Python.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, claim, report, result

from transect.llm.adapter import Chooser, chooser_of
from transect.llm.native import native
from transect.llm.policies import load
from transect.llm.queue import TenantQueues
from transect.llm.request import Held
from transect.llm.watch import Watcher

RUNNING = 32
TENANTS = (16, 1000, 10_000)
ROUNDS = 400


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
        for request in running:
            queues.produced(request, 1)
        queues.finish(running.pop(0))
        queues.add(fresh)
        queues.peek()
        running.append(queues.pop())
        watch.look(queues)
        took.append(time.perf_counter() - began)
    return took


def main() -> None:
    policy = load("vtc")
    samples = Samples()
    for tenants in TENANTS:
        for value in steps(native(policy.program), tenants, ROUNDS):
            samples.add(f"t{tenants}", value)
    python = {n: sorted(steps(chooser_of(policy.make(), policy.program), n, 20))[10] for n in TENANTS}
    the_claim = claim(__file__)
    fails = python[10_000] > the_claim.targets["t10000"].limit
    report(
        result(
            the_claim,
            samples,
            [Control("the same policy as Python, which goes over all who wait", fails)],
            python={f"t{n}": value for n, value in python.items()},
            running=RUNNING,
            conditions="median of steps; the machine was used by others as well",
        ),
        __file__,
    )


if __name__ == "__main__":
    main()
