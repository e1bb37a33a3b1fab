# SPDX-License-Identifier: Apache-2.0
"""Messages as logs hold them: in the place of each secret field stands its digest.  `runtime/redact.h` does the same.

Every occurrence of such a field goes, wherever its message occurs: the first 4,096 of a message make room for their
digests, which are longer than most fields, the others for nothing.  What follows something malformed is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from transect.rpc.functions.meanings import digest_of
from transect.rpc.messages.rewriter import put_varint
from transect.rpc.messages.scanner import MAX_DEPTH, Malformed, deeper, read_size, read_tag, skip
from transect.rpc.messages.wire import Kind, ProtoMessage, Wire

MOST = 4096  # digests in one message; each has 64 bytes
Field = tuple[str, int]
"""A message by its full name, and the number of a field."""


class Redaction:
    """What is secret in the messages of a service: a field, or within a sub-message."""

    def __init__(self, messages: Mapping[str, ProtoMessage], secrets: Iterable[Field]) -> None:
        """`messages`: all that are reached, by full name; map entries are among them."""
        self.tables: dict[str, dict[int, str | None]] = {}  # by message and number: None, or the sub-message
        for name, number in secrets:
            self.tables.setdefault(name, {})[number] = None
        found = True
        while found:  # until no message more has something secret within
            found = False
            for message in messages.values():
                for f in message.fields:
                    if f.message in self.tables and f.number not in self.tables.get(message.name, {}):
                        self.tables.setdefault(message.name, {})[f.number] = f.message
                        found = True

    def __call__(self, message: str, data: bytes) -> bytes:
        """A message of that name as a log may hold it."""
        if message not in self.tables:
            return data
        return self._redacted(self.tables[message], data, MAX_DEPTH, iter(range(MOST)))

    def _redacted(
        self, table: Mapping[int, str | None], data: bytes, depth: int, left: Iterator[int]
    ) -> bytes:
        out, at = bytearray(), 0
        try:
            while at < len(data):
                start = at
                tag, at = read_tag(data, at)
                if tag >> 3 not in table or tag & 7 != Wire.SIZED:
                    at = skip(data, at, tag, depth)
                    out += data[start:at]
                    continue
                out += data[start:at]
                size, at = read_size(data, at)
                held, at = data[at : at + size], at + size
                inner = table[tag >> 3]
                if inner is not None:
                    held = self._redacted(self.tables[inner], held, deeper(depth), left)
                elif held:
                    held = b"" if next(left, None) is None else digest_of(held).encode()
                put_varint(out, len(held))
                out += held
        except Malformed:
            pass  # the rest is left out
        return bytes(out)


def in_groups(messages: Mapping[str, ProtoMessage], redaction: Redaction) -> Iterable[Field]:
    """Sub-messages with something secret that are written as groups, which are not looked into."""
    for message in messages.values():
        for f in message.fields:
            if f.kind is Kind.GROUP and f.message in redaction.tables:
                yield message.name, f.number
