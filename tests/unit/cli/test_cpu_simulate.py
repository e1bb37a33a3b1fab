# SPDX-License-Identifier: Apache-2.0
"""`transect cpu simulate`: its table, and what it says when time or a task does not go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run
from tests.unit.cpu.policies import CLASS, IMPORTS

HEAD = IMPORTS + CLASS.format("Written")
FIFO = """
    def enqueue(self, task: Task) -> None:
        {}

    def dispatch(self, cpu: int) -> None:
        {}
"""


def written(
    folder: Path, put: str = "self.ready.put(task)", take: str = "self.ready.take()", more: str = ""
) -> str:
    path = folder / "written.py"
    path.write_text(HEAD + more + FIFO.format(put, take))
    return str(path)


def test_a_policy_that_draws_numbers_is_simulated(transect: Run, tmp_path: Path) -> None:
    policy = written(tmp_path, "self.ready.put_for(task, ms(1 + rand_below(9)))")
    tables = [
        transect("cpu", "simulate", policy, "--task", "a", "--task", "b", f"--seed={n}") for n in (1, 1, 2)
    ]
    assert [done.code for done in tables] == [0, 0, 0]
    assert tables[0].out == tables[1].out != tables[2].out


def test_time_that_does_not_go_on_is_a_diagnostic(transect: Run, tmp_path: Path) -> None:
    policy = written(tmp_path, take="if not self.ready.take():\n            wake_cpu(cpu)")
    done = transect("cpu", "simulate", policy, "--task=short:run=1ms,sleep=9ms")
    assert done.code == 1
    assert "error[C010]: simulated time does not go on" in done.err and "wake_cpu(cpu)" in done.err


def test_a_starved_task_has_no_waits_that_look_like_none_and_ends_with_1(
    transect: Run, tmp_path: Path
) -> None:
    take = "if not self.ready.take() and self.n < 0:\n            self.slow.take()"
    put = "(self.ready if task.weight > 99 else self.slow).put(task)"
    policy = written(tmp_path, put, take, "    slow: Fifo = given()\n    n: int = 0\n")
    done = transect("cpu", "simulate", policy, "--task", "hog", "--task", "nice:weight=33")
    assert done.code == 1
    row = next(line for line in done.out.splitlines() if line.startswith("nice"))
    assert row.split() == ["nice", "0.0%", "0", "-", "-", "0"]
    assert (
        "error[C011]: `nice` could run from 0.000 s on and did not for 30 s: it waited in the queue `slow`"
        in done.err
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    def weight(self, task: Task) -> None:\n        pass\n", "`weight` is not called here"),
        ("    mine: Fifos = given()\n\n    def running(self, task: Task) -> None:\n        self.mine.on(9).length()\n",
         "`self.mine.on(…)` was asked for a CPU or node that does not exist"),
    ],
)  # fmt: skip
def test_what_a_simulation_does_not_show_stands_below_it(
    transect: Run, tmp_path: Path, more: str, said: str
) -> None:
    done = transect("cpu", "simulate", written(tmp_path, more=more))
    assert done.code == 0 and said in done.out


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("a:run=5,sleep=2ms", "`5` is no time; write `5ms`"),
        ("a:run=5h", "`5h` is no time"),
        ("a:weight=33ms", "`33ms` is no number"),
        ("a:sleep=2ms", "`a` sleeps and never runs; give `run=`, too"),
    ],
)
def test_a_task_says_its_times_with_a_unit(task: str, said: str, transect: Run, tmp_path: Path) -> None:
    done = transect("cpu", "simulate", written(tmp_path), "--task", task)
    assert done.code == 2 and said in done.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--task", "a:cpu=7"], "`a` may run on CPU 7 alone, and there are CPUs 0 to 0"),
        (["--task", "a:cpu=2", "--cpus=2"], "`a` may run on CPU 2 alone, and there are CPUs 0 to 1"),
        (["--seconds", "inf"], "--seconds"),
        (["--seconds", "1e30"], "--seconds"),
        (["--task", "a:weight=0"], "`weight` is from 1 to 10000"),
        (["--task", "a:weight=10001"], "`weight` is from 1 to 10000"),
        (["--task", "a:hint=9223372036854775808"], "`hint` is from 0 to 9223372036854775807"),
        (["--task", ":run=1ms"], "a task has no name"),
        (["--task", "a", "--task", "a"], "two tasks are called `a`"),
    ],
)
def test_what_no_machine_has_is_a_mistake_of_the_command(
    transect: Run, tmp_path: Path, words: list[str], why: str
) -> None:
    done = transect("cpu", "simulate", written(tmp_path), *words)
    assert done.code == 2
    assert why in done.err
