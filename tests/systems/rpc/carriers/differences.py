# SPDX-License-Identifier: Apache-2.0
"""What of the kit's calls carriers do not do alike, as the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.systems.rpc.carriers.calls import Call
from tests.systems.rpc.carriers.carriers import Saw

HEAD = ("| call | where | what is seen there | elsewhere |", "|---|---|---|---|")
ASPECTS: Mapping[str, Callable[[Saw], Any]] = {
    "client's status": lambda saw: saw.client.code,
    "its text": lambda saw: saw.client.details,
    "client's headers": lambda saw: saw.client.initial,
    "client's trailers": lambda saw: saw.client.trailing,
    "replies": lambda saw: saw.client.replies,
    "service's headers": lambda saw: saw.server.began,
    "requests": lambda saw: saw.server.read,
    "service's end": lambda saw: saw.server.ended,
    "`finish`": lambda saw: saw.finish,
}
# What depends on who is faster: how far the other end has come when somebody ends an RPC.
OF_CHANCE = ("replies", "service's headers", "requests", "service's end")


@dataclass(frozen=True)
class Row:
    """One aspect of a call in which some carriers, `where`, differ from most."""

    call: str
    aspect: str
    where: tuple[str, ...]
    there: str
    elsewhere: str

    @property
    def title(self) -> str:
        return self.call.partition(": ")[2]

    @property
    def kind(self) -> str:
        return self.call.partition(": ")[0]


def seen(call: Call, carrier: str, saw: Saw) -> Iterator[tuple[str, str]]:
    """All aspects of a call that must not depend on chance."""
    for aspect, of in ASPECTS.items():
        if call.ends_early and aspect in OF_CHANCE:
            continue
        if saw.client.code == "DEADLINE_EXCEEDED" and aspect == "its text":
            continue  # in the words of whoever noticed first
        found = of(saw)
        if call.late and carrier == "WASM plugin":  # depends on whether the server ends within a second
            if aspect == "client's status" and found in (call.late, "INTERNAL"):
                found = f"{call.late} or INTERNAL"
            if aspect == "its text":
                found = ""
        yield aspect, spelled(found)


def spelled(value: Any) -> str:
    match value:
        case str():
            return value
        case tuple():
            return ", ".join(f"{name}: {text}" for name, text in value)
        case _:
            return " · ".join(value)


def rows(calls: tuple[Call, ...], results: Mapping[str, Mapping[str, Saw]]) -> list[Row]:
    found = []
    for call in calls:
        by_carrier = {
            carrier: dict(seen(call, carrier, saws[call.name])) for carrier, saws in results.items()
        }
        for aspect in next(iter(by_carrier.values())):
            values: dict[str, list[str]] = {}
            for carrier, aspects in by_carrier.items():
                values.setdefault(aspects[aspect], []).append(carrier)
            usual = max(values, key=lambda value: len(values[value]))
            found += [
                Row(call.name, aspect, tuple(carriers), value, usual)
                for value, carriers in values.items()
                if value != usual
            ]
    return found


def table(found: list[Row]) -> list[str]:
    """A line for each call and the carriers that see it otherwise; kinds of methods that differ alike share one."""
    by_call: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
    for row in found:
        by_call.setdefault((row.call, row.where), []).append(row)
    joined: dict[tuple[str, ...], list[str]] = {}
    for (_, where), aspects in by_call.items():
        there = "; ".join(f"{row.aspect} {_code(row.there)}" for row in aspects)
        elsewhere = "; ".join(f"{row.aspect} {_code(row.elsewhere)}" for row in aspects)
        joined.setdefault((aspects[0].title, ", ".join(where), there, elsewhere), []).append(aspects[0].kind)
    return [
        *HEAD,
        *(f"| {t} ({', '.join(kinds)}) | {w} | {a} | {b} |" for (t, w, a, b), kinds in joined.items()),
    ]


def _code(text: str) -> str:
    return f"`{text}`" if text else "none"
