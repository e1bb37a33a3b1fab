# SPDX-License-Identifier: Apache-2.0
"""A stream that a proof found, changed so that it can be sent.

A proof may end RPCs in ways that a carrier reports otherwise (a deadline has the code DEADLINE_EXCEEDED), let an RPC's
end wait after its last message, and give peers any name.  The stream is changed as little as possible, and is taken
only if it still gives different results on the interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product

from transect.analysis.concrete import Content
from transect.core.ir import Program
from transect.rpc.chain.needs import needs
from transect.rpc.equivalence.levels import Level
from transect.rpc.equivalence.service import Clash
from transect.rpc.equivalence.simulate import (
    CAUSE_REJECT,
    CAUSE_REPLY,
    CAUSE_RESET,
    OK,
    UNAVAILABLE,
    Arranged,
    Trial,
    differs,
    observed,
)
from transect.rpc.equivalence.streams import Ends, Event, Run, Step, Stream
from transect.rpc.headers import sendable, unwritable

CAUSE_CANCEL, CAUSE_DEADLINE = 2, 3
CODES = {CAUSE_CANCEL: 1, CAUSE_DEADLINE: 4, CAUSE_RESET: UNAVAILABLE}
MOST = 64  # changed streams that are tried
LONGEST = 3 * 10**9  # ns for which a message may be held back


class Unsendable(Exception):
    """The stream cannot be sent here; the text says why."""


def mended(
    programs: Mapping[str, Program],
    stream: Stream,
    arranged: Sequence[Arranged],
    level: Level,
    watched: bool,
) -> tuple[Stream, Ends, tuple[Run, Run]]:
    """The stream as it can be sent, and its runs on the interpreter in each arrangement.  Raises Unsendable."""
    check_headers(stream)
    why = "carriers end RPCs at once, and then the orders do the same"
    for ends in (Ends.WITH_REPLY, Ends.AT_ONCE):
        try:
            trial = Trial(programs, streaming=ends is Ends.AT_ONCE)
        except Clash as wrong:
            why = str(wrong)
            continue
        for variant in islice(_variants(_peers_named(programs, stream), ends), MOST):
            a, b = (trial.run(variant, one, ends) for one in arranged)
            seen = observed(a, watched), observed(b, watched)
            if differs(*seen, state=level is Level.IDENTICAL) and not _out_of_reach(variant, (a, b)):
                return variant, ends, (a, b)
    raise Unsendable(why)


def check_headers(stream: Stream) -> None:
    """Raises Unsendable for a header that a client could send only without a gRPC library."""
    for event in stream.events:
        for name, value in event.headers.items():
            if unwritable(name) or not sendable(name, value):
                raise Unsendable(f"no gRPC library sends the header `{name}: {value}`")


def _variants(stream: Stream, ends: Ends) -> Iterator[Stream]:
    """The stream with the ends of its RPCs as carriers can cause them."""
    if ends is Ends.WITH_REPLY and not _unary(stream):
        return
    choices = [_ways(e, stream, ends) if e.step is Step.FINISH else [[e]] for e in stream.events]
    for chosen in product(*choices):
        yield Stream(stream.state, [event for events in chosen for event in events])


def _unary(stream: Stream) -> bool:
    """Whether each RPC has one message each way at most."""
    seen = [(e.rpc, e.step) for e in stream.events if e.step is not Step.FINISH]
    return len(seen) == len(set(seen))


def _ways(end: Event, stream: Stream, ends: Ends) -> list[list[Event]]:
    """How an RPC may end, the likeliest first."""
    found = []
    causes = dict.fromkeys((end.cause, CAUSE_REPLY, CAUSE_CANCEL, CAUSE_DEADLINE, CAUSE_RESET))
    for cause in causes:
        if cause == CAUSE_REJECT:  # by the elements themselves
            found.append([end])
            continue
        made = replace(end, cause=cause, code=CODES.get(cause, end.code))
        replied = any(e.rpc == end.rpc and e.step is Step.RESPONSE for e in stream.events)
        if ends is Ends.WITH_REPLY and cause == CAUSE_REPLY and made.code == OK and not replied:
            found.append([Event(end.rpc, Step.RESPONSE, tapes=end.tapes), made])
        else:
            found.append([made])
    return found


# ---------------------------------------------------------------- peers


def _peers_named(programs: Mapping[str, Program], stream: Stream) -> Stream:
    """The stream with loopback addresses as peers if some element asks who calls; otherwise without peers."""
    if not any(use.field == "peer" for p in programs.values() for use in needs(p).uses):
        return replace(stream, events=[replace(e, peer="") for e in stream.events])
    peers = dict.fromkeys(e.peer for e in stream.events if e.step is Step.REQUEST)
    names = {peer: f"127.0.0.{number}" for number, peer in enumerate(peers, 1)}
    state = {
        element: {name: _renamed(value, names) for name, value in fields.items()}
        for element, fields in stream.state.items()
    }
    return Stream(state, [replace(e, peer=names.get(e.peer, e.peer)) for e in stream.events])


def _renamed(value: object, names: Mapping[str, str]) -> object:
    match value:
        case Content(entries=entries, filled=filled):
            return Content([(_renamed(k, names), v) for k, v in entries], filled)
        case tuple():
            return tuple(_renamed(item, names) for item in value)
        case str():
            return names.get(value, value)
        case _:
            return value


def _out_of_reach(stream: Stream, runs: Sequence[Run]) -> bool:
    """Whether an RPC ends by a rejection that no element gave, or a message is held back for too long."""
    for run in runs:
        for event, seen in zip(stream.events, run.seen, strict=True):
            if event.step is Step.FINISH and event.cause == CAUSE_REJECT and seen.what != "has ended":
                return True
            if seen.after > LONGEST:
                return True
    return False
