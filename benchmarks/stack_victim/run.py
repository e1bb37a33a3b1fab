# SPDX-License-Identifier: Apache-2.0
"""Alice sends a trickle of calls through Envoy, a service and a gateway to a stand-in for an engine, while bob floods
the service with calls and the gateway with prompts: the 99th percentile of how long her calls take, from client to
client, where all layers share by tenants' weights.

`best_single`: / the same where only one layer shares, the one that helps her most; `alone`: / the same without bob.
The control: all layers share, but the service does not tell the gateway whose a request is.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import grpc
from measuring import Control, Numbers, Samples, begin, claim, interleaved, report, result

from tests.parts import need
from transect.demos.stack.files import ALL, GATEWAY_ALONE, SHOP, Files, Sharing
from transect.demos.stack.load import FLOOD, QUIET, TRICKLE, Load
from transect.demos.stack.whole import Whole, begun

ROUNDS = 15
TRIES = 3  # of each layer alone, to see which helps most; and of the control
SECONDS = 5.0
FLOODED: Mapping[str, Load] = {"alice": TRICKLE, "bob": FLOOD}
ALONE: Mapping[str, Load] = {"alice": TRICKLE, "bob": QUIET}
DROPPED = replace(ALL, name="dropped", hands_on=False)


class Stacks:
    """One for each way of sharing, all of them in force; one at a time is loaded."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        self._of: dict[Sharing, Whole] = {}
        for sharing in (ALL, SHOP, GATEWAY_ALONE, DROPPED):
            own = folder / f"stack{len(self._of)}"
            own.mkdir()
            self._of[sharing] = held.enter_context(begun(Files(own, envoy=True), sharing))

    def p99(self, sharing: Sharing, loads: Mapping[str, Load]) -> float:
        window = self._of[sharing].loaded(sharing.name, loads, SECONDS)
        assert not window.failed, window.failed[:3]
        print(
            f"{sharing.name}{'' if loads is FLOODED else ', alone'}: p50 {window.alice.p50_s:.3f} "
            f"p99 {window.alice.p99_s:.3f} of {len(window.alice.calls_s)}, bob {window.bobs_rate:.0f}/s",
            file=sys.stderr,
        )
        return window.alice.p99_s

    def typical(self, sharing: Sharing) -> float:
        return statistics.median(self.p99(sharing, FLOODED) for _ in range(TRIES))


def main() -> None:
    need("envoy")
    the_claim, samples = claim(__file__), Samples()
    with tempfile.TemporaryDirectory() as name, ExitStack() as held:
        stacks = Stacks(Path(name), held)
        single = {sharing: stacks.typical(sharing) for sharing in (SHOP, GATEWAY_ALONE)}
        best = min(single, key=lambda sharing: single[sharing])

        def ours() -> Numbers:
            found = stacks.p99(ALL, FLOODED)
            return {"best_single": found, "alone": found}

        def baseline() -> Numbers:
            return {"best_single": stacks.p99(best, FLOODED), "alone": stacks.p99(ALL, ALONE)}

        interleaved(ours, baseline, ROUNDS, into=samples)
        dropped = stacks.typical(DROPPED) / stacks.typical(best)
    limit = the_claim.targets["best_single"].limit
    report(
        result(
            the_claim,
            samples,
            [Control("the service does not tell the gateway whose a request is", dropped > limit)],
            best=best.name,
            dropped=round(dropped, 3),
            seconds=SECONDS,
            grpcio=grpc.__version__,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
