# SPDX-License-Identifier: Apache-2.0
"""Tapes that record outside answers and that give them back.

Entries, in the order asked: `n` and the time (i64, ns); `d` and a draw (u64); `a` and an answer, encoded by the type
that the intrinsic returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from transect.base.span import Span
from transect.core.codec import CodecError, Reader, write
from transect.core.ir import Program
from transect.core.types import Type
from transect.lang.tape import Tape

LIMIT = 1 << 16  # bytes of one call's tape


def answer_types(program: Program) -> dict[str, Type]:
    """What each outside intrinsic of a program returns."""
    return {i.name: i.returns for i in program.intrinsics}


class RecordingTape:
    """Passes on to another tape, and keeps what it answered."""

    def __init__(self, live: Tape, types: Mapping[str, Type], limit: int = LIMIT) -> None:
        self.entries = bytearray()
        self._live = live
        self._types = types
        self._limit = limit

    @property
    def overflowed(self) -> bool:
        """Whether the call asked for more than the bound: then it cannot be replayed."""
        return len(self.entries) > self._limit

    def now(self) -> int:
        value = self._live.now()
        self._keep(b"n" + value.to_bytes(8, "little", signed=True))
        return value

    def draw(self) -> int:
        value = self._live.draw()
        self._keep(b"d" + value.to_bytes(8, "little"))
        return value

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        value = self._live.answer(intrinsic, ask)
        entry = bytearray(b"a")
        write(entry, self._types[intrinsic], value)
        self._keep(bytes(entry))
        return value

    def _keep(self, entry: bytes) -> None:
        if not self.overflowed:
            self.entries += entry


class TapeMismatch(Exception):
    """The handler asked for something else than what was recorded."""

    span: Span | None = None  # where in the policy, when what runs it knows


_WORDS = {b"n": "the time", b"d": "a random number", b"a": "an outside answer", b"": "nothing more"}


class ReplayingTape:
    """Gives recorded answers back, in their order, and checks that they are those asked for."""

    def __init__(self, entries: bytes, types: Mapping[str, Type]) -> None:
        self._reader = Reader(entries)
        self._types = types

    @property
    def left(self) -> int:
        """Bytes that were recorded and not asked for."""
        return self._reader.left

    def now(self) -> int:
        self._expect(b"n")
        return self._read(8, signed=True)

    def draw(self) -> int:
        self._expect(b"d")
        return self._read(8)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        self._expect(b"a")
        try:
            value: object = self._reader.value(self._types[intrinsic])
        except CodecError as error:
            raise TapeMismatch(f"the recorded answer is none of `{intrinsic}`: {error}") from error
        return value

    def _expect(self, kind: bytes) -> None:
        found = self._reader.take(1) if self._reader.left else b""
        if found != kind:
            recorded = _WORDS.get(found, f"an entry of an unknown kind {found!r}")
            raise TapeMismatch(f"the handler asks for {_WORDS[kind]}, where {recorded} was recorded")

    def _read(self, size: int, signed: bool = False) -> int:
        try:
            return self._reader.integer(size, signed)
        except CodecError as error:
            raise TapeMismatch(f"the recorded tape is {error}") from error
