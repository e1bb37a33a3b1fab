# SPDX-License-Identifier: Apache-2.0
"""A machine that QEMU's emulation killed is told apart from one that died of what ran in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.vm import EmulatorFault, Vm
from transect.vm.emulation import killed_by

# As a real machine said it, on a host with two busy processors, when a scheduler left.
STRAY = """\
[   53.727007] Oops: int3: 0000 [#1] SMP NOPTI
[   53.727606] CPU: 2 UID: 0 PID: 391 Comm: sched_ext_helpe Not tainted 7.3.4+deb13-cloud-amd64
[   53.727942] RIP: 0010:set_next_task_idle+0x19/0x120
[   53.728495] Code: 0f 1f 44 00 00 55 48 89 f5 53 48 89 fb eb 05 e8 38 dc fc ff 0f <1f> 44 00 00 0f 1f 44
[   53.728946] Call Trace:
[   53.730106]  scx_root_disable+0x39c/0x480
[   53.731072] Kernel panic - not syncing: Fatal exception in interrupt
"""


def test_a_breakpoint_that_the_memory_does_not_hold_is_the_emulations() -> None:
    assert killed_by(STRAY)
    assert killed_by("[    1.0] booted\n" + STRAY.replace("[   53", "\x1b[0m[   53"))


def test_other_deaths_are_the_machines_own() -> None:
    assert not killed_by("")
    assert not killed_by(STRAY.replace("ff 0f <1f>", "ff cc <1f>"))  # a breakpoint that is there
    assert not killed_by(STRAY.replace("Oops: int3", "Oops: invalid opcode"))
    assert not killed_by("[   53.727007] Oops: int3: 0000 [#1] SMP NOPTI\n")  # it said no more: not known


@pytest.mark.parametrize(("accelerator", "fault"), [("tcg", True), ("kvm", False)])
def test_a_machine_that_is_gone_says_whose_fault_it_was(
    tmp_path: Path, accelerator: str, fault: bool
) -> None:
    machine = object.__new__(Vm)
    machine.folder, machine.accelerator = tmp_path, accelerator  # type: ignore[assignment]
    machine.console.write_text(STRAY)
    error = machine.gone("the machine is off")
    assert isinstance(error, EmulatorFault) == fault
    assert ("QEMU's emulation killed the machine" in str(error)) == fault
    assert "the machine is off\n" in str(error) and "Kernel panic" in str(error)
