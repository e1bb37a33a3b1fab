# SPDX-License-Identifier: Apache-2.0
"""Hardware virtualisation where it works.  That /dev/kvm can be opened proves little: under nested virtualisation it
may not boot a stock kernel.  So the first boot tries it, and the result is remembered until the host itself reboots.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from transect.base.bounded import head
from transect.base.cache import opened
from transect.base.places import place
from transect.vm.machine import Accelerator, Setup, VmError

NOTE = 64  # bytes of the note that it does not work, which names a boot of the host
KVM = Path("/dev/kvm")
KVM_READY_S = 8.0  # a kernel under KVM answers within one
Boot = Callable[[Accelerator, float], None]


def choose(setup: Setup, boot: Boot, ready_s: float, say: Callable[[str], None]) -> Accelerator:
    """Boot with the best accelerator that works, and return which.  Raises what the last `boot` raised."""
    if setup.accelerator != "auto":
        boot(setup.accelerator, ready_s)
        return setup.accelerator
    if os.access(KVM, os.R_OK | os.W_OK) and not _failed_before(setup):
        try:
            boot("kvm", min(KVM_READY_S, ready_s))
            return "kvm"
        except VmError:
            _remember_failure(setup)
            say("KVM does not boot this kernel here; the machine is emulated")
    boot("tcg", ready_s)
    return "tcg"


def _note(setup: Setup) -> Path:
    return place("vm") / "no-kvm" / setup.kernel.release


def _host_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _failed_before(setup: Setup) -> bool:
    note = _note(setup)
    return note.is_file() and head(note, NOTE).decode(errors="replace").strip() == _host_boot()


def _remember_failure(setup: Setup) -> None:
    note = _note(setup)
    with opened(note.parent, make=True) as folder:
        folder.put(note.name, f"{_host_boot()}\n".encode())
