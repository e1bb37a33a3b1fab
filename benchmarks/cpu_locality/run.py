# SPDX-License-Identifier: Apache-2.0
"""Groups of threads that wake each other on four CPUs, with and without hints which say what belongs together.

In one boot of an emulated machine, which has no caches: what counts is where threads wake up, and how often they move.
`wrong`: the run time when the hints set partners apart.  The control for `share` is the groups without hints.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import compiled_load, rounds
from measuring import Control, Samples, begin, claim, report, result

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.cpu.hints import target_c
from transect.cpu.machine import Bench

ROUNDS = 31
TIMES = 4  # runs per turn: where threads without hints end up, and so their time, is a matter of chance


def main() -> None:
    (program,) = compile_file(path_of("locality")).programs
    samples = Samples()
    shares: list[float] = []
    with Bench(cpus=4) as bench:
        target_c.emitter.emit(program).write(bench.folder)
        load = compiled_load(bench, Path(__file__).with_name("groups.c"))
        bench.force(program)

        def groups(how: str) -> tuple[float, float, float]:
            """Share of wake-ups at home, migrations, run time."""
            command = f"setpriv --reuid 65534 --regid 65534 --clear-groups {load} {how}"
            turns = [map(int, bench.shell(command).split()) for _ in range(TIMES)]
            woken, home, moved, took = map(sum, zip(*turns, strict=True))
            return home / woken, moved, took

        for _ in rounds(ROUNDS):
            bare, right, wrong, again = groups("none"), groups("right"), groups("wrong"), groups("none")
            samples.add("share", right[0])
            samples.add("migrations", right[1] / ((bare[1] + again[1]) / 2))
            samples.add("wrong", wrong[2] / ((bare[2] + again[2]) / 2), bare[2] / again[2])
            shares.append(bare[0])
        kernel = bench.vm.release
        bench.stop()
    control = Control("groups that say nothing", sum(shares) / len(shares) < 0.9)
    report(
        result(claim(__file__), samples, [control], guest=kernel, unhinted=shares, emulated=True), __file__
    )


if __name__ == "__main__":
    begin(main)
