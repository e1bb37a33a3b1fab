# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.rpc.params import BadParameter, find, patched, value_of

POLICY = """
from enum import IntEnum
from transect.lang import Duration, Map, Param, ms, param, table, text
from transect.rpc import Element, Forward, Rpc, Verdict


class Colour(IntEnum):
    RED = 1
    GREEN = 2


class First(Element):
    seen: Map[str, int] = table(8)
    limit: Param[int] = param(5)
    share: Param[float] = param(0.5)
    on: Param[bool] = param(True)
    wait: Param[Duration] = param(ms(3))
    colour: Param[Colour] = param(Colour.RED)

    def request(self, rpc: Rpc) -> Verdict:
        return Forward()


class Second(Element):
    limit: Param[int] = param(7)
    count: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        return Forward()
"""


@pytest.fixture(scope="module")
def programs() -> tuple[Program, ...]:
    compiled = compile_text(POLICY)
    assert not compiled.diagnostics.failed, list(compiled.diagnostics)
    return compiled.programs


def test_a_parameter_is_found_by_its_name_or_with_its_policys(programs: tuple[Program, ...]) -> None:
    assert [(i, f.name) for i, f in (find(programs, "share"), find(programs, "Second.limit"))] == [
        (0, "share"),
        (1, "limit"),
    ]


@pytest.mark.parametrize("name", ["limit", "count", "Third.limit", "First.seen", ""])
def test_what_is_not_found_says_what_there_is(programs: tuple[Program, ...], name: str) -> None:
    with pytest.raises(BadParameter, match=r"there are: First.limit, First.share, .*, Second.limit"):
        find(programs, name)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("First.limit", "20", 20),
        ("First.limit", " -1_000 ", -1000),
        ("First.limit", "0x10", 16),
        ("share", "0.25", 0.25),
        ("on", "False", False),
        ("wait", "10 ms", 10_000_000),
        ("wait", "1.5s", 1_500_000_000),
        ("wait", "us(7)", 7_000),
        ("wait", "2 seconds", 2_000_000_000),
        ("colour", "GREEN", 2),
        ("colour", "7", 7),
    ],
)
def test_texts_are_values(programs: tuple[Program, ...], name: str, text: str, value: object) -> None:
    assert value_of(find(programs, name)[1].type, text) == value


@pytest.mark.parametrize(
    ("name", "text", "help"),
    [
        ("First.limit", "many", "write a number"),
        ("First.limit", "9223372036854775808", "write a number"),
        ("share", "", "write a number"),
        ("on", "1", "write `true` or `false`"),
        ("wait", "10", "write a number with a unit: `10 ms`, `2 s`"),
        ("wait", "10 weeks", "write a number with a unit"),
        ("colour", "BLUE", "write one of RED, GREEN"),
    ],
)
def test_what_is_no_value_says_what_to_write(
    programs: tuple[Program, ...], name: str, text: str, help: str
) -> None:
    with pytest.raises(BadParameter, match=help):
        value_of(find(programs, name)[1].type, text)


def test_one_field_of_an_image_is_changed_and_no_other(programs: tuple[Program, ...]) -> None:
    instance = Instance(programs[0])
    instance.state["seen"].put("a", 1)
    before = instance.image()
    image, was = patched(programs[0], before, "wait", 9)
    assert was == 3_000_000
    instance.load(image)
    assert instance.state["wait"] == 9
    assert patched(programs[0], image, "wait", 3_000_000)[0] == before
