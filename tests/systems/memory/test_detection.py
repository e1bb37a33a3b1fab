# SPDX-License-Identifier: Apache-2.0
"""Each technique of the fixture is found by the views that disagree, and nothing is found when it is undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systems.memory.guest import Guest
from transect.cli.decoders import decoder
from transect.control.stopping import Stop
from transect.linux import KernelDataError
from transect.linux.found import find_kernel
from transect.linux.physical import ram
from transect.memory.machine import Known, Machine
from transect.memory.native.probes import native
from transect.memory.record import LogRecorder
from transect.memory.replay import notes_of
from transect.memory.report import table
from transect.memory.scan import Engine, scan
from transect.memory.standard import FOLDER, chosen, of_file
from transect.memory.watch import Event, Watch
from transect.replay import compare, read

QUICK = (
    "SystemCalls", "Interrupts", "Tables", "Pointers", "Ftrace", "Kprobes", "Tracepoints", "BpfPrograms", "Netfilter",
    "PacketHandlers", "Notifiers", "Terminals", "HiddenModules", "MissingModules", "StrayCode", "Taint", "HiddenTasks",
    "HiddenThreads", "HiddenChildren", "MissingAreas", "TaskFlags", "BorrowedCredentials", "ForgedCredentials",
    "SharedCredentials",
)  # fmt: skip
HIDDEN = {"HiddenModules", "StrayCode"}  # the module itself, taken out of the list
TECHNIQUES = {
    "module_list": HIDDEN,
    "module_junk": HIDDEN,
    "module_sysfs": HIDDEN,
    "module_everywhere": {"StrayCode"},
    "system_call": {"SystemCalls", "Tables", *HIDDEN},
    "protocol": {"Pointers", *HIDDEN},
    "sequence": {"Tables", *HIDDEN},
    "proc": {"Tables", *HIDDEN},
    "gate": {"Interrupts", *HIDDEN},
    "ftrace": {"Ftrace", *HIDDEN},
    "kprobe": {"Kprobes", *HIDDEN},
    "netfilter": {"Netfilter", *HIDDEN},
    "packets": {"PacketHandlers", *HIDDEN},
    "packets_all": {"PacketHandlers", *HIDDEN},
    "packets_device": {"PacketHandlers", *HIDDEN},
    "keyboard": {"Notifiers", *HIDDEN},
    "tracepoint": {"Tracepoints", "Pointers", *HIDDEN},
}
TASKS = {
    "task_list": {"HiddenTasks", *HIDDEN},
    "task_number": {"HiddenTasks", "HiddenThreads", "HiddenChildren", *HIDDEN},
    "task_thread": {"HiddenThreads", *HIDDEN},
    "task_both": {"HiddenChildren", *HIDDEN},
    "task_flag": {"TaskFlags", *HIDDEN},
    "credentials": {"BorrowedCredentials", *HIDDEN},
}


def test_a_clean_machine_is_clean(guest: Guest) -> None:
    assert guest.found(*QUICK) == set()
    assert (
        guest.found(engine=native) == set()
    )  # code byte by byte, too: six seconds a round in the interpreter
    assert guest.machine.where.slide or guest.machine.where.base != 16 << 20, "no KASLR: the test says little"


def test_every_process_is_listed(guest: Guest) -> None:
    pids = {int(n) for n in guest.shell("ls /proc").split() if n.isdigit()}
    shown = {dict(s.evidence)["pid"] for s in guest.scan("Processes")["Processes"].shown}
    assert len(pids - shown) <= 2, pids - shown  # `sh` and `ls` have ended
    assert len(shown - pids) <= 2, shown - pids


@pytest.mark.parametrize("how", TECHNIQUES)
def test_a_technique_is_found(guest: Guest, how: str) -> None:
    with guest.tampered(how):
        assert guest.found(*QUICK) == TECHNIQUES[how]


@pytest.mark.parametrize("how", TASKS)
def test_a_task_that_is_tampered_with_is_found(guest: Guest, how: str) -> None:
    pid = guest.process()
    with guest.tampered(how, pid=pid):
        results = guest.scan(*QUICK)
        named = {p for p, r in results.items() for f in r.findings if dict(f.evidence).get("pid") == pid}
        assert named == TASKS[how] - HIDDEN
        assert results["HiddenModules"].findings
    guest.shell(f"kill -9 {pid}")


def test_code_outside_of_all_modules_is_found_without_a_module_that_hides(guest: Guest) -> None:
    with guest.tampered("protocol", hide=0):
        for engine in (None, native):
            results = guest.scan(*QUICK, engine=engine)
            assert {p for p, r in results.items() if r.findings} == {"StrayCode", "Pointers"}
            (found,) = results["Pointers"].findings
            assert dict(found.evidence)["table"].startswith("tcp_prot+")


@pytest.mark.parametrize("engine", [None, native], ids=["interpreter", "c"])
def test_an_area_that_is_missing_from_the_tree_is_found(guest: Guest, engine: Engine | None) -> None:
    pid = guest.sleeper()
    with guest.tampered("task_area", pid=pid, hide=0):
        (found,) = guest.scan("MissingAreas", engine=engine)["MissingAreas"].findings
        assert dict(found.evidence) | {"pid": pid} == dict(found.evidence)
    assert not guest.scan("MissingAreas", engine=engine)["MissingAreas"].findings
    guest.shell(f"kill -9 {pid}")


def test_a_washed_taint_is_found(guest: Guest) -> None:
    with guest.tampered("taint", hide=0):
        assert guest.found(*QUICK) == {"Taint"}


@pytest.mark.parametrize("how", ["direct_call", "text"])
def test_changed_code_is_found_byte_by_byte(guest: Guest, how: str) -> None:
    engine = None if (how, guest.target.kernel.release[:4]) == ("direct_call", "6.12") else native
    with guest.tampered(how):
        results = guest.scan("Text", "SystemCalls", engine=engine)
        evidence = dict(results["Text"].findings[0].evidence)
        assert evidence["now"] != evidence["before"]
        where = "x64_sys_call" if how == "direct_call" else "slow_virt_to_phys"
        assert evidence["name"].startswith(where)
        assert bool(results["SystemCalls"].findings) == (how == "direct_call")


def test_a_benign_module_is_no_finding(guest: Guest) -> None:
    with guest.tampered("ftrace", hide=0):
        assert guest.found(*QUICK) == set()


USER = "setpriv --reuid=1000 --regid=1000 --clear-groups"


def test_who_is_made_root_by_hand_is_found_and_who_became_another_lawfully_is_not(guest: Guest) -> None:
    pid = guest.sleeper(f"{USER} sleep 1000")
    root_of_his_own = guest.sleeper(f"{USER} unshare --user --map-root-user sleep 1000")
    assert guest.found("ForgedCredentials") == guest.found("ForgedCredentials", engine=native) == set()
    with guest.tampered("root", pid=pid, hide=0):
        for engine in (None, native):
            (found,) = guest.scan("ForgedCredentials", engine=engine)["ForgedCredentials"].findings
            assert dict(found.evidence) == {"pid": pid, "comm": b"sleep", "uid": 0, "account": 1000}
    guest.shell(f"kill -9 {pid} {root_of_his_own}")


KEXEC = """
import ctypes, os, sys
flags, command = int(sys.argv[1]), b"quiet\\0"
kernel = os.open(sys.argv[2], os.O_RDONLY) if flags & 4 else -1
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(320, kernel, -1, ctypes.c_ulong(len(command)), command, ctypes.c_ulong(flags)):
    sys.exit(os.strerror(ctypes.get_errno()))
"""
UNLOAD, NO_INITRAMFS = 1, 4  # of kexec_file_load(2)


def test_a_kernel_that_waits_for_kexec_is_no_finding(guest: Guest) -> None:
    guest.shell(f"python3 -c '{KEXEC}' {NO_INITRAMFS} {guest.target.image}")
    try:
        for engine in (None, native):
            assert guest.found("StrayCode", engine=engine) == set()
    finally:
        guest.shell(f"python3 -c '{KEXEC}' {UNLOAD}")


def test_nothing_is_left(guest: Guest) -> None:
    assert guest.found(engine=native) == set()


def test_a_recorded_scan_runs_again_without_the_machine(guest: Guest, tmp_path: Path) -> None:
    log = tmp_path / "scan"
    with guest.tampered("netfilter"):
        machine = Machine.find("ram:guest", ram(guest.ram), guest.machine.known)
        recorder = LogRecorder(machine, log, notes_of(machine, guest.target.image))
        made = scan(machine, chosen(["Netfilter", "HiddenModules", "HiddenTasks"]), recorder=recorder)
        recorder.close()
    assert {r.probe for r in made.results if r.findings} == {"Netfilter", "HiddenModules"}
    comparison = compare(read(log), decoder(read(log)))
    assert comparison.divergence is None and not comparison.open
    assert comparison.calls == 5  # two rounds of each that found something


def test_without_the_package_every_answer_is_unanchored(guest: Guest) -> None:
    found = find_kernel(ram(guest.ram))
    known = Known(found.banner, found.symbols, found.btf, None, "?")
    machine = Machine.find("ram:guest", ram(guest.ram), known)
    made = scan(machine, chosen(["HiddenTasks", "Text"]))
    assert not made.anchored and "unanchored" in table(made)
    assert [r.verdict for r in made.results] == ["clean", "unchecked"]


def test_the_wrong_kernel_is_refused(guest: Guest) -> None:
    other = guest.machine.known
    wrong = Known(
        other.banner.replace(b"Debian", b"Dubian"), other.symbols, other.btf, other.image, other.release
    )
    with pytest.raises(KernelDataError, match="no kernel"):
        Machine.find("ram:guest", ram(guest.ram), wrong)


def test_every_probe_of_rdmi_gives_something_or_is_clean(guest: Guest) -> None:
    names = [p.name for p in of_file(FOLDER / "rdmi.py")]
    results = guest.scan(*names)
    assert {p: r.problem for p, r in results.items() if r.verdict != "clean"} == {}
    streams = ("ProcessList", "Credentials", "MemoryAreas", "OpenFiles", "NetfilterHooks")
    assert all(results[name].shown for name in streams)
    areas = guest.shell("cat /proc/1/maps | wc -l")
    mine = [s for s in results["MemoryAreas"].shown if dict(s.evidence)["pid"] == 1]
    assert len(mine) == int(areas) - guest.shell("cat /proc/1/maps").count("[vsyscall]")


def test_a_watch_tells_what_comes_and_goes(guest: Guest) -> None:
    events: list[Event] = []
    watch = Watch(guest.machine, chosen(["Netfilter", "HiddenModules"]), events.append, every_s=0)
    watch.run(Stop(), rounds=3)
    assert not events
    with guest.tampered("netfilter"):
        watch.run(Stop(), rounds=3)
        assert {(e.kind, e.probe) for e in events} == {("found", "Netfilter"), ("found", "HiddenModules")}
    watch.run(Stop(), rounds=3)
    assert watch.findings == 0 and {e.kind for e in events[-2:]} == {"gone"}
