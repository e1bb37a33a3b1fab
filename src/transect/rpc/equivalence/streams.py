# SPDX-License-Identifier: Apache-2.0
"""A short stream of RPCs with a starting state: what a refusal shows, prints, and sends through real carriers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from transect.analysis.concrete import Facts
from transect.analysis.shown import content, time_and_draws


class Step(StrEnum):
    REQUEST = "request"
    RESPONSE = "response"
    FINISH = "finish"


@dataclass(frozen=True)
class Event:
    """One thing that happens to one RPC."""

    rpc: str
    step: Step
    fields: Mapping[str, object] = field(default_factory=dict)  # of the request or reply message
    size: int = 0  # bytes that the message has at least
    headers: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""
    code: int = 0  # FINISH
    cause: int = 0
    elapsed: int = 0  # ns
    tapes: Mapping[str, Facts] = field(default_factory=dict)  # by element
    client: str = "a"  # whose RPC it is
    lost: bool = False  # REQUEST: it is lost between the client's side and the server's


class Ends(StrEnum):
    """When an RPC that is over is finished."""

    LATER = "later"  # by an event of its own, as a proof sees it: other RPCs may come in between
    AT_ONCE = "at once"  # as carriers do
    WITH_REPLY = "with its reply"  # at once, and a reply ends the RPC, as in unary methods


@dataclass(frozen=True)
class Stream:
    # By element and field; a table's value is a `Content`; fields that are missing here are as declared
    state: Mapping[str, Mapping[str, object]]
    events: Sequence[Event]


@dataclass(frozen=True)
class Seen:
    """What came of one event in one arrangement."""

    what: str  # "forwarded user='bob'", "rejected PERMISSION_DENIED: …"
    after: int = 0  # ns that it was held back

    def __str__(self) -> str:
        return f"{self.what} after {self.after} ns" if self.after else self.what


@dataclass(frozen=True)
class Run:
    """A stream through one arrangement."""

    title: str
    seen: Sequence[Seen]
    state: Mapping[str, str]  # by element: its state at the end, as it is shown


@dataclass(frozen=True)
class Witness:
    """A stream that two arrangements do not treat alike, as seen on the interpreter."""

    stream: Stream
    runs: tuple[Run, Run]
    why: str
    ends: Ends = Ends.LATER

    def table(self) -> str:
        """For people: the starting state, then a row for each event with what either arrangement makes of it."""
        lines = ["starting state:"]
        for element, fields in self.stream.state.items():
            lines += [f"  {element}.{name} = {content(value)}" for name, value in fields.items()]
        if len(lines) == 1:
            lines = ["starting state: as declared"]
        rows = [("event", *(run.title for run in self.runs))]
        for number, event in enumerate(self.stream.events):
            rows.append((_event(event), *(str(run.seen[number]) for run in self.runs)))
        ends = {name for run in self.runs for name in run.state}
        for name in sorted(ends):
            shown = [run.state.get(name, "") for run in self.runs]
            if shown[0] != shown[1]:
                rows.append((f"{name} at the end", *shown))
        return "\n".join([*lines, "", *_aligned(rows), "", self.why])


def _event(event: Event) -> str:
    said = [f"{event.rpc} {event.step}"]
    said += [f"{name}={value!r}" for name, value in event.fields.items()]
    said += [f"{name}: {value}" for name, value in event.headers.items()]
    if event.peer:
        said.append(f"from {event.peer}")
    if event.step is Step.FINISH:
        said.append(f"code={event.code} cause={event.cause}")
    for name, facts in event.tapes.items():
        if facts.now or facts.draws:
            said.append(f"({name}: {time_and_draws(facts.now, facts.draws)})")
    return " ".join(said)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * w for w in widths), *lines[1:]]
