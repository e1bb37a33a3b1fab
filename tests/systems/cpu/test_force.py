# SPDX-License-Identifier: Apache-2.0
"""Schedulers in a real kernel, in force, upgraded under load, taken back, and away again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.parts import ROOT
from tests.systems.cpu.conftest import Until
from tests.unit.cpu import policies
from tests.unit.cpu.policies import ARBITERS, SCHEDULERS, example, scheduler
from transect.core.frontend import compile_file
from transect.cpu.build import clang
from transect.cpu.check import check
from transect.cpu.kernel import Ended
from transect.cpu.machine import Bench
from transect.cpu.run import read
from transect.cpu.trial import read_watched
from transect.cpu.version import Kept
from transect.linux.libbpf import BpfError

INSTRUCTIONS = ROOT / "tests" / "golden" / "bpf" / "instructions.json"
BUSY = "for i in 1 2 3 4 5 6; do (n=0; while [ $n -lt {} ]; do n=$((n+1)); done) & done; wait; echo done"


@pytest.mark.parametrize("path", (*SCHEDULERS, *ARBITERS), ids=lambda path: path.stem)
def test_each_example_runs_a_loaded_machine_and_leaves_it_to_the_default_scheduler(
    bench: Bench, path: object
) -> None:
    (program,) = compile_file(path).programs  # type: ignore[arg-type]
    bench.force(program)
    assert bench.scheduler() == "enabled"
    assert bench.shell(BUSY.format(200)) == "done\n"
    status = bench.status()
    assert status["policy"] == program.name
    as_before(f"{bench.vm.release}, {clang_version()}", program.name, status["instructions"])


def clang_version() -> str:
    said = subprocess.run([clang(), "--version"], capture_output=True, text=True).stdout
    return "clang " + said.split("version ", 1)[1].split()[0]


def as_before(versions: str, name: str, instructions: dict[str, int]) -> None:
    """What the verifier goes through for each operation is a golden number of a kernel and a compiler."""
    golden = json.loads(INSTRUCTIONS.read_text()) if INSTRUCTIONS.is_file() else {}
    if os.environ.get("TRANSECT_GOLDEN") == "update":
        golden.setdefault(versions, {})[name] = instructions
        INSTRUCTIONS.write_text(json.dumps(golden, indent=2, sort_keys=True) + "\n")
    known = golden.get(versions, {}).get(name)
    assert known is None or known == instructions, f"{name} with {versions}"


COUNTING = """
    woken: int = 0
    per_cpu: Array[int] = array(8)
{more}
    def running(self, task: Task) -> None:
        self.woken += 1
        if 0 <= task.cpu < 8:
            self.per_cpu[task.cpu] += 1
"""


def test_an_upgrade_under_load_keeps_every_count(bench: Bench) -> None:
    bench.force(scheduler(COUNTING.format(more="")))
    load = bench.vm.start(["sh", "-c", BUSY.format(3000)])
    bench.vm.run(["sleep", "0.3"])
    before = bench.status()["fields"]
    assert bench.upgrade(
        scheduler(COUNTING.format(more="    def tick(self, task: Task) -> None:\n        pass\n")),
        watch_s=0.2,
    ) == {
        "woken": "keep",
        "per_cpu": "keep",
    }
    after = bench.status()["fields"]
    assert after["woken"][0] > before["woken"][0] > 0
    assert abs(after["woken"][0] - sum(after["per_cpu"])) <= 4, "counts of calls that are under way"
    assert load.wait(120).text == "done\n"


def test_another_layout_takes_what_it_can_and_starts_the_rest(bench: Bench) -> None:
    bench.force(scheduler(COUNTING.format(more="")))
    bench.shell(BUSY.format(200))
    before = bench.status()["fields"]["woken"][0]
    done = bench.upgrade(
        scheduler(COUNTING.format(more="    extra: int = 7\n    mine: Local[int] = local(5)\n")), watch_s=0.2
    )
    fields = bench.status()["fields"]
    assert done["woken"] == "keep" and done["extra"] == "default"
    assert fields["woken"][0] >= before and fields["extra"] == [7]


USED = """
    most: int = 0

    def enqueue(self, task: Task) -> None:
        self.most = max(self.most, task.used())
        self.ready.put(task)
"""
BURN = """
import os, time
def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
"""
ANOTHER_CLASS = f"""{BURN}
burn(0.1)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
burn(1)
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
burn(0.1)
"""


def test_what_a_task_runs_under_another_class_is_not_used(bench: Bench) -> None:
    bench.force(scheduler(USED))
    assert bench.vm.run([str(bench.vm.setup.python), "-c", ANOTHER_CLASS], limit_s=60).code == 0
    (most,) = bench.status()["fields"]["most"]
    assert 0 < most < 500_000_000, "it ran for a second under SCHED_FIFO"


KEPT = """
    most: int = 0
    mine: Local[int] = local(0)

    def enqueue(self, task: Task) -> None:
        self.most = max(self.most, {used})
        self.ready.put(task)
"""


def test_what_tasks_have_used_counts_from_the_first_version_that_asks(bench: Bench) -> None:
    bench.force(scheduler(KEPT.format(used="self.mine")))
    burning = bench.vm.start([str(bench.vm.setup.python), "-c", f"{BURN}burn(4)"])
    bench.vm.run(["sleep", "1.5"])
    bench.upgrade(scheduler(KEPT.format(used="task.used()")), watch_s=0.2)
    assert burning.wait(60).code == 0
    (most,) = bench.status()["fields"]["most"]
    assert 0 < most < 500_000_000, "it had run for more than a second under the version before"


FIRST = """
    met: Tally[int, int] = tally(64)
    last: Map[int, int] = table(8)
    byte: u8 = 250
    limit: Param[int] = param(3)
    fixed: Param[int] = param(3)

    def running(self, task: Task) -> None:
        self.met[7] = 1000
        self.last[5] = 77
        if task.cpu == 0 and self.byte != 4:  # else two processors add at once
            self.byte += 10
"""
SECOND = """
    met: Tally[int, int] = tally(64)
    last: Map[int, int] = table(16)
    number: u16 = state(0, was="byte")
    limit: Param[int] = param(9)
    fixed: Param[int] = param(9)
    known: int = 0

    def running(self, task: Task) -> None:
        self.known = self.met[7] + self.last.get(5, 0)
        self.last[5] = 78
"""
THIRD = SECOND.replace("param(9)", "param(20)")


def test_tables_renamed_fields_and_parameters_go_over_too(bench: Bench) -> None:
    bench.force(scheduler(FIRST))
    bench.set("fixed", [5])
    bench.shell(BUSY.format(50))
    bench.upgrade(scheduler(SECOND), watch_s=0)
    bench.shell(BUSY.format(50))
    fields = bench.status()["fields"]
    assert fields["number"] == [4], "250 + 10 in a byte, which its word does not show"
    assert fields["limit"] == [9] and fields["fixed"] == [5], "what somebody has set stays"
    assert fields["known"] in ([1077], [1078])
    bench.upgrade(scheduler(THIRD), watch_s=0)
    assert bench.status()["fields"]["limit"] == [20], "also where the state is shared"


def test_what_is_kept_for_each_task_may_change_alone(bench: Bench) -> None:
    bench.force(scheduler(COUNTING.format(more="    mine: Local[int] = local(5)\n")))
    assert bench.upgrade(
        scheduler(COUNTING.format(more="    ours: Local[int | None] = local(None)\n")), watch_s=0.2
    ) == {
        "woken": "keep",
        "per_cpu": "keep",
    }
    assert bench.shell(BUSY.format(100)) == "done\n"


def test_a_version_that_starves_tasks_is_taken_back(bench: Bench) -> None:
    bench.force(scheduler(COUNTING.format(more="")))
    lazy = (
        COUNTING.format(more="    tries: int = 0\n")
        + """
    def dispatch(self, cpu: int) -> None:
        self.tries += 1
        self.woken = max(self.woken, 1_000_000_000)
        if self.tries < 0:
            self.ready.take()
"""
    )
    built = bench.build(scheduler(lazy))
    load = bench.vm.start(["sh", "-c", BUSY.format(100_000)])
    with pytest.raises(Kept, match=r"let the first task of a queue wait .* the old version is back"):
        bench.upgrade(built, watch_s=4)
    status = bench.status()
    assert status["policy"] == "P" and "tries" not in status["fields"]
    assert status["fields"]["woken"][0] >= 1_000_000_000, "what it counted comes back with the old version"
    load.kill()


def test_what_does_not_go_over_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.force(scheduler(COUNTING.format(more="")))
    with pytest.raises(Kept, match="`woken`"):
        bench.upgrade(
            scheduler(
                COUNTING.format(more="")
                .replace("woken: int = 0", "woken: bool = False")
                .replace("self.woken += 1", "self.woken = True")
            )
        )
    with pytest.raises(Kept, match="tasks may wait in the queue `ready`"):
        bench.upgrade(example("weighted_fair"))
    hearing = (
        COUNTING.format(more="") + "\n    def sleep(self, task: Task) -> None:\n        self.woken += 1\n"
    )
    with pytest.raises(Kept, match="attached for a policy without `dequeue`, `wake` and `sleep`"):
        bench.upgrade(scheduler(hearing))
    assert bench.shell(BUSY.format(100)) == "done\n"


def test_a_policy_that_hears_of_every_wake_up_is_attached_so_and_may_be_followed(bench: Bench) -> None:
    hearing = """
    woken: int = 0
    slept: int = 0
    left: int = 0

    def wake(self, task: Task) -> None:
        self.woken += 1

    def sleep(self, task: Task) -> None:
        self.slept += 1

    def dequeue(self, task: Task) -> None:
        self.left += 1
"""
    bench.force(scheduler(hearing))
    assert bench.shell(BUSY.format(100)) == "done\n"
    before = bench.status()["fields"]
    assert min(before["woken"][0], before["slept"][0], before["left"][0]) > 6
    bench.upgrade(scheduler(hearing.replace("self.slept += 1", "self.slept += 2")), watch_s=0)
    assert bench.shell(BUSY.format(100)) == "done\n"
    after = bench.status()["fields"]
    assert after["woken"][0] > before["woken"][0] and after["slept"][0] > before["slept"][0] + 6


def test_a_loader_that_is_killed_leaves_the_default_scheduler(machine: Bench, until: Until) -> None:
    machine.force(example("fifo"))
    machine.kill()
    until(lambda: machine.scheduler() == "disabled")


def test_nice_values_that_were_set_meanwhile_count_afterwards(machine: Bench) -> None:
    """Two hogs on one CPU, under our scheduler one of them made nice and one no longer: the default one knows."""
    hog = "taskset -c 1 nice -n {} sh -c 'while :; do :; done' & echo $!; "
    hogs = machine.vm.start(["sh", "-c", hog.format(10) + hog.format(0) + "wait"])
    while len(hogs.output().split()) < 2:
        machine.shell("sleep 0.1")
    first, second = hogs.output().decode().split()
    machine.force(example("fifo"))
    machine.shell(f"renice -n 0 -p {first}; renice -n 10 -p {second}")
    machine.stop()
    times = f"cut -d' ' -f1 /proc/{first}/schedstat /proc/{second}/schedstat"
    before = machine.shell(f"sleep 0.3; {times}").split()
    after = machine.shell(f"sleep 1.5; {times}").split()
    hogs.kill()
    ran = [int(a) - int(b) for a, b in zip(after, before, strict=True)]
    assert ran[0] / ran[1] > 4, "1024 : 110 when the nice value counts, 1 when it is lost"


def test_an_upgrade_in_the_middle_of_a_fork_storm_loses_nobody(bench: Bench) -> None:
    bench.force(scheduler(COUNTING.format(more="")))
    storm = bench.vm.start(
        ["sh", "-c", "n=0; while [ $n -lt 60 ]; do sh -c : & n=$((n+1)); done; wait; echo calm"]
    )
    for extra in ("    one: int = 0\n", "    one: int = 0\n    two: int = 0\n"):
        bench.upgrade(scheduler(COUNTING.format(more=extra)), watch_s=0.1)
    assert storm.wait(120).text == "calm\n"


def test_a_cpu_that_goes_and_comes_leaves_a_scheduler_or_the_default_one(machine: Bench) -> None:
    """The kernel ends a scheduler on hot-plug; the loader says so, and tasks go on."""
    machine.force(example("weighted_fair"))
    cpu = "/sys/devices/system/cpu/cpu1/online"
    assert machine.shell(f"echo 0 > {cpu}; sleep 0.3; echo 1 > {cpu}; echo here") == "here\n"
    with pytest.raises(Ended, match="going offline"):
        machine.check()
    machine.stop()
    assert machine.scheduler() == "disabled"


def test_a_parameter_is_set_while_it_runs(bench: Bench) -> None:
    bench.force(example("shinjuku"))
    assert bench.set("quantum", [5_000_000]) == [1_000_000]
    assert bench.status()["fields"]["quantum"] == [5_000_000]


def test_a_refused_object_says_what_the_verifier_said(bench: Bench) -> None:
    bench.force(example("fifo"))
    built = bench.build(scheduler("    def tick(self, task: Task) -> None:\n        pass\n"))
    built.object.write_bytes(built.object.read_bytes()[:2000])
    with pytest.raises(BpfError):
        bench.upgrade(built)
    assert bench.scheduler() == "enabled"


NAMING = """
    ran: Array[int] = array(64)
    count: int = 0

    def running(self, task: Task) -> None:
        if self.seen.get(task.pid, 0) == 0:
            self.seen[task.pid] = 1
            self.ran[self.count & 63] = task.pid
            self.count += 1
"""


def test_a_partial_scheduler_has_the_tasks_that_opted_in(machine: Bench) -> None:
    """Of two that work alike, the one of the class SCHED_EXT is counted, with what it starts; the other is not."""
    machine.partial = True
    try:
        machine.force(scheduler("    seen: Map[int, int] = table(64)\n" + NAMING))
        said: list[bytes] = []
        assert machine.command(["sh", "-c", "sh -c 'sleep 0.05; echo $PPID $$'; exit 3"], said.append) == 3
        ours = set(map(int, b"".join(said).split()))
        other = int(machine.shell("sleep 0.05; echo $$"))
        ran = {pid for pid in machine.status()["fields"]["ran"] if pid}
        assert ours <= ran and other not in ran
        assert machine.command(["nonesuch"], said.append) == 127
    finally:
        machine.stop()
        machine.partial = False
    assert machine.scheduler() == "disabled"


PROMISING = """
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import ensures, given


class P(Scheduler):
    ready: Fifo = given()
    woken: int = 0

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()

    @ensures(lambda self, task: self.woken {condition})
    def running(self, task: Task) -> None:
        self.woken += 1
"""


def test_a_version_that_breaks_its_own_promise_is_taken_back(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "promising.py"
    path.write_text(PROMISING.format(condition="> 0"))
    program, _ = read(path)
    bench.force(program)
    watching = read_watched(path)
    assert bench.upgrade(program, watch_s=0.3, watching=watching) == {"woken": "keep"}
    before = bench.status()["fields"]["woken"][0]
    path.write_text(PROMISING.format(condition="< 0"))
    wrong, _ = read(path)
    with pytest.raises(Kept, match=r"P: what `running` ensures does not hold \(promising.py, line 16\)"):
        bench.upgrade(wrong, watch_s=60, watching=read_watched(path))
    assert bench.status()["fields"]["woken"][0] >= before > 0


ASTRAY = """
    homes: Fifos = given()

    def select(self, task: Task, cpu: int) -> int:
        return (cpu + 1) % cpus()

    def enqueue(self, task: Task) -> None:
        self.homes.on(task.pid % cpus()).put(task)
        wake_cpu(task.cpu)

    def dispatch(self, cpu: int) -> None:
        if not self.homes.on(cpu).take():
            self.homes.steal(cpu)
        self.ready.take()
"""


def test_what_no_checker_sees_is_counted_by_the_policys_line(bench: Bench) -> None:
    bench.force(program := scheduler(ASTRAY))
    assert bench.shell(BUSY.format(100)) == "done\n"
    status = bench.status()
    lines = (policies.IMPORTS + policies.CLASS.format("P") + ASTRAY).splitlines()
    counted = [count for count in status["counts"] if count["what"] != "beyond" or count["count"]]
    found = {count["what"]: lines[count["line"] - 1].split("(")[0].strip() for count in counted}
    assert found == {"affinity": "self.homes.on", "moved": "def select", "stolen": "self.homes.steal"}
    assert all(count["count"] > 0 and count["path"] == program.path for count in counted), status["counts"]
    assert status["partial"] is False


FAR = """
    mine: Fifos = given()
    gate: Param[int] = param(0)
    n: int = 0

    def enqueue(self, task: Task) -> None:
        self.mine.on(task.pid + 4096).put(task)

    def dispatch(self, cpu: int) -> None:
        if self.gate > 0:
            for i in range(400):
                for j in range(400):
                    self.n += i * j
        if not self.mine.on(0).take():
            self.ready.take()
"""


def test_what_check_allows_of_loops_is_loaded_and_queues_beyond_the_last_cpu_are_the_first(
    bench: Bench,
) -> None:
    """A call may take 960,000 steps here, of at most 1,000,000."""
    program = scheduler(FAR)
    assert check(program) == []
    bench.force(program)
    assert bench.shell(BUSY.format(50)) == "done\n"
    (beyond,) = [count for count in bench.status()["counts"] if count["what"] == "beyond"]
    assert beyond["line"] == 15 and beyond["count"] > 6
