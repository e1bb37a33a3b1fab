# SPDX-License-Identifier: Apache-2.0
"""Schedulers in a real kernel, one boot for all of them: in force, upgraded under load, taken back, and away again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.parts import ROOT, need
from tests.unit.cpu.policies import ARBITERS, SCHEDULERS, example, scheduler
from transect.core.frontend import compile_file
from transect.cpu.build import clang
from transect.cpu.force import Ended, Kept
from transect.cpu.machine import Bench
from transect.linux.libbpf import BpfError

INSTRUCTIONS = ROOT / "tests" / "golden" / "bpf" / "instructions.json"
BUSY = "for i in 1 2 3 4; do (n=0; while [ $n -lt {} ]; do n=$((n+1)); done) & done; wait; echo done"


@pytest.fixture(scope="module")
def machine() -> Iterator[Bench]:
    need("clang"), need("vm")
    with Bench() as bench:
        yield bench


@pytest.fixture
def bench(machine: Bench) -> Iterator[Bench]:
    yield machine
    machine.stop()
    assert machine.scheduler() == "disabled"


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
    assert load.wait(60).text == "done\n"


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
    assert bench.shell(BUSY.format(100)) == "done\n"


def test_a_loader_that_is_killed_leaves_the_default_scheduler(machine: Bench) -> None:
    machine.force(example("fifo"))
    machine._guest.kill()
    machine._guest.wait(30)
    machine._guest = None
    assert machine.shell("sleep 0.2; cat /sys/kernel/sched_ext/state") == "disabled\n"


def test_nice_values_that_were_set_meanwhile_count_afterwards(machine: Bench) -> None:
    """Two hogs on one CPU, one of them made nice under our scheduler: the default one gives it a third."""
    machine.force(example("fifo"))
    hogs = machine.vm.start(
        ["sh", "-c", "for i in 1 2; do taskset -c 1 sh -c 'while :; do :; done' & echo $!; done; wait"]
    )
    while len(hogs.output().split()) < 2:
        machine.shell("sleep 0.1")
    first, second = hogs.output().decode().split()
    machine.shell(f"renice -n 10 -p {second}")
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
        ["sh", "-c", "n=0; while [ $n -lt 150 ]; do sh -c : & n=$((n+1)); done; wait; echo calm"]
    )
    for extra in ("one", "two", "three"):
        bench.upgrade(scheduler(COUNTING.format(more=f"    {extra}: int = 0\n")), watch_s=0.1)
    assert storm.wait(60).text == "calm\n"


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
    assert bench.set("quantum", 5_000_000) == 1_000_000
    assert bench.status()["fields"]["quantum"] == [5_000_000]


def test_a_refused_object_says_what_the_verifier_said(bench: Bench) -> None:
    bench.force(example("fifo"))
    built = bench.build(scheduler("    def tick(self, task: Task) -> None:\n        pass\n"))
    built.object.write_bytes(built.object.read_bytes()[:2000])
    with pytest.raises(BpfError):
        bench.upgrade(built)
    assert bench.scheduler() == "enabled"
