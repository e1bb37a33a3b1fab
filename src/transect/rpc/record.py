# SPDX-License-Identifier: Apache-2.0
"""What the log says of one handler call: as `ts_record`, encoded as `core/codec.py` says.

arguments   request, response: method, peer (text each), message (bytes)
            finish: method, peer, i64 code, i64 cause, i64 elapsed
tape        entries `n` i64, `d` u64, `a` and the answer by the intrinsic's type
result      request, response: the verdict (union), u8 rewritten, bytes of the rewritten message
            finish: option of Retry
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from transect.core.codec import Reader, encode
from transect.core.ir import Program
from transect.core.types import (
    BYTES,
    INT,
    TEXT,
    BytesType,
    OptionType,
    StructType,
    TextType,
    TupleType,
    Type,
    UnionType,
)
from transect.lang.tape import Tape
from transect.rpc.views import OutcomeView

HOOKS = ("request", "response", "finish")


@dataclass(frozen=True, slots=True)
class Record:
    """One handler call of one element."""

    sequence: int
    rpc: int
    element: int  # position in the chain
    hook: int  # 0 request, 1 response, 2 finish
    arguments: bytes
    tape: bytes
    result: bytes

    @staticmethod
    def of(
        program: Program,
        hook: str,
        verdict: Any,
        *,
        method: str,
        peer: str,
        message: bytes = b"",
        rewritten: bytes | None = None,
        outcome: OutcomeView | None = None,
        tape: bytes = b"",
    ) -> Record:
        """A record whose place is not known yet."""
        arguments = encode(TEXT, method) + encode(TEXT, peer)
        result = encode(verdict_type(program, hook), verdict)
        if outcome is None:
            arguments += encode(BYTES, message)
            result += bytes((rewritten is not None,)) + encode(BYTES, rewritten or b"")
        else:
            arguments += b"".join(encode(INT, int(x)) for x in (outcome.code, outcome.cause, outcome.elapsed))
        return Record(0, 0, 0, HOOKS.index(hook), arguments, tape, result)

    def placed(self, sequence: int, rpc: int, element: int) -> Record:
        return replace(self, sequence=sequence, rpc=rpc, element=element)


Recording: TypeAlias = Callable[[Record], None]


def verdict_type(program: Program, hook: str) -> Type:
    """What the hook returns; texts of verdicts have no bound."""
    handler = program.handler(hook)
    assert handler is not None, f"{program.name} has no {hook}"
    return unbounded(handler.returns)


def unbounded(t: Type) -> Type:
    match t:
        case TextType():
            return TEXT
        case BytesType():
            return BYTES
        case OptionType(item=item):
            return OptionType(unbounded(item))
        case TupleType(items=items):
            return TupleType(tuple(map(unbounded, items)))
        case StructType(fields=fields):
            return replace(t, fields=tuple(replace(f, type=unbounded(f.type)) for f in fields))
        case UnionType(cases=cases):
            found = (unbounded(case) for case in cases)
            return replace(t, cases=tuple(case for case in found if isinstance(case, StructType)))
        case _:
            return t


# ---------------------------------------------------------------- tapes


class TapeWriter:
    """A tape that keeps what it hands out, encoded."""

    def __init__(self, live: Tape, program: Program) -> None:
        self.entries = bytearray()
        self._live = live
        self._returns = {d.name: unbounded(d.returns) for d in program.intrinsics}

    def now(self) -> int:
        value = self._live.now()
        self.entries += b"n" + value.to_bytes(8, "little", signed=True)
        return value

    def draw(self) -> int:
        value = self._live.draw()
        self.entries += b"d" + value.to_bytes(8, "little")
        return value

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        value = self._live.answer(intrinsic, ask)
        self.entries += b"a" + encode(self._returns[intrinsic], value)
        return value


class TapeMismatch(Exception):
    """A replayed handler asked for something else than the recorded one did."""


class TapeReader:
    """A recorded tape, read back."""

    def __init__(self, entries: bytes, program: Program) -> None:
        self._reader = Reader(entries)
        self._returns = {d.name: unbounded(d.returns) for d in program.intrinsics}

    def _expect(self, kind: bytes) -> None:
        found = self._reader.take(1) if self._reader.left else b"end"
        if found != kind:
            raise TapeMismatch(f"asked for `{kind.decode()}`, recorded `{found.decode(errors='replace')}`")

    def now(self) -> int:
        self._expect(b"n")
        return self._reader.integer(8, signed=True)

    def draw(self) -> int:
        self._expect(b"d")
        return self._reader.integer(8)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        self._expect(b"a")
        found: object = self._reader.value(self._returns[intrinsic])
        return found

    @property
    def left(self) -> int:
        """Bytes that the replayed handler did not ask for."""
        return self._reader.left


def arguments_of(record: Record) -> tuple[str, str, bytes | OutcomeView]:
    """Method, peer, and the message or outcome."""
    reader = Reader(record.arguments)
    method, peer = reader.value(TEXT), reader.value(TEXT)
    if record.hook < 2:
        return method, peer, reader.value(BYTES)
    code, cause, elapsed = (reader.value(INT) for _ in range(3))
    return method, peer, OutcomeView(code, cause, elapsed)
