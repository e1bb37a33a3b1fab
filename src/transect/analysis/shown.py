# SPDX-License-Identifier: Apache-2.0
"""States, times and draws in words: of a table, only what is not the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from transect.analysis.concrete import Content
from transect.core import tables

GONE = "nothing"


def snapshot(state: Mapping[str, object]) -> dict[str, object]:
    """What fields hold now, in words; of tables and arrays each entry."""
    return {name: _entries(held) if _is_many(held) else repr(held) for name, held in state.items()}


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, str]:
    """What is not as it was, by place: `calls['ann']`; an entry that has gone is `nothing`."""
    return {place: shown for name in after for place, shown in _changed(name, before.get(name), after[name])}


def _changed(name: str, before: object, after: object) -> Iterator[tuple[str, str]]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        if before != after:
            yield name, str(after) if not isinstance(after, dict) else content_of(after)
        return
    places = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    yield from ((f"{name}[{key}]", after.get(key, GONE)) for key in places)
    if not places and list(before) != list(after):
        yield f"the order of {name}", ", ".join(after)


def _is_many(held: object) -> bool:
    return isinstance(held, tables.Table | tables.Array)


def _entries(held: object) -> dict[str, str]:
    if isinstance(held, tables.Table):
        return {repr(key): repr(value) for key, value in held.entries()}
    assert isinstance(held, tables.Array), "entries are of a table or an array"
    return {str(index): repr(held[index]) for index in range(len(held))}


def content_of(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"


def content(value: object) -> str:
    """A field's first content in words."""
    if isinstance(value, Content):
        shown = [f"{k!r}: {v!r}" for k, v in value.entries]
        more = value.filled - len(value.entries)
        return "{" + ", ".join([*shown, *([f"… {more} others"] if more > 0 else [])]) + "}"
    return repr(value)


def time_and_draws(now: int | None, draws: Iterable[int]) -> str:
    """What a call is told by its tape, exactly: `now 20.5 s, rand 0.25, rand 3`; `now`: None where nobody asks."""
    parts = [] if now is None else [f"now {_seconds(now)} s"]
    return ", ".join([*parts, *(f"rand {_drawn(draw)}" for draw in draws)])


def _seconds(ns: int) -> str:
    whole, part = divmod(abs(ns), 10**9)
    return f"{'-' if ns < 0 else ''}{whole}.{part:09d}".rstrip("0").rstrip(".")


def _drawn(draw: int) -> str:
    """A draw as `tape(rand=…)` takes it: a short fraction where that is the same draw, else its 64 bits as a number."""
    short = f"{(draw >> 11) * 2.0**-53:.4g}"
    return short if "." in short and int(float(short) * 2.0**53) << 11 == draw else str(draw)
