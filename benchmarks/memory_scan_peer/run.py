# SPDX-License-Identifier: Apache-2.0
"""`memory.scan_peer`: the task list of a RAM file, ours / volatility3's and ours / drgn's, in processor seconds.

`cold` and `cached`: a whole process each, `transect memory ps` and `vol linux.pslist.PsList`; cold with an empty
cache, cached with what an earlier run left there.  volatility3's symbol file is made beforehand by our tests, from BTF
and kallsyms, and not counted; our side is given the kernel's package.  `drgn`: the walk again in a warm process, with
number, parent, user and name of each task; ours is the probe `Processes` in C, which also looks for hidden tasks.
The kernel has four levels of page tables, since volatility3 does not support five.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__)
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parents[2])]

from drgn.helpers.linux.list import list_for_each_entry
from measuring import Control, Samples, begin, claim, installed, interleaved, report, result

from tests.systems.memory.oracles import debugger
from tests.systems.memory.oracles.isf import Isf
from transect.linux import stored
from transect.linux.physical import ram
from transect.memory.machine import Known, Machine
from transect.memory.native.probes import native
from transect.memory.questions import Answers
from transect.memory.scan import prepare
from transect.memory.standard import named
from transect.vm import Setup, Vm, find

ROUNDS, WALKS, WALK_ROUNDS, PROCESSES = 3, 50, 15, 20
BIN = Path(sys.executable).parent


def process(words: Sequence[str | Path], env: dict[str, str], cache: Path, cold: bool) -> float:
    """Processor seconds of a command that has its cache in the folder `cache`."""
    if cold:
        shutil.rmtree(cache)
    cache.mkdir(exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, env=env | {"XDG_CACHE_HOME": str(cache)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and done.stdout.count(b"kthreadd") == 1, done.stderr.decode()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processes(samples: Samples, folder: Path, memory: Path, kernel: Path) -> float:
    """Measure `cold` and `cached`; returns `cached` of the toy: ours with nothing kept."""
    ours = [BIN / "transect", "memory", "ps", f"ram:{memory}", "--kernel", kernel]
    symbols = folder / "symbols"
    symbols.mkdir()
    (symbols / "kernel.json").write_text(json.dumps(Isf(stored.image(kernel)).document()))
    env = installed()
    places = ["-s", symbols, "--cache-path", folder / "theirs", "-f", memory]
    theirs = [BIN / "vol", "-q", "-r", "json", *places, "linux.pslist.PsList"]

    def both(words: Sequence[str | Path], name: str) -> dict[str, float]:
        cache = folder / name
        cache.mkdir(exist_ok=True)
        return {"cold": process(words, env, cache, True), "cached": process(words, env, cache, False)}

    interleaved(lambda: both(ours, "ours"), lambda: both(theirs, "theirs"), ROUNDS, into=samples)
    return both(ours, "ours")["cold"] / both(theirs, "theirs")["cached"]


def walks(samples: Samples, machine: Machine) -> float:
    """Measure `drgn`; returns `drgn` of the toy: the interpreter."""
    prepared = prepare(named("Processes"), machine, Answers(machine))
    in_c = native(machine, [prepared])["Processes"]
    program = debugger.program(machine)
    head = debugger.at(program, machine, "struct task_struct", "init_task").tasks.address_of_()

    def theirs() -> list[tuple[int, int, bytes, int]]:
        return [
            (t.tgid.value_(), t.real_parent.tgid.value_(), t.comm.string_(), t.cred.uid.val.value_())
            for t in list_for_each_entry("struct task_struct", head, "tasks")
        ]

    said = [dict(s.evidence) for s in in_c.round(machine)[1]]
    assert [(t["pid"], t["parent"], t["comm"], t["uid"]) for t in said] == theirs()
    toy = seconds(lambda: prepared.round(machine)) / seconds(theirs)
    interleaved(
        lambda: {"drgn": seconds(lambda: in_c.round(machine))},
        lambda: {"drgn": seconds(theirs)},
        WALK_ROUNDS,
        into=samples,
    )
    return toy


def seconds(walk: Callable[[], object]) -> float:
    """Processor seconds of one walk."""
    began = time.process_time()
    for _ in range(WALKS):
        walk()
    return (time.process_time() - began) / WALKS


def main() -> None:
    the_claim, samples = claim(__file__), Samples()
    kernel = find()
    assert kernel.compressed is not None, "kernels of the archive are compressed"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as work:
        folder, memory = Path(work), Path(work) / "ram"
        setup = Setup(kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=500)
        with Vm(setup, ready_s=450) as vm:
            others = [vm.start(["/bin/sleep", "600"]) for _ in range(PROCESSES)]
            still = folder / "still"
            subprocess.run(["cp", "--sparse=always", memory, still], check=True)
            assert not any(other.ended for other in others)
        machine = Machine.find("ram", ram(still), Known.of(stored.image(kernel.compressed)))
        in_python = walks(samples, machine)
        unkept = processes(samples, folder, still, kernel.compressed)
    controls = [
        Control("the interpreter in place of C", not the_claim.targets["drgn"].met(in_python)),
        Control("symbols decoded anew", not the_claim.targets["cached"].met(unkept)),
    ]
    report(result(the_claim, samples, controls, guest=kernel.release), __file__)


if __name__ == "__main__":
    begin(main)
