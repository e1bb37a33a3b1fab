# SPDX-License-Identifier: Apache-2.0
"""A loader that does not answer, in a machine that stands still: said after a while, and given up in words."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path

import pytest

from transect.cpu import machine
from transect.cpu.machine import Bench
from transect.vm import VmError
from transect.vm.console import stuck, watched

STALL = "[   32.104] rcu: INFO: rcu_preempt self-detected stall on CPU\n"


class Standing:
    """A machine whose loader takes requests and says nothing."""

    ended = False

    def __init__(self, console: Path) -> None:
        self.console = console

    def write(self, data: bytes) -> None:
        self.console.write_text("Linux version 7.3.4\n" + STALL)

    def last_words(self, what: str) -> str:
        return what


def test_a_loader_that_is_silent_is_told_of_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SILENT_S", 0.1), ("ANSWER_S", 0.5), ("LOOK_S", 0.02)):
        monkeypatch.setattr(machine, name, value)
    bench, said = object.__new__(Bench), list[str]()
    bench._guest = bench.vm = Standing(tmp_path / "console")  # type: ignore[assignment]
    bench._say, bench._answers, bench._rest = said.append, queue.Queue(), b""
    bench._asking = threading.Lock()
    with pytest.raises(VmError) as given_up:
        bench.ask("load")
    assert said[:1] == [
        "the loader in the machine has not answered `load` for 0.1 s; it is given up after 0.5 s"
    ]
    assert str(given_up.value) == (
        "the loader in the machine did not answer `load` within 0.5 s: a processor of the machine does not get on"
        " (rcu: INFO: rcu_preempt self-detected stall on CPU)"
    )


def test_a_kernel_that_reports_a_stall_is_quoted_once_while_a_command_runs(tmp_path: Path) -> None:
    console, said = tmp_path / "console", list[str]()
    with watched(console, said.append, look_s=0.01):
        time.sleep(0.05)
        assert said == [] and stuck(console) == ""
        console.write_text(STALL * 3)
        end = time.monotonic() + 5
        while not said and time.monotonic() < end:
            time.sleep(0.01)
    why = "rcu: INFO: rcu_preempt self-detected stall on CPU"
    assert said == [f"the machine's kernel reports a processor that does not get on: {why}"]
