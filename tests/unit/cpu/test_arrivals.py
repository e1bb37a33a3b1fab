# SPDX-License-Identifier: Apache-2.0
"""What a log says of the tasks, and the same arrivals under another scheduler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cpu.logs import event, log_of
from tests.unit.cpu.policies import example, scheduler
from transect.cpu.arrivals import Fared, fairness, recorded, tasks
from transect.cpu.replay_other import against, table, under
from transect.replay import Log

MS = 1_000_000
EVERYWHERE = (100, 0b1111)


def shared_cpu(folder: Path) -> Log:
    """Two tasks on CPU 0: the long one is preempted once, the short one comes at 5 ms, waits 15 and sleeps."""

    def at(ms: int, hook: str, pid: int, *args: int) -> bytes:
        one, two = (*args, 0, 0)[:2]
        return event(hook, pid=pid, now=(1000 + ms) * MS, args=(one, two))

    return log_of(
        folder,
        example("fifo"),
        at(0, "enqueue", 1),
        at(0, "running", 1, 100, 0b0001),
        at(5, "select", 2),
        at(5, "enqueue", 2),
        at(20, "stopping", 1, 1),
        at(20, "enqueue", 1),
        at(20, "running", 2, 100, 0b0001),
        at(22, "stopping", 2, 0),
        at(22, "running", 1, 100, 0b0001),
        at(60, "stopping", 1, 0),
        at(70, "select", 2),
        at(70, "running", 2, 100, 0b0001),
        at(71, "stopping", 2, 0),
    )


def test_arrivals_and_work_are_those_of_the_log(tmp_path: Path) -> None:
    (long, short), length = tasks(shared_cpu(tmp_path))
    assert long.bursts == [(0, 58 * MS)] and long.waits_ns == [0, 2 * MS]
    assert short.bursts == [(5 * MS, 2 * MS), (70 * MS, 1 * MS)] and short.waits_ns == [15 * MS, 0]
    assert length == 71 * MS


def test_the_same_scheduler_simulated_does_what_was_recorded(tmp_path: Path) -> None:
    log = shared_cpu(tmp_path)
    machine = under(log, log.policies[0].program)
    assert [t.waits_ns for t in machine.tasks] == [[0, 2 * MS], [15 * MS, 0]]
    assert [t.ran_ns for t in machine.tasks] == [58 * MS, 3 * MS]


def test_another_scheduler_gets_the_same_arrivals(tmp_path: Path) -> None:
    """Preemption after a millisecond, where FIFO let the short one wait for 15."""
    was, same, other = against(shared_cpu(tmp_path), example("shinjuku"))
    assert was.longest == same.longest == 0.015
    assert other.longest <= 0.001
    assert was.ran == same.ran == other.ran == pytest.approx(0.061)
    lines = list(table([was, same, other]))
    assert lines[0].split() == [
        "FirstCome,", "recorded", "FirstCome,", "simulated", "Shinjuku,", "simulated"
    ]  # fmt: skip
    assert lines[4].split() == ["longest", "wait", "ms", "15.00", "15.00", "1.00"]


def test_a_changed_version_of_the_same_name_has_its_file_beside_it(tmp_path: Path) -> None:
    changed = replace(example("fifo"), path="/somewhere/changed.py")
    names = [outcome.scheduler for outcome in against(shared_cpu(tmp_path), changed)]
    assert names == ["FirstCome, recorded", "FirstCome, simulated", "FirstCome (changed.py), simulated"]


def test_moves_between_cpus_are_counted(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        scheduler(""),
        event("running", pid=1, now=0, cpu=0, args=EVERYWHERE),
        event("stopping", pid=1, now=MS, args=(1, 0)),
        event("running", pid=1, now=2 * MS, cpu=3, args=EVERYWHERE),
        event("stopping", pid=1, now=3 * MS),
    )
    assert recorded(log).migrations == 1


def test_fairness_is_progress_by_weight() -> None:
    def fared(weight: int, ran: int, waited: int) -> Fared:
        return Fared(weight, ran, [waited], 0)

    assert fairness([fared(100, 75, 25), fared(33, 25, 75)]) == pytest.approx(1, abs=0.001)
    assert fairness([fared(100, 50, 50), fared(33, 50, 50)]) < 0.85
    assert fairness([fared(100, 50, 0)]) == 1.0, "it never had to share"
