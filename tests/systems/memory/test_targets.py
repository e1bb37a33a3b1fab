# SPDX-License-Identifier: Apache-2.0
"""One machine by every address: its RAM file, its monitor, and dumps that QEMU writes of it; whole and cut off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.systems.memory.guest import Guest
from transect.cli import main
from transect.linux import KernelDataError
from transect.memory.machine import Machine
from transect.memory.qmp import Monitor
from transect.memory.scan import scan
from transect.memory.standard import chosen
from transect.memory.target import open_target

PROBES = ["HiddenTasks", "HiddenModules", "Processes"]


def processes(machine: Machine) -> set[int]:
    results = {r.probe: r for r in scan(machine, chosen(PROBES)).results}
    assert {p: r.problem for p, r in results.items() if r.verdict != "clean"} == {}
    return {dict(s.evidence)["pid"] for s in results["Processes"].shown}


def test_a_monitor_leads_to_the_ram_file(guest: Guest) -> None:
    machine = open_target(f"qmp:{guest.ram.parent}/qmp", guest.target.image)
    assert machine.physical.live and machine.where == guest.machine.where
    assert 1 in processes(machine)


@pytest.mark.parametrize("form", ["elf", "kdump-raw-zlib", "kdump-zlib"])
def test_a_dump_holds_the_processes_of_its_moment(guest: Guest, form: str) -> None:
    dump = guest.ram.parent / "dump"
    pid = guest.process()
    with Monitor(guest.ram.parent / "qmp") as monitor:
        monitor.ask("dump-guest-memory", paging=False, protocol=f"file:{dump}", format=form)
    guest.shell(f"kill -9 {pid}")
    try:
        machine = open_target(f"core:{dump}", guest.target.image)
        assert not machine.physical.live
        assert pid in processes(machine)
        dump.chmod(0o600)  # QEMU lets nobody write to it
        with open(dump, "r+b") as file:
            file.truncate(dump.stat().st_size // 3)
        with pytest.raises(KernelDataError):  # at once, or when a page is read that is no longer there
            cut = open_target(f"core:{dump}", guest.target.image)
            cut.physical.read(cut.physical.ranges[-1].end - 4096, 4096)
            raise AssertionError("a dump that is cut off was taken for whole")
    finally:
        dump.unlink()


def test_the_command_line(guest: Guest, capsys: pytest.CaptureFixture[str]) -> None:
    target, kernel = f"ram:{guest.ram}", ["--kernel", str(guest.target.image)]
    assert main(["memory", "ps", target, *kernel]) == 0
    assert "kthreadd" in capsys.readouterr().out
    assert main(["memory", "plan", target, "ProcessList", *kernel]) == 0
    assert "each element is known when the one before it has been read" in capsys.readouterr().out
    with guest.tampered("netfilter"):
        assert main(["memory", "lsmod", target, *kernel]) == 1
        assert "tamper" in capsys.readouterr().out
        assert main(["memory", "scan", target, "Netfilter", "HiddenTasks", "--format", "json", *kernel]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["anchored"] and [p["verdict"] for p in found["probes"]] == ["found", "clean"]
    assert main(["memory", "scan", target, "Netfilter", *kernel]) == 0
    assert main(["memory", "scan", target, "Text", "--kernel", str(Path(__file__))]) == 4
