# SPDX-License-Identifier: Apache-2.0
"""The examples on a simulated machine: shares, waits, places; and it sees what custody forbids."""

from __future__ import annotations

import statistics
from importlib.resources import files
from pathlib import Path

import pytest

from tests.unit.cpu.policies import ARBITERS, HEAD, example, scheduler
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.cpu.pace import PATIENCE_NS, Standstill, Starved, starvation
from transect.cpu.simulator import CustodyError, Machine, Work, simulate

MS = 1_000_000


def shares(machine: Machine) -> dict[str, float]:
    total = sum(task.ran_ns for task in machine.tasks)
    return {task.work.name: task.ran_ns / total for task in machine.tasks}


def test_weighted_fair_gives_shares_by_weight() -> None:
    """In the kernel it is 3.02 (benchmark cpu.fairness); the weights are 100 : 33."""
    machine = simulate(example("weighted_fair"), [Work("a"), Work("b", weight=33)], cpus=1, seconds=10)
    found = shares(machine)
    assert found["a"] / found["b"] == pytest.approx(100 / 33, rel=0.02)


def test_weighted_fair_gives_shares_by_weight_whatever_other_cpus_do() -> None:
    """The two lighter hogs of CPU 0 make its virtual time pass faster than that of CPU 1."""
    work = [Work(name, weight=weight, cpus=frozenset({1})) for name, weight in (("a", 100), ("b", 33))]
    work += [Work(name, weight=33, cpus=frozenset({0})) for name in ("other", "another")]
    a, b, *_ = simulate(example("weighted_fair"), work, cpus=2, seconds=4).tasks
    assert a.ran_ns / b.ran_ns == pytest.approx(100 / 33, rel=0.02)


def test_weighted_fair_gives_shares_by_weight_while_a_higher_class_preempts() -> None:
    """Who is preempted goes on with the rest of its slice: the kernel says `stopping` and `running` again."""
    machine = Machine(example("weighted_fair"), 1, [Work("a"), Work("b", weight=33)])

    def preempt() -> None:
        task = machine.cpus[0].current
        if task is not None:
            machine.account(task)
            machine.call("stopping", task, True)
            machine.call("running", task)
        machine.at(7 * MS, preempt)

    machine.at(7 * MS, preempt)
    machine.run(10_000 * MS)
    a, b = machine.tasks
    assert a.ran_ns / b.ran_ns == pytest.approx(100 / 33, rel=0.02)


def test_who_was_away_or_is_new_keeps_nobody_waiting_under_weighted_fair() -> None:
    """A hog that was alone for long has no debt to a newcomer; who slept for long, and starts at once on an idle
    CPU, has no credit against who comes then."""
    fair, s = example("weighted_fair"), 1000 * MS
    alone = simulate(fair, [Work("alone"), Work("new", start_ns=4 * s)], cpus=1, seconds=8)
    bursts = {
        "sleeper": ((0, 1 * MS), (5 * s, 4 * s)),
        "busy": ((0, 2 * s), (6 * s, 4 * s)),
        "hog": ((0, 2 * s),),
    }
    idle = simulate(fair, [Work(name, bursts=b) for name, b in bursts.items()], cpus=1, seconds=10)
    assert max(wait for task in (*alone.tasks, *idle.tasks) for wait in task.waits_ns) <= 60 * MS


def test_the_nicest_keeps_up_beside_many_hogs_under_weighted_fair() -> None:
    """Its share is one hundredth of a hog's, in small pieces: the kernel ends a scheduler when somebody waits for long.

    It had 20 ms every 10 x 2 s.
    """
    hogs = [Work(f"hog{n}", start_ns=MS // 10) for n in range(10)]
    machine = Machine(example("weighted_fair"), 1, [*hogs, Work("nicest", weight=1)])
    nicest = machine.tasks[-1]
    machine.run(25_000 * MS)
    before, waits = nicest.ran_ns, len(nicest.waits_ns)
    machine.run(45_000 * MS)
    assert max(nicest.waits_ns[waits:]) <= 250 * MS
    assert nicest.ran_ns - before == pytest.approx(20_000 * MS / 1001, rel=0.05)


def test_fifo_knows_no_weights() -> None:
    found = shares(simulate(example("fifo"), [Work("a"), Work("b", weight=33)], cpus=1, seconds=10))
    assert found["a"] == pytest.approx(0.5, abs=0.01)


def test_every_cpu_has_work_while_somebody_waits() -> None:
    for name in ("fifo", "weighted_fair", "shinjuku", "locality"):
        machine = simulate(example(name), [Work(str(n)) for n in range(7)], cpus=3, seconds=2)
        assert sum(task.ran_ns for task in machine.tasks) == 3 * 2_000 * MS, name


def test_a_sleeper_is_not_kept_waiting_by_hogs_under_weighted_fair() -> None:
    work = [Work("hog"), Work("hog 2"), Work("sleeper", run_ns=1 * MS, sleep_ns=30 * MS)]
    machine = simulate(example("weighted_fair"), work, cpus=1, seconds=5)
    assert statistics.median(machine.tasks[2].waits_ns) <= 20 * MS


def test_who_comes_back_a_whole_slice_behind_runs_at_once_under_weighted_fair() -> None:
    """Beside a hog of the least weight, whose virtual time flies, 5 ms are; beside an equal one 30 ms are."""
    for weight, sleep in ((1, 5 * MS), (100, 30 * MS)):
        work = [Work("hog", weight=weight), Work("sleeper", run_ns=1 * MS, sleep_ns=sleep)]
        hog, sleeper = simulate(example("weighted_fair"), work, cpus=1, seconds=2).tasks
        assert max(sleeper.waits_ns[3:]) == 0, weight
        assert hog.ran_ns > 1000 * MS


def test_short_requests_pass_long_ones_under_shinjuku() -> None:
    work = [Work("long", run_ns=50 * MS, sleep_ns=1 * MS), Work("long 2", run_ns=50 * MS, sleep_ns=1 * MS)]
    work.append(Work("short", run_ns=MS // 5, sleep_ns=7 * MS))
    ours = simulate(example("shinjuku"), work, cpus=1, seconds=3).tasks[2]
    fifo = simulate(example("fifo"), work, cpus=1, seconds=3).tasks[2]
    assert max(ours.waits_ns) <= 3 * MS < 20 * MS <= max(fifo.waits_ns)


def test_a_request_takes_the_cpu_from_batch_work_at_once_and_from_others_after_their_quantum() -> None:
    shinjuku = example("shinjuku")
    work = [Work("batch", weight=33), Work("short", run_ns=MS // 5, sleep_ns=15 * MS // 2)]
    alone = simulate(shinjuku, work, cpus=1, seconds=1).tasks[1]
    assert max(alone.waits_ns[1:]) == 0
    long = Work("long", run_ns=50 * MS, sleep_ns=1 * MS)
    beside = simulate(shinjuku, [long, *work], cpus=1, seconds=3).tasks[2]
    assert max(beside.waits_ns[1:]) <= 1 * MS and 0 in beside.waits_ns, (
        "who had its quantum before gives way at once"
    )


def test_a_request_finds_the_cpu_where_batch_work_runs() -> None:
    long = [Work(f"long{n}", run_ns=900 * MS, sleep_ns=1 * MS) for n in range(2)]
    work = [*long, Work("batch", weight=33), Work("short", run_ns=MS // 5, sleep_ns=7 * MS)]
    machine = simulate(example("shinjuku"), work, cpus=3, seconds=1, params={"quantum": 1000 * MS})
    assert max(machine.tasks[3].waits_ns[1:]) == 0 and machine.tasks[2].ran_ns > 900 * MS


def test_batch_work_runs_when_nobody_else_does() -> None:
    work = [Work("request", run_ns=2 * MS, sleep_ns=2 * MS), Work("batch", weight=33)]
    machine = simulate(example("shinjuku"), work, cpus=1, seconds=1)
    assert shares(machine)["batch"] == pytest.approx(0.5, abs=0.05)


def test_hints_keep_a_group_on_its_cpu() -> None:
    work = [Work(f"g{n}", run_ns=MS, sleep_ns=3 * MS, hint=(5,)) for n in range(3)]
    machine = simulate(example("locality"), [*work, Work("other")], cpus=4, seconds=1)
    assert {task.cpu for task in machine.tasks[:3]} == {1}


@pytest.mark.parametrize(("waker", "home"), [((2,), True), ((), True), ((0,), False)])
def test_who_is_woken_by_another_group_goes_by_its_waker(waker: tuple[int, ...], home: bool) -> None:
    busy = [Work("waker", hint=waker), Work("h1"), Work("h2")]
    machine = simulate(example("locality"), [*busy, Work("woken", start_ns=1000 * MS)], cpus=3, seconds=0.1)
    woken = machine.tasks[3]
    machine.hint(woken, 2)
    machine.asking = machine.tasks[0].cpu
    assert machine.call("select", woken, 1) == (2 if home else machine.asking)


def test_a_pinned_task_runs_where_it_may() -> None:
    for name in ("fifo", "weighted_fair", "shinjuku", "locality"):
        work = [
            Work("pinned", cpus=frozenset({2}), run_ns=MS, sleep_ns=MS),
            *(Work(f"h{n}") for n in range(4)),
        ]
        machine = simulate(example(name), work, cpus=3, seconds=1)
        assert machine.tasks[0].ran_ns > 0 and machine.tasks[0].cpu == 2, name


def test_a_task_that_is_put_twice_is_noticed() -> None:
    twice = scheduler(
        "    def enqueue(self, task: Task) -> None:\n        self.ready.put(task)\n        self.ready.put(task)\n"
    )
    with pytest.raises(CustodyError, match="a is put into `ready`, and is in `ready`"):
        simulate(twice, [Work("b"), Work("a")], cpus=1)


def test_a_task_that_is_put_nowhere_is_noticed() -> None:
    lost = scheduler("    def enqueue(self, task: Task) -> None:\n        pass\n")
    with pytest.raises(CustodyError, match="was put into no queue"):
        simulate(lost, [Work("a"), Work("b")], cpus=1)


def test_a_simulation_comes_out_the_same_each_time() -> None:
    work = [Work(f"t{n}", run_ns=(n + 1) * MS, sleep_ns=(7 - n) * MS) for n in range(6)]
    first, second = (simulate(example("weighted_fair"), work, cpus=2, seconds=1) for _ in range(2))
    assert [t.waits_ns for t in first.tasks] == [t.waits_ns for t in second.tasks]


def test_queues_of_nodes_keep_tasks_on_theirs_until_another_has_nothing() -> None:
    program = scheduler(
        """
    near: NodeTimelines = given()

    def enqueue(self, task: Task) -> None:
        self.near.on(node_of(task.cpu)).put(task, task.pid)

    def dispatch(self, cpu: int) -> None:
        if not self.near.on(node_of(cpu)).take():
            self.near.steal(node_of(cpu) % nodes())
        self.ready.take()
"""
    )
    hogs = [Work(f"hog{n}") for n in range(4)]
    machine = Machine(program, 4, hogs, nodes=2)
    machine.run(200 * MS)
    assert [t.ran_ns for t in machine.tasks] == [200 * MS] * 4, "four on four CPUs of two nodes"
    assert machine.functions["cpu.node_of"](1) == 0 and machine.functions["cpu.node_of"](2) == 1


# --- what the kernel does, too ------------------------------------------------------------------------------------


def test_random_numbers_are_those_of_the_seed() -> None:
    program = scheduler("""
    drawn: int = 0

    def enqueue(self, task: Task) -> None:
        self.drawn = self.drawn * 10 + rand_below(10)
        self.ready.put(task)
""")

    def drawn(seed: int) -> object:
        return simulate(program, [Work("hog"), Work("other")], cpus=1, seed=seed).instance.state["drawn"]

    assert drawn(1) == drawn(1) != drawn(2)


def test_who_starts_first_runs_in_place_of_another_and_before_those_that_started() -> None:
    program = scheduler("""
    def select(self, task: Task, cpu: int) -> int:
        return cpu

    def enqueue(self, task: Task) -> None:
        if task.weight > 100:
            start_first(task)
        else:
            start(task)
""")
    work = [Work("a"), Work("b"), Work("first", weight=200, run_ns=MS, sleep_ns=6 * MS, start_ns=3 * MS)]
    first = simulate(program, work, cpus=1, seconds=0.1).tasks[2]
    assert max(first.waits_ns) == 0 and len(first.waits_ns) == 14


@pytest.mark.parametrize("near", [-1, 4, 99])
def test_an_idle_cpu_near_one_that_does_not_exist_is_one_near_the_tasks_own(near: int) -> None:
    body = f"""
    def select(self, task: Task, cpu: int) -> int:
        idle = idle_cpu(task, cpu - cpu + {near})
        return cpu if idle is None else idle
"""
    machine = simulate(scheduler(body), [Work(f"t{n}") for n in range(4)], cpus=4, seconds=0.1)
    assert {task.cpu for task in machine.tasks} == {0, 1, 2, 3}


@pytest.mark.parametrize(("at", "turn"), [(0, 1), (2, 0), (3, 1), (-1, 0), (-2, 0), (-4, 1)])
def test_who_steals_asks_in_turn_from_the_number_that_is_given_as_32_bits(at: int, turn: int) -> None:
    """As C has it: 2^32 - 1 is divided by 3 without a rest."""
    program = scheduler("    mine: Fifos = given()\n")
    machine = Machine(program, 3, [])
    queues, asked = machine.instance.state["mine"], []
    for n, queue in enumerate(queues.each):
        queue.take = lambda n=n: asked.append(n)
    queues.steal(at)
    assert asked[0] == turn


def test_the_queue_of_a_cpu_that_does_not_exist_is_the_first_and_is_counted() -> None:
    body = """
    mine: Fifos = given()

    def enqueue(self, task: Task) -> None:
        self.mine.on(task.pid + 6).put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.mine.on(0).take():
            self.ready.take()
"""
    machine = simulate(scheduler(body), [Work("a"), Work("b")], cpus=2, seconds=0.1)
    assert machine.beyond["mine"] > 2
    assert min(task.ran_ns for task in machine.tasks) > 0


def test_an_arbiter_gives_shares_by_weight() -> None:
    (program,) = compile_file(ARBITERS[0]).programs
    found = shares(simulate(program, [Work("a"), Work("b", weight=33)], cpus=1, seconds=10))
    assert found["a"] / found["b"] == pytest.approx(100 / 33, rel=0.1)


# --- what does not get on -----------------------------------------------------------------------------------------

ENDLESS = {
    "wake": "    def dispatch(self, cpu: int) -> None:\n        if not self.ready.take():\n            wake_cpu(cpu)\n",
    "slice": "    def enqueue(self, task: Task) -> None:\n        self.ready.put_for(task, ms(0))\n",
    "alarm": "    def running(self, task: Task) -> None:\n        set_alarm(ms(0))\n\n"
    "    def alarm(self, cpu: int) -> None:\n        set_alarm(ms(0))\n",
    "preempt": "    def running(self, task: Task) -> None:\n        self._again(task.cpu)\n\n"
    "    def _again(self, cpu: int) -> None:\n        preempt(cpu)\n",
}


@pytest.mark.parametrize(
    ("name", "asks"), list(zip(ENDLESS, ("wake_cpu", "put_for", "set_alarm", "preempt"), strict=True))
)
@pytest.mark.parametrize("cpus", [1, 4])
def test_time_that_does_not_go_on_ends_the_simulation_at_the_line_that_asks(
    name: str, asks: str, cpus: int
) -> None:
    program = scheduler(ENDLESS[name])
    work = [Work("short", run_ns=MS, sleep_ns=9 * MS), Work("late", bursts=((30 * MS, MS),))]
    work += [Work("hog")] if name == "slice" else []
    with pytest.raises(Standstill, match=r"simulated time does not go on: at 0\.0") as still:
        simulate(program, work, cpus=cpus)
    (diagnostic,) = still.value.diagnostics
    line = (HEAD + ENDLESS[name]).splitlines()[diagnostic.span.line - 1]
    assert asks in line, line


def test_many_tasks_that_wake_at_once_are_no_standstill() -> None:
    work = [Work(f"t{n}", run_ns=1_000, sleep_ns=1_000) for n in range(20)]
    machine = simulate(example("fifo"), work, cpus=4, seconds=0.003)
    assert sum(len(task.waits_ns) for task in machine.tasks) > 8_000


GATED = """
    slow: Fifo = given()
    gate: Param[int] = param(0)

    def enqueue(self, task: Task) -> None:
        if task.weight < 100:
            self.slow.put(task)
        else:
            self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.ready.take() and self.gate > 0:
            self.slow.take()
"""


def test_a_starved_task_is_named_with_its_line_and_when_the_kernel_would_end_the_scheduler() -> None:
    program = scheduler(GATED)
    machine = simulate(program, [Work("hog"), Work("nice", weight=33, start_ns=500 * MS)], cpus=1, seconds=2)
    (found,) = starvation(program, machine.starved())
    assert (
        found.message
        == "`nice` could run from 0.500 s on and did not for 30 s: it waited in the queue `slow`"
    )
    assert found.note == "the kernel's watchdog would have ended the scheduler at 30.500 s"
    assert "self.slow.put" in (HEAD + GATED).splitlines()[found.span.line - 1]
    assert [label.text for label in found.others] == ["did not take it"]


@pytest.mark.parametrize(
    "program", [example("fifo"), example("weighted_fair")], ids=["fifo", "weighted_fair"]
)
def test_who_merely_waits_for_long_does_not_starve(program: Program) -> None:
    work = [Work(f"hog{n}") for n in range(60)] + [Work("light", weight=1)]
    machine = simulate(program, work, cpus=1, seconds=0.1)
    assert not all(task.waits_ns for task in machine.tasks)
    assert machine.starved() == []


def test_who_starves_in_the_queue_of_its_cpu_is_shown_where_it_was_given_to_it() -> None:
    program = example("fifo")
    (found,) = starvation(program, [Starved("b", "cpu 0", 0, 31_000 * MS)])
    assert (
        found.message
        == "`b` could run from 0.000 s on and did not for 31 s: it waited in the own queue of cpu 0"
    )
    assert "self.ready.take()" in Path(program.path).read_text().splitlines()[found.span.line - 1]


def test_the_watchdogs_patience_is_that_of_what_is_attached() -> None:
    text = (files("transect.cpu") / "runtime" / "scx.h").read_text()
    assert f"#define TS_PATIENCE {PATIENCE_NS // MS} " in text
