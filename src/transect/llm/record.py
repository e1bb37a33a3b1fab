# SPDX-License-Identifier: Apache-2.0
"""Recording what a policy decides, and what the log says of one call.

arguments   i64 time (ns, monotonic); u32 changes of who waits since the call before, each u8 and u64 client (0 left,
            1 joined, 2 nobody waits any more: what follows is all); u8 whether it is about a request; if so its fields,
            i64 each, in the order of `FIELDS`; then the hook's arguments other than the request, by their types
tape        as in every log
result      by the type that the hook returns

Neither prompts nor outputs reach a log: nothing here ever holds their text.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.core.codec import encode
from transect.core.ir import Function, Program
from transect.core.schema import schema
from transect.core.types import ViewType
from transect.lang.tape import current, use
from transect.llm.adapter import Chooser, chooser_of
from transect.llm.native import image
from transect.llm.request import FIELDS, Held
from transect.replay.log import Header, Policy, Record, Trailer
from transect.replay.tape import RecordingTape, answer_types
from transect.replay.writer import Writer

if TYPE_CHECKING:
    from transect.llm.tenants import Tenants

LEFT, JOINED, CLEARED = 0, 1, 2

_TIME = struct.Struct("<q")
_COUNT = struct.Struct("<I")
_CHANGE = struct.Struct("<BQ")
_FACTS = struct.Struct(f"<{len(FIELDS)}q")

ABOUT_REQUESTS = ("accept", "arrive", "head", "admit", "charge", "retract", "finish")


class Recording:
    """A log under way.  Used under the lock of its service."""

    def __init__(self, path: Path, name: str, tenants: Tenants, *, real: bool) -> None:
        """Raises FileExistsError, OSError."""
        self.path = path
        self._tenants = tenants
        notes = {"tenants": {str(number): known for number, known in tenants.names().items()}}
        self._writer = Writer(path, Header("llm", name, real, notes))
        self._number = -1
        self._versions: dict[str, int] = {}
        self._sequence = 0
        self.request: Held | None = None  # that the call under way is about
        self.changes: list[tuple[int, int]] = []  # of who waits, since the last record

    def through(self, policy: Any, program: Program, sources: Mapping[str, str]) -> Chooser:
        """The chooser of the policy that is in force, with every call of it recorded from now on."""
        version = self._versions[program.name] = self._versions.get(program.name, 0) + 1
        start = image(policy)
        entry = Policy.of(
            program, schema(program), start, sources=sources, version=version, first=self._sequence
        )
        self._number = self._writer.policy(entry)
        self.changes = [(CLEARED, 0), *((JOINED, client) for client in policy.waiting)]
        chooser = chooser_of(_Recorded(policy, program, self), program)
        for hook in ABOUT_REQUESTS:
            inner = getattr(chooser, hook)
            if inner is not None:
                setattr(chooser, hook, self._about(inner))
        return chooser

    def _about(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Held, *rest: Any) -> Any:
            self.request = request
            try:
                return inner(request, *rest)
            finally:
                self.request = None

        return call

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
        changes, self.changes = self.changes, []
        pieces = [_TIME.pack(time.monotonic_ns()), _COUNT.pack(len(changes))]
        pieces += [_CHANGE.pack(kind, client) for kind, client in changes]
        request = self.request
        pieces.append(bytes((request is not None,)))
        if request is not None:
            pieces.append(_FACTS.pack(*(getattr(request, name) for name in FIELDS)))
        for parameter, value in zip(handler.params, args, strict=True):
            if not isinstance(parameter.type, ViewType):
                pieces.append(encode(parameter.type, value))
        return b"".join(pieces)

    def close(self, final: bytes) -> Trailer:
        """Raises OSError."""
        return self._writer.close({self._number: final})


class _Recorded:
    """A policy object, as its chooser sees it, whose hooks are recorded."""

    def __init__(self, policy: Any, program: Program, recording: Recording) -> None:
        self._policy = policy
        self.waiting = _RecordedWaiting(policy.waiting, recording)
        for handler in program.handlers:
            if hasattr(policy, handler.name):
                hook = _hook(program, handler, getattr(policy, handler.name), recording)
                setattr(self, handler.name, hook)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)


def _hook(
    program: Program, handler: Function, hook: Callable[..., Any], recording: Recording
) -> Callable[..., Any]:
    return lambda *args: recording.call(program, handler, hook, args)


class _RecordedWaiting:
    """Who waits, with every change noted for the next record."""

    def __init__(self, waiting: Any, recording: Recording) -> None:
        self._waiting = waiting
        self._recording = recording

    def append(self, client: int, /) -> None:
        self._recording.changes.append((JOINED, client))
        self._waiting.append(client)

    def remove(self, client: int, /) -> None:
        self._recording.changes.append((LEFT, client))
        self._waiting.remove(client)

    def __contains__(self, client: object) -> bool:
        return client in self._waiting
