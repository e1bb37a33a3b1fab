# SPDX-License-Identifier: Apache-2.0
"""Streams through arrangements on the reference interpreter: the same chain, bytes and views as every carrier has.

An arrangement here is a list of elements at the clients' side (an instance for each client) and one at the server's
(one instance for all).  Both orders of a pair stand at the server's side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transect.analysis.concrete import Facts, instance_of, is_junk
from transect.base.diagnostic import Diagnostics
from transect.base.traced import line
from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.types import (
    ArrayType,
    CounterType,
    HistogramType,
    TableType,
    Type,
)
from transect.core.values import normal
from transect.lang.tape import LiveTape, Tape
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.fields import plans
from transect.rpc.chain.python import Action, ChainVerdict, Passing, PythonChain, PythonRpc
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.equivalence.service import FILLER, PATH, REPLY, REQUEST, Clash, service_for
from transect.rpc.equivalence.streams import Ends, Event, Run, Seen, Step, Stream
from transect.rpc.messages.rewriter import assign, put_varint, rewrite
from transect.rpc.messages.scanner import Node
from transect.rpc.messages.wire import Presence

NO_ROUTE = "the policy names a route that this proxy does not have"  # in the words of carriers
OK, UNAVAILABLE, CAUSE_REPLY, CAUSE_REJECT, CAUSE_RESET = 0, 14, 0, 1, 4


class EventTape:
    """A tape with the facts of one call; draws beyond them are zeros."""

    def __init__(self, facts: Facts) -> None:
        self._now = facts.now
        self._draws = list(facts.draws)

    def now(self) -> int:
        return self._now

    def draw(self) -> int:
        return self._draws.pop(0) if self._draws else 0

    def answer(self, intrinsic: str, ask: Any) -> object:
        return ask()


@dataclass
class _Engine:
    """An element on the interpreter; its tape is that of the current event."""

    name: str
    instance: Instance
    room: _Room
    said: list[str] = field(default_factory=list)

    def call(self, hook: str, args: Sequence[object], tape: Tape, locals: dict[str, object]) -> Any:
        facts = self.room.tapes.get(self.name, Facts())
        functions = {"trace": lambda text: self.said.append(line(text))}
        return self.instance.call(hook, args, tape=EventTape(facts), locals=locals, functions=functions)

    def image(self) -> bytes:
        return self.instance.image()

    def load(self, image: bytes) -> None:
        self.instance.load(image)


@dataclass
class _Room:
    tapes: Mapping[str, Facts] = field(default_factory=dict)


@dataclass(frozen=True)
class Arranged:
    """Where elements stand, by name."""

    title: str
    client: tuple[str, ...] = ()
    server: tuple[str, ...] = ()

    @classmethod
    def swapped(cls, first: str, second: str) -> tuple[Arranged, Arranged]:
        """Two neighbours, and the same two the other way round."""
        orders = (first, second), (second, first)
        a, b = (cls(" → ".join(order), server=order) for order in orders)
        return a, b

    @classmethod
    def moved(cls, name: str) -> tuple[Arranged, Arranged]:
        """An element at each client, and at the server."""
        return cls("at each client", client=(name,)), cls("at the server", server=(name,))


class Trial:
    """What a set of elements needs in order to run: the service and its plans, made once."""

    def __init__(self, programs: Mapping[str, Program], *, streaming: bool = False) -> None:
        """Raises `Clash` when no service fits."""
        self.programs = programs
        self.streaming = streaming
        self.service = service_for(programs.values(), streaming=streaming)
        self.binding = self.bound(tuple(programs))
        self.plans = plans(self.binding)

    def bound(self, names: Sequence[str]) -> Binding:
        """Some of the elements on the service."""
        diagnostics = Diagnostics()
        found = bind([self.programs[n] for n in names], self.service, diagnostics)
        if found is None:
            raise Clash(next(iter(diagnostics)).message)
        return found

    def chain(self, names: Sequence[str], engines: Sequence[_Engine]) -> PythonChain:
        """A chain of some of the elements; each of them reads the same fields as in the whole."""
        bound = dict(zip(self.programs, self.binding.elements, strict=True))
        binding = Binding(self.service, self.binding.methods, tuple(bound[n] for n in names))
        chain = PythonChain(binding, engines)
        chain.plans = self.plans
        for runner in chain.runners:
            runner.plans = self.plans
        return chain

    # ------------------------------------------------------------ messages

    def encode(self, message: str, fields: Mapping[str, object], size: int = 0) -> bytes:
        """A message with these fields, filled up to a size with an unknown field, if that is possible."""
        data = rewrite(self._node(message, fields))
        room = size - len(data)
        return data + filler(room) if room >= 3 else data

    def _node(self, message: str, fields: Mapping[str, object]) -> Node:
        node = Node(self.plans[message])
        for name, value in fields.items():
            slot = node.plan.by_name.get(name)
            if slot is not None and not slot.hidden and slot.field.presence is not Presence.MAP:
                assign(node, slot, self._node(slot.inner, value) if isinstance(value, Mapping) else value)
        return node

    def decode(self, message: str, data: bytes) -> dict[str, object]:
        """The fields that some element sees."""
        passing = Passing(self.plans, self.plans[message], data)
        return {
            slot.field.name: _shown(passing.node.values[slot.index])
            for slot in self.plans[message].visible
            if slot.field.presence is not Presence.EXPLICIT or passing.node.present(slot)
        }

    def message(self, name: str, data: bytes, headers: Mapping[str, str], route: str | None = None) -> str:
        """A message that passed, in the words of a `Run`."""
        parts = [f"{k}={v!r}" for k, v in self.decode(name, data).items()]
        parts += [f"{k}: {v}" for k, v in sorted(headers.items())]
        parts += [] if route is None else [f"to {route}"]
        return "".join(f" {part}" for part in parts)

    # ------------------------------------------------------------ runs

    def run(self, stream: Stream, arranged: Arranged, ends: Ends = Ends.LATER) -> Run:
        """The stream through an arrangement."""
        return _Running(self, stream, arranged, ends).run()

    def state(self, name: str, image: bytes) -> str:
        """The content of an element's state image, in the words of a `Run`."""
        instance = Instance(self.programs[name])
        instance.load(image)
        return _state(_Engine(name, instance, _Room()))


def filler(room: int) -> bytes:
    """An unknown field of that many bytes, as far as lengths of varints allow."""
    head = bytearray()
    put_varint(head, FILLER << 3 | 2)
    body = room - len(head) - 1
    while body > 0:
        length = bytearray()
        put_varint(length, body)
        if len(head) + len(length) + body <= room:
            return bytes(head + length) + b"x" * body
        body -= 1
    return b""


def _shown(value: object) -> object:
    if isinstance(value, Node):
        return {s.field.name: _shown(value.values[s.index]) for s in value.plan.visible}
    if isinstance(value, list):
        return tuple(map(_shown, value))
    return value


class _Running:
    """One run."""

    def __init__(self, trial: Trial, stream: Stream, arranged: Arranged, ends: Ends) -> None:
        self.trial = trial
        self.stream = stream
        self.arranged = arranged
        self.ends = ends
        self.room = _Room()
        self.engines: dict[tuple[str, str], _Engine] = {}  # by client ("" at the server) and element
        self.chains: dict[str, PythonChain] = {}
        self.rpcs: dict[
            str, tuple[PythonRpc | None, PythonRpc | None]
        ] = {}  # at the client's side, at the server's
        self.headers: dict[str, PlainHeaders] = {}
        self.ended: dict[str, tuple[int, int]] = {}  # code and cause of RPCs that a chain ended
        self.over: set[str] = set()  # RPCs that were finished at once
        self.clients = list(dict.fromkeys(e.client for e in stream.events))

    def run(self) -> Run:
        seen = []
        for event in self.stream.events:
            seen.append(self.event(event))
            self._finished_at_once(event)
        return Run(self.arranged.title, seen, {n: self.shown(n) for n in self.trial.programs})

    # ------------------------------------------------------------ instances

    def chain(self, client: str) -> PythonChain | None:
        """The chain of a client; of the server for ""."""
        names = self.arranged.client if client else self.arranged.server
        if not names:
            return None
        if client not in self.chains:
            engines = [self.engine(client, name) for name in names]
            self.chains[client] = self.trial.chain(names, engines)
        return self.chains[client]

    def engine(self, client: str, name: str) -> _Engine:
        key = (client, name)
        if key not in self.engines:
            program = self.trial.programs[name]
            instance = instance_of(program, self.stream.state.get(name, {}))
            self.engines[key] = _Engine(name, instance, self.room)
        return self.engines[key]

    def shown(self, name: str) -> str:
        """The state of an element and what it said; of several instances, one after the other."""
        keys = [(c, name) for c in self.clients] if name in self.arranged.client else [("", name)]
        return " | ".join(_state(self.engine(*key)) for key in keys)

    # ------------------------------------------------------------ events

    def event(self, event: Event) -> Seen:
        self.room.tapes = event.tapes
        match event.step:
            case Step.REQUEST:
                return self.request(event)
            case Step.RESPONSE:
                return self.response(event)
            case Step.FINISH:
                return self.finish(event)

    def _finished_at_once(self, event: Event) -> None:
        """Finish an RPC at once, where `ends` says so; its own FINISH event, if there is one, tells the rest."""
        replied = self.ends is Ends.WITH_REPLY and event.step is Step.RESPONSE
        if self.ends is Ends.LATER or event.rpc not in self.rpcs:
            return
        if event.rpc in self.ended or replied:
            self.room.tapes = (end := end_of(self.stream, event.rpc)).tapes
            self.finish(replace(end, code=OK, cause=CAUSE_REPLY))
            self.over.add(event.rpc)

    def _begin(self, event: Event) -> None:
        if event.rpc in self.rpcs:
            return
        headers = PlainHeaders((dict(event.headers), {}, {}))
        self.headers[event.rpc] = headers
        begun = [
            chain.rpc(PATH, event.peer, headers, LiveTape()) if chain else None
            for chain in (self.chain(event.client), self.chain(""))
        ]
        self.rpcs[event.rpc] = (begun[0], begun[1])

    def request(self, event: Event) -> Seen:
        if event.rpc in self.ended or event.rpc in self.over:
            return Seen("has ended")
        self._begin(event)
        data = self.trial.encode(REQUEST, event.fields, event.size)
        near, far = self.rpcs[event.rpc]
        total, route = 0, None
        for place, rpc in (("client", near), ("server", far)):
            if place == "server" and event.lost:
                self._end(event.rpc, UNAVAILABLE, CAUSE_RESET)
                return Seen("lost in the network")
            if rpc is None:
                continue
            verdict = rpc.request(data)
            if verdict.action is not Action.FORWARD:
                stopped = self._stopped(event, verdict, near if place == "server" else None)
                return replace(stopped, after=total + stopped.after)
            data = data if verdict.message is None else verdict.message
            total, route = total + verdict.after, route if verdict.to is None else verdict.to
        if route == "":  # no chain has it
            self._end(event.rpc, UNAVAILABLE, CAUSE_REJECT)
            return Seen(f"rejected UNAVAILABLE: {NO_ROUTE}", total)
        headers = self.headers[event.rpc].sides[0]
        return Seen("forwarded" + self.trial.message(REQUEST, data, headers, route), total)

    def _stopped(self, event: Event, verdict: ChainVerdict, behind: PythonRpc | None) -> Seen:
        if verdict.action is Action.REJECT:
            return self._rejected(event, verdict)
        data, total = verdict.text, verdict.after
        if behind is not None:
            back = behind.response(data)
            total += back.after
            if back.action is Action.REJECT:
                return replace(self._rejected(event, back), after=total)
            data = data if back.message is None else back.message
        self._end(event.rpc, OK, CAUSE_REPLY)
        return Seen("answered" + self._reply(event, data), total)

    def _rejected(self, event: Event, verdict: ChainVerdict) -> Seen:
        self._end(event.rpc, verdict.code, CAUSE_REJECT)
        return Seen(f"rejected {code_name(verdict.code)}: {verdict.text.decode()}", verdict.after)

    def response(self, event: Event) -> Seen:
        if event.rpc in self.ended or event.rpc not in self.rpcs:
            return Seen("has ended")
        self.headers[event.rpc].sides[1].update(event.headers)
        data = self.trial.encode(REPLY, event.fields, event.size)
        total = 0
        for rpc in reversed(self.rpcs[event.rpc]):
            if rpc is None:
                continue
            verdict = rpc.response(data)
            total += verdict.after
            if verdict.action is Action.REJECT:
                return replace(self._rejected(event, verdict), after=total)
            data = data if verdict.message is None else verdict.message
        return Seen("delivered" + self._reply(event, data), total)

    def finish(self, event: Event) -> Seen:
        if event.rpc not in self.rpcs:
            return Seen("has ended")
        code, cause = self.ended.get(event.rpc, (event.code, event.cause))
        said = []
        for rpc in reversed(self.rpcs.pop(event.rpc)):
            if rpc is not None:
                ending = rpc.finish(code, cause, event.elapsed)
                said += [f"sent again after {ending.after} ns"] if ending.retry else []
        self.ended.pop(event.rpc, None)
        return Seen("ended" + "".join(f", {s}" for s in said))

    def _end(self, rpc: str, code: int, cause: int) -> None:
        self.ended[rpc] = (code, cause)

    def _reply(self, event: Event, data: bytes) -> str:
        _, headers, trailers = self.headers[event.rpc].sides
        return self.trial.message(REPLY, data, headers | trailers)


def end_of(stream: Stream, rpc: str) -> Event:
    """The event of an RPC's end; one that tells nothing if the stream has none."""
    there = (e for e in stream.events if e.rpc == rpc and e.step is Step.FINISH)
    return next(there, Event(rpc, Step.FINISH))


# ---------------------------------------------------------------- state


def _state(engine: _Engine) -> str:
    """All that an instance holds, in words."""
    parts = []
    for f in engine.instance.program.state:
        if f.kind in (FieldKind.LOCAL, FieldKind.PARAM, FieldKind.GIVEN):
            continue
        parts.append(f"{f.name}={_held(engine.instance.state[f.name], f.type)}")
    parts += [f"{n} overflows {c}" for n, c in engine.instance.overflows().items() if c]
    parts += [f"said {s!r}" for s in engine.said]
    return " ".join(parts) or "nothing"


def _held(held: Any, t: Type) -> str:
    match t:
        case TableType():
            entries = [(k, v) for k, v in held.entries() if not is_junk(k)]
            others = len(held.entries()) - len(entries)
            shown = [f"{k!r}: {v!r}" for k, v in entries]
            return "{" + ", ".join([*shown, *([f"… {others} others"] if others else [])]) + "}"
        case ArrayType():
            return repr(held.values())
        case CounterType():
            return str(held.value)
        case HistogramType():
            return repr({i: n for i, n in enumerate(held.buckets) if n})
        case _:
            return repr(held)


def code_name(code: int) -> str:
    from transect.rpc.hooks import Code

    try:
        return Code(code).name
    except ValueError:
        return str(code)


def observed(run: Run, watched: bool) -> Run:
    """The run as the level sees it: where callers are not `watched`, only what the service receives."""
    if watched:
        return run
    seen = [s if s.what.startswith("forwarded") else Seen("not forwarded") for s in run.seen]
    return replace(run, seen=seen)


def differs(a: Run, b: Run, *, state: bool) -> bool:
    """Whether two runs look different; `state`: what elements hold and said at the end counts, too."""
    if [(normal(s.what), s.after) for s in a.seen] != [(normal(s.what), s.after) for s in b.seen]:
        return True
    return state and dict(a.state) != dict(b.state)
