# SPDX-License-Identifier: Apache-2.0
"""Names in emitted C: helpers may be called as what the emitter makes for fields and types is called."""

from __future__ import annotations

import pytest

from tests.fuzz import native
from tests.fuzz.calls import calls
from tests.fuzz.machines import interpreted
from tests.unit.core.running import compiled

HELPERS = (
    "set_limit",
    "init",
    "entries_table_step",
    "read_bucket",
    "hash_str",
    "entries_table",
    "state",
    "memcpy",
)


@pytest.mark.needs("gcc")
def test_a_helper_may_have_any_name() -> None:
    helpers = "\n".join(
        f"@helper\ndef {name}(x: int) -> int:\n    return x + {len(name)}" for name in HELPERS
    )
    text = f"""\
{helpers}
@struct
class Bucket:
    tokens: int = 0
class P(Arbiter):
    limit: Param[int] = param(3)
    entries: Map[str, Bucket] = table(4)
    total: int = 0
    def charge(self, client: Client, cost: int) -> None:
        self.entries["a"] = Bucket(cost)
        self.total = {" + ".join(f"{name}(cost)" for name in HELPERS)}
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""
    program = compiled(text)
    work = (program, calls(program, 1, 20))
    assert native.in_c([work]) == [interpreted(*work)]
