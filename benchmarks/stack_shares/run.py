# SPDX-License-Identifier: Apache-2.0
"""Two tenants of weights 400 and 100 flood a stack: clients, Envoy with a chain, a service, a gateway, a stand-in of an
engine that computes.  They send calls, and prompts to the gateway itself: with calls alone, the service would let
through so few of the lighter tenant's that often none of them waited at the gateway, and its share there went to the
other tenant.

`error`: how far what they were served is from 4 : 1, relative to that, at the worst of three places: the service (time
in service), the gateway (tokens), and the clients (answers).  `throughput`: answers a second / where nothing shares.
The control: the service has other weights than the stack.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import grpc
from measuring import Control, Numbers, Samples, begin, claim, interleaved, report, result

from tests.parts import need
from transect.demos.stack.files import ALL, NONE, WEIGHTS, Files, Sharing
from transect.demos.stack.load import Load
from transect.demos.stack.seen import Window
from transect.demos.stack.whole import Whole, begun

ROUNDS = 15
TRIES = 3  # of the control
SECONDS = 10.0
BOTH = {name: Load(buyers=60, askers=8) for name in WEIGHTS}
RIGHT = WEIGHTS["alice"] / WEIGHTS["bob"]
OTHER = replace(ALL, name="other weights in the service", shop_weights={"alice": 100, "bob": 100})


def errors(window: Window) -> dict[str, float]:
    """The error at each place."""
    answers = {name: came.requests for name, came in window.came.items()}
    shares = {**window.shares, "clients": answers["alice"] / sum(answers.values())}
    found = {}
    for place, share in shares.items():
        assert share is not None and 0 < share < 1, f"{place} knows both"
        found[place] = abs(share / (1 - share) / RIGHT - 1)
    return found


class Stacks:
    """One for each way of sharing, all of them in force; one at a time is loaded."""

    def __init__(self, folder: Path, held: ExitStack, samples: Samples) -> None:
        self._samples = samples
        self._of: dict[Sharing, Whole] = {}
        self.places: dict[str, list[float]] = {}
        for sharing in (NONE, ALL, OTHER):
            own = folder / f"stack{len(self._of)}"
            own.mkdir()
            self._of[sharing] = held.enter_context(begun(Files(own, envoy=True), sharing))

    def window(self, sharing: Sharing) -> Window:
        found = self._of[sharing].loaded(sharing.name, BOTH, SECONDS)
        assert not found.failed, found.failed[:3]
        print(f"{sharing.name}: {dict(found.shares)}, {rate(found):.1f} answers/s", file=sys.stderr)
        return found

    def ours(self) -> Numbers:
        window = self.window(ALL)
        found = errors(window)
        for place, error in found.items():
            self.places.setdefault(place, []).append(error)
        self._samples.add("error", max(found.values()))
        return {"throughput": rate(window)}

    def baseline(self) -> Numbers:
        return {"throughput": rate(self.window(NONE))}

    def control(self) -> float:
        return statistics.median(max(errors(self.window(OTHER)).values()) for _ in range(TRIES))


def rate(window: Window) -> float:
    """Answers per second."""
    return sum(came.requests for came in window.came.values()) / window.seconds


def main() -> None:
    need("envoy")
    the_claim, samples = claim(__file__), Samples()
    with tempfile.TemporaryDirectory() as name, ExitStack() as held:
        stacks = Stacks(Path(name), held, samples)
        interleaved(stacks.ours, stacks.baseline, ROUNDS, into=samples)
        other = stacks.control()
    report(
        result(
            the_claim,
            samples,
            [Control(OTHER.name, other > the_claim.targets["error"].limit)],
            errors={place: round(statistics.median(found), 4) for place, found in stacks.places.items()},
            other=round(other, 3),
            seconds=SECONDS,
            grpcio=grpc.__version__,
        ),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
