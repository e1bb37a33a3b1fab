# SPDX-License-Identifier: Apache-2.0
"""A compiled scheduler as its loader sees it.  The loader may run in emulation: no compiler here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from transect.base.bounded import whole

SELDOM = (
    "dequeue",
    "runnable",
    "quiescent",
)  # few policies have these hooks, and the kernel would call them at each wake-up
Form = tuple[str, tuple[str, ...]]  # of a message: its name, and the names of its numbers


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field lies in the words of the state."""

    field: str
    word: int
    words: int  # 0: a table
    table: str = ""  # the table's map


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A scheduler that can be loaded."""

    name: str
    source: str  # sha256 of its text
    object: Path
    schema: dict[str, Any]  # as `core.schema` writes it
    places: tuple[Place, ...] = ()
    start: tuple[int, ...] = ()  # the words of the state when the policy begins
    ops: tuple[str, ...] = ()
    queues: tuple[tuple[str, str], ...] = ()  # name, kind
    own: str = ""  # what is kept for each task; versions in which it is the same share it
    needs: tuple[
        tuple[str, int], ...
    ] = ()  # functions of the kernel, with the line of the policy that needs each
    tape: int = 0  # words for which an event has room; 0: it does not record
    hears: tuple[Form, ...] = ()  # the hint that it takes
    tells: tuple[Form, ...] = ()  # what it tells applications
    counts: tuple[tuple[str, str, int], ...] = ()  # what is counted, with the path and line where
    # of a version that is watched: hook, path and line of each condition
    conditions: tuple[tuple[str, str, int], ...] = ()

    @property
    def layout(self) -> str:
        """The layout of the state; versions with the same layout share it."""
        hash: str = self.schema["hash"]
        return hash

    @property
    def hears_all(self) -> bool:
        """Whether it has one of the hooks `dequeue`, `wake`, `sleep`."""
        return any(op in SELDOM for op in self.ops)

    def first(self, field: str) -> list[int]:
        """The words that a field starts with, signed."""
        place = next(p for p in self.places if p.field == field)
        return [(word + 2**63) % 2**64 - 2**63 for word in self.start[place.word : place.word + place.words]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"object": self.object.name}

    @staticmethod
    def read(path: Path) -> Built:
        """Read `NAME.json`, which has the object beside it.  Raises OSError; ValueError if it is not such a file."""
        try:
            kinds = get_type_hints(Built) | {"object": str}
            given = _fields(json.loads(whole(path)), kinds, "the file")
            return Built(**given | {"object": path.with_name(given["object"])})
        except (ValueError, RecursionError) as wrong:
            raise ValueError(f"{path} is no compiled scheduler: {wrong}") from wrong


def _fields(value: Any, kinds: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a JSON object, exactly those in `kinds`.  Raises ValueError."""
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        raise ValueError(f"{where} has not the fields {', '.join(kinds)}")
    return {name: _typed(value[name], kind, f"`{name}`") for name, kind in kinds.items()}


def _typed(value: Any, kind: Any, where: str) -> Any:
    """A JSON value as one of that kind, with lists as tuples.  Raises ValueError."""
    inner = get_args(kind)
    if get_origin(kind) is tuple and isinstance(value, list):
        each = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(each) == len(value):
            return tuple(
                _typed(item, its, f"an item of {where}") for item, its in zip(value, each, strict=True)
            )
    if kind is Place:
        return Place(**_fields(value, get_type_hints(Place), f"an item of {where}"))
    if type(value) is (get_origin(kind) or kind):  # True is no number
        return value
    raise ValueError(f"{where} is {value!r:.40}")
