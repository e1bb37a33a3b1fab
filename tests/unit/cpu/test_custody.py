# SPDX-License-Identifier: Apache-2.0
"""Each task is in one place: shown on every path, and every mutant of every example is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cpu.policies import SCHEDULERS, scheduler
from transect.core import ir
from transect.core.frontend import compile_file
from transect.cpu.calls import PUTS, TAKES
from transect.cpu.check import check
from transect.cpu.check_queues import custody
from transect.cpu.scheduler import legal


def codes(body: str) -> list[str]:
    return [d.code for d in check(scheduler(body))]


def test_a_put_on_both_sides_is_one_put() -> None:
    assert (
        codes("""
    def enqueue(self, task: Task) -> None:
        if task.weight > 100:
            start(task)
        else:
            self.ready.put(task)
""")
        == []
    )


def test_a_return_before_the_put_loses_the_task() -> None:
    (lost,) = check(
        scheduler("""
    def enqueue(self, task: Task) -> None:
        if task.pid == 1:
            return
        self.ready.put(task)
""")
    )
    assert lost.code == "C001"
    assert lost.span.line == 12, "the `return` is shown"


def test_what_a_helper_puts_counts() -> None:
    body = """
    def _put(self, task: Task) -> None:
        if task.weight > 100:
            start(task)
            return
        self.ready.put(task)

    def enqueue(self, task: Task) -> None:
        self._put(task)
"""
    assert codes(body) == []
    assert set(codes(body + "        self._put(task)\n")) == {"C002"}


def test_a_put_in_a_loop_is_refused_unless_the_loop_ends_with_it() -> None:
    loop = """
    def enqueue(self, task: Task) -> None:
        for cpu in range(4):
            if task.may_run(cpu):
                self.ready.put(task)
                {}
        {}
"""
    assert codes(loop.format("return", "self.ready.put(task)")) == []
    assert codes(loop.format("break", "self.ready.put(task)")) == ["C002"]
    assert "C002" in codes(loop.format("pass", "return"))
    assert "C001" in codes(loop.format("return", "return"))


def test_the_answers_of_the_kernel_are_open() -> None:
    """An idle CPU may be found or not: both paths count."""
    assert codes("""
    def select(self, task: Task, cpu: int) -> int:
        idle = idle_cpu(task, cpu)
        if idle is not None:
            start(task)
        start(task)
        return cpu
""") == ["C002"]


def test_a_match_without_a_last_case_may_put_nothing() -> None:
    body = """
    def enqueue(self, task: Task) -> None:
        match task.movable:
            case 1:
                start(task)
            case {}:
                self.ready.put(task)
"""
    assert codes(body.format("_")) == []
    assert codes(body.format("2")) == ["C001"]


def test_a_queue_of_each_cpu_is_served_by_taking_or_stealing() -> None:
    body = """
    mine: Fifos = given()

    def enqueue(self, task: Task) -> None:
        self.mine.on(task.cpu).put(task)

    def dispatch(self, cpu: int) -> None:
        {}
"""
    assert codes(body.format("self.mine.on(cpu).take()")) == []
    assert codes(body.format("self.mine.steal(cpu)")) == []
    assert codes(body.format("self.ready.take()")) == ["C004"]


@pytest.mark.parametrize(
    "put",
    [
        "(self.fast if task.weight > 100 else self.slow).put(task)",
        "(self.fast if self.more > 1 else self.slow).put(task)",  # what decides is no queue
        "queue = self.fast if task.weight > 100 else self.slow\n        queue.put(task)",
        "self._put(self.fast if task.weight > 100 else self.slow, task)",
        "self._which(task).put(task)",
    ],
)
def test_a_queue_that_is_a_value_is_each_that_it_may_be(put: str) -> None:
    body = """
    fast: Fifo = given()
    slow: Fifo = given()
    more: int = 0

    def _put(self, queue: Fifo, task: Task) -> None:
        queue.put(task)

    def _which(self, task: Task) -> Fifo:
        if task.weight > 100:
            return self.fast
        return self.slow

    def enqueue(self, task: Task) -> None:
        {}

    def dispatch(self, cpu: int) -> None:
        {}
"""
    assert codes(body.format(put, "self.fast.take()")) == ["C004"]
    assert codes(body.format(put, "self.slow.take()")) == ["C004"]
    assert codes(body.format(put, "if not self.fast.take():\n            self.slow.take()")) == []
    both = "first = self.fast if cpu == 0 else self.slow\n        first.take()"
    assert codes(body.format(put, both)) == []


FLAGS = {
    "a flag": """
        done = False
        if task.weight > 100:
            self.ready.put(task)
            done = True
        if not done:
            self.ready.put(task)
""",
    "a test that is made once": """
        heavy = task.weight > 100
        if heavy:
            self.ready.put(task)
        if not heavy:
            start(task)
""",
    "a flag that is another's": """
        done = task.weight > 100
        if done:
            self.ready.put(task)
        finished = done
        if not finished and task.pid > 0:
            self.ready.put(task)
            finished = True
        if not finished:
            start(task)
""",
    "a helper that says whether": """
        if not self._try(task):
            self.ready.put(task)
""",
    "a helper that is told": """
        done = self._try(task)
        self._unless(done, task)
""",
    "an option": """
        home: int | None = None
        if task.pid > 7:
            home = task.cpu
            self.ready.put(task)
        if home is None:
            self.ready.put(task)
""",
    "a loop": """
        done = False
        for cpu in range(4):
            if not done and task.may_run(cpu):
                self.ready.put(task)
                done = True
        if not done:
            start(task)
""",
}
HELPERS = """
    def _try(self, task: Task) -> bool:
        if task.movable > 1:
            return False
        self.ready.put(task)
        return True

    def _unless(self, done: bool, task: Task) -> None:
        if not done:
            self.ready.put(task)

    def enqueue(self, task: Task) -> None:"""


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_that_says_whether_the_task_is_put_is_followed(name: str) -> None:
    assert codes(HELPERS + FLAGS[name]) == []


@pytest.mark.parametrize(
    ("name", "right", "wrong", "code"),
    [
        ("a flag", "done = True", "done = False", "C002"),
        ("a flag", "done = False", "done = True", "C001"),
        ("a test that is made once", "not heavy", "heavy", "C001"),
        ("a test that is made once", "if heavy", "heavy = task.pid > 3\n        if heavy", ""),
        ("a test that is made once", "if not heavy", "heavy = task.pid > 3\n        if not heavy", "C001"),
        ("a flag that is another's", "finished = done", "finished = task.pid > 3", "C002"),
        ("a flag that is another's", "not finished and", "not finished or", "C002"),
        ("a helper that says whether", "if not", "if", "C002"),
        ("a helper that is told", "done = self", "done = not self", "C002"),
        ("an option", "is None:", "is not None:", "C001"),
        ("a loop", "done = True", "pass", "C002"),
        ("a loop", "if not done and", "if", "C002"),
    ],
)
def test_a_flag_that_says_something_else_is_no_proof(name: str, right: str, wrong: str, code: str) -> None:
    assert right in FLAGS[name]
    changed = FLAGS[name].replace(right, wrong, 1)
    assert (code in codes(HELPERS + changed)) if code else codes(HELPERS + changed) == []


def test_flags_too_many_to_follow_are_given_up_and_prove_nothing() -> None:
    flags = [f"        f{n} = task.pid > {n}\n        if f{n}:\n            pass\n" for n in range(1, 12)]
    body = "\n        done = task.pid > 0\n        if done:\n            self.ready.put(task)\n{}"
    body += "        if not done:\n            self.ready.put(task)\n"
    assert set(codes(HELPERS + body.format("".join(flags)))) == {"C001", "C002"}
    assert codes(HELPERS + body.format("".join(flags[:5]))) == []


# --- mutants ------------------------------------------------------------------------------------------------------


def mutants(block: ir.Block, names: frozenset[str]) -> Iterator[tuple[str, ir.Block]]:
    """The block with one such call deleted, or with one doubled."""
    for index, s in enumerate(block):
        before, after = block[:index], block[index + 1 :]
        match s:
            case ir.Do(value=ir.Intrinsic(name=name)) if name in names:
                yield "deleted", (*before, *after)
                yield "doubled", (*before, s, s, *after)
            case ir.If(then=then, orelse=orelse):
                for how, inner in mutants(then, names):
                    yield how, (*before, replace(s, then=inner), *after)
                for how, inner in mutants(orelse, names):
                    yield how, (*before, replace(s, orelse=inner), *after)
            case ir.For(body=body):
                for how, inner in mutants(body, names):
                    yield how, (*before, replace(s, body=inner), *after)
            case _:
                pass


def mutated(program: ir.Program) -> Iterator[tuple[str, ir.Program]]:
    for handler in program.handlers:
        if handler.name == "enqueue":
            for how, body in mutants(handler.body, PUTS):
                changed = replace(handler, body=body)
                handlers = tuple(changed if h is handler else h for h in program.handlers)
                yield f"{handler.name}, {how}", replace(program, handlers=handlers)


@pytest.mark.parametrize("path", SCHEDULERS, ids=lambda path: path.stem)
def test_examples_pass_and_every_mutant_of_their_puts_is_refused_with_a_span(path: Path) -> None:
    for program in compile_file(path).programs:
        flat = legal(program)
        assert custody(flat) == []
        found = list(mutated(flat))
        assert found, "there is something to break"
        for how, mutant in found:
            diagnostics = custody(mutant)
            assert diagnostics, f"{how} is not noticed"
            assert all(d.span.line > 0 and d.span.path == str(path) for d in diagnostics), how


@pytest.mark.parametrize("path", SCHEDULERS, ids=lambda path: path.stem)
def test_a_dispatch_that_takes_nothing_is_refused(path: Path) -> None:
    for program in compile_file(path).programs:
        flat = legal(program)
        handlers = tuple(
            replace(h, body=(ir.Pass(h.span),)) if h.name == "dispatch" else h for h in flat.handlers
        )
        assert {d.code for d in custody(replace(flat, handlers=handlers))} == {"C004"}
    assert TAKES
