# SPDX-License-Identifier: Apache-2.0
"""Parts of a stack as processes: begun in order, kept running, ended in the reverse order."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from transect.base.span import Span
from transect.base.unavailable import Unavailable
from transect.control.stopping import Stop
from transect.rpc.chain.address import Endpoint
from transect.stack.model import Part, StackFile
from transect.stack.process import Process, State
from transect.stack.running import NotBegun, Running

NOWHERE = Span("stack.py", 1, 0, 1, 1)


def listening(folder: Path, name: str) -> Part:
    """Ready a moment after it begins; notes when it is told to end."""
    at = f"{folder}/{name}.sock"
    command = (sys.executable, str(Path(__file__).with_name("part.py")), at, name)
    return Part(name, "Program", "", command, (), None, NOWHERE, folder, ready=Endpoint("", 0, at))


def program(name: str, code: str, *words: str, ready: Endpoint | None = None) -> Part:
    return Part(
        name, "Program", "", (sys.executable, "-c", code, *words), (), None, NOWHERE, Path(), ready=ready
    )


@contextmanager
def stack(folder: Path, *parts: Part) -> Iterator[tuple[Running, list[str]]]:
    said: list[str] = []
    running = Running(
        StackFile(folder / "stack.py", "stack", parts),
        folder,
        lambda part, line: said.append(f"{part}: {line}"),
    )
    try:
        yield running, said
    finally:
        running.end()


def looks(running: Running, until: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not until():
        assert time.monotonic() < end, [p.state for p in running.processes]
        running.look()
        time.sleep(0.02)


def test_a_part_begins_when_the_one_before_is_ready_and_ends_before_it(tmp_path: Path) -> None:
    with stack(tmp_path, listening(tmp_path, "first"), listening(tmp_path, "second")) as (running, said):
        running.begin(Stop())
        assert [p.state for p in running.processes] == [State.READY] * 2
    assert said == ["first: is ready", "second: is ready"]
    assert (tmp_path / "order").read_text().split() == ["second", "first"]
    assert [p.state for p in running.processes] == [State.ENDED] * 2


def test_a_part_that_is_killed_begins_again(tmp_path: Path) -> None:
    with stack(tmp_path, listening(tmp_path, "one")) as (running, said):
        running.begin(Stop())
        (process,) = running.processes
        assert process.pid is not None
        began, old = time.monotonic(), process.pid
        os.kill(old, signal.SIGKILL)
        looks(running, lambda: process.state is State.READY and process.pid != old)
        assert time.monotonic() - began < 5
        assert process.restarts == 1
        assert "one: was killed by SIGKILL while it ran; begins again" in said


def test_one_that_goes_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    part = program("hasty", "import time; time.sleep(0.1)")
    with stack(tmp_path, part) as (running, said):
        running.begin(Stop())
        looks(running, lambda: running.processes[0].restarts == 3)
        pauses = [line.rpartition("; ")[2] for line in said if "begins again" in line]
        assert pauses == ["begins again", "begins again in 0.5 s", "begins again in 1 s"]


def test_a_part_that_never_becomes_ready_keeps_the_stack_from_starting(tmp_path: Path) -> None:
    at = Endpoint("", 0, str(tmp_path / "never.sock"))
    part = program("bad", "import sys; print('no such thing'); sys.exit(3)", ready=at)
    with stack(tmp_path, part, listening(tmp_path, "second")) as (running, said):
        with pytest.raises(NotBegun, match="`bad` ended with 3 before it was ready"):
            running.begin(Stop())
        assert said == ["bad: no such thing"]
        assert [p.part.name for p in running.processes] == ["bad"]


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    part = Part("shop", "Program", "", ("no-such-program",), (), None, NOWHERE, tmp_path)
    with stack(tmp_path, part) as (running, _), pytest.raises(Unavailable, match="No such file"):
        running.begin(Stop())


def test_a_program_that_cannot_be_begun_again_ends_no_other_part(tmp_path: Path) -> None:
    """Someone puts another in its place, perhaps."""
    script = tmp_path / "shop"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o700)
    shop = Part("shop", "Program", "", (str(script),), (), None, NOWHERE, tmp_path)
    with stack(tmp_path, listening(tmp_path, "other"), shop) as (running, said):
        running.begin(Stop())
        other, process = running.processes
        away = script.rename(tmp_path / "away")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        looks(running, lambda: "shop: cannot be begun: No such file or directory" in "".join(said))
        away.rename(script)
        looks(running, lambda: process.state is State.READY)
        assert (other.state, other.restarts) == (State.READY, 0)


def test_a_part_that_goes_between_two_looks_is_not_taken_for_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Endpoint("", 0, str(tmp_path / "never.sock"))
    part = program("bad", "import sys; sys.exit(3)", ready=at)
    exits = iter([None])
    of_child = Process.exit
    monkeypatch.setattr(Process, "exit", lambda self: next(exits, of_child(self)))
    with stack(tmp_path, part) as (running, said), pytest.raises(NotBegun, match="`bad` ended with 3"):
        running.begin(Stop())
    assert said == []


def test_a_part_of_another_folder_runs_there(tmp_path: Path) -> None:
    folder = tmp_path / "another"
    folder.mkdir()
    part = program("asks", "import os; print(os.getcwd(), flush=True); import time; time.sleep(9)")
    with stack(tmp_path, listening(tmp_path, "one")) as (running, said):
        running.begin(Stop())
        running.put(replace(part, folder=folder))
        looks(running, lambda: f"asks: {folder}" in said)


def test_weights_that_cannot_be_read_are_not_said_to_be_none(tmp_path: Path) -> None:
    tenants = tmp_path / "mine.toml"
    tenants.write_text("[tenants]\nalice = 400\n")
    running = Running(StackFile(tmp_path / "stack.py", "stack", (), {}, tenants), tmp_path, lambda *_: None)
    tenants.write_text("[tenants")
    time.sleep(1.1)
    assert running.weights() == {"alice": 400}


def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = program(
        "deaf",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)",
    )
    with stack(tmp_path, part) as (running, said):
        running.begin(Stop())
        looks(running, lambda: "deaf: on" in said)
        running.processes[0].end(patience_s=0.2)
    assert "deaf: has not ended within 0.2 s, and is killed" in said


def test_every_part_finds_the_weights(tmp_path: Path) -> None:
    code = "import os, time; print(open(os.environ['TRANSECT_TENANTS']).read().split(), flush=True); time.sleep(9)"
    part = program("asks", code)
    said: list[str] = []
    running = Running(
        StackFile(tmp_path / "stack.py", "stack", (part,), {"alice": 400}),
        tmp_path,
        lambda _, line: said.append(line),
    )
    running.begin(Stop())
    looks(running, lambda: len(said) > 1)
    running.end()
    assert "['[tenants]', '\"alice\"', '=', '400']" in said


def test_a_line_without_an_end_that_a_part_says_is_told_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transect.stack.process.LONGEST", 1000)
    said: list[str] = []
    part = Process(
        program("talks", "print('x' * 2500); print('end')"), Path(), lambda _, line: said.append(line)
    )
    part.begin()
    until = time.monotonic() + 20
    while "end" not in said and time.monotonic() < until:
        time.sleep(0.02)
    assert [len(line) for line in said] == [1000, 1000, 500, 3]
    assert part._child is not None and part._child.wait(20) == 0
