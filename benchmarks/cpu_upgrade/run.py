# SPDX-License-Identifier: Apache-2.0
"""A hundred swaps of a scheduler in force, under load, and a hundred stores that change nothing between them.

In one boot of an emulated machine.  `lateness`: how late a loop that wakes every 200 us is within 4 ms after a swap /
after a store that changes nothing, medians.  `lost`: counts in the policy's state that are gone after a swap.  `error`:
how far the CPU times of hogs of nice 0 and nice 5, over all swaps and stores, are off 1024 : 335; the same for 4 s
without any store stands beside it.  The control is a version that starts anew.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import compiled_load, rounds
from measuring import Control, Samples, begin, claim, report, result
from needed import tools

import transect
from transect.core.frontend import compile_file, compile_text
from transect.cpu.machine import Bench

HERE = Path(__file__).parent
ROUNDS = 3
SWAPS = 100
IDEAL = 1024 / 335
AFTER_NS = 4_000_000


def around(found: dict[str, Any], stores: Sequence[int]) -> float:
    """The median lateness just after such stores, ns."""
    near: list[int] = [
        late
        for due, late in zip(found["due"], found["late"], strict=True)
        if any(0 <= due + late - at < AFTER_NS for at in stores)
    ]
    return statistics.median(near)


def main() -> None:
    tools("gcc", "taskset")
    (one,) = compile_file(HERE / "counted.py").programs
    text = (HERE / "counted.py").read_text().replace("    begun:", "    other: int = 0\n    begun:")
    (anew,) = compile_text(text, "anew.py").programs
    samples, toys, still, begun = Samples(), list[int](), list[float](), 0
    with Bench() as bench:
        late = compiled_load(bench, HERE / "late.c")
        both = [bench.build(p) for p in (one, anew)]
        built = [str(b.object.with_suffix(".json")) for b in both]
        python, source = str(bench.vm.setup.python), str(Path(transect.__file__).parents[1])
        words = [bench.shim(both[0]), built[0], built[0], built[1], str(SWAPS)]
        for _ in rounds(ROUNDS):
            done = bench.vm.run(
                [python, "-s", "-S", str(HERE / "swaps.py"), *words],
                env={"PYTHONPATH": source, "LATE": late},
                limit_s=200,
            )
            assert done.code == 0, done.stderr.decode()
            found = json.loads(done.text)
            base = around(found, found["stores"])
            odd, even = around(found, found["stores"][::2]), around(found, found["stores"][1::2])
            samples.add("lateness", around(found, found["swaps"]) / base, odd / even)
            samples.add("lost", found["lost"])
            samples.add("error", abs(found["ran"][0] / found["ran"][1] / IDEAL - 1))
            still.append(abs(found["still"][0] / found["still"][1] / IDEAL - 1))
            toys.append(found["toy"])
            begun += found["begun"]
        kernel = bench.vm.release
    control = Control("a version that starts anew", min(toys) > 0)
    conditions = {
        "guest": kernel,
        "swaps": ROUNDS * SWAPS,
        "runs": begun,
        "error_without_swaps": still,
        "emulated": True,
    }
    report(result(claim(__file__), samples, [control], **conditions), __file__)


if __name__ == "__main__":
    begin(main)
