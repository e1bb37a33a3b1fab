# SPDX-License-Identifier: Apache-2.0
"""What the log says of one handler call: the same as `ts_record`, encoded as in `core/codec.py`.

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
    Type,
)
from transect.rpc.chain.needs import HOOKS
from transect.rpc.chain.views import OutcomeView


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
        """A record whose number and place in the log are not known yet."""
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
    """The type that the hook returns."""
    handler = program.handler(hook)
    assert handler is not None, f"{program.name} has no {hook}"
    return handler.returns


def arguments_of(record: Record) -> tuple[str, str, bytes | OutcomeView]:
    """Method, peer, and the message or outcome."""
    reader = Reader(record.arguments)
    method, peer = reader.value(TEXT), reader.value(TEXT)
    if record.hook < 2:
        return method, peer, reader.value(BYTES)
    code, cause, elapsed = (reader.value(INT) for _ in range(3))
    return method, peer, OutcomeView(code, cause, elapsed)
