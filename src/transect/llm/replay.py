# SPDX-License-Identifier: Apache-2.0
"""Re-running a log of llm: what its records mean, for `transect.replay`; `record.py` says how they are laid out."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec

from transect.core.codec import CodecError, Reader, encode
from transect.core.ir import Program
from transect.core.types import ViewType
from transect.llm.record import CLEARED, JOINED, LEFT
from transect.llm.request import FIELDS
from transect.replay.compare import Call
from transect.replay.log import Log, LogError, Record


@dataclass(frozen=True, slots=True)
class Told:
    """What a record says that went into a call."""

    time: int  # ns
    changes: tuple[tuple[int, int], ...]
    request: SimpleNamespace | None
    rest: bytes  # the hook's other arguments


def told(record: Record) -> Told:
    """What is recorded of a call.  Raises `CodecError`."""
    reader = Reader(record.arguments)
    time = reader.integer(8, True)
    count = reader.integer(4, False)
    changes = tuple((reader.integer(1, False), reader.integer(8, False)) for _ in range(count))
    has_request = reader.integer(1, False)
    request = None
    if has_request:
        request = SimpleNamespace(**{name: reader.integer(8, True) for name in FIELDS})
        if request.client < 0 or request.group < 0:
            raise CodecError("the number of a client or group is less than 0")
    return Told(time, changes, request, reader.take(reader.left))


class LlmDecoder:
    """The decoder of logs whose stratum is `llm`."""

    def __init__(self, log: Log) -> None:
        try:
            self._names = msgspec.convert(log.header.notes.get("tenants", {}), dict[str, str])
        except ValueError as wrong:
            raise LogError(f"the log's tenants cannot be read: {wrong}") from wrong
        self._waiting: dict[int, None] = {}
        self._at = -1  # the last record whose changes of who waits are in force

    def tells_end(self, policy: int, policies: int) -> bool:
        return policy == policies - 1  # one at a time: the last one in force

    def call(self, program: Program, hook: str, record: Record) -> Call:
        """The call that a record describes.  Raises `CodecError`."""
        found = told(record)
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
        value = Reader(result).value(handler.returns)
        return self._names.get(str(value), str(value)) if hook == "pick" else repr(value)
