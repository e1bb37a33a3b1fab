# SPDX-License-Identifier: Apache-2.0
"""The few facts of a 64-bit little-endian ELF file that kernels and dumps need: segments and sections."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from mmap import mmap

from transect.linux.errors import KernelDataError

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
LOAD, NOTE = 1, 4  # types of segments
NOBITS = 8  # type of a section without bytes in the file
CORE = 4  # type of file
X86_64 = 62  # machine
MANY = 0xFFFF  # more segments than fit into 16 bits: the number stands in the first section


@dataclass(frozen=True, slots=True)
class Segment:
    type: int
    flags: int  # 1 execute, 2 write, 4 read
    offset: int  # in the file
    virtual: int
    physical: int
    file_size: int
    memory_size: int


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    type: int
    address: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Elf:
    """What an ELF file says about itself.  Nothing here was checked against the size of the file."""

    type: int
    machine: int
    segments: tuple[Segment, ...]
    sections_at: int
    section_count: int
    names: int  # number of the section that holds the names of sections


def header(head: bytes | mmap) -> Elf:
    """From the start of a file (all segments within it).  Raises `KernelDataError`."""
    if len(head) < HEADER.size or head[:6] != b"\x7fELF\x02\x01":
        raise KernelDataError("this is no 64-bit little-endian ELF file")
    fields = HEADER.unpack_from(head)
    _, kind, machine, _, _, segments_at, sections_at, _, _, size, count, section_size, sections, names = (
        fields
    )
    if (count and size != SEGMENT.size) or (sections and section_size != SECTION.size):
        raise KernelDataError("this ELF file has segments or sections of an unknown size")
    if count == MANY:
        if sections_at + SECTION.size > len(head):
            raise KernelDataError("this ELF file has so many segments that its head does not say how many")
        count = SECTION.unpack_from(head, sections_at)[7]
    if segments_at + count * SEGMENT.size > len(head):
        raise KernelDataError("this ELF file is cut off within its segments")
    found = []
    for i in range(count):
        kind_, flags, offset, virtual, physical, file_size, memory_size, _ = SEGMENT.unpack_from(
            head, segments_at + i * SEGMENT.size
        )
        found.append(Segment(kind_, flags, offset, virtual, physical, file_size, memory_size))
    return Elf(kind, machine, tuple(found), sections_at, sections, names)


def sections(data: bytes | mmap, elf: Elf) -> tuple[Section, ...]:
    """The sections of a whole file.  Raises `KernelDataError`."""
    end = elf.sections_at + elf.section_count * SECTION.size
    if end > len(data):
        raise KernelDataError("this ELF file is cut off within its sections")
    raw = [SECTION.unpack_from(data, elf.sections_at + i * SECTION.size) for i in range(elf.section_count)]
    if elf.section_count and elf.names >= elf.section_count:
        raise KernelDataError("this ELF file has no names of sections")
    table = data[raw[elf.names][4] : raw[elf.names][4] + raw[elf.names][5]] if raw else b""
    found = []
    for name, kind, _, address, offset, size, *_ in raw:
        end = table.find(b"\0", name)
        text = table[name : end if end >= 0 else len(table)].decode("utf-8", "replace")
        found.append(Section(text, kind, address, offset, size))
    return tuple(found)
