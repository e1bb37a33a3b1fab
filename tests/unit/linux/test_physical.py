# SPDX-License-Identifier: Apache-2.0
"""Memory in files: RAM files, ELF cores, LiME, kdump; whole, cut off and damaged."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.linux import KernelDataError, elf
from transect.linux.physical import (
    LIME,
    LIME_MAGIC,
    Extent,
    FileMemory,
    OutOfRange,
    Physical,
    Range,
    dump,
    ram,
)

PAGES = {0x1000: b"a" * 4096, 0x2000: bytes(range(256)) * 16, 0x8000: b"z" * 4096}


def a_core(pages: dict[int, bytes] = PAGES) -> bytes:
    head = elf.HEADER.pack(
        b"\x7fELF\x02\x01\x01" + bytes(9), 4, 62, 1, 0, 64, 0, 0, 64, elf.SEGMENT.size, len(pages), 64, 0, 0
    )
    at = len(head) + elf.SEGMENT.size * len(pages)
    segments = data = b""
    for address, page in pages.items():
        segments += elf.SEGMENT.pack(1, 4, at + len(data), 0, address, len(page), len(page), 0)
        data += page
    return head + segments + data


def a_lime() -> bytes:
    return b"".join(LIME.pack(LIME_MAGIC, 1, a, a + len(p) - 1, 0) + p for a, p in PAGES.items())


def a_kdump() -> bytes:
    frames = [a // 4096 for a in PAGES]
    head = bytearray(4096)
    head[:8] = b"KDUMP   "
    struct.pack_into("<iiiII", head, 424, 1, 4096, 1, 2, max(frames) + 1)
    sub = bytearray(4096)
    struct.pack_into("<Q", sub, 96, max(frames) + 1)
    bitmap = bytearray(4096)
    for frame in frames:
        bitmap[frame >> 3] |= 1 << (frame & 7)
    at = 4096 * 4 + 24 * len(frames)
    table = data = b""
    for page in PAGES.values():
        packed = zlib.compress(page)
        table += struct.pack("<qIIQ", at + len(data), len(packed), 1, 0)
        data += packed
    return bytes(head + sub + bitmap + bitmap) + table + data


def a_flattened_kdump() -> bytes:
    """The pieces in another order than in the file; the first one is written again at the end."""
    whole = a_kdump()
    starts = [*range(0, len(whole), 5000)]
    pieces = [(s, whole[s : s + 5000]) for s in [*starts[::-1], 0]]
    pieces[len(starts) - 1] = (0, bytes(5000))
    head = b"makedumpfile".ljust(16, b"\0") + struct.pack(">qq", 1, 1)
    return (
        head.ljust(4096, b"\0")
        + b"".join(struct.pack(">qq", s, len(p)) + p for s, p in pieces)
        + b"\xff" * 16
    )


KINDS = {"core": a_core, "lime": a_lime, "kdump": a_kdump, "flattened": a_flattened_kdump}


def opened(tmp_path: Path, data: bytes) -> Physical:
    (tmp_path / "dump").write_bytes(data)
    return dump(tmp_path / "dump")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_pages(tmp_path: Path, kind: str) -> None:
    memory = opened(tmp_path, KINDS[kind]())
    assert not memory.live
    assert memory.read(0x2010, 16) == bytes(range(16, 32))
    assert memory.read(0x8FFF, 1) == b"z"
    assert memory.ranges[-1] == Range(0x8000, 0x9000)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", [0, 0x3000, 0x8FFF, 1 << 60])
def test_an_address_without_memory_is_refused(tmp_path: Path, kind: str, address: int) -> None:
    with pytest.raises(OutOfRange):
        opened(tmp_path, KINDS[kind]()).read(address, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_says_so(tmp_path: Path, kind: str) -> None:
    whole = KINDS[kind]()
    with pytest.raises(KernelDataError, match=r"cut off|damaged|has \d+ bytes"):
        memory = opened(tmp_path, whole[:-40])
        memory.read(0x8000, 4096)


def test_a_part_beyond_the_last_address_is_refused(tmp_path: Path) -> None:
    """Machine code would count on from 0 there, and the interpreter would not."""
    (tmp_path / "dump").write_bytes(bytes(8192))
    with pytest.raises(KernelDataError, match="goes beyond all addresses"):
        FileMemory(tmp_path / "dump", [Extent((1 << 64) - 4096, (1 << 64) + 4096, 0)], live=False)
    FileMemory(tmp_path / "dump", [Extent((1 << 64) - 8192, 1 << 64, 0)], live=False)


def test_a_core_of_a_process_is_refused(tmp_path: Path) -> None:
    data = bytearray(a_core())
    for i in range(len(PAGES)):
        struct.pack_into("<Q", data, 64 + i * elf.SEGMENT.size + 24, 0)
    with pytest.raises(KernelDataError, match="without physical addresses"):
        opened(tmp_path, bytes(data))


SEGMENT = {
    "type": ("<I", 0),
    "offset": ("<Q", 8),
    "physical": ("<Q", 24),
    "file": ("<Q", 32),
    "memory": ("<Q", 40),
}
CONTRADICTIONS = {
    "less memory than bytes": ({"memory": 0}, "4096 bytes, and memory for 0"),
    "memory for one byte": ({"memory": 1}, "4096 bytes, and memory for 1"),
    "memory beyond all addresses": ({"memory": (1 << 64) - 1}, "beyond all addresses"),
    "bytes beyond all addresses": ({"physical": (1 << 64) - 1}, "beyond all addresses"),
    "bytes that are its own head": ({"offset": 0}, "own head"),
    "bytes beyond the file": ({"offset": (1 << 64) - 4096}, "cut off"),
    "bytes of the next part": ({"file": 8192, "memory": 8192}, "two parts"),
    "a note beyond the file": ({"type": elf.NOTE, "offset": 1 << 60}, "note lies beyond its end"),
    "a note longer than the file": ({"type": elf.NOTE, "file": 1 << 60}, "note lies beyond its end"),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_core_that_contradicts_itself_is_refused(tmp_path: Path, what: str) -> None:
    changed, said = CONTRADICTIONS[what]
    data = bytearray(a_core())
    for name, value in changed.items():
        form, at = SEGMENT[name]
        struct.pack_into(form, data, 64 + at, value)
    with pytest.raises(KernelDataError, match=said):
        opened(tmp_path, bytes(data))


def test_a_core_of_another_processor_is_refused(tmp_path: Path) -> None:
    data = bytearray(a_core())
    struct.pack_into("<H", data, 18, 183)
    with pytest.raises(KernelDataError, match=r"another processor \(183\)"):
        opened(tmp_path, bytes(data))


@pytest.mark.parametrize(("at", "form", "value"), [(436, "<I", 1), (4096 + 96, "<Q", 1)])
def test_a_kdump_without_pages_is_refused(tmp_path: Path, at: int, form: str, value: int) -> None:
    """A scan of it would find nothing wrong."""
    data = bytearray(a_kdump())
    struct.pack_into(form, data, at, value)
    with pytest.raises(KernelDataError, match="holds no page"):
        opened(tmp_path, bytes(data))


def test_a_page_that_is_packed_in_two_ways_is_refused(tmp_path: Path) -> None:
    data = bytearray(a_kdump())
    struct.pack_into("<I", data, 4 * 4096 + 12, 3)
    with pytest.raises(KernelDataError, match="packed in an unknown way"):
        opened(tmp_path, bytes(data)).read(0x1000, 8)


def test_two_parts_for_one_address_are_refused(tmp_path: Path) -> None:
    record = LIME.pack(LIME_MAGIC, 1, 0, 4095, 0) + bytes(4096)
    with pytest.raises(KernelDataError, match="two parts"):
        opened(tmp_path, record + record)


def test_a_ram_file_has_a_hole_below_4_gib(tmp_path: Path) -> None:
    path = tmp_path / "ram"
    with open(path, "wb") as file:
        file.truncate(3 << 30)
        file.seek(2 << 30)
        file.write(b"above")
    memory = ram(path)
    assert memory.live and memory.ranges == (Range(0, 2 << 30), Range(4 << 30, 5 << 30))
    assert memory.read(4 << 30, 5) == b"above"
    with pytest.raises(OutOfRange):
        memory.read(3 << 30, 1)


def test_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelDataError, match="neither an ELF core nor"):
        opened(tmp_path, b"not a dump at all" * 100)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=100)
def test_no_damage_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    whole = bytearray(KINDS[kind]())
    for at in data.draw(st.lists(st.integers(0, min(len(whole), 20000) - 1), max_size=8)):
        whole[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "dump"
    path.write_bytes(whole)
    with contextlib.suppress(KernelDataError):
        memory = dump(path)
        for address in (0, 0x1000, 0x2000, 0x8000):
            with contextlib.suppress(KernelDataError):
                memory.read(address, 4096)


def test_a_file_that_nobody_reads_any_more_is_closed(tmp_path: Path) -> None:
    made = {"ram": bytes(8192), "core": a_core(), "lime": a_lime(), "kdump": a_kdump(), "cut": a_core()[:-1]}
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)

    def opened() -> int:
        """Descriptors of these files."""
        links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
        return sum(os.path.realpath(link).startswith(str(tmp_path)) for link in links)

    kept = ram(tmp_path / "ram")
    assert (kept.read(0, 4), opened()) == (bytes(4), 1)
    for name in ("core", "lime", "kdump"):
        dump(tmp_path / name).read(0x1000, 8)
    with pytest.raises(KernelDataError):
        dump(tmp_path / "cut")
    assert opened() == 1
    kept.close()
    kept.close()
    assert opened() == 0
