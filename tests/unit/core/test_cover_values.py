# SPDX-License-Identifier: Apache-2.0
"""Values where they seldom stand: folded constants, sizes, sets made from anything, defaults and conversions."""

from __future__ import annotations

import pytest

from tests.unit.core.running import IMPORTS, arbiter, compiled, value
from tests.unit.core.sink import sink
from transect.core.frontend import Compiled, compile_text

CONSTANTS = {
    "7 - 2": 5,
    "3 + 4": 7,
    "3 * 4": 12,
    "17 // 5": 3,
    "-17 // 5": -4,
    "17 % 5": 2,
    "1 << 10": 1024,
    "1024 >> 3": 128,
    "-(5)": -5,
    "OTHER * 2": 18,
}


@pytest.mark.parametrize(("text", "number"), CONSTANTS.items())
def test_a_constant_is_computed_from_others(text: str, number: int) -> None:
    assert value("N", before=f"OTHER: Final = 9\nN: Final = {text}\n") == number


@pytest.mark.parametrize("text", ["1 // 0", "1 % 0", "1 << 64", "1 >> -1", "2 ** 3", "[1]", "some(3)"])
def test_what_is_no_constant_is_told_where_it_stands(text: str) -> None:
    told = refused("x = N", before=f"N: Final = {text}")
    assert told == ["P028 `N` is not a constant"]


@pytest.mark.parametrize(
    ("text", "t", "first", "found"),
    [
        ("'abc'", "str", "''", "abc"),
        ("b'abc'", "bytes", "b''", b"abc"),
        ("True", "bool", "False", True),
        ("1.5", "float", "0.0", 1.5),
        ("-1.5", "float", "0.0", -1.5),
        ("ms(3)", "Duration", "ns(0)", 3_000_000),
    ],
)
def test_constants_of_other_types(text: str, t: str, first: str, found: object) -> None:
    assert value("N", t, first, before=f"N: Final = {text}\n") == found


def test_a_constant_may_say_its_type() -> None:
    assert value("N", "u64", "0", before="N: Final[u64] = 18446744073709551615\n") == 2**64 - 1


SIZES = {
    "len((1, True, 'x'))": 3,
    "len(self.slots)": 8,
    "len(self.names)": 0,
    "len('é')": 2,  # bytes of UTF-8
    "len(b'abc')": 3,
    "len({x for x in range(5)})": 5,
    "len(set(x // 2 for x in range(5)))": 3,
    "len(set(range(4)))": 4,
}


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_the_size_of(text: str, size: int) -> None:
    fields = "slots: Array[int] = array(8)\nnames: Map[int, int] = table(4)"
    assert value(text, fields=fields) == size


CONVERSIONS = {
    ("result: int = 0", "self.result = as_float(cost)"): "convert it: `as_int(as_float(cost))`",
    ("result: u64 = 0", "self.result = cost"): "convert it: `as_u64(cost)`",
    ("result: float = 0.0", "self.result = cost"): "convert it: `as_float(cost)`",
    ("result: Duration = 0", "self.result = cost"): "convert it: `ns(cost)`, `ms(cost)` or `seconds(cost)`",
    ("result: Instant = 0", "self.result = ms(3)"): "there is no conversion to `Instant`",
    (
        "result: Colour = Colour.RED",
        "self.result = cost",
    ): "name a member: `Colour.…`; there is no conversion to it",
    ("maybe: int | None = None\nresult: int = 0", "self.result = self.maybe"): (
        "test it first: `if self.maybe is not None:`"
    ),
}


@pytest.mark.parametrize(("given", "help_"), CONVERSIONS.items())
def test_a_wrong_type_is_told_with_the_way_to_convert(given: tuple[str, str], help_: str) -> None:
    fields, statement = given
    found = _compiled(statement, fields, "class Colour(IntEnum):\n    RED = 0").diagnostics
    assert [d.help for d in found] == [help_]


def refused(statement: str, fields: str = "", before: str = "") -> list[str]:
    return [f"{d.code} {d.message}" for d in _compiled(statement, fields, before).diagnostics]


def _compiled(statement: str, fields: str, before: str) -> Compiled:
    lines = [*fields.splitlines(), "def charge(self, client: Client, cost: int) -> None:", f"    {statement}"]
    lines += ["def pick(self) -> Client:", "    return min(self.waiting, key=lambda c: 0)"]
    inside = "\n".join(f"    {line}" for line in lines)
    return compile_text(f"{IMPORTS}{before}\nclass P(Arbiter):\n{inside}\n")


def test_a_local_takes_part_of_a_struct_that_it_copied() -> None:
    p = arbiter("box: Box = Box()", "copy = self.box\ncopy.content += cost\nself.box = copy", BOX)
    p.call("charge", (1, 5))
    p.call("charge", (1, 6))
    assert p.state["box"].content == 14


BOX = """\
@struct
class Box:
    content: int = 3
"""


def test_a_first_value_that_is_a_struct_has_its_own_defaults() -> None:
    assert arbiter("box: Box = Box()", before=BOX).state["box"].content == 3


def test_a_program_is_found_by_its_name() -> None:
    text = IMPORTS + "".join(
        f"class {name}(Arbiter):\n    def pick(self) -> Client:\n        return min(self.waiting, key=lambda c: 0)\n"
        for name in "AB"
    )
    assert compile_text(text).program("A").name == "A"


def test_a_view_is_found_by_its_name() -> None:
    assert [m.name for m in sink().view("Ask").members] == ["user", "size", "tags", "labels", "inner"]


def test_a_policy_that_says_nothing_else_still_picks() -> None:
    program = compiled(
        "class P(Arbiter):\n    def pick(self) -> Client:\n        return max(self.waiting, key=lambda c: 0)"
    )
    assert program.handler("pick") is not None
