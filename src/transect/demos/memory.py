# SPDX-License-Identifier: Apache-2.0
"""`transect demo memory`: a live virtual machine is looked at from outside, by its RAM file alone."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.linux import stored
from transect.linux.errors import KernelDataError
from transect.linux.physical import ram
from transect.memory import report
from transect.memory.findings import Scan
from transect.memory.machine import Known, Machine
from transect.memory.scan import scan
from transect.memory.standard import chosen
from transect.vm import Setup, Vm, VmError, find

PROBES = ("HiddenTasks", "HiddenModules", "HiddenThreads", "BorrowedCredentials", "Ftrace", "Kprobes", "Netfilter",
          "Notifiers", "Interrupts", "StrayCode")  # fmt: skip
LIFE_S = 300
STARTS_S = 10  # a process of the machine has that long to be there

RECORDED = """\
RECORDED, not live: this machine lacks {what} ({why}).
To see it live: {hint}

ram:/tmp/vm.ram: Linux 7.3.4+deb13-cloud-amd64
  HiddenTasks          clean      1 round, 346 reads, 4.6 ms
  HiddenModules        clean      1 round, 143 reads, 2.1 ms
0 findings; 2 of 2 probes clean"""


def run(color: bool) -> int:
    """Boot, look, and print what was seen; 0 when it was seen, 3 when it is only told of."""
    bold = "\033[1m{}\033[0m" if color else "{}"
    print(bold.format("memory: another machine's kernel, read from outside (live VM, KASLR on)"), flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="transect-demo-") as folder:
            return _live(Path(folder) / "ram")
    except Unavailable as lacking:
        print(RECORDED.format(what=lacking.what, why=lacking.why, hint=lacking.hint or "transect doctor"))
        return 3
    except (VmError, KernelDataError) as problem:
        print(f"transect: the demonstration failed: {problem}")
        return 4


def _live(memory: Path) -> int:
    kernel = find()
    setup = Setup(kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=LIFE_S)
    began = time.monotonic()
    with Vm(setup) as vm:
        print(
            f"  a machine with Linux {vm.release} has booted in {time.monotonic() - began:.1f} s", flush=True
        )
        began = time.monotonic()
        assert kernel.compressed is not None, "kernels of the archive are compressed"
        known = Known.of(stored.image(kernel.compressed))
        machine = Machine.find(f"ram:{memory}", ram(memory), known)
        where = machine.where
        print(
            f"  found without its help in {time.monotonic() - began:.1f} s: kernel at physical {where.base:#x}, "
            f"moved by {where.slide:#x}, {where.levels} levels of page tables"
        )
        victim = vm.start(["/bin/sleep", "600"])
        until = time.monotonic() + STARTS_S
        while _asleep(scan(machine, chosen(["Processes"]))) is None and time.monotonic() < until:
            time.sleep(0.1)
        made = scan(machine, chosen(["Processes", *PROBES]))
        victim.kill()
    shown, mine = made.results[0].shown, _asleep(made)
    if mine is not None:
        print(f"  {len(shown)} processes, among them the one that was just started: sleep, pid {mine['pid']}")
    print(report.table(made))
    return 0 if mine is not None and not made.findings and not made.unchecked else 4


def _asleep(made: Scan) -> dict[str, object] | None:
    """The process that was started, where a scan has it."""
    shown = (dict(s.evidence) for s in made.results[0].shown)
    return next((s for s in shown if s["comm"] == b"sleep"), None)
