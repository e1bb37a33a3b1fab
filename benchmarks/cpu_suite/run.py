# SPDX-License-Identifier: Apache-2.0
"""A fixed list of programs under weighted fair sharing, as `cpu run` ships it, against the default scheduler.

In one boot of an emulated machine of two CPUs, in turn: default, ours, default.  A load's number is its run time; for
threads that wake each other it is the time of a round trip, for schbench's shape the p99 of how late workers run.
`geomean`, `worst`: of the loads' medians; `upper`: the upper end of the bootstrap's 95 % interval of the geometric
mean.  The control is FIFO with its slices of 20 ms, in the loads where more threads want to run than can.  All programs
have to be installed: with fewer loads it would be another claim.
"""

from __future__ import annotations

import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import compiled_load, rounds
from measuring import Control, Samples, begin, claim, report, result
from needed import tools

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.cpu.machine import Bench

HERE = Path(__file__).parent
ROUNDS = 5
LIMIT_S = 500  # a round takes some four minutes, and there are three at least
RESAMPLES = 1000
TIMED = "s=$(date +%s%N); { {command}; } >/dev/null 2>&1; echo $(( $(date +%s%N) - s ))"
MEMCACHED = (
    "memcached -u nobody -l 127.0.0.1 -t 2 -m 16 & server=$!;"
    " /run/load/memload 2 > /run/answered; kill $server; wait $server; echo $((1000000000 / $(cat /run/answered)))"
)
STRESS = (
    "for n in 1 2; do nice -n 19 sh -c 'while :; do :; done' & behind=\"$behind $!\"; done;"
    ' for n in 1 2 3; do (i=0; while [ $i -lt 6000 ]; do i=$((i+1)); done) & mine="$mine $!"; done;'
    ' for n in 1 2; do (i=0; while [ $i -lt 15 ]; do sleep 0.005; i=$((i+1)); done) & mine="$mine $!"; done;'
    ' (i=0; while [ $i -lt 15 ]; do echo $i | cat > /dev/null; i=$((i+1)); done) & mine="$mine $!";'
    " wait $mine; kill $behind"
)
UNIT = "int f{n}(int x) {{ int a[64]; for (int i = 0; i < 64; i++) a[i] = x * i; return a[x & 63]; }}"


@dataclass(frozen=True, slots=True)
class Load:
    name: str
    command: str
    program: str = ""  # that has to be installed
    prints: bool = False  # whether it prints its number; else its run time counts

    def script(self) -> str:
        return self.command if self.prints else TIMED.replace("{command}", self.command)


LOADS = (
    Load("hackbench, threads", "hackbench -T -g 2 -l 60", "hackbench"),
    Load("hackbench, processes", "hackbench -P -g 2 -l 60", "hackbench"),
    Load("pipe, pinned", "/run/load/pipe 1 5 400", prints=True),
    Load("futex, pinned", "taskset -c 1 /run/load/loads futex 3000", prints=True),
    Load("epoll, pinned", "taskset -c 1 /run/load/loads epoll 2000", prints=True),
    Load("schbench's shape, 2 x 2", "/run/load/loads wake 2 2 6", prints=True),
    Load("schbench's shape, 2 x 40", "/run/load/loads wake 2 40 6", prints=True),
    Load("gcc -j4", "printf '%s\\n' 1 2 3 4 | xargs -P 4 -I {} gcc -c -o /run/{}.o {folder}/unit{}.c", "gcc"),
    Load("zstd -T2", "zstd -T2 -3 -q -f -o /run/packed {folder}/text", "zstd"),
    Load("sort", "sort --parallel=2 -o /run/sorted {folder}/text"),
    Load(
        "sqlite",
        "rm -f /run/base; sqlite3 /run/base 'create table t(a,b); with recursive c(n) as (select 1 union all"
        " select n+1 from c where n<3000) insert into t select n, n*n%977 from c; create index i on t(b);"
        " select sum(a) from t group by b'",
        "sqlite3",
    ),
    Load("memcached", MEMCACHED, "memcached", prints=True),
    Load("stress mix", STRESS),
)
CONTROLS = ("hackbench, processes", "schbench's shape, 2 x 2", "schbench's shape, 2 x 40", "stress mix")


def measured(bench: Bench, load: Load) -> float:
    return float(bench.shell(load.script().replace("{folder}", str(bench.folder)), limit_s=120).split()[-1])


def round_of(bench: Bench, load: Load, scheduler: str) -> tuple[float, float]:
    """The ratio of the load's number under the scheduler to that under the default one; the default one's to itself."""
    (program,) = compile_file(path_of(scheduler)).programs
    first = measured(bench, load)
    bench.force(program)
    ours = measured(bench, load)
    bench.stop()
    again = measured(bench, load)
    return ours / ((first + again) / 2), first / again


def upper(ratios: dict[str, list[float]]) -> float:
    """What 97.5 % of the geometric means stay below when rounds are drawn anew."""
    rng = random.Random(1)
    drawn = sorted(
        statistics.geometric_mean(
            [statistics.median(rng.choices(values, k=len(values))) for values in ratios.values()]
        )
        for _ in range(RESAMPLES)
    )
    return drawn[int(0.975 * RESAMPLES)]


def prepare(bench: Bench) -> None:
    for source in (
        HERE / "loads.c",
        HERE.parent / "cpu_pipe" / "pipe.c",
        HERE.parent / "cpu_arbiter" / "memload.c",
    ):
        compiled_load(bench, source)
    rng = random.Random(7)
    lines = ("".join(rng.choices("abcdefghij klmnop", k=60)) for _ in range(4000))
    (bench.folder / "text").write_text("\n".join(lines))
    for n in range(1, 5):
        (bench.folder / f"unit{n}.c").write_text(UNIT.format(n=n))


def main() -> None:
    tools("taskset", *(load.program for load in LOADS if load.program))
    ratios: dict[str, list[float]] = {load.name: [] for load in LOADS}
    samples = Samples()
    with Bench() as bench:
        prepare(bench)
        for _ in rounds(ROUNDS, LIMIT_S):
            selves = []
            for load in LOADS:
                ratio, own = round_of(bench, load, "weighted_fair")
                ratios[load.name].append(ratio)
                selves.append(own)
            latest = [values[-1] for values in ratios.values()]
            samples.add("geomean", statistics.geometric_mean(latest), statistics.geometric_mean(selves))
        fifo = {load.name: round_of(bench, load, "fifo")[0] for load in LOADS if load.name in CONTROLS}
        kernel = bench.vm.release
    medians = {name: statistics.median(values) for name, values in ratios.items()}
    samples.values["geomean"] = [statistics.geometric_mean(list(medians.values()))]
    samples.add("upper", upper(ratios))
    samples.add("worst", max(medians.values()))
    control = Control("FIFO with slices of 20 ms", max(fifo.values()) > 1.15)
    conditions = {
        "loads": medians,
        "fifo": fifo,
        "loads_rounds": len(samples.aa["geomean"]),
        "guest": kernel,
        "emulated": True,
    }
    report(result(claim(__file__), samples, [control], **conditions), __file__)


if __name__ == "__main__":
    begin(main)
