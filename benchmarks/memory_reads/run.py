# SPDX-License-Identifier: Apache-2.0
"""`memory.reads`: reads of a target's memory for one walk over its tasks, planned / one for each field and link.

A count, not a time: a virtual machine is booted, and the same probe reads pid, name and credentials of every process,
both ways in turn.  The machine is idle but for a process that comes and goes with each round, so that counts differ.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

from measuring import Control, Samples, begin, claim, report, result

from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.linux import stored
from transect.linux.physical import ram
from transect.memory import views
from transect.memory.findings import Verdict
from transect.memory.machine import Known, Machine
from transect.memory.scan import scan
from transect.vm import Setup, Vm, find

ROUNDS = 15
PROBE = """
from transect.memory import Probe, linux
class Owners(Probe):
    def scan(self) -> None:
        for task in linux.tasks():
            self.show("task", pid=task.pid, comm=task.comm, uid=task.uid, gid=task.gid, euid=task.euid)
"""


def reads(machine: Machine, program: Program, planned: bool) -> int:
    """The reads of one round, with those that find the kernel's banner again."""
    if planned:
        return _count(machine, program)
    with (
        mock.patch.object(views, "_window", lambda _: (0, 0)),
        mock.patch.object(views.Views, "_far", lambda *_: {}),
    ):
        return _count(machine, program)


def _count(machine: Machine, program: Program) -> int:
    (found,) = scan(machine, [program]).results
    assert found.verdict is Verdict.CLEAN, found.problem
    assert len(found.shown) > 30, "a walk over few tasks shows nothing"
    return found.reads


def main() -> None:
    the_claim, samples = claim(__file__), Samples()
    program = compile_text(PROBE).program("Owners")
    kernel = find()
    assert kernel.compressed is not None, "kernels of the archive are compressed"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        memory = Path(folder) / "ram"
        setup = Setup(kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=300)
        with Vm(setup) as vm:
            known = Known.of(stored.image(kernel.compressed))
            machine = Machine.find("ram", ram(memory), known)
            toy = 0.0
            for _ in range(ROUNDS):
                other = vm.start(["/bin/sleep", "60"])
                single = reads(machine, program, planned=False)
                samples.add("ratio", reads(machine, program, planned=True) / single)
                toy = reads(machine, program, planned=False) / single
                other.kill()
    controls = [Control("the walk without a plan", not the_claim.targets["ratio"].met(toy))]
    report(result(the_claim, samples, controls, guest=kernel.release), __file__)


if __name__ == "__main__":
    begin(main)
