# SPDX-License-Identifier: Apache-2.0
"""A call of a scheduler replays by the words of its tape; whatever differs is shown at the policy's line."""

from __future__ import annotations

import sys
import tokenize
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.unit.cpu.logs import TAPE, event, log_of, replayed
from tests.unit.cpu.policies import HEAD, example, scheduler
from transect.cpu.platform import queue_number
from transect.emit.bpf.recording import recorded, words_at_most

QUEUE = 1 << 48 | queue_number("ready") << 12
KEEPING = """
    a: int = 3
    byte: u8 = 250
    flag: bool = False
    maybe: int | None = None
    slots: Array[int] = array(8)
    seen: Tally[int, int] = tally(6)
    last: Map[int, int] = table(5)
    mine: Local[int] = local(5)
    calls: Counter = counter()

    def running(self, task: Task) -> None:
        self.mine += 1
        self.a = max(self.a, task.pid)
        self.byte += 10
        self.flag = self.a > 5
        self.maybe = None if self.flag else self.a
        self.slots[task.pid & 7] += 1
        self.seen[task.pid] += 1
        if task.pid in self.last:
            del self.last[task.pid]
        self.last.put(task.pid, self.last.get(2, -1))
        self.calls.add(1)
"""
RUNNING = [
    ("mine", 5), ("mine", 6),
    ("Task.pid", 7), ("a", 3), ("a", 7),
    ("byte", 250), ("byte", 4),
    ("a", 8), ("flag", 1),  # another CPU has raised it meanwhile
    ("flag", 1), ("maybe", 0), ("maybe", 0),
    ("Task.pid", 7), ("slots", 41), ("slots", 7), ("slots", 42),
    ("Task.pid", 7), ("seen", 0), ("seen", 7), ("seen", 1),
    ("Task.pid", 7), ("last", 1), ("Task.pid", 7), ("last", 7),
    ("Task.pid", 7), ("last", -1), ("last", 7), ("last", -1), ("last", 0),
    ("calls", 9), ("calls", 10),
]  # fmt: skip


def test_all_kinds_of_state_replay_by_what_was_read_and_obtained(tmp_path: Path) -> None:
    found = replayed(log_of(tmp_path, scheduler(KEEPING), event("running", RUNNING)))
    assert found.divergence is None
    assert found.same and found.calls == 1


def test_files_that_a_log_names_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may name a device without an end."""
    named = tmp_path / "named.py"
    named.write_text("é\n" * 100)
    opened: list[str] = []
    monkeypatch.setattr(tokenize, "open", opened.append)
    log = log_of(tmp_path, scheduler(KEEPING), event("running", RUNNING))
    (policy,) = log.policies
    text = policy.program_text.replace("path 'p.py'", f"path {str(named)!r}", 1)
    assert text != policy.program_text
    assert replayed(replace(log, policies=(replace(policy, program_text=text),))).same
    assert opened == []


@pytest.mark.parametrize(
    "at", [n for n, (name, _) in enumerate(RUNNING) if n in (1, 4, 6, 8, 14, 15, 19, 23, 30)]
)
def test_a_word_that_a_handler_would_not_say_is_a_divergence(tmp_path: Path, at: int) -> None:
    name, word = RUNNING[at]
    words = [*RUNNING[:at], (name, word + 1), *RUNNING[at + 1 :]]
    found = replayed(log_of(tmp_path, scheduler(KEEPING), event("running", words)))
    assert found.divergence is not None
    assert found.divergence.message == (
        f"`running` leaves the recording: {word} goes to `{name}`, where {word + 1} was recorded"
    )
    line = (HEAD + KEEPING).splitlines()[found.divergence.span.line - 1]
    assert name in line, "the line of the policy that says it"


def test_a_handler_that_goes_another_way_is_a_divergence(tmp_path: Path) -> None:
    words = [("byte", 1) if n == 2 else word for n, word in enumerate(RUNNING)]
    found = replayed(log_of(tmp_path, scheduler(KEEPING), event("running", words)))
    assert found.divergence is not None
    assert found.divergence.message == (
        "`running` leaves the recording: the handler comes to `Task.pid`, where `byte` was recorded"
    )


@pytest.mark.parametrize("more", [[], [*RUNNING, ("a", 1)]])
def test_words_too_few_and_too_many(tmp_path: Path, more: list[tuple[str, int]]) -> None:
    found = replayed(log_of(tmp_path, scheduler(KEEPING), event("running", more or RUNNING[:-1])))
    assert found.divergence is not None
    said = "where nothing more was recorded" if not more else "10 bytes of outside answers"
    assert said in found.divergence.message


def test_another_result_is_a_divergence(tmp_path: Path) -> None:
    body = "    def keep(self, task: Task, cpu: int) -> bool:\n        return self.ready.length() < cpu\n"
    words = [("cpu.Fifo.length", QUEUE), ("cpu.Fifo.length", 1)]
    good = event("keep", words, args=(2, 0), result=1)
    bad = event("keep", words, args=(1, 0), result=1)
    found = replayed(log_of(tmp_path, scheduler(body), good, bad))
    assert found.calls == 1 and found.divergence is not None
    assert found.divergence.message == "False comes out, where True was recorded"


def test_what_the_kernel_is_asked_is_compared(tmp_path: Path) -> None:
    def enqueue(queue: int) -> bytes:
        return event("enqueue", [("cpu.Fifo.put", queue)])

    assert replayed(log_of(tmp_path, example("fifo"), enqueue(QUEUE))).same
    assert not replayed(log_of(tmp_path, example("fifo"), enqueue(QUEUE + 1))).same


def test_events_may_come_in_any_pieces(tmp_path: Path) -> None:
    events = [event("running", RUNNING) for _ in range(5)]
    for piece in (1, 100, 999):
        assert replayed(log_of(tmp_path, scheduler(KEEPING), *events, piece=piece)).calls == 5


def test_lost_calls_are_counted_and_prove_nothing(tmp_path: Path) -> None:
    found = replayed(log_of(tmp_path, scheduler(KEEPING), event("running", RUNNING), lost=3))
    assert found.divergence is None and found.calls == 1
    assert not found.same and found.open == ("3 calls were dropped",)


def test_a_call_with_more_words_than_room_is_lost(tmp_path: Path) -> None:
    too_many = [("a", 1)] * (TAPE + 1)
    log = log_of(tmp_path, scheduler(KEEPING), event("running", RUNNING), event("running", too_many))
    assert len(log.records) == 1 and log.shortcomings == "1 calls were dropped"


def test_words_of_a_call_are_bounded_by_its_longest_path() -> None:
    assert words_at_most(recorded(scheduler(KEEPING))) == len(RUNNING) + 1  # one path reads `a` once more
    loop = "    a: int = 0\n    def tick(self, task: Task) -> None:\n"
    loop += "        for n in range(100):\n            self.a += n\n"
    assert words_at_most(recorded(scheduler(loop))) == 200


def test_a_debugger_and_coverage_see_the_lines_of_the_policy(tmp_path: Path) -> None:
    """Lines of the policy's own file are what a trace function gets: `pdb` and coverage need no more."""
    lines: set[int] = set()
    path = example("fifo").path

    def trace(frame: FrameType, what: str, _: Any) -> Any:
        if frame.f_code.co_filename != path:
            return None
        if what == "line":
            lines.add(frame.f_lineno)
        return trace

    log = log_of(
        tmp_path, example("fifo"), event("dispatch", [("cpu.Fifo.take", QUEUE), ("cpu.Fifo.take", 1)])
    )
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert replayed(log).same
    finally:
        sys.settrace(before)
    text = Path(path).read_text().splitlines()
    assert [text[line - 1].strip() for line in sorted(lines)] == ["self.ready.take()"]


TALKING = """
    asked: int = 0
    gone: int = 0

    def hint(self, task: Task, said: Said[Cores]) -> None:
        self.asked += said.hint.count
        self.tell(task.process, "granted", core=said.hint.count + 1)

    def detach(self, process: int) -> None:
        self.gone = process
"""
TELL = "cpu.Scheduler.tell"


@pytest.mark.parametrize(
    ("told", "gone", "found"),
    [
        (5, 9, None),
        (6, 9, "5 goes to `cpu.Scheduler.tell`, where 6 was recorded"),
        (5, 8, "9 goes to `gone`, where 8 was recorded"),
    ],
)
def test_what_applications_say_and_are_told_replays(
    tmp_path: Path, told: int, gone: int, found: str | None
) -> None:
    program = scheduler(TALKING, before="\n\nclass Cores(Hint):\n    count: int\n")
    said = [("Cores.count", 4), ("asked", 2), ("asked", 6), ("Task.process", 30), ("Cores.count", 4)]
    log = log_of(
        tmp_path,
        program,
        event("hint", [*said, (TELL, 30), (TELL, told)]),
        event("detach", [("gone", gone)], args=(9, 0)),
    )
    divergence = replayed(log).divergence
    assert (divergence is None) == (found is None)
    assert divergence is None or (found or "") in divergence.message
