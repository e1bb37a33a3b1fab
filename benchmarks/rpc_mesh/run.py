# SPDX-License-Identifier: Apache-2.0
"""Five elements: the written order in two WASM sidecars, as a mesh has it, against what `transect rpc plan` makes.

What is *added* is an arrangement's latency (CPU) minus that of the same call without any chain, in the same round.
Each key is 1 - planned / baseline.  Control: the baseline in the place of the plan.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from arranged import DIRECT, Tools, a_round, arranged, costs, read
from measuring import Control, Samples, begin, claim, report, result

from transect.rpc.chain.arrangement import Layout
from transect.rpc.chain.model import ChainFile
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement.calibrate import preferred
from transect.rpc.placement.planning import plan

HEAD = """
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.admission import Admission
from transect.examples.rpc.fault import Fault
from transect.examples.rpc.metrics import Metrics
from transect.examples.rpc.mutation import Mutation
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain
"""
FIVE = """
chain = Chain(
    service="echo.Echo", upstream="127.0.0.1:1", methods=["Say"],
    elements=[
        Metrics(), Mutation(changes={{("user", "alice"): "a.smith"}}), Acl(allowed={{"a.smith": True}}),
        RateLimit(per_second=1000000000, burst=1000000000), Admission(),
    ],
    place={{"Metrics": "client", "Mutation": "client"}}, guards=["Acl", "RateLimit", "Admission"],
    libraries=["client", "server"],
    {words}
)
"""
AT_CLIENT = """
chain = Chain(
    service="echo.Echo", upstream="127.0.0.1:1", methods=["Say"],
    elements=[
        Metrics(), RateLimit(per_second=1000000000, burst=1000000000), Mutation(changes={("user", "alice"): "a.smith"}),
        Acl(allowed={"a.smith": True}), Fault(abort=0.0, delay=0.0),
    ],
    place={"Metrics": "client", "RateLimit": "client", "Mutation": "client"}, libraries=["client"],
)
"""
ROUNDS = 21
TURNS = 4  # of each side in a round
CALLS = 30  # of one side in a turn

Got = dict[str, dict[str, float]]


def added(got: Got, key: str, samples: Samples, name: str) -> None:
    """1 - planned / baseline, of what each adds; the baseline was measured twice."""
    more = {side: value[key] - got["none"][key] for side, value in got.items()}
    samples.add(
        name, 1 - more["planned"] / ((more["first"] + more["second"]) / 2), 1 - more["first"] / more["second"]
    )


def end_to_end(got: Got, key: str, samples: Samples, name: str) -> None:
    base = (got["first"][key] + got["second"][key]) / 2
    samples.add(name, 1 - got["planned"][key] / base, 1 - got["first"][key] / got["second"][key])


Into = Callable[[Got, Samples], None]


def both(got: Got, samples: Samples) -> None:
    added(got, "p50", samples, "added_p50")
    added(got, "cpu", samples, "added_cpu")


CASES: dict[
    str, tuple[str, bool, Into]
] = {  # chain, whether the server is in Python, what is made of a round
    "libraries": (HEAD + FIVE.format(words=""), True, both),
    "proxy": (
        HEAD + FIVE.format(words='trusted=["server proxy"],'),
        True,
        lambda got, samples: added(got, "p50", samples, "added_p50_proxy"),
    ),
    "client": (HEAD + AT_CLIENT, False, lambda got, samples: end_to_end(got, "p50", samples, "headline")),
}


def measured(
    chain: ChainFile, layouts: list[Layout], tools: Tools, folder: Path, python_server: bool, into: Into
) -> tuple[Samples, Samples, dict[str, float]]:
    """Ratios; the same with the baseline in the place of the plan; medians in µs."""
    samples, toy = Samples(), Samples()
    shown: dict[str, list[float]] = {}
    sides = {"first": 1, "none": 0, "second": 1, "planned": 2}
    with arranged(chain, layouts, tools, folder, python_client=True, python_server=python_server) as those:
        for which in range(3):
            those.ask(which, 500)  # connections, caches, V8's optimiser
        for _ in range(ROUNDS):
            got = a_round(those, sides, CALLS, TURNS)
            into(got, samples)
            into({**got, "planned": got["second"]}, toy)
            for side, value in got.items():
                shown.setdefault(f"{side}_p50_us", []).append(value["p50"])
                shown.setdefault(f"{side}_cpu_us", []).append(value["cpu"])
    return samples, toy, {name: round(statistics.median(values), 1) for name, values in shown.items()}


def main() -> None:
    the_claim = claim(__file__)
    samples, controls, conditions = Samples(), [], dict[str, Any]()
    with preferred(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = Tools.made(folder)
        for case, (text, python_server, into) in CASES.items():
            chain = read(folder / f"{case}.py", text)
            found = plan(chain, costs([chain]), Level.IDENTICAL)
            layouts = [DIRECT, found.before, found.after]
            got, toy, shown = measured(chain, layouts, tools, folder / case, python_server, into)
            samples.values |= got.values
            samples.aa |= got.aa
            for key in got.values:
                passed = the_claim.targets[key].met(statistics.median(toy.values[key]))
                controls.append(Control(f"{key}: the baseline in the place of the plan", not passed))
            planned = {str(g): [chain.names[i] for i in g.elements] for g in found.after}
            conditions[case] = {"planned": planned, "medians_us": shown}
    report(
        result(the_claim, samples, controls, cases=conditions, level="identical", load=os.getloadavg()[0]),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
