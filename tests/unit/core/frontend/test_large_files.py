# SPDX-License-Identifier: Apache-2.0
"""Files with thousands of definitions take time in proportion to their size."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest

from transect.core.frontend import compile_text

HEAD = """\
from enum import IntEnum

from transect.lang import helper, struct
from transect.rpc import Element, Forward, Message, Rpc, Verdict

"""
FORWARD = "    def request(self, rpc: Rpc) -> Verdict:\n{}        return Forward()\n\n"


def policy(fields: str = "", lines: str = "", name: str = "P") -> str:
    return f"class {name}(Element):\n    n: int = 0\n{fields}{FORWARD.format(lines)}"


def structs(n: int) -> str:
    return "".join(f"@struct\nclass S{i}:\n    a: int = 0\n\n" for i in range(n)) + policy()


def enums(n: int) -> str:
    return "".join(f"class E{i}(IntEnum):\n    A = 0\n\n" for i in range(n)) + policy()


def views(n: int) -> str:
    named = "".join(f"class M{i}(Message):\n    a: int\n\n" for i in range(n))
    used = "".join(f"        x{i} = rpc.msg.a\n" for i in range(n))
    return named + policy(lines=used).replace("rpc: Rpc", f"rpc: Rpc[M{n - 1}]")


def members(n: int) -> str:
    named = "".join(f"    M{i} = {i}\n" for i in range(n))
    used = "".join(f"        self.e = E.M{i}\n" for i in range(n))
    return f"class E(IntEnum):\n{named}\n" + policy("    e: E = E.M1\n", used)


def methods(n: int) -> str:
    named = "".join(f"    def _h{i}(self) -> int:\n        return {i}\n\n" for i in range(n))
    return policy(named, "".join(f"        self.n += self._h{i}()\n" for i in range(n)))


def functions(n: int) -> str:
    named = "".join(f"@helper\ndef h{i}(x: int) -> int:\n    return x\n\n\n" for i in range(n))
    return named + policy(lines="".join(f"        self.n += h{i}(1)\n" for i in range(n)))


def policies(n: int) -> str:
    return "".join(policy(name=f"P{i}") for i in range(n))


def policies_and_helpers(n: int) -> str:
    return "".join(
        f"@helper\ndef h{i}(x: int) -> int:\n    return x\n\n\n" + policy(name=f"P{i}") for i in range(n)
    )


def seconds(text: str) -> float:
    gc.collect()
    start = time.process_time()
    assert not compile_text(HEAD + text).diagnostics.failed
    return time.process_time() - start


@pytest.mark.parametrize(
    ("definitions", "few"),
    [
        (structs, 1000),
        (enums, 1000),
        (views, 500),
        (members, 1000),
        (methods, 500),
        (functions, 500),
        (policies, 250),
        (policies_and_helpers, 250),
    ],
)
def test_four_times_as_much_takes_about_four_times_as_long(
    definitions: Callable[[int], str], few: int
) -> None:
    """Where time grows with the square, it is sixteen times as long."""
    seconds(definitions(10))
    before = min(seconds(definitions(few)) for _ in range(2))
    assert seconds(definitions(4 * few)) < 9 * before or seconds(definitions(4 * few)) < 9 * before
