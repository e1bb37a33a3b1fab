# SPDX-License-Identifier: Apache-2.0
"""Who may attach, without any kernel: nobody keeps others out, and nothing that is said ends the broker."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from transect.cpu.hints import broker
from transect.cpu.hints.broker import Broker, Unwelcome, known

HELLO = json.dumps({"version": 1, "says": [], "hears": []}).encode()


class Table:
    """A map of the kernel's, as far as the broker asks."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("seats")
        os.truncate(self.fd, 1 << 16)
        self.held: dict[bytes, bytes] = {}

    def read(self, key: bytes) -> bytes | None:
        return self.held.get(key)

    def write(self, key: bytes, value: bytes) -> None:
        self.held[key] = value

    def remove(self, key: bytes) -> None:
        self.held.pop(key, None)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(broker, "make_map", lambda *_: os.memfd_create("ring"))
    monkeypatch.setattr(broker, "PATIENCE_S", 0.3)
    maps = cast(Any, {name: Table() for name in broker.MAPS})
    made = Broker(maps, lambda: None, lambda process: None, tmp_path / "socket")
    yield made
    made.close()


def connected(running: Broker) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(10)
    made.connect(str(running.path))
    return made


def attaches(running: Broker) -> bytes:
    with connected(running) as one:
        one.send(HELLO)
        answer, rings, _, _ = socket.recv_fds(one, 1000, 2)
    for ring in rings:
        os.close(ring)
    return answer


def until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def test_who_says_nothing_is_let_go(running: Broker) -> None:
    with connected(running) as silent:
        assert silent.recv(10) == b"", "the broker has hung up"
    assert attaches(running) == b"+"


def test_one_user_holds_few_places_of_those_who_have_not_spoken(
    running: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "PATIENCE_S", 60.0)
    with contextlib.ExitStack() as held:
        silent = [held.enter_context(connected(running)) for _ in range(broker.PENDING_OF_ONE + 4)]
        until(lambda: len(running.guests) == broker.PENDING_OF_ONE)
        assert [one.recv(10) for one in silent[broker.PENDING_OF_ONE :]] == [b""] * 4
    until(lambda: not running.guests)
    assert attaches(running) == b"+"


def test_however_many_users_wait_who_speaks_comes_in(
    running: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user of containers has thousands of numbers."""
    monkeypatch.setattr(broker, "PATIENCE_S", 60.0)
    monkeypatch.setattr(broker, "PENDING", 4)
    with contextlib.ExitStack() as held:
        for _ in range(4):
            held.enter_context(connected(running))
        until(lambda: len(running.guests) == 4)
        first = running.guests[0]
        assert attaches(running) == b"+"
        assert first not in running.guests


def test_a_shortage_of_descriptors_passes(running: Broker, caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connected(running) as waiting, connected(running) as later:
        until(lambda: len(running.guests) == 2)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as third:
            resource.setrlimit(resource.RLIMIT_NOFILE, (third.fileno() + 1, before[1]))
            try:
                third.settimeout(10)
                third.connect(str(running.path))
                until(lambda: "nobody can attach for now" in caplog.text)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            third.send(HELLO)
            assert socket.recv_fds(third, 1000, 2)[0] == b"+"
        waiting.close(), later.close()
    assert attaches(running) == b"+"


@pytest.mark.parametrize(
    "said",
    [
        {"version": True},
        {"version": 1.0},
        {"says": [[1, []]]},
        {"says": [["Ready", [True]]]},
        {"says": [["Ready", "ab"]]},
        {"hears": {"Ready": []}},
    ],
    ids=str,
)
def test_what_is_of_another_type_is_malformed(said: dict[str, Any]) -> None:
    with pytest.raises(Unwelcome, match=r"malformed|version"):
        known(None, json.dumps({"version": 1, "says": [], "hears": []} | said).encode())


@pytest.mark.parametrize("data", [b'{"version": "\\ud800", "says": [], "hears": []}', b"\xff", b"[" * 60000])
def test_no_text_ends_the_broker(running: Broker, data: bytes) -> None:
    with connected(running) as one:
        one.send(data)
        assert one.recv(2000).startswith(b"-")
    assert attaches(running) == b"+"
