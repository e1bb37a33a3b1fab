# SPDX-License-Identifier: Apache-2.0
"""What a complete recording costs: a pinned ping-pong over pipes under weighted fair sharing, recorded, against the
same scheduler in the same shim, not recorded.  In one boot of an emulated machine, in turn.

Each recorded round's log is replayed: `replayed` is the share of its calls that come out as recorded, `lost` the calls
that found no room in the ring.  `rate` is calls replayed per second of processor time / calls recorded per second.

The control is a ring too small for the rate: its log must not pass for a complete one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import rounds
from measuring import Control, Samples, begin, claim, report, result
from needed import static

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.cpu.machine import Bench
from transect.cpu.replay import CpuDecoder
from transect.replay import compare, read

ROUNDS = 21
PIPE = Path(__file__).parents[1] / "cpu_pipe" / "pipe.c"


def ping_pong(bench: Bench) -> float:
    """Nanoseconds a round trip."""
    return float(bench.shell(f"{bench.folder}/pipe 1 15 200"))


def recorded(bench: Bench, program: Program, path: Path) -> tuple[float, int]:
    """The same while the scheduler is recorded, and how many calls were lost."""
    bench.record(program, {}, path, "fair")
    took = ping_pong(bench)
    return took, bench.end_record().dropped


def replayed(path: Path) -> tuple[float, float]:
    """The share of the calls of a log that come out as recorded; calls replayed / recorded per second."""
    log = read(path)
    decoder = CpuDecoder(log)
    began = time.process_time()
    found = compare(log, decoder, runner=decoder.runner)
    took = time.process_time() - began
    first, last = (int.from_bytes(r.arguments[:8], "little") for r in (log.records[0], log.records[-1]))
    return found.calls / len(log.records), (last - first) / 1e9 / took


def main() -> None:
    (fair,) = compile_file(path_of("weighted_fair")).programs
    samples = Samples()
    with Bench() as bench, tempfile.TemporaryDirectory() as folder:
        static(PIPE, bench.folder / "pipe")
        bench.force(fair)
        for number in rounds(ROUNDS):
            log = Path(folder, f"log{number}")
            first = ping_pong(bench)
            took, lost = recorded(bench, fair, log)
            again = ping_pong(bench)
            samples.add("cost", took / ((first + again) / 2), first / again)
            share, rate = replayed(log)
            samples.add("lost", lost)
            samples.add("replayed", share)
            samples.add("rate", rate)
            log.unlink()
        kernel = bench.vm.release
        toy = Control("a ring that nobody drains", undrained(bench, fair, Path(folder, "toy")) > 0)
    report(result(claim(__file__), samples, [toy], guest=kernel, emulated=True), __file__)


def undrained(bench: Bench, program: Program, path: Path) -> int:
    """Calls lost when the loader is stopped while it records."""
    bench.record(program, {}, path, "fair")
    pid = bench.shell("pgrep -f transect.cpu.guest").split()[0]
    bench.shell(f"kill -STOP {pid}; {bench.folder}/pipe 1 20 1000 >/dev/null; kill -CONT {pid}", limit_s=120)
    return bench.end_record().dropped


if __name__ == "__main__":
    begin(main)
