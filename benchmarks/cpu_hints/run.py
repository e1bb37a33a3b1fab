# SPDX-License-Identifier: Apache-2.0
"""How late an urgent thread wakes up beside a hog on its CPU, against no hog at all: this is what the hint is worth.

In one boot of an emulated machine.  An ordinary user's application says by a hint that its thread is urgent.  The
control is the same application that says nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import compiled_load, rounds
from measuring import Control, Samples, begin, claim, report, result

from transect.core.frontend import compile_file
from transect.cpu.hints import target_c
from transect.cpu.machine import Bench

HERE = Path(__file__).parent
ROUNDS = 15
P90 = 1


def late(bench: Bench, how: str, *, hog: bool) -> float:
    """The p90 of the thread's lateness, in ns."""
    words = f"taskset -c 1 setpriv --reuid 65534 --regid 65534 --clear-groups /run/load/wake {how}"
    script = f"taskset -c 1 sh -c 'while :; do :; done' & hog=$!; {words}; kill $hog" if hog else words
    return float(bench.shell(script).split()[P90])


def main() -> None:
    (program,) = compile_file(HERE / "first.py").programs
    samples = Samples()
    with Bench() as bench:
        target_c.emitter.emit(program).write(bench.folder)
        compiled_load(bench, HERE / "wake.c")
        bench.force(program)
        for _ in rounds(ROUNDS):
            first, hinted, again = (
                late(bench, "plain", hog=False),
                late(bench, "urgent", hog=True),
                late(bench, "plain", hog=False),
            )
            samples.add("p90", hinted / ((first + again) / 2), first / again)
        silent = late(bench, "plain", hog=True) / late(bench, "plain", hog=False)
        kernel = bench.vm.release
        bench.stop()
    control = Control("an application that says nothing", silent > 2)
    report(result(claim(__file__), samples, [control], guest=kernel, silent=silent, emulated=True), __file__)


if __name__ == "__main__":
    begin(main)
