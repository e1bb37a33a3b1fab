# SPDX-License-Identifier: Apache-2.0
"""Two other readers of kernel memory say the same of one machine: drgn, which gets our types and does the rest itself,
and volatility3, which gets our symbols and types and finds the kernel, its page tables and its lists itself.

volatility3 knows no five levels of page tables: it looks at the kernel that has four here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from drgn.helpers.linux.list import list_for_each_entry

from tests.systems.memory.guest import Guest
from tests.systems.memory.oracles import debugger
from tests.systems.memory.oracles.isf import Isf
from tests.systems.memory.test_native import copied
from transect.linux.physical import ram
from transect.memory.machine import Machine
from transect.memory.scan import scan
from transect.memory.standard import chosen

Task = tuple[int, int, str, int]
FOUR_LEVELS = "7.3"


@pytest.fixture(scope="module")
def still(guest: Guest) -> Iterator[Machine]:
    """The machine with a module and processes of ours, as it was at one moment."""
    pids = [guest.process(f"sleep {1000 + i}") for i in range(5)]
    with guest.tampered("none", hide=0):
        copy = copied(guest)
    guest.shell(f"kill -9 {' '.join(map(str, pids))}")
    yield Machine.find(f"ram:{copy}", ram(copy), guest.machine.known)
    copy.unlink()


def shown(machine: Machine, probe: str) -> list[Mapping[str, Any]]:
    (result,) = scan(machine, chosen([probe])).results
    assert result.verdict == "clean", result.problem
    return [dict(said.evidence) for said in result.shown]


def tasks(machine: Machine) -> set[Task]:
    return {(t["pid"], t["parent"], t["comm"].decode(), t["uid"]) for t in shown(machine, "Processes")}


def modules(machine: Machine) -> set[str]:
    return {m["name"].decode() for m in shown(machine, "Modules")}


def test_drgn_lists_the_same(still: Machine) -> None:
    program = debugger.program(still)
    head = debugger.at(program, still, "struct task_struct", "init_task").tasks.address_of_()
    found = {
        (t.tgid.value_(), t.real_parent.tgid.value_(), t.comm.string_().decode(), t.cred.uid.val.value_())
        for t in list_for_each_entry("struct task_struct", head, "tasks")
    }
    assert found == tasks(still) and len(found) > 30
    head = debugger.at(program, still, "struct list_head", "modules").address_of_()
    listed = {m.name.string_().decode() for m in list_for_each_entry("struct module", head, "list")}
    assert listed == modules(still) and "tamper" in listed


@pytest.fixture(scope="module")
def symbols(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("symbols")
    (folder / "cache").mkdir()
    image = guest.machine.known.image
    assert image is not None
    (folder / "kernel.json").write_text(json.dumps(Isf(image).document()))
    return folder


def volatility(machine: Machine, symbols: Path, plugin: str) -> list[dict[str, Any]]:
    program = Path(sys.executable).with_name("vol")
    places = ["-s", str(symbols), "--cache-path", str(symbols / "cache"), "-f", machine.name[4:]]
    done = subprocess.run([program, "-q", "-r", "json", *places, plugin], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.parametrize("guest", [FOUR_LEVELS], indirect=True)
def test_volatility_lists_the_same(still: Machine, symbols: Path) -> None:
    assert still.where.levels == 4
    found = {
        (t["PID"], t["PPID"], t["COMM"], t["UID"]) for t in volatility(still, symbols, "linux.pslist.PsList")
    }
    assert found == tasks(still) and len(found) > 30
    listed = {m["Module Name"] for m in volatility(still, symbols, "linux.lsmod.Lsmod")}
    assert listed == modules(still) and "tamper" in listed
