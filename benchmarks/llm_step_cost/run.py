# SPDX-License-Identifier: Apache-2.0
"""Seconds that a policy adds to one engine step, by the number of tenants that wait.

A step: 32 running requests each produce a token, one ends, one arrives, one is chosen and admitted, and the bound is
looked at.  VTC in machine code (`transect.llm.native`); the control is the same policy as emitted Python.  Beside it
stands what our scheduler adds to a step of vLLM's own, accounts and all, where there is an engine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

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
LIMIT_S = 360  # of the engine's side


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
    """Seconds that our scheduler adds to a step of the engine's own, the median of pairs of steps; what that adds to
    itself; and its own step.  Raises `Unavailable` where that takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            ran = subprocess.run(
                [str(python), str(COST), folder, *map(str, TENANTS)],
                capture_output=True,
                text=True,
                env={**os.environ, "XDG_RUNTIME_DIR": folder},
                check=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                "the engine's side", f"it took longer than {LIMIT_S} s", "run it alone"
            ) from None
    rows = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    return {f"t{row['tenants']}": _added(row) for row in rows}


def _added(row: dict[str, list[float]]) -> dict[str, float]:
    def between(one: str, other: str) -> float:
        return statistics.median(a - b for a, b in zip(row[one], row[other], strict=True))

    own = statistics.median(row["fcfs"])
    return {"added": between("vtc", "fcfs"), "against_itself": between("again", "fcfs"), "own": own}


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
