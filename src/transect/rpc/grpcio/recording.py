# SPDX-License-Identifier: Apache-2.0
"""Recording an attached chain into a log of `transect.replay`."""

from __future__ import annotations

import time
from pathlib import Path

from transect.base.request_id import Named
from transect.core.frontend.source import text_now
from transect.core.schema import schema
from transect.replay.log import Header, Policy, Trailer
from transect.replay.log import Record as Logged
from transect.replay.writer import Writer
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.needs import HOOKS
from transect.rpc.chain.replay import about
from transect.rpc.grpcio.handle import Handle, Record

REMEMBERED = 1024  # RPCs whose names are not written again; writing one twice would do no harm
PATIENCE = 0.001  # seconds between two checks for the last records


class Recording:
    """A log under way: from its making to `end`."""

    def __init__(self, path: Path, name: str, binding: Binding, handle: Handle, carrier: str) -> None:
        """Begins at once.  Raises FileExistsError, OSError."""
        self.path = path
        self._handle = handle
        self._elements = len(binding.elements)
        programs = [element.program for element in binding.elements]
        self._hooks = [_numbers([h.name for h in program.handlers]) for program in programs]
        self._early: list[Record] = []  # while the head is being written
        self._writer: Writer | None = None
        self._named: dict[int, None] = {}  # RPCs whose names the log has
        with path.open("xb"):
            pass
        path.unlink()
        self.under_way = handle.open
        starts = handle.record(self._take, self._elements)
        notes = about(binding) | {"carrier": carrier, "under_way": self.under_way}
        writer = Writer(path, Header("rpc", name, True, notes))
        for program, start in zip(programs, starts, strict=True):
            sources = {program.path: text_now(program.path)}
            writer.policy(Policy.of(program, schema(program), start, sources=sources))
        self._writer = writer
        self._flush()

    def _take(self, record: Record) -> None:
        self._early.append(record)
        if self._writer is not None:
            self._flush()

    def _flush(self) -> None:
        assert self._writer is not None
        while self._early:
            try:
                sequence, rpc, element, hook, *rest, request_id, traceparent = self._early.pop(0)
            except IndexError:  # another thread was faster
                return
            called = Named(request_id.decode(errors="replace"), traceparent.decode(errors="replace"))
            if called.ids and rpc not in self._named:
                self._name(rpc, sequence, called)
            self._writer.add(Logged(sequence, element, self._hooks[element][hook], rpc, *rest))

    def _name(self, rpc: int, sequence: int, called: Named) -> None:
        """Name an RPC in the log: once, unless it came so long ago that this is forgotten here."""
        assert self._writer is not None
        self._writer.name(rpc, sequence, called)
        self._named[rpc] = None
        if len(self._named) > REMEMBERED:
            self._named.pop(next(iter([*self._named])), None)  # another thread may do the same

    def end(self) -> Trailer:
        """Close the log with the states of this moment.  Raises OSError when the disk did not take everything."""
        finals = self._handle.record(None, self._elements)
        while self._handle.busy:  # other threads still hand over what happened before
            time.sleep(PATIENCE)
        assert self._writer is not None
        return self._writer.close(dict(enumerate(finals)))


def _numbers(names: list[str]) -> tuple[int, ...]:
    """For each hook, by its number in `ts_record`: its index among the policy's handlers, or -1."""
    return tuple(names.index(hook) if hook in names else -1 for hook in HOOKS)
