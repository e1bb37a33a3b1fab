# SPDX-License-Identifier: Apache-2.0
"""Access list, rate limit and cache of the library as native modules in Envoy, each beside one written by hand in C.

The cache comes twice: where it answers, and where every call goes on to the server and is stored. A number is that of
the worst of the four; `by_policy` has all. Control: the hand-written ones that also spin for 60 µs.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from envoy_sides import Sides, sides
from measuring import Control, Samples, begin, claim, interleaved, report, result, spread

from transect.base.diagnostic import Diagnostics
from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.rpc import echo
from transect.rpc.chain.binding import bind
from transect.rpc.chain.file import first_state
from transect.rpc.envoy import Module, Settings, build, find
from transect.rpc.grpcio.attach import service_of
from transect.rpc.native.build import shared_object
from transect.rpc.native.chain import emit_chain, needs_of

HERE = Path(__file__).parent
ROUNDS = 63
TURNS = 3  # rounds of one pair in a row, so that each side comes first as often as the others


@dataclass(frozen=True)
class Pair:
    """One policy, emitted and written by hand."""

    name: str
    example: str
    flags: tuple[str, ...] = ()  # of the hand-written one
    state: dict[str, object] = field(default_factory=dict)


PAIRS = (
    Pair("acl", "acl", state={"allowed": {"alice": True, "carol": True}}),
    Pair("rate_limit", "rate_limit", state={"per_second": 1_000_000, "burst": 1_000_000}),
    Pair("cache, known", "cache", state={"keep": 3_600_000_000_000}),
    Pair("cache, new", "cache", ("-DKEEP=0",), {"keep": 0}),
)


def emitted(pair: Pair, folder: Path) -> Module:
    """The policy, as `transect rpc run` would put it into Envoy."""
    compiled, diagnostics = compile_file(str(path_of(pair.example))), Diagnostics()
    binding = bind(compiled.programs, service_of(echo.DESCRIPTOR), diagnostics, methods=["Say"])
    assert binding is not None, list(diagnostics)
    state = folder / f"{pair.name}.state"
    state.write_bytes(first_state(compiled.programs[0], pair.state))
    needs = needs_of(binding)
    settings = Settings(states=(str(state),), replies=needs["response"] or needs["reply"])
    return Module(build(emit_chain(binding), folder), settings)


def by_hand(pair: Pair, folder: Path, *flags: str) -> Module:
    names = (f"hand_{pair.example}.c", "hand.h", "passing.h")
    source = {name: (HERE / name).read_bytes() for name in names}
    flags = ("-D_GNU_SOURCE", "-pthread", *pair.flags, *flags)
    stem = f"libhand_{pair.example}"
    return Module(shared_object(stem, source, folder=folder, flags=flags))


def body(user: str) -> bytes:
    message: bytes = echo.Ask(user=user, key="k", text="x" * 52).SerializeToString()
    return message


def measured(it: Sides, pairs: int, first: int, rounds: int) -> list[Samples]:
    """Each pair's ratios, all pairs in turn; the sides of pair i are `first` + i and `pairs` + i."""
    found = [Samples() for _ in range(pairs)]
    for _ in range(rounds // TURNS):
        for i, samples in enumerate(found):
            interleaved(it.side(first + i), it.side(pairs + i), TURNS, into=samples)
    return found


def worst(found: list[Samples]) -> Samples:
    """For each key, the samples of the pair with the largest ratio."""
    picked = Samples()
    for key in found[0].values:
        one = max(found, key=lambda samples: statistics.median(samples.values[key]))
        picked.values[key], picked.aa[key] = one.values[key], one.aa[key]
    return picked


def shown(found: list[Samples]) -> dict[str, dict[str, list[float]]]:
    """Medians and intervals of each pair."""
    return {
        pair.name: {
            key: [round(x, 4) for x in (statistics.median(values), *spread(values))]
            for key, values in samples.values.items()
        }
        for pair, samples in zip(PAIRS, found, strict=True)
    }


def main() -> None:
    the_claim, count = claim(__file__), len(PAIRS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = [emitted(pair, folder) for pair in PAIRS]
        hand = [by_hand(pair, folder) for pair in PAIRS]
        slow = [by_hand(pair, folder, "-DSLOW") for pair in PAIRS]
        with sides([[ours[0]], [hand[0]]], folder, body("mallory")) as it:
            refused = [it.ask(which, 1)[:8] for which in range(2)]
            assert refused == ["status 7"] * 2, refused
        with sides([[m] for m in (*ours, *hand, *slow)], folder, body("alice")) as it:
            for which in range(3 * count):
                it.ask(which, 300)  # connections, caches
            found = measured(it, count, 0, ROUNDS)
            toys = measured(it, count, 2 * count, ROUNDS // 4)
            binary = find()
    fails = all(
        not the_claim.targets[key].met(statistics.median(values))
        for toy in toys
        for key, values in toy.values.items()
    )
    controls = [Control("each hand-written one with 60 µs more", fails)]
    about = f"{binary.version}, module ABI {binary.abi}"
    told = result(
        the_claim, worst(found), controls, envoy=about, by_policy=shown(found), load=os.getloadavg()[0]
    )
    report(told, __file__)


if __name__ == "__main__":
    begin(main)
