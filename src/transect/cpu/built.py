# SPDX-License-Identifier: Apache-2.0
"""A compiled scheduler as its loader sees it.  The loader may run in emulation: no compiler here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transect.base.bounded import whole

SELDOM = (
    "dequeue",
    "runnable",
    "quiescent",
)  # few policies hear of these, and the kernel says them at each wake-up
Form = tuple[str, tuple[str, ...]]  # of a message: its name, and those of its numbers


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field lies in the words of the state."""

    field: str
    word: int
    words: int  # 0: a table
    table: str = ""  # its map


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A scheduler that can be loaded."""

    name: str
    source: str  # sha256 of its text
    object: Path
    schema: dict[str, Any]  # as `core.schema` writes it
    places: tuple[Place, ...] = ()
    start: tuple[int, ...] = ()  # the words of the state at first
    ops: tuple[str, ...] = ()
    queues: tuple[tuple[str, str], ...] = ()  # name, kind
    own: str = ""  # what is kept for each task: versions with the same share it
    needs: tuple[tuple[str, int], ...] = ()  # functions of the kernel, and the policy's line that needs each
    tape: int = 0  # words that an event has room for; 0: it does not record
    hears: tuple[Form, ...] = ()  # the hint that it takes
    tells: tuple[Form, ...] = ()  # what it tells applications
    counts: tuple[tuple[str, str, int], ...] = ()  # what is counted, and the path and line where
    conditions: tuple[tuple[str, str, int], ...] = ()  # of one that is watched: hook, path and line of each

    @property
    def layout(self) -> str:
        """Two versions of the same layout share their state."""
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
        """From `NAME.json`, with the object beside it."""
        data = json.loads(whole(path))
        places = tuple(Place(**place) for place in data["places"])
        given = {name: _frozen(value) for name, value in data.items()}
        return Built(**given | {"object": path.with_name(data["object"]), "places": places})


def _frozen(value: Any) -> Any:
    """A list of JSON, and those within it, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
