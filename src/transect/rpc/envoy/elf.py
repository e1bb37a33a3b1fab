# SPDX-License-Identifier: Apache-2.0
"""The part of the ELF format that tells what a binary exports and needs: section headers and dynamic symbols.

The format is that of the System V ABI, 64-bit little-endian; other files are refused.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transect.base.bounded import opened

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
DYNAMIC_SYMBOLS = 11  # SHT_DYNSYM
MACHINES = {62: "x86-64", 183: "aarch64"}


class NotElf(ValueError):
    """The file is no 64-bit little-endian ELF file; the text says what it is instead."""


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    kind: int
    offset: int
    size: int
    link: int  # of a symbol table: the section with its names


@dataclass(frozen=True, slots=True)
class Elf:
    data: mmap.mmap
    machine: str
    sections: tuple[Section, ...]

    def bytes_of(self, section: Section) -> bytes:
        return self.data[section.offset : section.offset + section.size]

    def symbols(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the dynamic symbols which the file (defines, lacks); raises NotElf."""
        try:
            return self._symbols()
        except (struct.error, IndexError, ValueError) as broken:
            raise NotElf(f"its symbols are damaged: {broken}") from broken

    def _symbols(self) -> tuple[frozenset[str], frozenset[str]]:
        defined, lacking = set[str](), set[str]()
        for table in self.sections:
            if table.kind != DYNAMIC_SYMBOLS:
                continue
            names = self.bytes_of(self.sections[table.link])
            for name, _info, _other, section, _value, _size in SYMBOL.iter_unpack(self.bytes_of(table)):
                text = names[name : names.index(0, name)].decode("ascii", "replace")
                if text:
                    (defined if section else lacking).add(text)
        return frozenset(defined), frozenset(lacking)


@contextmanager
def open_elf(path: Path) -> Iterator[Elf]:
    """The file, mapped while the block runs; raises NotElf and OSError."""
    with opened(path) as file:
        head = file.read(HEADER.size)
        if head.startswith(b"#!"):
            raise NotElf(f"{path} is a script")
        if len(head) < HEADER.size or not head.startswith(b"\x7fELF\x02\x01"):
            raise NotElf(f"{path} is no 64-bit ELF file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                found = _read(path, data)
            except (struct.error, IndexError, ValueError) as broken:
                raise NotElf(f"{path} is damaged: {broken}") from broken
            yield found


def _read(path: Path, data: mmap.mmap) -> Elf:
    fields = HEADER.unpack_from(data)
    machine, table, entry, count, names_at = fields[2], fields[6], fields[11], fields[12], fields[13]
    if entry != SECTION.size:
        raise NotElf(f"{path} has no section headers")
    raw = [SECTION.unpack_from(data, table + i * entry) for i in range(count)]
    names = raw[names_at][4]

    def name(at: int) -> str:
        start = names + at
        return data[start : data.find(b"\0", start)].decode("ascii", "replace")

    sections = tuple(Section(name(s[0]), s[1], s[4], s[5], s[6]) for s in raw)
    return Elf(data, MACHINES.get(machine, f"machine {machine}"), sections)
