# SPDX-License-Identifier: Apache-2.0
"""`transect demo llm`: the published table of VTC, on the calibrated simulator, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from transect.demos.shown import Shown
from transect.llm.policies import load
from transect.llm.simulator.metric import Fairness, fairness
from transect.llm.simulator.model import engine
from transect.llm.simulator.run import Setting, simulate
from transect.llm.simulator.trace import published
from transect.llm.simulator.workloads import workload

PUBLISHED = {  # example and limit: max, average, tokens/s
    "fcfs": (759.97, 433.53, 777),
    "lcf": (750.49, 323.82, 778),
    "vtc": (368.40, 251.66, 779),
    "vtc_predict": (365.47, 240.33, 773),
    "vtc_hint": (329.46, 227.51, 781),
    "rpm 5": (143.86, 83.58, 340),
    "rpm 20": (446.76, 195.71, 694),
    "rpm 30": (693.66, 309.45, 747),
}

Say = Callable[[str], None]


def run(say: Say = print, *, color: bool = False) -> Shown:
    """The demo; right when the published rows are recomputed and the order of the policies is the published one."""

    def real(text: str) -> None:
        say(f"\033[1;32m{text}\033[0m" if color else text)

    def simulated(text: str) -> None:
        say(f"\033[1;33m{text}\033[0m" if color else text)

    began = time.monotonic()
    real("llm: two rows of the table of VTC (OSDI'24), recomputed from the published results of an A10G")
    same = True
    for name, row in (("real_fcfs", "fcfs"), ("real_vtc", "vtc")):
        found = fairness(published(name))
        same &= (
            abs(found.greatest - PUBLISHED[row][0]) < 0.01 and abs(found.average - PUBLISHED[row][1]) < 0.01
        )
        say(
            f"  {row:12} max {found.greatest:7.2f}  average {found.average:7.2f}  {found.throughput:.0f} tokens/s"
        )
    simulated(
        "\nthe whole table, simulated: one run of each policy, 1,500 requests of 27 clients, ten minutes"
    )
    say("  policy           max diff           avg diff           tokens/s")
    say("               published    here  published    here  published here")
    rows = {name: _row(name) for name in PUBLISHED}
    for name, found in rows.items():
        greatest, average, rate = PUBLISHED[name]
        say(
            f"  {name:12} {greatest:9.1f} {found.greatest:7.1f}  {average:9.1f} {found.average:7.1f}"
            f"  {rate:9} {found.throughput:4.0f}"
        )
    ordered = rows["fcfs"].average > rows["lcf"].average > rows["vtc"].average
    say(f"\n{time.monotonic() - began:.1f} s.  One run jumps (max of vtc: ± 20 %); try next:")
    say("  transect llm simulate fcfs vtc foresight --runs 8     means and intervals")
    say("  transect llm simulate mine.py --trace overload        a policy of your own")
    return Shown(same and ordered)


def _row(name: str) -> Fairness:
    example, _, limit = name.partition(" ")
    policy = load(example, limit=int(limit)) if limit else load(example)
    setting = Setting(seed=0, hint=lambda a: a.output)
    return fairness(simulate(policy, workload("real"), engine("a10g-llama-2-7b"), setting).jobs)
