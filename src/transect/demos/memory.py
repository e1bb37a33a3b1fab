# SPDX-License-Identifier: Apache-2.0
"""`transect demo memory`: looks at a live virtual machine from outside, through its RAM file alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.demos.paint import GREEN, YELLOW, painted
from transect.demos.shown import Shown
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
STARTS_S = 10  # for a process of the machine to start

Say = Callable[[str], None]

RECORDED = """\
ram:/tmp/vm.ram: Linux 7.3.4+deb13-cloud-amd64
  HiddenTasks          clean      1 round, 346 reads, 4.6 ms
  HiddenModules        clean      1 round, 143 reads, 2.1 ms
0 findings; 2 of 2 probes clean"""


def run(say: Say = print, *, color: bool = False) -> Shown:
    """Boot, look, and say what was seen; right when it is a clean machine."""
    try:
        with tempfile.TemporaryDirectory(prefix="transect-demo-") as folder:
            return Shown(_live(Path(folder) / "ram", say, color))
    except Unavailable as lacking:
        say(painted(f"memory: RECORDED earlier, for lack of {lacking}", YELLOW, color))
        say(RECORDED)
        return Shown(True, ("a recorded scan for a live machine",))
    except (VmError, KernelDataError) as problem:
        say(painted(f"memory: the machine failed: {problem}", YELLOW, color))
        return Shown(False)


def _live(memory: Path, say: Say, color: bool) -> bool:
    kernel = find(say=lambda text: say(f"  {text}"))
    setup = Setup(kernel, cpus=1, memory_mib=512, ram=memory, boot="compressed", life_s=LIFE_S)
    began = time.monotonic()
    with Vm(setup) as vm:
        title = "memory: another machine's kernel, read from outside (live VM, KASLR on)"
        say(painted(title, GREEN, color))
        say(f"  a machine with Linux {vm.release} has booted in {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        assert kernel.compressed is not None, "kernels of the archive are compressed"
        known = Known.of(stored.image(kernel.compressed))
        machine = Machine.find(f"ram:{memory}", ram(memory), known)
        where = machine.where
        say(
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
        say(f"  {len(shown)} processes, among them the one that was just started: sleep, pid {mine['pid']}")
    say(report.table(made))
    return mine is not None and not made.findings and not made.unchecked


def _asleep(made: Scan) -> dict[str, object] | None:
    """The process that was started; None if the scan does not show it."""
    shown = (dict(s.evidence) for s in made.results[0].shown)
    return next((s for s in shown if s["comm"] == b"sleep"), None)
