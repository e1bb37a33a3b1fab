# SPDX-License-Identifier: Apache-2.0
"""Random handlers of all that BPF has of the language: numbers of every kind, options, arrays, tables, loops, match."""

from __future__ import annotations

import random

from tests.operators import infix

HEAD = """
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import Array, Map, Tally, array, as_int, as_u64, given, i16, i32, table, tally, u8, u16, u64


class P(Scheduler):
    ready: Fifo = given()
    a: int = 3
    b: int = -7
    wide: u64 = 5
    byte: u8 = 200
    half: i16 = -30000
    word: i32 = 2147483647
    flag: bool = False
    maybe: int | None = None
    slots: Array[int] = array(8)
    bytes_: Array[u8] = array(4)
    seen: Tally[int, int] = tally(6)
    last: Map[int, i16] = table(5)
    found: Array[int] = array(24)

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        self.ready.take()

    def _mix(self, x: int, y: int) -> int:
        if x > y:
            return x - y
        self.b += 1
        return x ^ y

    def _half(self, x: int) -> int | None:
        return x // 2 if x % 2 == 0 else None

    def alarm(self, x: int) -> None:
        y = x
        z = 1
"""
TAIL = """
        for k in range(8):
            self.found[k] = self.seen[k]
        for k in range(8):
            self.found[k + 8] = self.last.get(k, -99)
        self.found[16] = self.seen.overflow
        self.found[17] = self.last.overflow
"""
NUMBERS = (0, 1, 2, 3, 7, 8, 63, 64, 100, 255, 256, 32767, 65536, 2**31 - 1, 2**31, 2**53, 2**62, 2**63 - 1)


class Writer:
    """One handler's text."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.loops = 0

    def number(self) -> str:
        value = self.random.choice(NUMBERS)
        return str(value) if self.random.random() < 0.7 else f"-{value}"

    def integer(self, depth: int = 3) -> str:
        if depth == 0:
            return self.random.choice(
                ("x", "y", "z", "self.a", "self.b", "self.byte", "self.half", "self.word", self.number())
            )
        left, right = self.integer(depth - 1), self.integer(depth - 1)
        match self.random.randrange(12):
            case 0 | 1 | 2 | 3 | 4 | 5:
                return f"({left} {self.random.choice(infix('iii'))} {right})"
            case 6:
                return f"{self.random.choice(('min', 'max'))}({left}, {right})"
            case 7:
                return f"({left} if {self.boolean(depth - 1)} else {right})"
            case 8:
                return f"abs({left})" if self.random.random() < 0.5 else f"(-{left})"
            case 9:
                return f"self.slots[{left} & 7]" if self.random.random() < 0.6 else f"self.seen[{left} & 7]"
            case 10:
                return f"self.last.get({left} & 7, {right})"
            case _:
                return f"as_int({self.unsigned(depth - 1)})"

    def unsigned(self, depth: int) -> str:
        if depth == 0:
            return "self.wide" if self.random.random() < 0.6 else f"as_u64({self.integer(0)})"
        left, right = self.unsigned(depth - 1), self.unsigned(depth - 1)
        op = self.random.choice(infix("uuu"))
        if self.random.random() < 0.2:
            return f"{self.random.choice(('min', 'max'))}({left}, {right})"
        return f"({left} {op} {right})"

    def boolean(self, depth: int) -> str:
        compare = self.random.choice(("==", "!=", "<", "<=", ">", ">="))
        match self.random.randrange(7):
            case 0:
                return "self.flag"
            case 1:
                return f"({self.unsigned(min(depth, 1))} {compare} {self.unsigned(min(depth, 1))})"
            case 2 if depth > 0:
                return f"({self.boolean(depth - 1)} {self.random.choice(('and', 'or'))} {self.boolean(depth - 1)})"
            case 3 if depth > 0:
                return f"(not {self.boolean(depth - 1)})"
            case 4:
                return f"({self.integer(0)} & 7 in self.{self.random.choice(('last', 'seen'))})"
            case _:
                return f"({self.integer(min(depth, 1))} {compare} {self.integer(min(depth, 1))})"

    def line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def statement(self, indent: int, depth: int) -> None:
        e = self.integer
        match self.random.randrange(16):
            case 0:
                self.line(indent, f"{self.random.choice('yz')} = {e()}")
            case 1:
                self.line(indent, f"self.{self.random.choice(('a', 'b', 'byte', 'half', 'word'))} = {e()}")
            case 2:
                op = self.random.choice(("+=", "-=", "*=", "//=", "%=", "&=", "|=", "^="))
                self.line(
                    indent, f"self.{self.random.choice(('a', 'b', 'byte', 'half', 'word'))} {op} {e(2)}"
                )
            case 3:
                self.line(indent, f"self.wide = {self.unsigned(2)}")
            case 4:
                self.line(indent, f"self.flag = {self.boolean(2)}")
            case 5:
                self.line(indent, f"self.maybe = {self.random.choice(('None', e(), f'self._half({e(1)})'))}")
            case 6:
                name = self.random.choice("ab")
                self.line(indent, f"self.{name} = {self.random.choice(('min', 'max'))}(self.{name}, {e(2)})")
            case 7:
                self.line(indent, f"self.slots[{e(1)} & 7] {self.random.choice(('=', '+=', '-='))} {e(2)}")
            case 8:
                self.line(indent, f"self.bytes_[{e(1)} & 3] {self.random.choice(('=', '+='))} {e(1)}")
            case 9:
                self.line(indent, f"self.seen[{e(1)} & 7] {self.random.choice(('=', '+=', '-='))} {e(2)}")
            case 10:
                self.line(indent, f"self.last[{e(1)} & 7] = {e(2)}")
            case 11:
                self.line(indent, f"del self.{self.random.choice(('seen', 'last'))}[{e(1)} & 7]")
            case 12 if depth:
                self.line(indent, f"if {self.boolean(2)}:")
                self.statement(indent + 1, depth - 1)
                if self.random.random() < 0.5:
                    self.line(indent, "else:")
                    self.statement(indent + 1, depth - 1)
            case 13 if depth:
                self.loops += 1
                start, stop = sorted(self.random.sample(range(-3, 9), 2))
                step = self.random.choice(("", ", 1", ", 2", ", 3"))
                self.line(indent, f"for n{self.loops} in range({start}, {stop}{step}):")
                self.line(indent + 1, f"z = z * 3 + n{self.loops}")
                if self.random.random() < 0.4:
                    self.line(indent + 1, f"if {self.boolean(1)}:")
                    self.line(indent + 2, self.random.choice(("break", "continue")))
                self.statement(indent + 1, depth - 1)
            case 14 if depth:
                subject = self.random.choice(
                    ("self.maybe", f"self._half({e(1)})", f"self.last.get({e(1)} & 7)")
                )
                self.loops += 1
                self.line(indent, f"match {subject}:")
                self.line(indent + 1, "case None:")
                self.statement(indent + 2, depth - 1)
                self.line(indent + 1, f"case {self.random.randrange(5)} | 7:")
                self.statement(indent + 2, depth - 1)
                self.line(indent + 1, f"case m{self.loops}:")
                self.line(indent + 2, f"self.a ^= m{self.loops}")
            case _:
                self.line(indent, f"self.a = self._mix({e(2)}, {e(1)})")


def handler(seed: int) -> str:
    """A policy whose `alarm` is random; its outcome depends on the seed alone."""
    writer = Writer(seed)
    for _ in range(9):
        writer.statement(2, 2)
    return HEAD + "\n".join(writer.lines) + TAIL


def arguments(seed: int, count: int) -> list[int]:
    """Numbers of all sizes."""
    chosen = random.Random(seed)
    return [
        chosen.choice((-1, 1)) * max(chosen.choice(NUMBERS) - chosen.randrange(3), 0) for _ in range(count)
    ]
