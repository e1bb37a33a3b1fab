# SPDX-License-Identifier: Apache-2.0
"""Running policy texts on the interpreter, for tests which show input and output on one screen."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program

IMPORTS = """\
from enum import IntEnum
from typing import Final
from collections.abc import Mapping, Sequence
from transect.lang import (
    Array, Counter, Duration, Histogram, Instant, Key, Local, Map, OldState, Ordered, Param, Tally, array, as_float,
    as_int, as_text, as_u64, blob, counter, drop, fits, hash64, helper, histogram, i8, i16, i32, local, lru, ms,
    mul_div, now, ns, ordered, param, parse_int, rand, rand_below, seconds, state, struct, table, tally, text,
    trace, u8, u16, u32, u64, us,
)
from transect.rpc import (
    Cause, Code, Element, Forward, Headers, Message, Outcome, Reject, Respond, Retry, Rpc, Verdict,
)
from transect.shapes import Arbiter, Client

"""


def compiled(text: str) -> Program:
    """The last policy of a text, whose imports are made here."""
    result = compile_text(IMPORTS + dedent(text))
    assert result.programs, "\n".join(f"{d.span.line}: {d.code} {d.message}" for d in result.diagnostics)
    return result.programs[-1]


def arbiter(fields: str, charge: str = "pass", before: str = "") -> Instance:
    """An arbiter with these fields, whose `charge(client, cost)` has that body."""
    lines = [
        dedent(fields),
        "def charge(self, client: Client, cost: int) -> None:",
        indent(dedent(charge), "    "),
        "def pick(self) -> Client:",
        "    return min(self.waiting, key=lambda c: 0)",
    ]
    inside = indent("\n".join(lines), "    ")
    return Instance(compiled(f"{dedent(before)}\nclass P(Arbiter):\n{inside}\n"))


def value(expression: str, t: str = "int", first: str = "0", fields: str = "", before: str = "") -> Any:
    """What an expression gives: stored in a field of the type, which begins as `first`."""
    p = arbiter(f"{dedent(fields)}\nresult: {t} = {first}", f"self.result = {expression}", before)
    p.call("charge", (1, 5))
    return p.state["result"]
