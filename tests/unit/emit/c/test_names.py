# SPDX-License-Identifier: Apache-2.0
"""Names in emitted C: helpers may be called as what the emitter makes for fields and types is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import native
from tests.fuzz.calls import calls
from tests.fuzz.machines import interpreted
from tests.unit.core.running import compiled
from tests.unit.emit.c.machine import STRICT, compile_c
from transect.emit.c import emit

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


STRUCTS = (
    "ServedTable",
    "served_heap",
    "served_heap_item",
    "ServedTableEntry",
    "waiting_table",
    "seen_table",
    "Seen",
    "Served",
    "State",
    "Local",
    "Load",
    "LoadState",
    "TypeState",
    "StateType",
    "New",
    "Pick",
)


@pytest.mark.needs("gcc")
def test_a_struct_may_have_any_name(tmp_path: Path) -> None:
    structs = "\n".join(f"@struct\nclass {name}:\n    a: int\n    b: str = text(3)" for name in STRUCTS)
    fields = "\n".join(f"    field{i}: Map[int, {name}] = table(2)" for i, name in enumerate(STRUCTS))
    stores = "\n".join(f"        self.field{i}[cost] = {name}(cost)" for i, name in enumerate(STRUCTS))
    program = compiled(f"""\
{structs}
class P(Arbiter):
    served: Tally[Client, int] = tally(4)
    seen: Map[int, int] = lru(4)
{fields}
    def charge(self, client: Client, cost: int) -> None:
        self.served[client] += cost
        self.seen[cost] = 1
{stores}
    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)
""")
    emit(program).write(tmp_path)
    compile_c(tmp_path, "-c", "p.c", flags=(*STRICT, "-O0"))
