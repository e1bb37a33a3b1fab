# SPDX-License-Identifier: Apache-2.0
"""A loaded version of a policy: its programs, and its state."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.cpu.built import Built
from transect.linux.libbpf import Map, Object

ZERO = bytes(4)
STATE = ".data.policy"  # the map of a policy's state: TS_STATE
COUNTS = ".data.counts"  # TS_COUNTERS
BROKEN = ".data.broken"  # watched.h


class Kept(Exception):
    """The new version does not take over; the old one is in force as before."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


@dataclass(slots=True)
class Version:
    """A loaded policy."""

    number: int
    built: Built
    object: Object
    programs: dict[str, int]

    def run(self, name: str, context: bytes = b"") -> int:
        """Run one of its `syscall` programs; return its result."""
        return self.object.run(self.programs[name], context)

    def words(self) -> list[int]:
        """The words of its state."""
        return self._words(STATE)

    def fields(self) -> dict[str, list[int]]:
        """The words of each field that is no table."""
        words = self.words()
        return {p.field: words[p.word : p.word + p.words] for p in self.built.places if p.words}

    def table(self, field: str) -> Map:
        """The map of a table."""
        return self.object.map(next(p.table for p in self.built.places if p.field == field))

    def entries(self, field: str) -> dict[int, int]:
        """The content of a table."""
        pair = struct.Struct("=qq")
        return dict(pair.unpack(key + value) for key, value in self.table(field).entries())

    def write_entries(self, field: str, entries: Mapping[int, int]) -> None:
        """Make this the whole content of a table."""
        table = self.table(field)
        for there, _ in list(table.entries()):
            table.remove(there)
        for key, value in entries.items():
            table.write(struct.pack("=Q", key % 2**64), struct.pack("=Q", value % 2**64))

    def fill(self, words: Sequence[int]) -> None:
        """Set all words of its state."""
        states = self.object.map(STATE)
        data = b"".join(struct.pack("=Q", word % 2**64) for word in words)
        states.write(ZERO, data.ljust(states.value_size, b"\0"))

    def set(self, field: str, words: Sequence[int]) -> list[int]:
        """Set the words of a field; return those before.  Each word is one store, which handlers see at once; the last
        word is stored first, as handlers write an option: its value, then whether it has one.
        """
        place = next(p for p in self.built.places if p.field == field)
        assert len(words) == place.words, f"{field} has {place.words} words"
        end = 8 * (place.word + place.words)
        with mmap.mmap(self.object.map(STATE).fd, -(-end // mmap.PAGESIZE) * mmap.PAGESIZE) as memory:
            view = memoryview(memory).cast("q")[place.word : place.word + place.words]
            before = view.tolist()
            for n in reversed(range(len(words))):
                view[n] = words[n]
            view.release()
        return before

    def counts(self) -> list[dict[str, str | int]]:
        """How often each event in `counters.py` happened at each line."""
        words = self._words(COUNTS) if self.built.counts else []
        return [
            {"what": what, "path": path, "line": line, "count": count}
            for (what, path, line), count in zip(self.built.counts, words, strict=False)
        ]

    def broken(self) -> str:
        """Which of its conditions did not hold, in words; empty if all did."""
        number = self._words(BROKEN)[0] if self.built.conditions else 0
        if not number:
            return ""
        hook, path, line = self.built.conditions[number - 1]
        what = f"what `{hook}` ensures does not hold" if hook else "the invariant does not hold"
        return f"{what} ({Path(path).name}, line {line})"

    def _words(self, name: str) -> list[int]:
        data = self.object.map(name).read(ZERO)
        assert data is not None, "an array map has its entry"
        return [word for (word,) in struct.iter_unpack("=q", data)]


def common(old: Built, new: Built) -> dict[str, str]:
    """Maps that versions of one layout share: the name of each in the new version, and in the old one."""
    tables = {place.field: place.table for place in old.places if place.table}
    tasks = {"policy_tasks": "policy_tasks"} if old.own == new.own else {}
    return {STATE: STATE, **tasks, **{p.table: tables[p.field] for p in new.places if p.table}}
