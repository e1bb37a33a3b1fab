# SPDX-License-Identifier: Apache-2.0
"""Sends a stream through processors in force, event by event; says what came of each in the interpreter's words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from transect.core.ir import Program
from transect.rpc.equivalence import sendable, simulate
from transect.rpc.equivalence.sendable import Unsendable
from transect.rpc.equivalence.service import PATH, REPLY, REQUEST
from transect.rpc.equivalence.simulate import Arranged, Trial, code_name, end_of
from transect.rpc.equivalence.streams import Ends, Event, Run, Seen, Step, Stream, Witness
from transect.rpc.grpcio import metadata
from transect.rpc.trying.carriers import ARRANGE, Arrangement, Carrier, EnvoyProcessor, Place, channel_to
from transect.rpc.trying.facts import FactsFile
from transect.rpc.trying.puppet import WHOSE, Call, Came, Puppet, Relay

PATIENCE_S = 10.0
LOOK_S = 0.002
DEADLINE_S = 1.5  # of an RPC that is to run into it
OURS = ("grpc-", "x-envoy-", "x-forwarded-", "x-transect-", "x-request-id", "x-trial-", ":")
OUR_HEADERS = ("user-agent", "content-type", "te", "date", "server", "via")


def sent(
    programs: Mapping[str, Program], witness: Witness, arranged: Arranged, carrier: Carrier, folder: Path
) -> Run:
    """The witness's stream through one arrangement.  Raises Unsendable, Unavailable, EnvoyFailed."""
    trial, stream = Trial(programs, streaming=witness.ends is Ends.AT_ONCE), witness.stream
    facts = FactsFile(folder / "facts.bin", tuple(trial.programs))
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        clients = list(dict.fromkeys(e.client for e in stream.events))
        place = Place(trial, stream, facts, folder, stack)
        made = ARRANGE[carrier](place, arranged, clients, _routes(witness))
        sending = _Sending(trial, stream, made, facts, stack)
        seen = [sending.event(event) for event in stream.events]
        return Run(arranged.title, seen, {name: sending.state(name) for name in trial.programs})


def _routes(witness: Witness) -> list[str]:
    found = {s.what.rpartition(" to ")[2] for run in witness.runs for s in run.seen if " to " in s.what}
    if any(not name.isprintable() or " " in name for name in found):
        raise Unsendable("a route has a name that no configuration can hold")
    return sorted(found)


class _Sending:
    """One run."""

    def __init__(
        self, trial: Trial, stream: Stream, made: Arrangement, facts: FactsFile, stack: ExitStack
    ) -> None:
        self.trial, self.stream = trial, stream
        self.made = made
        self.facts = facts
        self.stack = stack
        self.calls: dict[str, Call] = {}
        self.over: set[str] = set()
        self.got: dict[str, int] = {}  # by RPC: how many of the replies at its client were told
        self.channels: dict[tuple[str, str], object] = {}

    def event(self, event: Event) -> Seen:
        if event.lost:
            raise Unsendable("an RPC is lost on its way")
        if event.rpc in self.over or (event.step is not Step.REQUEST and event.rpc not in self.calls):
            return Seen("has ended")
        self.facts.write(event, end_of(self.stream, event.rpc))
        held = self._held()
        before = time.monotonic()
        match event.step:
            case Step.REQUEST:
                what, at = self._request(event)
            case Step.RESPONSE:
                what, at = self._response(event)
            case Step.FINISH:
                what, at = self._finish(event)
        self._settled()
        return Seen(what, int((at - before) * 1e9) if self._held() > held else 0)

    # ------------------------------------------------------------ events

    def _request(self, event: Event) -> tuple[str, float]:
        data = self.trial.encode(REQUEST, event.fields, event.size)
        before = self._came(event.rpc)
        if event.rpc in self.calls:
            self.calls[event.rpc].send(data)
        else:
            self.calls[event.rpc] = self._begun(event, data)
        call = self.calls[event.rpc]
        self._until(
            lambda: len(self._came(event.rpc)) > len(before) or call.over.is_set() or self._new(event.rpc)
        )
        came = self._came(event.rpc)
        if len(came) > len(before):
            one = came[-1]
            headers = _theirs(dict(one.headers))
            return "forwarded" + self.trial.message(REQUEST, one.data, headers, one.route or None), one.at
        if not self._new(event.rpc):
            return self._rejected(event.rpc), time.monotonic()
        at = time.monotonic()
        self._until(call.over.is_set)
        self.over.add(event.rpc)
        return "answered" + self._reply(call), at

    def _begun(self, event: Event, data: bytes) -> Call:
        end = end_of(self.stream, event.rpc)
        timeout = DEADLINE_S if end.cause == sendable.CAUSE_DEADLINE else None
        headers = ((WHOSE, event.rpc), *metadata.sent(tuple(event.headers.items())))
        return Call.begin(self._channel(event), PATH, data, headers, timeout, self.trial.streaming)

    def _channel(self, event: Event) -> object:
        """The channel of an event's client; from another address, where the event has such a peer."""
        if event.peer in ("", "127.0.0.1"):
            return self.made.channels[event.client]
        key = (event.client, event.peer)
        if key not in self.channels:
            server = self.made.processors.get("")
            if not isinstance(server, EnvoyProcessor):
                raise Unsendable("other peers than 127.0.0.1 are sent to Envoy only")
            relay = Relay(event.peer, (server.envoy.address.host, server.envoy.address.port))
            self.stack.callback(relay.close)
            self.channels[key] = self.stack.enter_context(channel_to(relay.port))
        return self.channels[key]

    def _response(self, event: Event) -> tuple[str, float]:
        data = self.trial.encode(REPLY, event.fields, event.size)
        call, puppet = self.calls[event.rpc], self._puppet(event.rpc)
        puppet.reply(event.rpc, data, metadata.sent(tuple(event.headers.items())))
        if not self.trial.streaming:
            puppet.end(event.rpc, 0)
            self._until(call.over.is_set)
        self._until(lambda: self._new(event.rpc) or call.over.is_set())
        at = time.monotonic()
        if not self._new(event.rpc):
            return self._rejected(event.rpc), at
        if call.over.is_set():
            self.over.add(event.rpc)
        return "delivered" + self._reply(call), at

    def _finish(self, event: Event) -> tuple[str, float]:
        call, puppet = self.calls[event.rpc], self._puppet(event.rpc)
        came = len(self._came(event.rpc))
        match event.cause:
            case simulate.CAUSE_REPLY:
                puppet.end(event.rpc, event.code)
            case sendable.CAUSE_CANCEL:
                call.cancel()
            case simulate.CAUSE_RESET:
                if len(self.calls) - len(self.over) > 1:
                    raise Unsendable("a connection breaks off with other RPCs on it")
                puppet.reset()
            case simulate.CAUSE_REJECT:
                raise Unsendable("an RPC ends by a rejection that nobody gave")
            case _:
                assert event.cause == sendable.CAUSE_DEADLINE, f"cause {event.cause}"
        self._until(lambda: call.over.is_set() or len(self._came(event.rpc)) > came)
        at = time.monotonic()
        if len(self._came(event.rpc)) > came:
            return "ended, sent again", at
        self.over.add(event.rpc)
        return "ended", at

    # ------------------------------------------------------------ what came of it

    def _came(self, rpc: str) -> list[Came]:
        return sorted((c for p in self.made.puppets for c in p.came(rpc)), key=lambda c: c.at)

    def _puppet(self, rpc: str) -> Puppet:
        return next(p for p in self.made.puppets if p.came(rpc))

    def _new(self, rpc: str) -> bool:
        """Whether the RPC's client has a reply that was not told yet."""
        return len(self.calls[rpc].replies) > self.got.get(rpc, 0)

    def _rejected(self, rpc: str) -> str:
        call = self.calls[rpc]
        self.over.add(rpc)
        return f"rejected {code_name(call.code)}: {call.details}"

    def _reply(self, call: Call) -> str:
        rpc = next(name for name, one in self.calls.items() if one is call)
        self.got[rpc] = len(call.replies)
        return self.trial.message(REPLY, call.replies[-1], _theirs(call.headers()))

    def state(self, name: str) -> str:
        """An element's state, in each of its instances, and what the instance's chain said."""
        found = []
        for one in self.made.processors.values():
            if name in one.elements:
                said = "".join(f" said {s!r}" for s in one.said())
                found.append(self.trial.state(name, one.save(one.elements.index(name))) + said)
        return " | ".join(found)

    # ------------------------------------------------------------ waiting

    def _held(self) -> int:
        return sum(one.counts()[1] for one in self.made.processors.values())

    def _settled(self) -> None:
        """Wait until every processor has noticed which RPCs are over."""
        live = len(self.calls) - len(self.over)
        self._until(lambda: all(one.counts()[0] <= live for one in self.made.processors.values()))

    def _until(self, so: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not so():
            if time.monotonic() > until:
                raise Unsendable(f"nothing happens for {PATIENCE_S:g} s")
            time.sleep(LOOK_S)


def _theirs(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the application, and of the elements."""
    return {k: v for k, v in headers.items() if not k.startswith(OURS) and k not in OUR_HEADERS}
