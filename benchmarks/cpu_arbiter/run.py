# SPDX-License-Identifier: Apache-2.0
"""Cores granted to applications of changing demand on four CPUs, memcached among them, beside six hogs.

In one boot of an emulated machine.  `foreign`: the share of the runs on granted cores that are by tasks of others which
could have run elsewhere, as the policy's own `running` counts them; a core is passed on at once, so this includes tasks
that a change overtakes.  `p50`: how late a sleeper on its core wakes up, against the default scheduler with the same
hogs.  `overcommitted`: cores that are granted beyond what was asked for, or beyond what there is, in any look at the
state.  The control is first come, first served: the same sleeper without a core of its own.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from cpu_machine import compiled_load, rounds
from measuring import Control, Samples, begin, claim, report, result
from needed import tools

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.cpu.hints import target_c
from transect.cpu.machine import Bench

HERE = Path(__file__).parent
ROUNDS = 7
COUNT = 200  # wake-ups of a round
CPUS = 4
MOST = 2  # cores that one application asks for
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
HOGS = "for n in 1 2 3 4 5 6; do sh -c 'while :; do :; done' & hogs=\"$hogs $!\"; done;"
OTHERS = f"""
{NOBODY} {{memcached}} memcached -l 127.0.0.1 -t 2 -m 16 & server=$!
/run/load/memload 2 > answered & load=$!
"""
END = "kill $hogs; wait $load && cat answered late; kill $server; wait"


def late(bench: Bench, how: str, *, arbiter: bool) -> tuple[float, int]:
    """The p50 of the sleeper's lateness in ns, and how often memcached answered meanwhile."""
    memcached = "/run/load/application exec" if arbiter else ""
    changing = f"{NOBODY} /run/load/application changing 2 & " if arbiter else ""
    script = HOGS + OTHERS.format(memcached=memcached) + changing
    said = bench.shell(f"{script} {NOBODY} /run/load/application {how} {COUNT} > late; {END}", limit_s=120)
    answered, p50, _, _ = map(int, said.split())
    return p50, answered


class Looks:
    """Looks at the state while a load runs; the worst of what was seen."""

    def __init__(self, bench: Bench) -> None:
        self.worst = self.count = 0
        self.bench = bench
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.2):
            self.worst = max(self.worst, over(self.bench.status()["fields"]["owner"]))
            self.count += 1

    def end(self) -> None:
        self._end.set()
        self._thread.join()


def over(owner: list[int]) -> int:
    """How many cores are granted that nobody asked for, or that should have been left to the others."""
    held = Counter(process for process in owner if process)
    return sum(max(0, count - MOST) for count in held.values()) + max(0, held.total() - (CPUS - 1))


def main() -> None:
    (program,) = compile_file(HERE / "watched.py").programs
    (fifo,) = compile_file(path_of("fifo")).programs
    tools("memcached", "setpriv", "gcc")
    samples, seen = Samples(), Counter[str]()
    worst, looks, answered = 0, 0, list[int]()
    with Bench(cpus=CPUS) as bench:
        target_c.emitter.emit(program).write(bench.folder)
        for source in ("application.c", "memload.c"):
            compiled_load(bench, HERE / source)
        for _ in rounds(ROUNDS):
            first, _ = late(bench, "bare", arbiter=False)
            again, _ = late(bench, "bare", arbiter=False)
            bench.force(program)
            looking = Looks(bench)
            ours, answers = late(bench, "sleeper", arbiter=True)
            looking.end()
            worst, looks = max(worst, looking.worst), looks + looking.count
            fields = bench.status()["fields"]
            for key in ("own", "foreign", "bound"):
                seen[key] += fields[key][0]
            answered.append(answers)
            bench.stop()
            samples.add("p50", ours / ((first + again) / 2), first / again)
        bench.force(fifo)
        control, _ = late(bench, "bare", arbiter=False)
        bench.stop()
        default, _ = late(bench, "bare", arbiter=False)
        kernel = bench.vm.release
    samples.add("foreign", seen["foreign"] / (seen["foreign"] + seen["own"]))
    samples.add("overcommitted", worst)
    toy = Control("first come, first served", control / default > 0.2)
    conditions = {"guest": kernel, "runs": dict(seen), "looks": looks, "answered": answered, "emulated": True}
    report(result(claim(__file__), samples, [toy], **conditions), __file__)


if __name__ == "__main__":
    begin(main)
