# SPDX-License-Identifier: Apache-2.0
"""What a log is made of, and the bytes of each piece.

    magic   8 bytes `TRANSECT`, u32 version (2; 1 is the same without `N` and `C`)
    frame   u8 kind, u32 size, that many bytes, u32 CRC-32 of kind, size and bytes
      `H`   header, JSON: stratum, name of what was recorded, real
      `P`   a policy that comes into force, JSON: see `Policy`; they are numbered in order of appearance
      `N`   a request comes: u64 instance, u64 number of the call that is next, i64 Unix time (ns), its `x-request-id`,
            a line feed, its `traceparent`, each empty where there is none
      `C`   what a client is called: u64 its number, its name in UTF-8
      `R`   one handler call: the head of `Record` (36 bytes), arguments, tape, result
      `T`   trailer, JSON: see `Trailer`; the last frame of a log that was closed

Numbers are little-endian.  Values within arguments, tape and result are encoded as core/codec.py says.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from transect.base.request_id import Named
from transect.core.foreign import admitted
from transect.core.ir import Program
from transect.core.schema import Schema
from transect.core.text import TextError, dump

MAGIC = b"TRANSECT"
VERSION = 2
READ = (1, 2)  # versions
HEAD = struct.Struct("<QHHQIII4x")  # sequence, policy, hook, instance, sizes of arguments, tape, result
FRAME = struct.Struct("<cI")
CHECK = struct.Struct("<I")
NAMING = struct.Struct("<QQq")
CLIENT = struct.Struct("<Q")


class LogError(ValueError):
    """Bytes that are no log, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One handler call."""

    sequence: int  # within the policy's state instance: the order in which calls took effect
    policy: int  # number of the policy in force, see Log.policies
    hook: int  # index into the policy's hooks
    instance: int  # tells RPCs, requests, tasks apart
    arguments: bytes
    tape: bytes  # outside answers in the order asked; see tape.py
    result: bytes

    def pack(self) -> bytes:
        sizes = (len(self.arguments), len(self.tape), len(self.result))
        head = HEAD.pack(self.sequence, self.policy, self.hook, self.instance, *sizes)
        return head + self.arguments + self.tape + self.result

    @staticmethod
    def unpack(data: bytes) -> Record:
        if len(data) < HEAD.size:
            raise LogError("a record is shorter than its head")
        sequence, policy, hook, instance, *sizes = HEAD.unpack_from(data)
        if HEAD.size + sum(sizes) != len(data):
            raise LogError(f"record {sequence} does not have the size that its head says")
        at = HEAD.size
        pieces = []
        for size in sizes:
            pieces.append(data[at : at + size])
            at += size
        return Record(sequence, policy, hook, instance, *pieces)


@dataclass(frozen=True, slots=True)
class Naming:
    """What a request of the log is called."""

    instance: int
    sequence: int  # of the call that came next
    time: int  # Unix time in ns
    named: Named

    def pack(self) -> bytes:
        said = f"{self.named.request_id}\n{self.named.traceparent}"
        return NAMING.pack(self.instance, self.sequence, self.time) + said.encode(errors="replace")

    @staticmethod
    def unpack(data: bytes) -> Naming:
        if len(data) < NAMING.size:
            raise LogError("the name of a request is shorter than its head")
        instance, sequence, time = NAMING.unpack_from(data)
        request_id, _, traceparent = data[NAMING.size :].decode(errors="replace").partition("\n")
        return Naming(instance, sequence, time, Named(request_id, traceparent))


@dataclass(frozen=True)
class Policy:
    """A version of a policy, with everything that replay needs of it."""

    name: str
    version: int  # 1, 2 … of this policy within the log
    hooks: tuple[str, ...]
    program_text: str  # the checked program in the text form of the tree
    sources: Mapping[str, str]  # path -> text, for diagnostics
    source_hash: str
    schema: Schema
    start: bytes  # image of the state when it came into force
    first: int | None = None  # sequence number of its first call, when known

    @staticmethod
    def of(
        program: Program,
        schema: Schema,
        start: bytes,
        *,
        sources: Mapping[str, str],
        version: int = 1,
        first: int | None = None,
    ) -> Policy:
        """The entry of a checked program."""
        hooks = tuple(h.name for h in program.handlers)
        return Policy(
            program.name, version, hooks, dump(program), sources, program.source_hash, schema, start, first
        )

    @cached_property
    def program(self) -> Program:
        """The program, verified.  Raises `LogError` when its text cannot be read, or may not be run."""
        try:
            found = admitted(self.program_text)
        except TextError as error:
            raise LogError(f"the program of {self.name} cannot be read: {error}") from error
        if found.name != self.name or tuple(h.name for h in found.handlers) != self.hooks:
            raise LogError(f"the program of {self.name} has another name, or other hooks, than the log says")
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "hooks": list(self.hooks),
            "program": self.program_text,
            "sources": dict(self.sources),
            "source_hash": self.source_hash,
            "schema": self.schema.to_json(),
            "start": packed(self.start),
            "first": self.first,
        }

    @staticmethod
    def from_json(data: Any) -> Policy:
        told = msgspec.convert(data, _PolicyJson)
        return Policy(
            told.name,
            told.version,
            told.hooks,
            told.program,
            told.sources,
            told.source_hash,
            Schema.from_json(told.schema),
            unpacked(told.start),
            told.first,
        )


class _PolicyJson(msgspec.Struct):
    """What `Policy.to_json` writes."""

    name: str
    version: int
    hooks: tuple[str, ...]
    program: str
    sources: dict[str, str]
    source_hash: str
    schema: dict[str, Any]
    start: str
    first: int | None


class _TrailerJson(msgspec.Struct):
    """What `Trailer.to_json` writes."""

    records: int
    dropped: int
    finals: dict[str, str]


@dataclass(frozen=True, slots=True)
class Trailer:
    """How a recording ended."""

    records: int
    dropped: int  # calls that found no room in the recorder's buffer, or exceeded a bound
    finals: Mapping[int, bytes] = field(repr=False)  # by policy number: image of the state at the end

    def to_json(self) -> dict[str, Any]:
        finals = {str(number): packed(image) for number, image in self.finals.items()}
        return {"records": self.records, "dropped": self.dropped, "finals": finals}

    @staticmethod
    def from_json(data: Any) -> Trailer:
        told = msgspec.convert(data, _TrailerJson)
        finals = {int(number): unpacked(image) for number, image in told.finals.items()}
        return Trailer(told.records, told.dropped, finals)


@dataclass(frozen=True, slots=True)
class Header:
    stratum: str
    name: str  # of what was recorded: a chain, an engine, a scheduler
    real: bool  # recorded from what it says, not from a simulation
    notes: Mapping[str, Any] = field(default_factory=dict)  # a stratum's own; replay passes them on

    def to_json(self) -> dict[str, Any]:
        return {"stratum": self.stratum, "name": self.name, "real": self.real, "notes": dict(self.notes)}

    @staticmethod
    def from_json(data: Any) -> Header:
        return msgspec.convert(data, Header)


@dataclass(frozen=True, slots=True)
class Log:
    """A log that has been read."""

    header: Header
    policies: tuple[Policy, ...]
    records: tuple[Record, ...]
    trailer: Trailer | None
    names: tuple[Naming, ...] = ()  # of requests, in the order in which they were told
    clients: Mapping[int, str] = field(default_factory=dict)  # by number
    damage: str = ""  # why the rest of the file could not be read; empty for a whole one

    @property
    def complete(self) -> bool:
        """Whether it was closed, and no call is missing."""
        return not self.damage and self.trailer is not None and self.trailer.dropped == 0

    @property
    def shortcomings(self) -> str:
        """In words, why it is not complete; empty when it is."""
        if self.damage:
            return self.damage
        if self.trailer is None:
            return "the recording was not closed"
        return f"{self.trailer.dropped} calls were dropped" if self.trailer.dropped else ""


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unpacked(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def frame(kind: bytes, payload: bytes) -> bytes:
    """The bytes of one frame."""
    body = FRAME.pack(kind, len(payload)) + payload
    return body + CHECK.pack(zlib.crc32(body))


def json_frame(kind: bytes, value: Mapping[str, Any]) -> bytes:
    return frame(kind, json.dumps(value).encode())
