# SPDX-License-Identifier: Apache-2.0
"""Applications without privilege talk with a scheduler in a real kernel; what is not theirs to say has no effect."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import need
from tests.systems.cpu.conftest import Until
from tests.unit.cpu.logs import replayed
from tests.unit.cpu.policies import scheduler
from transect.core.ir import Program
from transect.cpu.hints import target_c, target_py
from transect.cpu.machine import Bench
from transect.replay import read
from transect.vm.vm import Running

FORM = """

class Cores(Hint):
    count: int
    priority: int
"""
BODY = """
    asked: int = 0
    last: int = 0
    gone: int = 0

    def hint(self, task: Task, said: Said[Cores]) -> None:
        self.asked += 1
        self.last = said.hint.priority
        self.tell(task.process, "granted", core=said.hint.count + 1)

    def detach(self, process: int) -> None:
        self.gone += 1
"""
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
PYTHON = """
import os, sys
sys.path.insert(0, os.environ["TRANSECT_JOB"] + "/py")
import asking_hints as hints
from transect_hints import Refused
os.setgroups([]); os.setgid(65534); os.setuid(65534)
scheduler = hints.attach()
assert scheduler.say(hints.Cores(count=4, priority=9))
print(os.getuid(), scheduler.hear(wait_s=60))
try:
    hints.attach()
except Refused as no:
    print(no)
scheduler.close()
"""


STRANGERS = """
import json, socket
for forms in ('{"version": 1, "says": [["Cores", ["count", "rank"]]], "hears": []}', "[1, 2"):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("/run/transect-hints.sock")
    s.send(forms.encode())
    print(s.recv(999).decode().partition(";")[0])
"""


def asking(more: str = "") -> Program:
    return scheduler(BODY + more, name="Asking", before=FORM)


@pytest.fixture(scope="module")
def applications(machine: Bench) -> Bench:
    """The machine, with the applications of these tests in it."""
    need("gcc")
    target_c.emitter.emit(asking()).write(machine.folder)
    target_py.emitter.emit(asking()).write(machine.folder / "py")
    (machine.folder / "hints.py").write_text(PYTHON)
    (machine.folder / "strangers.py").write_text(STRANGERS)
    source = str(Path(__file__).with_name("hinting.c"))
    command = ["gcc", "-O2", "-Wall", "-Werror", "-static", f"-I{machine.folder}", source]
    subprocess.run([*command, "-o", str(machine.folder / "hinting")], check=True)
    machine.shell("mkdir -m 755 /run/application; cp hinting /run/application")
    return machine


@pytest.fixture(scope="module")
def bench(applications: Bench) -> Iterator[Bench]:
    """With the scheduler in force, for all of these tests."""
    applications.force(asking())
    yield applications
    applications.stop()
    assert applications.scheduler() == "disabled"


def start(bench: Bench, words: str) -> Running:
    """An application, run as nobody."""
    return bench.vm.start(["sh", "-c", f"{NOBODY} /run/application/hinting {words}"])


def field(bench: Bench, name: str) -> int:
    (value,) = bench.status()["fields"][name]
    return int(value)


def leaves(bench: Bench, running: Running, gone: int, until: Until) -> None:
    running.kill()
    until(lambda: field(bench, "gone") > gone)
    assert bench.status()["applications"] == []


def test_where_no_policy_hears_there_is_no_door(applications: Bench) -> None:
    assert (
        start(applications, "polite").wait(60).text == "refused: no scheduler that takes hints is in force\n"
    )


def test_an_ordinary_application_is_heard_and_answered(bench: Bench, until: Until) -> None:
    asked, gone = field(bench, "asked"), field(bench, "gone")
    running = start(bench, "polite")
    assert running.wait(60).text == f"heard 100 sum {sum(range(1, 101))}\n"
    assert field(bench, "asked") == asked + 100 and field(bench, "last") == 7
    until(lambda: field(bench, "gone") == gone + 1)


def test_python_applications_too(bench: Bench) -> None:
    said = bench.shell(f"{bench.vm.setup.python} hints.py").splitlines()
    assert said == ["65534 [Granted(core=5)]", "this process is attached already; it has one place"]
    assert field(bench, "last") == 9


def test_what_the_policy_does_not_know_is_refused_when_attaching(bench: Bench) -> None:
    assert bench.shell(f"{bench.vm.setup.python} strangers.py").splitlines() == [
        "-Asking takes Cores(count, priority), not Cores(count, rank)",
        "-what the application says of itself is malformed",
    ]


def test_an_application_speaks_of_itself_only(bench: Bench, until: Until) -> None:
    asked, gone = field(bench, "asked"), field(bench, "gone")
    running = start(bench, "forge 60")
    until(lambda: b"forged" in running.output())
    expected = {"heard": 0, "unknown": 1, "strange": 1, "short": 1, "told": 0}

    def counted() -> bool:
        (seat,) = bench.status()["applications"]
        return {key: seat[key] for key in expected} == expected

    until(counted)
    assert field(bench, "asked") == asked
    leaves(bench, running, gone, until)


def test_a_flood_is_bounded_and_counted_and_the_machine_goes_on(bench: Bench, until: Until) -> None:
    gone = field(bench, "gone")
    floods = [start(bench, "flood 60") for _ in range(3)]
    began = time.monotonic()
    assert bench.shell("n=0; while [ $n -lt 1000 ]; do n=$((n+1)); done; echo done") == "done\n"
    until(lambda: all(b"sent" in flood.output() for flood in floods))
    seats = bench.status()["applications"]
    assert all(b"full 1" in flood.output() for flood in floods), "nobody waits for the scheduler to read"
    milliseconds = (time.monotonic() - began) * 1000
    assert all(0 < seat["heard"] <= 16 * milliseconds for seat in seats), (
        "16 at a time, a millisecond between"
    )
    assert all(seat["told"] + seat["lost"] == seat["heard"] for seat in seats)
    assert all(seat["told"] <= 1024 for seat in seats), "what they do not read, their rings do not hold"
    for flood in floods:
        flood.kill()
    until(lambda: field(bench, "gone") == gone + 3)


def test_what_is_said_and_told_is_recorded_and_replays(bench: Bench, tmp_path: Path, until: Until) -> None:
    gone = field(bench, "gone")
    bench.record(asking(), {}, tmp_path / "log", "asking")
    assert start(bench, "polite").wait(120).text == f"heard 100 sum {sum(range(1, 101))}\n"
    until(lambda: field(bench, "gone") == gone + 1)
    assert bench.end_record().dropped == 0
    log = read(tmp_path / "log")
    hooks = Counter(log.policies[0].hooks[r.hook] for r in log.records)
    assert hooks["hint"] == 100 and hooks["detach"] == 1
    assert replayed(log).same


def test_who_is_attached_stays_so_across_an_upgrade(bench: Bench, until: Until) -> None:
    gone = field(bench, "gone")
    running = start(bench, "polite 60")
    until(lambda: b"heard 100" in running.output())
    bench.upgrade(asking("\n    extra: int = 0\n"), watch_s=0.2)
    assert [seat["heard"] for seat in bench.status()["applications"]] == [100]
    leaves(bench, running, gone, until)
