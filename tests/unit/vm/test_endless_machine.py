# SPDX-License-Identifier: Apache-2.0
"""A machine whose console, frames or commands do not end."""

from __future__ import annotations

import json
import queue
import socket
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transect.cpu import machine
from transect.cpu.machine import Bench
from transect.vm import Vm, VmError, channel, vm
from transect.vm.channel import HEAD, Frame, Kind, frames
from transect.vm.console import stuck
from transect.vm.emulation import WHY
from transect.vm.vm import EmulatorFault, Running

NOISE = 40 << 20  # bytes
HELD = 10 << 20  # bytes of memory at most, while such a console is looked at
STALL = "rcu: INFO: rcu_preempt self-detected stall on CPU"
OOPS = "Oops: int3: 0000 [#1] SMP\nCode: 90 90 0f <\n"


def held(act: Callable[[], object]) -> int:
    """Bytes of memory at most while it does that."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def endless(console: Path, last: str) -> None:
    with console.open("wb") as file:
        file.truncate(NOISE)
        file.seek(NOISE)
        file.write(f"\n{last}\n".encode())


def machine_in(folder: Path) -> Vm:
    made = object.__new__(Vm)
    made.folder, made.accelerator = folder, "tcg"
    return made


def test_a_stall_is_found_at_the_end_of_however_long_a_console(tmp_path: Path) -> None:
    endless(tmp_path / "console", f"[   32.104] {STALL}")
    assert held(lambda: stuck(tmp_path / "console")) < HELD
    assert stuck(tmp_path / "console") == STALL


def test_so_are_the_last_words_and_a_fault_of_the_emulation(tmp_path: Path) -> None:
    endless(tmp_path / "console", OOPS)
    gone: list[VmError] = []
    assert held(lambda: gone.append(machine_in(tmp_path).gone("it is off"))) < HELD
    assert isinstance(gone[0], EmulatorFault) and str(gone[0]).startswith(WHY)
    assert "Code: 90 90 0f <" in str(gone[0])


def test_there_are_no_words_of_a_machine_that_has_said_nothing(tmp_path: Path) -> None:
    assert str(machine_in(tmp_path).gone("it is off")) == "it is off"


@pytest.mark.parametrize(
    "head",
    [
        HEAD.pack(channel.LARGEST + 1, 1, Kind.OUT),
        HEAD.pack(0xFFFFFFFF, 1, Kind.OUT),
        HEAD.pack(0, 1, 99),
    ],
)
def test_a_frame_that_the_agent_does_not_send_ends_the_channel(head: bytes) -> None:
    """What went on in the machine is told that it is off, instead of waiting for ever."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        theirs.sendall(HEAD.pack(2, 1, Kind.OUT) + b"ok" + head)
        assert list(frames(ours)) == [Frame(1, Kind.OUT, b"ok")]


def test_the_largest_frame_is_taken() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        sent = HEAD.pack(channel.LARGEST, 1, Kind.OUT) + bytes(channel.LARGEST)
        sender = threading.Thread(target=theirs.sendall, args=(sent,))
        sender.start()
        assert next(frames(ours)) == Frame(1, Kind.OUT, bytes(channel.LARGEST))
        sender.join()


class Listening:
    """A machine that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Kind] = []

    def send(self, job: int, kind: Kind, payload: bytes = b"") -> None:
        self.told.append(kind)


@pytest.mark.parametrize("stream", [Kind.OUT, Kind.ERR])
def test_a_command_that_says_too_much_is_killed(stream: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "SAID", 1000)
    there = Listening()
    command = Running(there, 1, None, None)  # type: ignore[arg-type]
    for _ in range(3):
        command.take(Frame(1, stream, bytes(500)))
    with pytest.raises(VmError, match="the command says more than 1,000 bytes"):
        command.wait(20)
    assert there.told == [Kind.SIGNAL]


def test_one_whose_output_goes_elsewhere_may_say_what_it_will(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "SAID", 1000)
    taken: list[bytes] = []
    command = Running(Listening(), 1, taken.append, None)  # type: ignore[arg-type]
    for _ in range(3):
        command.take(Frame(1, Kind.OUT, bytes(500)))
    command.take(Frame(1, Kind.EXIT, bytes(4)))
    assert command.wait(20).code == 0 and len(taken) == 3


class Ready:
    """A loader that does not end, and takes requests."""

    ended = False

    def write(self, data: bytes) -> None:
        pass


def test_an_answer_of_the_loader_that_does_not_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LONGEST", 1000)
    bench: Any = object.__new__(Bench)
    bench._guest, bench.vm, bench._say = Ready(), machine_in(tmp_path), print
    bench._answers, bench._rest, bench._asking = queue.Queue(), b"", threading.Lock()
    bench._too_long = False
    bench._take(json.dumps({"kind": "done", "value": 3}).encode() + b"\n")
    assert bench.ask("status") == 3
    for _ in range(9):
        bench._take(b"x" * 500)
    with pytest.raises(VmError, match="the answer of the loader to `status` has more than 1,000 bytes"):
        bench.ask("status")
    bench._take(b"x\n" + json.dumps({"kind": "done", "value": 4}).encode() + b"\n")  # its end is no answer
    assert bench.ask("status") == 4
