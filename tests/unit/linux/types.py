# SPDX-License-Identifier: Apache-2.0
"""BTF written by tests: records are added one by one, in the order of their numbers."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from transect.linux.btf import HEADER, MAGIC, Kind


class Writer:
    """BTF under way."""

    def __init__(self) -> None:
        self.types = bytearray()
        self.strings = bytearray(b"\0")
        self.count = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(
        self, kind: Kind, name: str, word: int, tail: bytes = b"", count: int = 0, flag: bool = False
    ) -> int:
        """One record; its number."""
        self.types += struct.pack("<III", self.name(name), flag << 31 | kind << 24 | count, word) + tail
        self.count += 1
        return self.count

    def integer(self, name: str, size: int, signed: bool = False) -> int:
        return self.add(Kind.INT, name, size, struct.pack("<I", signed << 24 | size * 8))

    def pointer(self, target: int) -> int:
        return self.add(Kind.PTR, "", target)

    def array(self, item: int, length: int) -> int:
        return self.add(Kind.ARRAY, "", 0, struct.pack("<III", item, item, length))

    def struct(
        self, name: str, size: int, members: Sequence[tuple[str, int, int]], kind: Kind = Kind.STRUCT
    ) -> int:
        """Members: name, type, offset in bytes."""
        tail = b"".join(struct.pack("<III", self.name(n), t, at * 8) for n, t, at in members)
        return self.add(kind, name, size, tail, len(members))

    def bits(self, name: str, size: int, members: Sequence[tuple[str, int, int, int]]) -> int:
        """A struct with bit fields.  Members: name, type, offset in bits, width in bits (0: an ordinary member)."""
        tail = b"".join(struct.pack("<III", self.name(n), t, w << 24 | at) for n, t, at, w in members)
        return self.add(Kind.STRUCT, name, size, tail, len(members), flag=True)

    def enum(self, name: str, values: Sequence[tuple[str, int]]) -> int:
        tail = b"".join(struct.pack("<Ii", self.name(n), v) for n, v in values)
        return self.add(Kind.ENUM, name, 4, tail, len(values), flag=True)

    def data(self) -> bytes:
        types, strings = bytes(self.types), bytes(self.strings)
        head = HEADER.pack(MAGIC, 1, 0, HEADER.size, 0, len(types), len(types), len(strings))
        return head + types + strings
