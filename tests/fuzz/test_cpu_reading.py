# SPDX-License-Identifier: Apache-2.0
"""What comes out of the rings of a recorded scheduler, and logs of one: taken, or refused in the reader's own words."""

from __future__ import annotations

import random
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.logs import PREFIX, damaged, frames, log
from tests.fuzz.reading import COUNT, WIDE, mutated, survives
from tests.fuzz.test_reading import respelt
from tests.unit.cpu.logs import TAPE, event, log_of, numbered
from tests.unit.cpu.policies import example, scheduler
from tests.unit.cpu.test_arrivals import shared_cpu
from tests.unit.cpu.test_replay import KEEPING, RUNNING
from transect.core.codec import CodecError
from transect.core.ir import Program
from transect.cpu import arrivals, record
from transect.cpu.pace import Standstill
from transect.cpu.record import Recording
from transect.cpu.replay import CpuDecoder
from transect.cpu.replay_other import against
from transect.cpu.ring import GAP, HEAD, NUMBER, most
from transect.cpu.simulator import CustodyError
from transect.replay import LogError, read
from transect.replay.log import Record
from transect.replay.tape import TapeMismatch


class Nowhere:
    """What takes the records of a recording."""

    def __init__(self, *_: object, **__: object) -> None:
        self.records = self.dropped = 0

    def policy(self, policy: object) -> None:
        pass

    def add(self, one: Record) -> None:
        self.records += 1
        assert len(one.tape) % 10 == 0 and len(one.pack()) < 1 << 16

    def drop(self, calls: int = 1) -> None:
        assert calls >= 0
        self.dropped += calls

    def close(self, _: object) -> Nowhere:
        return self


@cache
def events() -> tuple[bytes, ...]:
    """A piece of a ring in each of its forms: with a gap, with calls that were too long, with none."""
    calls = [
        event("running", RUNNING),
        event("dispatch"),
        event("keep", [("a", 1)] * (TAPE + 3)),
        event("stopping"),
    ]
    gap = NUMBER.pack(GAP).ljust(most(TAPE), b"\0")
    first, *others = numbered(*calls, *calls)
    return (b"".join([first, gap, *others]), b"".join(others[::-1]), first)


def changed(rng: random.Random) -> bytes:
    """A piece with something in it, or with a number in the head of a call, another."""
    data = bytearray(rng.choice(events()))
    if rng.random() < 0.5:
        return mutated(bytes(data), events(), rng)
    start = rng.choice([0, 0, len(events()[2])]) if len(data) > len(events()[2]) else 0
    at = start + rng.randrange(NUMBER.size + HEAD.size)
    value = rng.choice(WIDE)
    data[at : at + len(value)] = value
    return bytes(data)


def test_damaged_rings_are_taken_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "Writer", Nowhere)
    rng = random.Random(1)
    program = example("fifo")

    def taken(raw: bytes) -> None:
        recording = Recording(tmp_path, "p", real=False, cpus=2, tape=TAPE)
        recording.policy(program, {}, {})
        half = rng.randrange(len(raw) + 1)
        recording.take(raw[:half])
        recording.take(raw[half:])
        recording.close(0)

    sound = sum(survives(taken, changed(rng), (CodecError, OSError)) for _ in range(COUNT))
    assert 0 < sound < COUNT


@cache
def kept() -> Program:
    return scheduler(KEEPING)


def test_damaged_records_are_replayed_or_refused(tmp_path: Path) -> None:
    rng = random.Random(2)
    calls = [event("running", RUNNING), event("keep", [("a", 1)], args=(2, 0), result=1), event("stopping")]
    found = log_of(tmp_path, kept(), *calls)
    decoder = CpuDecoder(found)
    program = found.policies[0].program
    player = decoder.runner(program)

    def replayed(payload: bytes) -> None:
        one = Record.unpack(payload)
        hook = found.policies[0].hooks[one.hook]
        call = decoder.call(program, hook, one)
        call.result(player.call(hook, call.args, tape=call.tape))
        decoder.words(program, hook, one.result)

    payloads = [one.pack() for one in found.records]
    allowed = (CodecError, TapeMismatch)
    taken = sum(survives(replayed, _record(rng.choice(payloads), rng), allowed) for _ in range(COUNT))
    assert 0 < taken < COUNT


def _record(payload: bytes, rng: random.Random) -> bytes:
    """Its lengths put right, so that what is in it is looked at."""
    one = Record.unpack(payload)
    name = rng.choice(["arguments", "tape", "result"])
    pieces = {"arguments": one.arguments, "tape": one.tape, "result": one.result}
    pieces[name] = mutated(pieces[name], list(pieces.values()), rng)
    hook = one.hook if rng.random() < 0.8 else rng.randrange(17)
    instance = one.instance if rng.random() < 0.8 else rng.randrange(1 << 32)
    return Record(one.sequence, one.policy, hook, instance, **pieces).pack()


@pytest.mark.usefixtures("programs_read_once")
def test_a_damaged_log_is_simulated_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "LONGEST_NS", 1_000_000_000)  # else a damaged time is an hour of simulation
    rng = random.Random(3)
    shared_cpu(tmp_path)
    data = (tmp_path / "log").read_bytes()
    parts = frames(data)
    records = [n for n, (kind, _) in enumerate(parts) if kind == b"R"]
    other = example("shinjuku")

    def simulated(changed: bytes) -> Any:
        return against(read(changed), other)

    simulated(data)
    change = partial(_bytes, others=[payload for _, payload in parts])
    taken = 0
    for number in range(COUNT):
        if number % 2:
            with_one = list(parts)
            at = rng.choice(records)
            with_one[at] = (b"R", _record(parts[at][1], rng))
        else:
            with_one = damaged(parts, rng, change, respelt)
        taken += survives(simulated, log(data[:PREFIX], with_one), (LogError, CustodyError, Standstill))
    assert taken > 0


def _bytes(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    return mutated(data, others, rng)
