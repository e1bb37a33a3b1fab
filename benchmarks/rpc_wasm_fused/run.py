# SPDX-License-Identifier: Apache-2.0
"""Five elements of the library as WASM in Envoy's V8: fused into one plugin, or a plugin for each, as a mesh has them.

What is compared is what they *add*: the latency through that Envoy minus that through an Envoy without any filter, in
the same round; `cpu` is the same for the Envoy's CPU time. Control: the five plugins, in the place of the fused one.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from envoy_sides import sides
from measuring import Control, Samples, begin, claim, report, result

from transect.base.diagnostic import Diagnostics
from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.rpc import echo
from transect.rpc.chain.binding import bind
from transect.rpc.chain.file import first_state
from transect.rpc.envoy import find
from transect.rpc.grpcio.attach import service_of
from transect.rpc.native.chain import emit_chain, needs_of
from transect.rpc.wasm import Plugin, PluginSettings, build

ELEMENTS: dict[str, dict[str, object]] = {
    "metrics": {},
    "acl": {"allowed": {"alice": True, "carol": True}},
    "rate_limit": {"per_second": 1 << 30, "burst": 1 << 30},
    "admission": {},
    "mutation": {"changes": {("user", "alice"): "a.smith"}},
}
ROUNDS = 31
TURNS = 8  # of each side in a round, one after the other
CALLS = 40  # of one side in a turn

Side = Callable[[], dict[str, float]]


def plugin(folder: Path, *names: str) -> Plugin:
    """These elements in one plugin."""
    programs = [compile_file(str(path_of(name))).programs[0] for name in names]
    diagnostics = Diagnostics()
    binding = bind(programs, service_of(echo.DESCRIPTOR), diagnostics, methods=["Say"])
    assert binding is not None, list(diagnostics)
    needs = needs_of(binding)
    states = tuple(first_state(p, ELEMENTS[name]) for p, name in zip(programs, names, strict=True))
    settings = PluginSettings(
        elements=len(names), states=states, replies=needs["response"] or needs["reply"], peer=needs["peer"]
    )
    return Plugin(build(emit_chain(binding), folder), settings, "-".join(names))


def added(fused: Side, apart: Side, none: Side, rounds: int) -> Samples:
    """The ratio of what is added, round by round; the baseline is measured twice, for the A/A control."""
    samples = Samples()
    # The two turns of the same Envoy are apart, so that neither profits from caches that the other has warmed.
    order = [("fused", fused), ("first", apart), ("none", none), ("second", apart)]
    for _ in range(rounds):
        got = a_round(order)
        for key in ("p50", "cpu"):
            more = {name: value[key] - got["none"][key] for name, value in got.items()}
            both = (more["first"] + more["second"]) / 2
            samples.add(key, more["fused"] / both, more["first"] / more["second"])
            for name, value in got.items():
                samples.values.setdefault(f"{name}_{key}_us", []).append(value[key])
    return samples


def a_round(order: list[tuple[str, Side]]) -> dict[str, dict[str, float]]:
    """Medians over turns; each side comes first in as many turns as the others."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name, _ in order}
    for number in range(TURNS):
        turn = number % len(order)
        for name, run in (*order[turn:], *order[:turn]):
            runs[name].append(run())
    return {
        name: {key: statistics.median(one[key] for one in those) for key in ("p50", "cpu")}
        for name, those in runs.items()
    }


def main() -> None:
    the_claim = claim(__file__)
    body: bytes = echo.Ask(user="alice", text="x" * 50).SerializeToString()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        together = [plugin(folder, *ELEMENTS)]
        apart = [plugin(folder, one) for one in ELEMENTS]
        with sides([together, apart, []], folder, body) as it:
            for which in range(3):
                it.ask(which, 1000)  # connections, caches, V8's optimiser
            fused, separate, none = (it.side(which, CALLS) for which in range(3))
            samples = added(fused, separate, none, ROUNDS)
            toy = added(separate, separate, none, ROUNDS // 2)
            envoy = find().version
    shown = {key: samples.values.pop(key) for key in list(samples.values) if key.endswith("_us")}
    fails = not the_claim.targets["p50"].met(statistics.median(toy.values["p50"]))
    found = result(
        the_claim,
        samples,
        [Control("the five apart, in the place of the fused", fails)],
        envoy=envoy,
        elements=list(ELEMENTS),
        load=os.getloadavg()[0],
        medians_us={key: round(statistics.median(values), 1) for key, values in shown.items()},
    )
    report(found, __file__)


if __name__ == "__main__":
    begin(main)
