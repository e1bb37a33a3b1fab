# SPDX-License-Identifier: Apache-2.0
"""A walk as data.  A chain has registers and is at a step; each step is one READ, and what its answer does.

In this order an answer of a step
  - must have the word that `check` names equal to a register (a list's back pointer): else the chain is BROKEN;
  - begins a record with the register `opens`, adds the words that were read to it (`keeps`);
  - is tested: a record of which any test fails is dropped;
  - moves words, and registers, into registers;
  - puts the register `inserts` into a set, or drops the record whose register `outside` is in a set;
  - ends the record (`closes`);
  - leads to the step `then`; to `otherwise` where both registers of `stop` are equal.
The address of a READ is a register and an offset.  `Walker` says what all of that means; XDP and P4 do the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

REGISTERS = 8
MOVES = 6
TESTS = 4
DONE = -1
LONGEST = 1024  # bytes of one READ: one packet


class Status(IntEnum):
    """Where a chain stands."""

    IDLE = 0
    RUNNING = 1
    FINISHED = 2
    BROKEN = 3  # a back pointer disagrees
    OUTSIDE = 4  # a pointer to where there is no memory
    UNMAPPED = 5  # a page table has no page there
    STRADDLES = 6  # a READ over the end of a page that is found through page tables
    TOO_LONG = 7  # it has used its READs
    FULL = 8  # no room for another record
    REFUSED = 9  # the peer said no


REASONS = {
    Status.BROKEN: "a back pointer disagrees",
    Status.OUTSIDE: "a pointer leads to where there is no memory",
    Status.UNMAPPED: "a page is not mapped",
    Status.STRADDLES: "a structure lies on two pages",
    Status.TOO_LONG: "it has more elements than it may",
    Status.FULL: "there is no room for more records",
    Status.REFUSED: "the peer refused a READ",
}


@dataclass(frozen=True, slots=True)
class Move:
    """Register `into` becomes the word at `at` of the answer or, if there is a `source`, that register plus `at`."""

    into: int
    at: int
    source: int | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """Whether an unsigned number in the answer lies between two others, ends included."""

    at: int
    size: int  # bytes: 1, 2, 4, 8
    low: int
    high: int
    inverted: bool = False
    mask: int = (1 << 64) - 1

    def passes(self, data: bytes) -> bool:
        value = int.from_bytes(data[self.at : self.at + self.size], "little") & self.mask
        return (self.low <= value <= self.high) != self.inverted


@dataclass(frozen=True, slots=True)
class Step:
    """One READ."""

    base: int  # register
    offset: int
    length: int
    moves: tuple[Move, ...] = ()
    check: tuple[int, int] | None = None  # offset in the answer, register
    tests: tuple[Test, ...] = ()
    opens: int | None = None
    keeps: bool = False
    closes: bool = False
    inserts: int | None = None
    outside: int | None = None
    set: int = 0  # the number of the set
    stop: tuple[int, int] | None = None
    then: int = DONE
    otherwise: int = DONE
    why: str = ""  # what the probe reads this for, for people


@dataclass(frozen=True, slots=True)
class Chain:
    """A walk, and the registers with which it begins."""

    name: str
    steps: tuple[Step, ...]
    registers: tuple[int, ...]
    reads: int  # the most READs before it ends
    sets: int = 0  # how many sets the chains of its probe use

    def __post_init__(self) -> None:
        assert len(self.registers) == REGISTERS
        for step in self.steps:
            assert 0 < step.length <= LONGEST, f"{self.name}: a READ of {step.length} bytes"
            assert len(step.moves) <= MOVES and len(step.tests) <= TESTS, self.name
            assert all(DONE <= to < len(self.steps) for to in (step.then, step.otherwise)), self.name

    @property
    def record(self) -> int:
        """Bytes of a record: its address, and what its steps keep."""
        return 8 + sum(step.length for step in self.steps if step.keeps)
