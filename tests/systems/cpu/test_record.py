# SPDX-License-Identifier: Apache-2.0
"""Recorded in a real kernel on four CPUs, replayed outside: every call comes out as it did there."""

from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path

import pytest

from tests.systems.cpu.conftest import Until
from tests.systems.cpu.random_handlers import arguments, handler
from tests.unit.cpu.logs import replayed
from tests.unit.cpu.policies import SCHEDULERS, example, scheduler
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Program
from transect.cpu.arrivals import tasks
from transect.cpu.build import compiled, layout
from transect.cpu.machine import Bench
from transect.cpu.program import emit
from transect.cpu.record import Recording
from transect.cpu.ring import HEAD
from transect.cpu.scheduler import Scheduler
from transect.emit.bpf.recording import recorded, site, words_at_most
from transect.replay import Log, read

HERE = Path(__file__).parent
BUSY = "for i in 1 2 3 4 5 6; do (n=0; while [ $n -lt {} ]; do n=$((n+1)); done; sh -c :) & done; wait; echo done"
PROGRAMS, BATCHES, CALLS = 6, 2, 64


def record(bench: Bench, program: Program, path: Path, script: str = BUSY.format(100)) -> Log:
    bench.force(program)
    bench.record(program, {}, path, program.name)
    assert bench.shell(script).endswith("done\n")
    trailer = bench.end_record()
    assert trailer.dropped == 0
    assert bench.status()["policy"] == program.name, "it goes on without being recorded"
    log = read(path)
    assert log.complete and len(log.records) == trailer.records
    return log


@pytest.mark.parametrize("path", SCHEDULERS, ids=lambda path: path.stem)
def test_every_call_of_an_example_replays(bench: Bench, path: Path, tmp_path: Path) -> None:
    (program,) = compile_file(path).programs
    log = record(bench, program, tmp_path / "log", BUSY.format(30).replace(" 4 5 6", ""))
    hooks = Counter(log.policies[0].hooks[r.hook] for r in log.records)
    assert {"enqueue", "dispatch", "running", "stopping"} <= set(hooks)
    found = replayed(log)
    assert found.divergence is None
    assert found.same and found.calls == len(log.records) > 100


RACING = """
    total: int = 0
    highest: int = 0
    twice: int = 0

    def running(self, task: Task) -> None:
        self.total += 1
        self.highest = max(self.highest, task.pid * 7 + self.total)
        self.twice = self.twice * 3 + 1
"""


def test_cpus_that_race_on_a_word_replay_exactly(bench: Bench, tmp_path: Path) -> None:
    log = record(bench, scheduler(RACING), tmp_path / "log", BUSY.format(300))
    found = replayed(log)
    assert found.divergence is None and found.same
    hook = log.policies[0].hooks.index("running")
    obtained = [words_of(r.tape, "total")[:2] for r in log.records if r.hook == hook]
    before = [a for a, _ in obtained]
    assert all(b == a + 1 for a, b in obtained)
    assert sorted(before) == list(range(min(before), min(before) + len(before))), (
        "no two CPUs obtained the same"
    )
    cpus = {struct.unpack_from("<H", r.arguments, 14)[0] for r in log.records if r.hook == hook}
    assert len(cpus) > 1, "one CPU alone races with nobody"


def words_of(tape: bytes, name: str) -> list[int]:
    count = len(tape) // 10
    words = struct.unpack_from(f"<{count}q", tape)
    sites = struct.unpack_from(f"<{count}H", tape, 8 * count)
    return [word for word, found in zip(words, sites, strict=True) if found == site(name)]


def test_recording_begins_and_ends_under_load_and_loses_no_state(bench: Bench, tmp_path: Path) -> None:
    program = scheduler(RACING)
    bench.force(program)
    load = bench.vm.start(["sh", "-c", BUSY.format(2000)])
    for n in range(3):
        before = bench.status()["fields"]["total"][0]
        bench.record(program, {}, tmp_path / f"log{n}", "p")
        bench.shell("sleep 0.1")
        bench.end_record()
        assert bench.status()["fields"]["total"][0] >= before
        assert replayed(read(tmp_path / f"log{n}")).same
    load.kill()


def test_who_is_next_in_the_kernel_is_who_is_next_in_the_simulator(bench: Bench, tmp_path: Path) -> None:
    """Two hogs of weights 100 and 33 and one that naps share a CPU: each pick from its queue is the one predicted."""
    bench.force(example("weighted_fair"))
    hog = "taskset -c 1 sh -c 'while :; do :; done'"
    naps = "taskset -c 1 sh -c 'while :; do sleep 0.01; done'"
    hogs = bench.vm.start(["sh", "-c", f"{hog} & nice -n 5 {hog} & {naps} & wait"])
    bench.shell("sleep 0.5")
    bench.record(example("weighted_fair"), {}, tmp_path / "log", "fair")
    bench.shell("sleep 3")
    assert bench.end_record().dropped == 0
    hogs.kill()
    log = read(tmp_path / "log")
    assert {100, 33} <= {task.weight for task in tasks(log)[0]}
    picks = predicted(log)
    assert len(picks) > 20 and sum(picks) >= 0.95 * len(picks), (len(picks), sum(picks))


def predicted(log: Log) -> list[bool]:
    """Of each task that began to run from its own CPU's queue: whether that queue's first, as the simulator has it.

    Another CPU may put a task while this one takes; the log has the two in the order in which they began.
    """
    hooks = log.policies[0].hooks
    waiting: dict[int, dict[int, tuple[int, int]]] = {}  # by CPU: task → time, arrival
    picks = []
    for record in log.records:
        _, pid, _, cpu, *_ = HEAD.unpack_from(record.arguments)
        if hooks[record.hook] == "enqueue":
            queue, time = words_of(record.tape, "cpu.Timeline.put")
            waiting.setdefault(queue & 0xFFF, {})[pid] = time, record.sequence
        elif hooks[record.hook] == "running":
            for at, queued in waiting.items():
                if pid in queued:
                    if at == cpu and len(queued) > 1:
                        picks.append(min(queued, key=lambda p: queued[p]) == pid)
                    del queued[pid]
    return picks


def test_a_full_disk_ends_the_recording_and_not_the_scheduler(bench: Bench) -> None:
    bench.force(example("fifo"))
    bench.shell("mkdir -p /run/small; mount -t tmpfs -o size=16k tmpfs /run/small; : > /run/small/events")
    built = bench.build(example("fifo"), recording=True)
    bench.ask("record", built=str(built.object.with_suffix(".json")), raw="/run/small/events")
    assert bench.shell(BUSY.format(200)) == "done\n"
    ended = bench.ask("end-record")
    assert ended["failure"] == "No space left on device"
    assert ended["bytes"] <= 16384
    assert bench.scheduler() == "enabled"
    bench.shell("umount /run/small")


def test_a_loader_killed_while_recording_leaves_what_it_had(
    machine: Bench, tmp_path: Path, until: Until
) -> None:
    machine.force(example("fifo"))
    machine.record(example("fifo"), {}, tmp_path / "log", "fifo")
    assert machine.shell(BUSY.format(100)) == "done\n"
    until(lambda: any(file.stat().st_size for file in machine.folder.glob("events*")))
    machine.kill()
    with pytest.raises(OSError, match="the loader ended before the recording did"):
        machine.end_record()
    until(lambda: machine.scheduler() == "disabled")
    log = read(tmp_path / "log")
    found = replayed(log)
    assert found.divergence is None and found.calls == len(log.records) > 10
    assert not found.same and not log.complete, "it does not pass for a whole log"


def test_random_handlers_replay(machine: Bench, tmp_path: Path) -> None:
    """All that BPF has of the language, by words: 768 calls of 6 programs."""
    programs = {seed: compile_text(handler(seed), "p.py").programs[0] for seed in range(PROGRAMS)}
    requests = []
    for seed, program in programs.items():
        tape = words_at_most(recorded(program))
        raw = machine.folder / f"raw{seed}"
        raw.touch(mode=0o600)
        target = recording_object(machine.folder, program, seed, tape)
        batches = [arguments(seed * 100 + n, CALLS) for n in range(BATCHES)]
        start = layout(program)[1]
        requests.append(
            {"object": str(target), "start": start, "batches": batches, "tape": tape, "raw": str(raw)}
        )
    asked = machine.folder / "requests"
    asked.write_text("\n".join(map(json.dumps, requests)))
    source = str(HERE.parents[2] / "src")
    command = [machine.vm.setup.python, HERE / "calls.py", asked]
    done = machine.vm.run(command, env={"PYTHONPATH": source}, limit_s=240)
    assert len(done.text.splitlines()) == PROGRAMS and "error" not in done.text, done
    for (seed, program), request in zip(programs.items(), requests, strict=True):
        recording = Recording(tmp_path / f"log{seed}", "p", real=True, cpus=4, tape=request["tape"])  # type: ignore[arg-type]
        recording.policy(program, {}, {})
        recording.take(Path(str(request["raw"])).read_bytes())
        assert recording.close(0).dropped == 0, f"seed {seed}: {request['tape']} words are too few"
        found = replayed(read(tmp_path / f"log{seed}"))
        assert found.divergence is None, f"seed {seed}: {found.divergence}"
        assert found.calls == BATCHES * CALLS


def recording_object(folder: Path, program: Program, seed: int, tape: int) -> Path:
    """Its object, with calls of its handler in place of the kernel's operations."""
    emit(Scheduler.of(program, recording=True)).write(folder)
    source = folder / "policy.bpf.c"
    lines = source.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(('#include "ops/', "TS_SCHEDULER"))]
    source.write_text("\n".join([*kept, (HERE / "calls.h").read_text()]))
    return compiled(source, folder / f"recorded{seed}.o", TS_TAPE=tape)


NODES = """
    near: NodeFifos = given()
    far: int = 0

    def enqueue(self, task: Task) -> None:
        self.near.on(node_of(task.cpu)).put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.near.on(node_of(cpu)).take() and self.near.steal(node_of(cpu)):
            self.far += 1
        self.ready.take()
"""


def test_queues_of_nodes_are_those_of_the_machine_and_replay(bench: Bench, tmp_path: Path) -> None:
    log = record(bench, scheduler(NODES), tmp_path / "log", BUSY.format(100))
    assert log.header.notes["nodes"] == 2
    found = replayed(log)
    assert found.divergence is None and found.same
    hook = log.policies[0].hooks.index("enqueue")
    queues = {words_of(r.tape, "cpu.Fifo.put")[0] & 0xFFF for r in log.records if r.hook == hook}
    assert queues == {0, 1}
    (stolen,) = [c for c in bench.status()["counts"] if c["what"] == "stolen"]
    assert stolen["count"] <= bench.status()["fields"]["far"][0]
