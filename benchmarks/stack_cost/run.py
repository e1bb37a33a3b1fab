# SPDX-License-Identifier: Apache-2.0
"""A call through a chain in Envoy, a service that takes turns and a gateway, whose layers vouch for the caller, tell
each other the deadline, and tell the scheduler whom a thread works for / the same without all of that.

`p50`: the median time of calls, one after another; `cpu`: CPU time of all parts of the stack for a call.  The engine
answers at once.  No scheduler listens, since `by_tenant` is not in force.  The control: a service that works half a
millisecond more for each call.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import grpc
from measuring import Control, Numbers, Samples, begin, claim, interleaved, report, result
from processors import processor_s

from tests.parts import need
from transect.demos.stack.files import ALL, Files, Sharing
from transect.demos.stack.shop import item
from transect.demos.stack.whole import Whole, begun

ROUNDS = 21
CALLS = 300  # of each side, in a round
WARMING = 100
WITHOUT = replace(ALL, name="without", identity=False)
SLOW = replace(ALL, name="slow", shop_rounds=3000)
PATIENCE_S = 10.0


class Side:
    """A stack, and who calls it."""

    def __init__(self, whole: Whole, channel: grpc.Channel) -> None:
        self._whole = whole
        self._call: Any = channel.unary_unary("/shop.Shop/Buy")
        self._shows = (("x-api-key", whole.files.keys["alice"]),)
        self.parts: dict[str, float] = {}  # CPU time so far, by part
        self.calls = 0  # that took this CPU time
        for _ in range(WARMING):
            self._timed()

    def _timed(self) -> float:
        began = time.perf_counter()
        self._call(item(1), timeout=PATIENCE_S, metadata=self._shows)
        return time.perf_counter() - began

    def _used_s(self) -> dict[str, float]:
        return {p.part.name: processor_s(p.pid) for p in self._whole.running.processes if p.pid is not None}

    def __call__(self) -> Numbers:
        before = self._used_s()
        times = [self._timed() for _ in range(CALLS)]
        used = {part: used_s - before[part] for part, used_s in self._used_s().items()}
        for part, used_s in used.items():
            self.parts[part] = self.parts.get(part, 0.0) + used_s
        self.calls += CALLS
        return {"p50": statistics.median(times), "cpu": sum(used.values()) / CALLS}

    def more(self, than: Side) -> dict[str, float]:
        """By part, how much more CPU time a call takes than on the other side, as a share of a whole call there."""
        whole = sum(than.parts.values()) / than.calls
        parts = {name: used / self.calls - than.parts[name] / than.calls for name, used in self.parts.items()}
        return {name: round(used / whole, 3) for name, used in parts.items()}


def side(folder: Path, sharing: Sharing, held: ExitStack) -> Side:
    own = folder / sharing.name
    own.mkdir()
    whole = held.enter_context(begun(Files(own, envoy=True, rounds=1), sharing))
    channel = held.enter_context(grpc.insecure_channel(whole.files.address("front")))
    return Side(whole, channel)


def main() -> None:
    need("envoy")
    the_claim, samples, toy = claim(__file__), Samples(), Samples()
    with tempfile.TemporaryDirectory() as name, ExitStack() as held:
        ours, without, slow = (side(Path(name), sharing, held) for sharing in (ALL, WITHOUT, SLOW))
        interleaved(ours, without, ROUNDS, into=samples)
        more = ours.more(without)
        interleaved(slow, without, 5, into=toy)
    slowed = {key: statistics.median(values) for key, values in toy.values.items()}
    failed = any(not the_claim.targets[key].met(value) for key, value in slowed.items())
    report(
        result(
            the_claim,
            samples,
            [Control("a service that works half a millisecond more for each call", failed)],
            calls=CALLS,
            more=more,
            slowed={key: round(value, 3) for key, value in slowed.items()},
            grpcio=grpc.__version__,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
