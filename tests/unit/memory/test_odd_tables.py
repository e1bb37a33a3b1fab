# SPDX-License-Identifier: Apache-2.0
"""Page tables as a machine that lies may have them: where they lead is looked at in small pieces, and ends."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from transect.linux.errors import KernelDataError
from transect.linux.pages import ENTRIES, HUGE, PRESENT, WRITE, PageTables
from transect.memory import questions
from transect.memory.questions import MOST, Answers


class Lying:
    """Memory in which every page is the same table, of entries that all lead to that table."""

    def __init__(self, flags: int) -> None:
        self.table = struct.pack(f"<{ENTRIES}Q", *[PRESENT | WRITE | flags] * ENTRIES)
        self.largest = 0

    def read(self, address: int, size: int) -> bytes:
        self.largest = max(self.largest, size)
        return (self.table * -(-size // len(self.table)))[:size]


def asked(memory: Lying) -> Any:
    """What is asked about a kernel that has its text nowhere near."""
    answers: Any = object.__new__(Answers)
    answers.machine = SimpleNamespace(
        tables=PageTables(memory.read, 0, 4),
        physical=memory,
        known=SimpleNamespace(symbols=SimpleNamespace(address=lambda name: 0)),
        running=lambda address: address,
    )
    answers.__dict__.update(books=[], _starts=[], _packs=lambda: [], _real_mode=lambda: [], _kexec=lambda: [])
    return answers


@pytest.mark.parametrize("flags", [0, HUGE], ids=["tables that lead to themselves", "pages of a gigabyte"])
def test_code_that_lies_nowhere_is_looked_for_in_pieces(flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "UNOWNED", 64 << 20)  # a part of it is enough
    memory = Lying(flags)
    answers = asked(memory)
    found = answers.stray_code()
    assert found[:1] == [0xFFFF_8000_0000_0000] and len(found) <= MOST
    assert memory.largest <= questions.PACK


def test_empty_memory_that_is_executable_everywhere_is_not_called_clean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(questions, "_EMPTY", (Lying(HUGE).table,))
    monkeypatch.setattr(questions, "UNOWNED", 64 << 20)
    with pytest.raises(KernelDataError, match="more than 64 MiB of executable memory belong to nobody"):
        asked(Lying(HUGE)).stray_code()
