# SPDX-License-Identifier: Apache-2.0
"""A running module is asked and told over its own socket; what it records is complete."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.systems.rpc.envoy.kit import ECHO, STREAM, Client, Echo, Proxy, channel, outcome, proxy
from transect.core.schema import Schema
from transect.replay.log import MAGIC, VERSION, Header, Record, json_frame
from transect.replay.reader import read
from transect.rpc.envoy.control import Control, ControlError

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")


@pytest.fixture
def client(alone: Proxy) -> Iterator[Client]:
    with channel(alone.port) as it:
        yield it


def test_status_counts_what_happened(alone: Proxy, client: Client) -> None:
    echo = client.unary_unary(ECHO)
    for text in (b"a", b"q1 rewrite b", b"q0 after 1", b"q0 respond c"):
        echo(text)
    for text in (b"q0 reject 7 no", b"q1 reject 7 no", b"p1 reject 7 no"):
        outcome(echo, text)
    alone.ends(7)
    status = alone.control.status()
    assert (status["rpcs"], status["requests"], status["responses"], status["finishes"]) == (7, 7, 4, 7)
    assert (status["rewritten"], status["delayed"]) == (1, 1)
    assert (status["rejected"][:2], status["responded"][:2], status["withheld"][:2]) == (
        [1, 1],
        [1, 0],
        [0, 1],
    )
    assert status["causes"] == [4, 3, 0, 0, 0]


def test_state_is_saved_and_loaded(alone: Proxy) -> None:
    door = alone.control
    assert [e["name"] for e in door.description()["elements"]] == ["First", "Second"]
    assert door.save(1) == bytes(8)
    door.load(1, struct.pack("<q", -1))
    assert door.save(1) == struct.pack("<q", -1)
    with pytest.raises(ControlError, match="refuses"):
        door.load(1, b"short")


def test_a_change_is_one_step_under_load(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> None:
    """RPCs stand still while an image is changed, and go on when whoever changes it does not come back."""
    with proxy(probe, tmp_path, echo[0], workers=2) as p, channel(p.port) as c:
        calls = [c.unary_unary(ECHO).future(b"x") for _ in range(200)]
        for _ in range(20):
            p.control.change(1, lambda image: struct.pack("<q", struct.unpack("<q", image)[0] + 1))
        assert [call.result(10) for call in calls] == [b"x"] * 200
        assert p.control.save(1) == struct.pack("<q", 20)
        with pytest.raises(ControlError, match="refuses"):
            p.control.change(1, lambda image: b"short")

        def forget(image: bytes) -> bytes:
            time.sleep(0.4)
            return image

        with pytest.raises(ControlError):
            p.control.change(1, forget)
        assert c.unary_unary(ECHO)(b"y", timeout=5) == b"y"
        assert p.control.save(1) == struct.pack("<q", 20)


def test_the_door_is_for_its_own_user_and_stands_wrong_knocks(alone: Proxy) -> None:
    path = alone.control.path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for knock in (
        b"",
        b"\1",
        struct.pack("<I", 0),
        struct.pack("<IB", 1, 0),
        struct.pack("<I", 0xFFFFFFFF) + b"x",
    ):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(path))
            s.sendall(knock)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                s.recv(100)
    with pytest.raises(ControlError, match="no such verb"):
        alone.control.ask("?")
    assert alone.control.status()["rpcs"] == 0


def test_nobody_at_the_door(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="does not answer: No such file"):
        Control(tmp_path / "none.sock").status()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "shut.sock"))
        door.listen()
        with pytest.raises(ControlError, match=r"does not answer within 0\.05 s: its Envoy stands still"):
            Control(tmp_path / "shut.sock", timeout_s=0.05).status()


def records(path: Path) -> list[Record]:
    """What a log without head and end holds."""
    head = MAGIC + VERSION.to_bytes(4, "little") + json_frame(b"H", Header("rpc", "probe", True).to_json())
    nothing = {
        "name": "",
        "version": 1,
        "hooks": ["request", "response", "finish"],
        "program": "",
        "sources": {},
    }
    nothing |= {"source_hash": "", "schema": Schema("", ()).to_json(), "start": "", "first": None}
    log = read(head + json_frame(b"P", nothing) * 2 + path.read_bytes())
    assert not log.damage
    return list(log.records)


def test_a_log_from_the_start(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with proxy(probe, tmp_path, echo[0], workers=2, record=str(log)) as p, channel(p.port) as c:
        for i in range(50):
            c.unary_unary(ECHO)(f"{i}".encode())
        list(c.stream_stream(STREAM)(iter([b"a", b"b"])))
        written, dropped, images = p.control.stop_recording()
        assert (written, dropped, images[1]) == (208, 0, bytes(8))
        found = records(log)
    assert sorted(r.sequence for r in found) == list(range(4 * 50 + 8))
    assert [r.arguments for r in found[:4]] == [b"0"] * 4
    assert [(r.policy, r.hook) for r in found[:4]] == [(0, 0), (1, 0), (1, 1), (0, 1)]


def test_a_log_begun_and_ended_later(alone: Proxy, client: Client, tmp_path: Path) -> None:
    echo, log = client.unary_unary(ECHO), tmp_path / "log"
    seen: list[tuple[list[bytes], int]] = []

    def head(images: Sequence[bytes], under_way: int) -> Path:
        seen.append((list(images), under_way))
        return log

    echo(b"before")
    alone.ends(1)
    alone.control.record(head)
    assert seen == [([alone.control.save(0), bytes(8)], 0)]
    echo(b"during")
    with pytest.raises(ControlError):
        alone.control.record(head)
    alone.control.stop_recording()
    echo(b"after")
    assert {r.arguments for r in records(log)} == {b"during"}
    alone.control.record(head)
    echo(b"again")
    alone.control.stop_recording()
    assert {r.arguments for r in records(log)} == {b"during", b"again"}


def test_a_log_that_nobody_heads_is_not_begun(alone: Proxy, client: Client) -> None:
    def fail(images: Sequence[bytes], under_way: int) -> Path:
        raise FileExistsError("log")

    with pytest.raises(FileExistsError):
        alone.control.record(fail)
    assert client.unary_unary(ECHO)(b"x", timeout=5) == b"x"
    assert alone.control.status()["recording"] is False


def test_what_the_disk_cannot_take_is_counted(probe: Path, echo: tuple[int, Echo], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with proxy(probe, tmp_path, echo[0], record=str(log), record_room=1000) as p, channel(p.port) as c:
        c.unary_unary(ECHO)(b"x" * 2000)
        c.unary_unary(ECHO)(b"y")
        written, dropped, _ = p.control.stop_recording()
        assert (dropped, written) == (4, len(records(log)))
        assert written == 4
