# SPDX-License-Identifier: Apache-2.0
"""The state of a plugin's version, as its machines hold it together; machines are played here, over a real door."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transect.core.codec import Slot, decode_state, encode_state
from transect.core.frontend import compile_text
from transect.core.schema import schema
from transect.rpc.envoy.control import ControlError
from transect.rpc.wasm import control
from transect.rpc.wasm.control import Door, Gone
from transect.rpc.wasm.upgrading import PluginCopy

SUMS = """
from transect.lang import Counter, Param, counter, param
from transect.rpc import Element, Forward, Rpc, Verdict


class Sums(Element):
    seen: Counter = counter()
    most: Param[int] = param(3)

    def request(self, rpc: Rpc) -> Verdict:
        self.seen.add()
        return Forward()
"""
U32 = struct.Struct("<I")


playing: list[Played] = []


class Played:
    """A machine: it calls the door, and does what the reply asks, on one image."""

    def __init__(self, door: Door, version: int, number: int, image: bytes) -> None:
        self.door, self.version, self.number, self.image = door, version, number, image
        self.heard: list[bytes] = []
        self.left: dict[bytes, bytes] = {}  # what others have left, as all machines see it
        self.dumb = False
        self.connection = http.client.HTTPConnection("localhost")
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.connect(str(door.path))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        playing.append(self)

    def _run(self) -> None:
        kind, said = 0, b""
        try:
            while not self.dumb:
                head = struct.pack("<IQB", self.version, self.number, kind)
                self.connection.request("POST", "/", head + said)
                asked = self.connection.getresponse().read().removeprefix(b"transect")
                kind, said = (0, b"") if not asked else self._do(asked)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            self.connection.close()

    def _do(self, asked: bytes) -> tuple[int, bytes]:
        self.heard.append(asked[:1])
        rest = asked[1:]
        match asked[:1]:
            case b"g" | b"x":
                return 1, self.image
            case b"i":
                size = U32.unpack_from(rest, 4)[0]
                if rest[8 : 8 + size] != self.image:
                    return 2, b""
                self.image = rest[8 + size :]
                return 1, b""
            case b"l":
                found = self.left.pop(rest, b"")
                return (1, found) if found else (2, b"")
            case b"s":
                return 1, U32.pack(2)
        return 1, b""

    def go(self) -> None:
        """The host lets it go."""
        self.connection.sock.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path / "door.sock")
    yield made
    made.close()
    while playing:
        playing.pop().thread.join()


OF = schema(compile_text(SUMS).programs[0])


def image(seen: int, most: int = 3) -> bytes:
    return encode_state(OF.declared, {"seen": Slot(seen), "most": Slot(most)})


def value(data: bytes) -> tuple[int, int]:
    state = decode_state(OF.declared, data)
    return state["seen"].value, state["most"].value


def until(check: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not check():
        assert time.monotonic() < limit, "it does not come"
        time.sleep(0.005)


def copy_of(door: Door, version: int, *seen: int, start: int = 10) -> tuple[PluginCopy, list[Played]]:
    copy = PluginCopy(door, version, len(seen), (OF,), [image(start)])
    machines = [Played(door, version, 1 + i, image(n)) for i, n in enumerate(seen)]
    until(copy.serves)
    return copy, machines


def test_what_happened_in_all_machines_is_the_state(door: Door) -> None:
    copy, machines = copy_of(door, 1, 10, 14, 17)
    assert value(copy.save(0)) == (21, 3)
    copy.swap(0, lambda old: image(value(old)[0] + 100, most=5))
    assert value(copy.save(0)) == (121, 5), "it has happened once"
    assert [value(machine.image) for machine in machines] == [(110, 5), (114, 5), (117, 5)]
    assert copy.open() == 6
    assert door.path.stat().st_mode & 0o777 == 0o600


def test_a_change_of_what_changes_all_the_time_holds_its_messages(door: Door) -> None:
    copy, (machine,) = copy_of(door, 1, 10)

    def change(old: bytes) -> bytes:
        if machine.heard[-1] == b"g":
            machine.image = image(value(machine.image)[0] + 1)
        return image(value(old)[0], most=9)

    copy.swap(0, change)
    assert value(machine.image) == (13, 9)
    assert machine.heard[-2:] == [b"x", b"i"]


def test_machines_that_have_gone_are_known_by_what_they_left(door: Door) -> None:
    copy, (first, second) = copy_of(door, 1, 11, 12)
    _, (heir,) = copy_of(door, 2, 10)
    assert not copy.over()
    first.go()
    left = image(20)
    heir.left[struct.pack("<IQ", 1, 1)] = U32.pack(len(left)) + left + U32.pack(0)
    assert not copy.over()
    assert value(copy.save(0)) == (22, 3)
    copy.swap(0, lambda old: image(value(old)[0] + 1))
    assert value(copy.save(0)) == (23, 3)
    second.go()
    heir.left[struct.pack("<IQ", 1, 2)] = U32.pack(len(left)) + left + U32.pack(0)
    assert copy.over()
    copy.end()
    assert door.machines(1) == []


def test_one_may_go_with_its_answer_unsaid(door: Door) -> None:
    """What it left tells whether it had taken a change."""
    for number, (left, expected) in enumerate(((11, 16), (15, 15))):
        copy, (machine,) = copy_of(door, 1 + number, 10)
        _, (heir,) = copy_of(door, 11 + number, 10)
        heir.left[copy.machines[0].key] = U32.pack(len(image(left))) + image(left) + U32.pack(0)
        copy.swap(0, lambda old, machine=machine: goes(machine, image(value(old)[0] + 5)))  # type: ignore[misc]
        assert value(copy.save(0)) == (expected, 3)


def goes(machine: Played, new: bytes) -> bytes:
    """It does not say what it does next."""
    machine.image = image(11)
    machine.dumb = True
    return new


def test_who_does_not_answer_is_said(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, (machine,) = copy_of(door, 1, 10)
    machine.go()
    until(lambda: copy.machines[0].gone)
    with pytest.raises(Gone):
        copy.save(0)
    other, (dumb,) = copy_of(door, 2, 10)
    dumb.dumb = True
    monkeypatch.setattr(control, "ANSWER_S", 0.3)
    with pytest.raises(ControlError, match="version 2 does not answer"):
        other.save(0)


def test_another_user_is_not_heard(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "allowed", lambda _: False)
    connection = socket.socket(socket.AF_UNIX)
    with connection:
        connection.connect(str(door.path))
        assert connection.recv(1) == b"", "it hangs up"
    assert door.machines(1) == []
