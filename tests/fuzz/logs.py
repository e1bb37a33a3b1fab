# SPDX-License-Identifier: Apache-2.0
"""A small log of each stratum, and its frames taken apart and put together again with their checksums right."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.systems.wheel.write_log import main as write_rpc
from tests.unit.cpu.logs import event, log_of
from tests.unit.llm.test_service import Rig
from transect.core.frontend import compile_text
from transect.replay.log import CHECK, FRAME, MAGIC, frame

Frames = list[tuple[bytes, bytes]]  # kind and payload of each
PREFIX = len(MAGIC) + 4

SCHEDULER = """\
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import given


class First(Scheduler):
    ready: Fifo = given()
    seen: int = 0

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def running(self, task: Task) -> None:
        self.seen = task.pid

    def dispatch(self, cpu: int) -> None:
        self.ready.take()
"""


def logs(folder: Path) -> dict[str, bytes]:
    """The bytes of a log by stratum."""
    write_rpc(folder / "rpc")
    rig = Rig("vtc", folder)
    rig.service.record(folder / "llm", "rig", real=False)
    rig.work(3)
    rig.service.end_record()
    calls = [event("running", [("Task.pid", pid), ("seen", pid)]) for pid in (7, 8, 9)]
    log_of(folder, compile_text(SCHEDULER).programs[0], *calls)
    return {
        "rpc": (folder / "rpc").read_bytes(),
        "llm": (folder / "llm").read_bytes(),
        "cpu": (folder / "log").read_bytes(),
    }


def frames(data: bytes) -> Frames:
    """What a sound log is made of."""
    found: Frames = []
    at = PREFIX
    while at < len(data):
        kind, size = FRAME.unpack_from(data, at)
        found.append((kind, data[at + FRAME.size : at + FRAME.size + size]))
        at += FRAME.size + size + CHECK.size
    return found


def log(prefix: bytes, parts: Frames) -> bytes:
    """The way back."""
    return prefix + b"".join(frame(kind, payload) for kind, payload in parts)


# ---------------------------------------------------------------- JSON with something else in it

ODD: Sequence[Any] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1 << 31,
        1 << 63,
        1 << 200,
        0.5,
        "",
        "a",
        "__class__",
        "../x",
        "\0",
        "\ud800",
        "x" * 300,
    ),
    *([], {}, [0], [[]], {"": 0}, {"__class__": {}}, [None] * 5, "AA==", "!", 1e308, -0.0),
)


def odd(value: Any, rng: random.Random) -> Any:
    """The value with one thing in it another, gone, or there twice."""
    if rng.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return rng.choice(ODD)
    if isinstance(value, list):
        changed = list(value)
        at = rng.randrange(len(changed))
        match rng.randrange(5):
            case 0:
                del changed[at]
            case 1:
                changed.insert(at, rng.choice(value))
            case _:
                changed[at] = odd(changed[at], rng)
        return changed
    name = rng.choice(list(value))
    if rng.random() < 0.1:
        return {key: kept for key, kept in value.items() if key != name}
    return {**value, name: odd(value[name], rng)}


def damaged(parts: Frames, rng: random.Random, bytes_of: Any, text_of: Any) -> Frames:
    """The frames with something in one of them changed; `bytes_of` and `text_of` change bytes and a program's text."""
    changed = list(parts)
    at = rng.randrange(len(changed))
    kind, payload = changed[at]
    match rng.randrange(10):
        case 0:
            del changed[at]
        case 1:
            changed.insert(rng.randrange(len(changed)), changed[at])
        case 2:
            changed[at] = (rng.choice((b"H", b"P", b"R", b"N", b"C", b"T", b"\0")), payload)
        case 3:
            changed[at] = (kind, bytes_of(payload, rng))
        case _ if kind in (b"R", b"N", b"C"):
            changed[at] = (kind, bytes_of(payload, rng))
        case choice:
            value = json.loads(payload)
            if kind == b"P" and choice < 7:
                value["program"] = text_of(value["program"], rng)
            else:
                value = odd(value, rng)
            changed[at] = (kind, json.dumps(value).encode())
    return changed
