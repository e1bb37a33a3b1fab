# SPDX-License-Identifier: Apache-2.0
"""Whatever is read from a file is taken, or refused in the reader's own words: logs and programs, images and states."""

from __future__ import annotations

import random
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.logs import PREFIX, SCHEDULER, Frames, damaged, frames, log, logs, odd
from tests.fuzz.reading import COUNT, inputs, mutated, survives
from transect.base.request_id import Named
from transect.base.shipped import paths
from transect.cli.decoders import decoder
from transect.core.codec import CodecError, decode_state
from transect.core.foreign import admitted
from transect.core.frontend import compile_file, compile_text
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.core.schema import Schema, schema
from transect.core.text import TextError, dump
from transect.core.type_json import SchemaError
from transect.core.upgrade import Refused, upgrade
from transect.replay import LogError, compare, read
from transect.replay.log import Naming, Record
from transect.replay.why import explained

TOKEN = re.compile(r"\s+|\w+|'(?:[^'\\]|\\.)*'|.")


@cache
def programs() -> tuple[Program, ...]:
    """The library's policies, of all strata."""
    found = [p for path in paths() for p in compile_file(path).programs]
    return (*found, *compile_text(SCHEDULER).programs)


@cache
def words() -> tuple[str, ...]:
    """The words of all their texts."""
    return tuple({word for p in programs() for word in TOKEN.findall(_text(p)) if word.strip()})


def _text(program: Program) -> str:
    return re.sub(r"  ;.*", "", dump(program))


def respelt(text: str, rng: random.Random) -> str:
    """A program's text with one to three words other ones, gone, new, or in another place."""
    found = TOKEN.findall(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(found))
        match rng.randrange(4):
            case 0:
                found[at] = rng.choice(words())
            case 1:
                del found[at]
            case 2:
                found.insert(at, rng.choice(words()))
            case _:
                other = rng.randrange(len(found))
                found[at], found[other] = found[other], found[at]
    return "".join(found)


def test_a_damaged_program_is_admitted_or_refused() -> None:
    rng = random.Random(1)
    texts = [_text(p) for p in programs()]
    taken = sum(survives(admitted, respelt(rng.choice(texts), rng), TextError) for _ in range(COUNT))
    assert 0 < taken < COUNT  # some changes change nothing that matters


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return logs(tmp_path_factory.mktemp("logs"))


def replay(data: bytes) -> None:
    """What `transect replay` does."""
    found = read(data)
    known = decoder(found)
    compare(found, known, runner=getattr(known, "runner", None))


def explain(data: bytes) -> None:
    """What `transect why` does of each request."""
    found = read(data)
    explained(found, decoder(found), found.names)


def with_names(parts: Frames) -> Frames:
    """The frames of a log, in which every call's request has a name."""
    instances = dict.fromkeys(Record.unpack(payload).instance for kind, payload in parts if kind == b"R")
    names = [(b"N", Naming(one, 0, 1, Named(f"r{one}")).pack()) for one in instances]
    first = next(at for at, (kind, _) in enumerate(parts) if kind == b"R")
    return [*parts[:first], *names, *parts[first:]]


@pytest.mark.usefixtures("programs_read_once")
@pytest.mark.parametrize("stratum", ["rpc", "llm", "cpu"])
def test_a_damaged_log_is_explained_or_refused(stratum: str, sound: dict[str, bytes]) -> None:
    rng = random.Random(3)
    data = sound[stratum]
    parts = with_names(frames(data))
    assert survives(explain, log(data[:PREFIX], parts), LogError) is (stratum != "cpu")
    change = partial(_changed_bytes, others=[payload for _, payload in parts])
    for _ in range(COUNT // 4):
        survives(explain, log(data[:PREFIX], damaged(parts, rng, change, respelt)), LogError)


@pytest.mark.parametrize("stratum", ["rpc", "llm", "cpu"])
def test_a_sound_log_replays(stratum: str, sound: dict[str, bytes]) -> None:
    found = read(sound[stratum])
    known = decoder(found)
    assert compare(found, known, runner=getattr(known, "runner", None)).calls == len(found.records) > 1
    assert log(sound[stratum][:PREFIX], frames(sound[stratum])) == sound[stratum]


@pytest.mark.usefixtures("programs_read_once")
@pytest.mark.parametrize("stratum", ["rpc", "llm", "cpu"])
def test_a_damaged_log_is_replayed_or_refused(stratum: str, sound: dict[str, bytes]) -> None:
    """Checksums are put right: what is damaged lies within the frames."""
    rng = random.Random(2)
    data = sound[stratum]
    parts = frames(data)
    change = partial(_changed_bytes, others=[payload for _, payload in parts])
    for _ in range(COUNT):
        survives(replay, log(data[:PREFIX], damaged(parts, rng, change, respelt)), LogError)


def _changed_bytes(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    return mutated(data, others, rng)


@pytest.mark.usefixtures("programs_read_once")
def test_bytes_that_are_damaged_anyhow_are_no_log(sound: dict[str, bytes]) -> None:
    for data in inputs(list(sound.values())):
        survives(replay, data, LogError)


def test_a_damaged_image_is_taken_or_refused() -> None:
    rng = random.Random(3)
    images = [(p, Instance(p).image()) for p in programs()]
    for _ in range(COUNT):
        program, image = rng.choice(images)
        survives(partial(decode_state, program.state), mutated(image, [image], rng), CodecError)


def test_a_damaged_schema_is_taken_or_refused() -> None:
    """By itself, and as what an upgrade starts from; its hash is put right."""
    rng = random.Random(4)
    known = [(p, schema(p).to_json(), Instance(p).image()) for p in programs()]
    for _ in range(COUNT):
        program, plain, image = rng.choice(known)
        survives(
            partial(_taken_over, image=image, new=program),
            odd(plain, rng),
            (SchemaError, Refused, CodecError),
        )


def _taken_over(data: Any, image: bytes, new: Program) -> None:
    if isinstance(data, dict) and isinstance(data.get("fields"), list) and "policy" in data:
        data = {**data, "hash": hashed(data)}
    upgrade(image, Schema.from_json(data), new)


def hashed(data: Any) -> str:
    """The hash that the schema ought to say."""
    from transect.core import schema as module

    try:
        return Schema(data["policy"], tuple(map(module._field, data["fields"]))).hash
    except (KeyError, TypeError, AttributeError, ValueError):
        return ""


def test_a_damaged_state_file_is_taken_or_refused(tmp_path: Path) -> None:
    from tests.unit.llm.test_service import Rig
    from transect.llm.saved_state import NotKept, load, names_in, save

    rig = Rig("vtc", tmp_path)
    rig.work(5)
    path = tmp_path / "state"
    save(rig.service, path)
    data = path.read_bytes()
    fresh = Rig("vtc", tmp_path).service

    def taken(changed: bytes) -> None:
        path.write_bytes(changed)
        names_in(path)
        load(fresh, path)

    rng = random.Random(5)
    import json

    for number in range(COUNT):
        changed = (
            mutated(data, [data], rng) if number % 2 else json.dumps(odd(json.loads(data), rng)).encode()
        )
        survives(taken, changed, NotKept)
