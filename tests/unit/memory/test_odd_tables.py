# SPDX-License-Identifier: Apache-2.0
"""Page tables as a machine that lies may have them: where they lead is looked at in small pieces, and ends."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest

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


@pytest.mark.parametrize("flags", [0, HUGE], ids=["tables that lead to themselves", "pages of a gigabyte"])
def test_code_that_lies_nowhere_is_looked_for_in_pieces(flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "MODULES_END", questions.AREA + (64 << 20))  # a part of it is enough
    memory = Lying(flags)
    answers: Any = object.__new__(Answers)
    answers.machine = SimpleNamespace(tables=PageTables(memory.read, 0, 4), physical=memory)
    answers.__dict__.update(books=[], _starts=[], _packs=lambda: [])
    found = answers.stray_code()
    assert found[:1] == [questions.AREA] and len(found) <= MOST
    assert memory.largest <= questions.PACK
