# SPDX-License-Identifier: Apache-2.0
"""Whatever comes over a control socket is answered; an answer is read, or refused in the protocol's own error."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fuzz.reading import inputs, survives
from transect.control import Refused, Server, sockets
from transect.control.protocol import Answer, Broken, Kind, Request, receive

REQUESTS = [
    Request("status"),
    Request("set", {"param": "Acl.limit", "value": "9"}),
    Request("record", {"path": "/tmp/x.log"}),
    Request("upgrade", {"path": "/tmp/x.py", "automatic_return": False}),
    Request("status", {"deep": [[[{"a": [1, 2.5, None, True, "\u00e9"]}]]]}, version=3),
]
ANSWERS = [
    Answer(Kind.DONE, {"policies": [{"name": "Acl", "version": 1}], "since": 1.5}),
    Answer(Kind.UNAVAILABLE, what="gcc", why="not on PATH", hint="apt-get install gcc"),
    Answer(Kind.REFUSED, why="no"),
]


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + payload


def frames(messages: list[Any]) -> Iterator[bytes]:
    """Half with their size put right."""
    texts = [msgspec.json.encode(message) for message in messages]
    whole = [framed(text) for text in texts]
    for number, (text, frame) in enumerate(zip(inputs(texts, seed=1), inputs(whole, seed=2), strict=True)):
        yield framed(text) if number % 2 else frame


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    def changed(param: str, value: str) -> dict[str, Any]:
        if param != "Acl.limit":
            raise Refused(f"no parameter {param}")
        return {"after": int(value)}

    monkeypatch.setattr(sockets, "folder", lambda: tmp_path / "sockets")
    verbs: dict[str, Callable[..., Any]] = {
        "status": lambda: {"up": True},
        "set": changed,
        "record": lambda path: {"path": path},
    }
    with Server("rpc", "acl", verbs) as made:
        yield made


def test_every_request_is_answered(serving: Server) -> None:
    kinds = set()
    for frame in frames(REQUESTS):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(5)
            ours.sendall(frame)
            ours.shutdown(socket.SHUT_WR)
            serving._serve(theirs)
            kinds.add(receive(ours, Answer).kind)
    assert kinds >= {Kind.DONE, Kind.REFUSED, Kind.WRONG, Kind.BROKEN}


def test_every_answer_is_read_or_refused() -> None:
    def read(frame: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(5)
            theirs.sendall(frame)
            theirs.shutdown(socket.SHUT_WR)
            receive(ours, Answer)

    outcomes = {survives(read, frame, Broken) for frame in frames(ANSWERS)}
    assert outcomes == {True, False}
