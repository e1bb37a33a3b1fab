# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from transect.control.params import find
from transect.control.protocol import Refused
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program

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
    found = [find(programs, "share"), find(programs, "Second.limit")]
    assert [(p.element, p.field.name) for p in found] == [(0, "share"), (1, "limit")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("limit", "several policies have `limit`"),
        ("First.limits", "no parameter `First.limits`"),
        ("count", "no parameter `count`"),
        ("First.seen", "no parameter `First.seen`"),
    ],
)
def test_what_is_not_found_says_so(programs: tuple[Program, ...], name: str, text: str) -> None:
    with pytest.raises(Refused) as refused:
        find(programs, name)
    assert str(refused.value).startswith(text)


def test_one_field_of_an_image_is_changed_and_no_other(programs: tuple[Program, ...]) -> None:
    instance, seen = Instance(programs[0]), list[object]()
    instance.state["seen"].put("a", 1)
    before = instance.image()
    param = find(programs, "wait")
    instance.load(param.put(param.parse("9 ms"), seen.append)(before))
    assert (instance.state["wait"], seen) == (9_000_000, [3_000_000])
    assert param.changed(3_000_000, 9_000_000) == {"param": "First.wait", "before": "3ms", "after": "9ms"}
    assert param.put(3_000_000, seen.append)(instance.image()) == before
