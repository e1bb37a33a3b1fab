# SPDX-License-Identifier: Apache-2.0
"""A version of a probe looks at a running machine beside the one in force, on what that one reads."""

from __future__ import annotations

from pathlib import Path

from tests.systems.memory.guest import Guest
from transect.control import Operated
from transect.control.answers import Shadow
from transect.control.stopping import Stop
from transect.memory.standard import chosen, of_file
from transect.memory.watch import Event, Watch

PROBE = """from transect.memory import Probe, linux

class Known(Probe):
    rounds: int = 0

    def scan(self) -> None:
        self.rounds += 1
        for task in linux.tasks():
            if task.pid == 70000:
                self.report("a stranger", comm=task.comm, pid=task.pid)
"""


def beside(guest: Guest, watch: Watch, newer: Path, rounds: int) -> Shadow:
    operated = Operated("memory", "guest", watch)
    operated.shadow(str(newer))
    watch.run(Stop(), rounds=rounds)
    return operated.shadow_stop()


def test_it_says_of_which_target_it_would_have_said_more(guest: Guest, tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(PROBE)
    second.write_text(PROBE.replace("70000", "2"))
    events: list[Event] = []
    watch = Watch(guest.machine, of_file(first), events.append, every_s=0)
    told = beside(guest, watch, second, 4)
    assert (told["compared"], told["otherwise"], told["skipped"]) == (4, 4, {}), told
    assert told["whom"] == {guest.machine.name: 4}
    row = told["first"][0]
    assert row["hook"] == "Known.scan" and row["was"] == "nothing"
    assert row["now"] == "a stranger {'comm': 'kthreadd', 'pid': 2}"
    assert not events and watch.findings == 0 and watch.recording is None
    watch.upgrade(second, False)
    watch.run(Stop(), rounds=3)
    assert [e.kind for e in events] == ["found"], "in force, it says what it had said"


def test_the_same_probes_say_the_same(guest: Guest) -> None:
    probes = chosen(["HiddenTasks", "Netfilter", "HiddenModules", "Taint"])
    watch = Watch(guest.machine, probes, lambda _: None, every_s=0)
    path = {Path(p.path) for p in probes if p.name == "HiddenTasks"}.pop()
    told = beside(guest, watch, path, 3)
    assert (told["compared"], told["otherwise"]) == (3, 0), told
    assert told["skipped"] == {"its policy is in one version alone": 9}


def test_a_probe_that_reads_more_is_not_compared(guest: Guest, tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(PROBE)
    second.write_text(PROBE.replace("linux.tasks()", "linux.all_threads()"))
    watch = Watch(guest.machine, of_file(first), lambda _: None, every_s=0)
    told = beside(guest, watch, second, 2)
    assert told["compared"] == 0
    assert told["skipped"] == {"it reads memory that the version in force does not read": 2}
