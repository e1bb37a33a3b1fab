# SPDX-License-Identifier: Apache-2.0
"""A file in which one value is of another kind is refused by its reader's own error, which names the file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from transect.cpu.built import Built, Place
from transect.llm.simulator import calibrate
from transect.rpc.placement import observed

Read = Callable[[Path], object]

PROFILE = {"8": {"64": [10, 0.02, 0.03]}}
STATUS = {
    "stratum": "rpc",
    "policies": [{"name": "Acl", "counts": {"calls": 10, "rejected": 2, "responded": 1, "trace": 4}}],
}
BUILT = Built(
    name="Fair",
    source="00",
    object=Path("fair.o"),
    schema={"hash": "00"},
    places=(Place("served", 0, 1),),
    start=(1,),
    ops=("enqueue",),
    queues=(("ready", "fifo"),),
    needs=(("scx_bpf_now", 3),),
    tape=4,
    hears=(("Hint", ("weight",)),),
    counts=(("calls", "fair.py", 3),),
)
SOUND: dict[str, tuple[Read, Any]] = {
    "profile": (calibrate.profile, PROFILE),
    "status": (observed.shares, STATUS),
    "several": (observed.shares, [STATUS, STATUS]),
    "built": (Built.read, json.loads(json.dumps(BUILT.to_json()))),
}
OTHERS: tuple[object, ...] = (None, True, -1, 1.5, "x", [], {}, [1], {"x": 1}, 10**400)
IGNORED = {("stratum",), ("policies", 0, "counts", "trace"), ("schema", "hash")}


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    match data:
        case dict():
            for key, value in data.items():
                yield from places(value, (*at, key))
        case list():
            for number, value in enumerate(data):
                yield from places(value, (*at, number))


def with_other(data: Any, at: tuple[Any, ...], other: object) -> Any:
    if not at:
        return other
    changed = copy.deepcopy(data)
    inner = changed
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = other
    return changed


def at_place(data: Any, at: tuple[Any, ...]) -> Any:
    for step in at:
        data = data[step]
    return data


def same_kind(a: object, b: object) -> bool:
    """Whether one may well stand where the other does: both numbers, texts, or lists."""
    return type(a) is type(b) or {type(a), type(b)} == {int, float}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_is_read(name: str, tmp_path: Path) -> None:
    read, data = SOUND[name]
    (path := tmp_path / "file.json").write_text(json.dumps(data))
    assert read(path)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    (path := tmp_path / "fair.json").write_text(json.dumps(BUILT.to_json()))
    assert Built.read(path) == Built(**{**_fields(BUILT), "object": tmp_path / "fair.o"})


def _fields(built: Built) -> dict[str, Any]:
    return {name: getattr(built, name) for name in built.__slots__}


@pytest.mark.parametrize("name", SOUND)
def test_a_value_of_another_kind_is_refused_wherever_it_stands(name: str, tmp_path: Path) -> None:
    read, data = SOUND[name]
    path = tmp_path / "file.json"
    refused = 0
    for at in places(data):
        ignored = any(at[-len(place) :] == place for place in IGNORED)
        for other in OTHERS:
            if (
                ignored
                or same_kind(at_place(data, at), other)
                or (name == "status" and not at and other == [])
            ):
                continue
            path.write_text(json.dumps(with_other(data, at, other)))
            with pytest.raises((ValueError, observed.NotUnderstood), match=r"file\.json is no"):
                pytest.fail(f"{at} = {other!r:.40} is taken: {read(path)!r:.200}")
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff", '{"8": {"64": [1e999, 1, 1]}}', "NaN"])
@pytest.mark.parametrize("name", SOUND)
def test_what_is_no_json_is_refused(name: str, text: str, tmp_path: Path) -> None:
    (path := tmp_path / "file.json").write_text(text, encoding="latin-1")
    with pytest.raises((ValueError, observed.NotUnderstood), match=r"file\.json is no"):
        SOUND[name][0](path)


@pytest.mark.parametrize("point", [[0, 1, 1], [1, 0, 1], [1, 1, -1], [1.5, 1, 1]])
def test_a_point_of_no_time_or_no_request_is_none(point: list[float], tmp_path: Path) -> None:
    (path := tmp_path / "file.json").write_text(json.dumps({"8": {"64": point}}))
    with pytest.raises(ValueError, match=r"is no profile: Expected"):
        calibrate.profile(path)


def test_counters_that_were_read_one_after_the_other_make_a_share(tmp_path: Path) -> None:
    counts = {"calls": 10, "rejected": 12, "responded": 0}
    (path := tmp_path / "file.json").write_text(json.dumps({"policies": [{"name": "Acl", "counts": counts}]}))
    assert observed.shares(path) == {"Acl": 0.0}
