# SPDX-License-Identifier: Apache-2.0
"""Reading a log, strictly.  A log is read up to its first damage, which is reported."""

from __future__ import annotations

import errno
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transect.base.bounded import head, whole
from transect.core.type_json import SchemaError
from transect.replay.log import (
    CHECK,
    CLIENT,
    FRAME,
    MAGIC,
    READ,
    VERSION,
    Header,
    Log,
    LogError,
    Naming,
    Policy,
    Record,
    Trailer,
)

LARGEST = 4 << 30  # bytes of a log: it is held in memory whole


def read(source: Path | bytes) -> Log:
    """The log in a file or in memory.

    Raises `LogError` when it is no log, or one of a version that is not known; a log that is cut short or damaged later
    on is read up to there and says so (`Log.damage`).
    """
    data = source if isinstance(source, bytes) else head(source, len(MAGIC))
    if data[: len(MAGIC)] != MAGIC:
        raise LogError("this is no log of transect")
    data = source if isinstance(source, bytes) else _all_of(source)
    version = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "little")
    if version not in READ:
        raise LogError(f"log version {version} is not known; this is version {VERSION}")
    return Reading(data).log()


def _all_of(path: Path) -> bytes:
    try:
        return whole(path, LARGEST)
    except OSError as wrong:
        if wrong.errno != errno.EFBIG:
            raise
        raise LogError(f"the log cannot be read: {wrong.strerror}; record for a shorter time") from wrong


class Reading:
    """A log, frame by frame."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.header: Header | None = None
        self.policies: list[Policy] = []
        self.records: list[Record] = []
        self.trailer: Trailer | None = None
        self.names: dict[int, Naming] = {}
        self.clients: dict[int, str] = {}

    def log(self) -> Log:
        damage = ""
        try:
            for kind, payload in self.frames():
                self.take(kind, payload)
        except LogError as error:
            damage = str(error)
        if self.header is None:
            raise LogError(damage or "the log ends before its header")
        if not damage and self.trailer is not None and self.trailer.records != len(self.records):
            damage = f"the log has {len(self.records)} records, and says {self.trailer.records}"
        if not damage and self.trailer is not None:
            damage = self.strange_end(self.trailer)
        return Log(
            self.header,
            tuple(self.policies),
            tuple(self.records),
            self.trailer,
            tuple(self.names.values()),
            self.clients,
            damage,
        )

    def strange_end(self, trailer: Trailer) -> str:
        """What no recorder writes; empty: nothing."""
        if trailer.dropped < 0:
            return f"the log says that {trailer.dropped} calls were dropped"
        unknown = [number for number in trailer.finals if not 0 <= number < len(self.policies)]
        return (
            f"the log ends with the state of policy {unknown[0]}, which it does not have" if unknown else ""
        )

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        at = len(MAGIC) + 4
        while at < len(self.data):
            if len(self.data) - at < FRAME.size:
                raise LogError(f"the log is cut short after {at} bytes")
            kind, size = FRAME.unpack_from(self.data, at)
            end = at + FRAME.size + size
            if end + CHECK.size > len(self.data):
                raise LogError(f"the log is cut short after {at} bytes")
            (check,) = CHECK.unpack_from(self.data, end)
            if zlib.crc32(self.data[at:end]) != check:
                raise LogError(f"the log is damaged after {at} bytes")
            yield kind, self.data[at + FRAME.size : end]
            at = end + CHECK.size

    def take(self, kind: bytes, payload: bytes) -> None:
        if self.trailer is not None:
            raise LogError("the log goes on after its end")
        if (self.header is None) != (kind == b"H"):
            raise LogError("the header is not where it belongs")
        match kind:
            case b"H":
                self.header = self.value(payload, Header)
            case b"P":
                self.policies.append(self.value(payload, Policy))
            case b"R":
                self.records.append(self.record(payload))
            case b"N":
                naming = Naming.unpack(payload)
                self.names.setdefault(naming.instance, naming)
            case b"C":
                self.client(payload)
            case b"T":
                self.trailer = self.value(payload, Trailer)
            case _:
                raise LogError(f"a frame of an unknown kind: {kind!r}")

    def value(self, payload: bytes, of: Any) -> Any:
        try:
            return of.from_json(json.loads(payload))
        except (ValueError, RecursionError, SchemaError) as error:  # msgspec's own among them
            raise LogError(f"the {of.__name__.lower()} cannot be read: {error}") from error

    def client(self, payload: bytes) -> None:
        if len(payload) < CLIENT.size:
            raise LogError("the name of a client is shorter than its number")
        self.clients[CLIENT.unpack_from(payload)[0]] = payload[CLIENT.size :].decode(errors="replace")

    def record(self, payload: bytes) -> Record:
        found = Record.unpack(payload)
        if found.policy >= len(self.policies):
            raise LogError(
                f"record {found.sequence} is of policy {found.policy}, which the log does not have"
            )
        if found.hook >= len(self.policies[found.policy].hooks):
            raise LogError(f"record {found.sequence} is of hook {found.hook}, which its policy does not have")
        return found
