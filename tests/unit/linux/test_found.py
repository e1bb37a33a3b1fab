# SPDX-License-Identifier: Apache-2.0
"""A kernel is looked for in memory that any program of that machine may have filled."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.unit.linux.test_kallsyms import a_table
from transect.linux import KernelDataError, found
from transect.linux.found import find_kernel
from transect.linux.kallsyms import DIGITS, Symbols
from transect.linux.physical import Extent, FileMemory

PAGE = 4096


def memory(folder: Path, data: bytes) -> FileMemory:
    (folder / "memory").write_bytes(data)
    return FileMemory(folder / "memory", [Extent(0, len(data), 0)], live=False)


def in_each_page(part: bytes, pages: int) -> bytes:
    return (part + bytes(PAGE - len(part) % PAGE)) * pages


@pytest.fixture
def symbols(monkeypatch: pytest.MonkeyPatch) -> list[Symbols]:
    """Of the tables that were taken for a kernel's; none has a kernel around it."""
    taken: list[Symbols] = []

    def no_kernel(memory: object, start: int, data: bytes, symbols: Symbols) -> None:
        taken.append(symbols)
        raise KernelDataError("no kernel is around these symbols")

    monkeypatch.setattr(found, "_found", no_kernel)
    return taken


def test_a_table_is_found_behind_what_has_its_digits_too(tmp_path: Path, symbols: list[Symbols]) -> None:
    table, addresses = a_table("placed")
    with pytest.raises(KernelDataError, match="no kernel is around these symbols"):
        find_kernel(memory(tmp_path, in_each_page(DIGITS, 50) + table + bytes(PAGE)))
    assert [len(one) for one in symbols] == [len(addresses)]


@pytest.mark.parametrize(
    "filling", [DIGITS, DIGITS * 400, a_table("placed")[0]], ids=["digits", "many", "tables"]
)
def test_memory_full_of_what_looks_like_a_kernel_is_refused(
    filling: bytes, tmp_path: Path, symbols: list[Symbols], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "SEEN", 60)
    monkeypatch.setattr(found, "TABLES", 6)
    began = time.monotonic()
    with pytest.raises(KernelDataError, match="too much in this memory looks like a table of symbols"):
        find_kernel(memory(tmp_path, in_each_page(filling, 100)))
    assert time.monotonic() - began < 60 and len(symbols) <= 6


class Asked:
    """Memory that notes how much is wanted at once."""

    largest = 0

    def read(self, address: int, size: int) -> bytes:
        self.largest = max(self.largest, abs(size))
        return b""


@pytest.mark.parametrize("size", [1 << 40, (64 << 20) + 1, -8])
def test_types_of_a_size_that_no_kernel_has_are_not_read(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 0xFFFFFFFF81000000
    places = {
        "_text": text,
        "init_top_pgt": text,
        "__start_BTF": text + 4096,
        "__stop_BTF": text + 4096 + size,
    }
    symbols = Symbols([b"T" + name.encode() for name in places], list(places.values()))
    monkeypatch.setattr(found, "_mapped_at", lambda memory, root, base: text)
    memory = Asked()
    with pytest.raises(KernelDataError, match="the types of this kernel"):
        found._rebased(memory, b"Linux version ", 0, symbols, 0, relative=False)  # type: ignore[arg-type]
    assert memory.largest == 0


def test_a_banner_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 0xFFFFFFFF81000000
    places = {"_text": text, "init_top_pgt": text, "__start_BTF": text, "__stop_BTF": text}
    symbols = Symbols([b"T" + name.encode() for name in places], list(places.values()))
    monkeypatch.setattr(found, "_mapped_at", lambda memory, root, base: text)
    monkeypatch.setattr(found, "Btf", lambda data: data)
    data = b"Linux version " + b"x" * 100_000
    made = found._rebased(Asked(), data, 0, symbols, 0, relative=False)  # type: ignore[arg-type]
    assert len(made.banner) == found.BANNER
