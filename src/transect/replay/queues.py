# SPDX-License-Identifier: Apache-2.0
"""Recording what a queue's policy decides, in every stratum that has such a queue, and reading it again.

arguments   i64 time (ns, monotonic); u32 changes of who waits since the call before, each u8 and u64 client (0 left,
            1 joined, 2 nobody waits any more: what follows is all); u8 whether it is about a request; if so its fields,
            i64 each, in the order that the stratum says; then the hook's other arguments, by their types
tape        as in every log
result      by the type that the hook returns

Clients are numbers, whose names the log says.  Neither prompts nor messages reach a log of this kind: nothing here ever
holds their text.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import msgspec

from transect.base.request_id import Named
from transect.core.codec import CodecError, Reader, encode
from transect.core.ir import Function, Program
from transect.core.param_text import spelled
from transect.core.schema import schema
from transect.core.types import KeyType, ViewType
from transect.lang.tape import current, use
from transect.replay.compare import Answers, Call
from transect.replay.log import Log, LogError, Policy, Record, Trailer
from transect.replay.tape import RecordingTape, answer_types
from transect.replay.writer import Writer

LEFT, JOINED, CLEARED = 0, 1, 2
KIND = "kind"  # a note: "queue" where a stratum records other things, too
EPOCH = "epoch"  # a note: Unix time in ns when the monotonic clock was 0


def epoch() -> int:
    return time.time_ns() - time.monotonic_ns()


_TIME = struct.Struct("<q")
_COUNT = struct.Struct("<I")
_CHANGE = struct.Struct("<BQ")


class Asked(Protocol):
    """A request that calls may be about."""

    @property
    def number(self) -> int: ...

    @property
    def named(self) -> Named: ...


class QueueRecording:
    """A log under way.  Used under the lock of its queue."""

    def __init__(self, writer: Writer, fields: Sequence[str], name_of: Callable[[int], str]) -> None:
        """`fields`: of a request, that go into the log.  `name_of`: of a client."""
        self._writer = writer
        self._fields = fields
        self._facts = struct.Struct(f"<{len(fields)}q")
        self._name_of = name_of
        self._number = -1
        self._versions: dict[str, int] = {}
        self._sequence = 0
        self._known: set[int] = set()  # clients whose names the log has
        self.request: Any = None  # that the call under way is about
        self._changes: list[tuple[int, int]] = []  # of who waits, since the last record

    def policy(
        self, program: Program, start: bytes, waiting: Sequence[int], sources: Mapping[str, str]
    ) -> None:
        """It comes into force, with that state, and those who wait."""
        version = self._versions[program.name] = self._versions.get(program.name, 0) + 1
        entry = Policy.of(
            program, schema(program), start, sources=sources, version=version, first=self._sequence
        )
        self._number = self._writer.policy(entry)
        self._changes = [(CLEARED, 0)]
        for client in waiting:
            self.changed(JOINED, client)

    def changed(self, kind: int, client: int) -> None:
        """Somebody waits, or does no more."""
        self._know(client)
        self._changes.append((kind, client))

    def _know(self, client: int) -> None:
        if client not in self._known:
            self._known.add(client)
            self._writer.client(client, self._name_of(client))

    def came(self, request: Asked) -> None:
        """A request, before anything is asked about it."""
        self._writer.name(request.number + 1, self._sequence, request.named)

    def about(self, request: Asked, inner: Callable[..., Any], *args: Any) -> Any:
        """Run something that calls hooks about a request."""
        self.request = request
        try:
            return inner(*args)
        finally:
            self.request = None

    def call(
        self, program: Program, handler: Function, hook: Callable[..., Any], args: tuple[Any, ...]
    ) -> Any:
        """Run a hook, and write down what went in and came out."""
        tape = RecordingTape(current(), answer_types(program))
        arguments = self._arguments(handler, args)
        with use(tape):
            value = hook(*args)
        if tape.overflowed:
            self._writer.drop()
            return value
        index = program.handlers.index(handler)
        instance = 0 if self.request is None else self.request.number + 1
        result = encode(handler.returns, value)
        record = Record(self._sequence, self._number, index, instance, arguments, bytes(tape.entries), result)
        self._sequence += 1
        self._writer.add(record)
        return value

    def _arguments(self, handler: Function, args: tuple[Any, ...]) -> bytes:
        changes, self._changes = self._changes, []
        pieces = [_TIME.pack(time.monotonic_ns()), _COUNT.pack(len(changes))]
        pieces += [_CHANGE.pack(kind, client) for kind, client in changes]
        request = self.request
        pieces.append(bytes((request is not None,)))
        if request is not None:
            pieces.append(self._facts.pack(*(getattr(request, name) for name in self._fields)))
        for parameter, value in zip(handler.params, args, strict=True):
            if isinstance(parameter.type, KeyType):
                self._know(value)
            if not isinstance(parameter.type, ViewType):
                pieces.append(encode(parameter.type, value))
        return b"".join(pieces)

    def close(self, final: bytes) -> Trailer:
        """Raises OSError."""
        return self._writer.close({self._number: final})


class Recorded:
    """A policy object, as its queue sees it, whose hooks are recorded."""

    def __init__(self, policy: Any, program: Program, recording: QueueRecording) -> None:
        self._policy = policy
        self.waiting = RecordedWaiting(policy.waiting, recording)
        for handler in program.handlers:
            if hasattr(policy, handler.name):
                hook = _hook(program, handler, getattr(policy, handler.name), recording)
                setattr(self, handler.name, hook)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)


def _hook(
    program: Program, handler: Function, hook: Callable[..., Any], recording: QueueRecording
) -> Callable[..., Any]:
    return lambda *args: recording.call(program, handler, hook, args)


class RecordedWaiting:
    """Who waits, with every change noted for the next record."""

    def __init__(self, waiting: Any, recording: QueueRecording) -> None:
        self._waiting = waiting
        self._recording = recording

    def append(self, client: int, /) -> None:
        self._recording.changed(JOINED, client)
        self._waiting.append(client)

    def remove(self, client: int, /) -> None:
        self._recording.changed(LEFT, client)
        self._waiting.remove(client)

    def __contains__(self, client: object) -> bool:
        return client in self._waiting


# ---------------------------------------------------------------- reading it again


@dataclass(frozen=True, slots=True)
class Told:
    """What a record says that went into a call."""

    time: int  # ns
    changes: tuple[tuple[int, int], ...]
    request: SimpleNamespace | None
    rest: bytes  # the hook's other arguments


def told(record: Record, fields: Sequence[str]) -> Told:
    """What is recorded of a call.  Raises `CodecError`."""
    reader = Reader(record.arguments)
    time = reader.integer(8, True)
    count = reader.integer(4, False)
    changes = tuple((reader.integer(1, False), reader.integer(8, False)) for _ in range(count))
    has_request = reader.integer(1, False)
    request = None
    if has_request:
        request = SimpleNamespace(**{name: reader.integer(8, True) for name in fields})
    return Told(time, changes, request, reader.take(reader.left))


class QueueDecoder:
    """The decoder of such logs."""

    def __init__(self, log: Log) -> None:
        try:
            first = msgspec.convert(log.header.notes.get("tenants", {}), dict[str, str])
            self._epoch = msgspec.convert(log.header.notes.get(EPOCH), int | None)
        except ValueError as wrong:
            raise LogError(f"the log's notes cannot be read: {wrong}") from wrong
        self._names = first
        self._clients = log.clients  # more come, of a log under way
        self._waiting: dict[int, None] = {}
        self._at = -1  # the last record whose changes of who waits are in force

    def tells_end(self, policy: int, policies: int) -> bool:
        return policy == policies - 1  # one at a time: the last one in force

    def name_of(self, client: int) -> str:
        return self._clients.get(client) or self._names.get(str(client), str(client))

    def time(self, record: Record) -> int | None:
        """Unix time in ns; None: the log does not say it."""
        return None if self._epoch is None else self._epoch + self.told(record).time

    def client_of(self, program: Program, hook: str, record: Record) -> str:
        """Whom a call is about, or chooses; empty: nobody.  Raises `CodecError`."""
        found = self.told(record)
        handler = program.handler(hook)
        assert handler is not None, f"{program.name} has no {hook}"
        if found.request is not None and hasattr(found.request, "client"):
            return self.name_of(found.request.client)
        if handler.params and isinstance(handler.params[0].type, KeyType):
            return self.name_of(Reader(found.rest).value(handler.params[0].type))
        if isinstance(handler.returns, KeyType):
            return self.name_of(Reader(record.result).value(handler.returns))
        return ""

    def whose(self, program: Program, hook: str, record: Record, answers: Answers) -> tuple[str, str]:
        """The client, and the request."""
        about = f"request {record.instance - 1}" if record.instance else hook
        return self.client_of(program, hook, record), about

    def forget(self, program: Program, instance: int) -> None:
        """Nothing is kept."""

    def beside(self, program: Program, hook: str, record: Record) -> Call:
        return self.call(program, hook, record)

    def told(self, record: Record) -> Told:
        """Of a stratum whose requests have no fields.  Raises `CodecError`."""
        return told(record, ())

    def call(self, program: Program, hook: str, record: Record) -> Call:
        """The call that a record describes.  Raises `CodecError`."""
        found = self.told(record)
        # With another policy each record is asked for twice, once for each.
        if record.sequence > self._at:
            self._change(found.changes)
            self._at = record.sequence
        handler = program.handler(hook)
        assert handler is not None, f"{program.name} has no {hook}"
        reader = Reader(found.rest)
        args = [self._argument(p.type, reader, found) for p in handler.params]
        return Call(
            args,
            lambda value: encode(handler.returns, value),
            ends=hook == "finish",
            waiting=list(self._waiting),
        )

    def _argument(self, t: Any, reader: Reader, found: Told) -> object:
        if not isinstance(t, ViewType):
            value: object = reader.value(t)
            return value
        if found.request is None:
            raise CodecError("a request is wanted, and none was recorded")
        return found.request

    def _change(self, changes: tuple[tuple[int, int], ...]) -> None:
        for kind, client in changes:
            if kind == LEFT:
                self._waiting.pop(client, None)
            elif kind == JOINED:
                self._waiting.setdefault(client)
            elif kind == CLEARED:
                self._waiting.clear()
            else:
                raise CodecError(f"a change of who waits of an unknown kind {kind}")

    def words(self, program: Program, hook: str, result: bytes) -> str:
        """A result as a person reads it: `pick` by the tenant's name."""
        handler = program.handler(hook)
        assert handler is not None, f"{program.name} has no {hook}"
        return spelled(Reader(result).value(handler.returns), handler.returns, self.name_of)
