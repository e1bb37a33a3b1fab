# SPDX-License-Identifier: Apache-2.0
"""Fields may be called as anything that emitted Python uses: none of them hides it."""

from __future__ import annotations

import pytest

from tests.fuzz import machines
from tests.fuzz.calls import calls
from tests.unit.core.running import compiled
from transect.emit.py.build import build
from transect.emit.py.text import text_of

OWN = """
class Kind(IntEnum):
    PLAIN = 0
    OTHER = -1
@struct
class Part:
    value: int
    kind: Kind
    {name}: int = 3
class P(Arbiter):
    {name}: int = 1
    part: Part = Part(1, Kind.PLAIN)
    small: u8 = 0
    pair: tuple[str, i16] = ("", 1)
    def charge(self, client: Client, cost: int) -> None:
        self.{name} += cost
        self.part.{name} = cost
        self.part = Part(self.part.{name}, Kind.OTHER, self.{name})
        self.small = cost
        self.pair = ("a", cost)
    def pick(self) -> Client:
        return min(self.waiting, key=lambda c: 0)
"""


@pytest.mark.parametrize(
    "name",
    [
        "runtime",
        "types",
        "storer",
        "Kind",
        "Part",
        "PartType",
        "KindType",
        "_name",
        "_fields",
        "name",
        "fields",
        "self_",
        "len",
        "max",
        "int",
        "print",
        "NULL",
    ],
)
def test_a_name_that_the_text_needs(name: str) -> None:
    program = compiled(OWN.format(name=name))
    sequence = calls(program, 1, 12)
    expected = machines.interpreted(program, sequence)
    assert machines.emitted(build(program), sequence) == expected
    assert machines.of_text(text_of(program, "0"), "P", sequence) == expected
