# SPDX-License-Identifier: Apache-2.0
"""Versions of an element whose values are all alike, and whose bytes are not: that is never proved to be the same."""

from __future__ import annotations

import pytest

from transect.analysis.diff import Difference, diff
from transect.cli.worlds import world_of
from transect.core.frontend import compile_text

pytestmark = pytest.mark.needs("z3")

ELEMENT = """
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

class Ask(Message):
    n: int
    s: str

class Guard(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.msg.n == 99 {condition}:
            return Reject(Code.ABORTED, "99")
        {assignment}
        return Forward()
"""
PLAIN = ELEMENT.format(condition="", assignment="pass")
ASSIGNS = ELEMENT.format(condition="", assignment="rpc.msg.n = rpc.msg.n")
READS = ELEMENT.format(
    condition='or (rpc.msg.n == 98 and rpc.msg.n == 97 and rpc.msg.s == "x")', assignment="pass"
)


def between(old: str, new: str) -> Difference:
    (before,), (after,) = compile_text(old, "old.py").programs, compile_text(new, "new.py").programs
    return diff(before, after, world_of(before, after))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (PLAIN, ASSIGNS, "only the new version assigns `msg.n`"),
        (ASSIGNS, PLAIN, "only the old version assigns `msg.n`"),
        (PLAIN, READS, "only the new version reads `msg.s`"),
    ],
)
def test_what_no_value_shows_is_not_proved(old: str, new: str, why: str) -> None:
    found = between(old, new)
    assert not found.changes and not found.same
    assert [line for line in found.open if why in line]


def test_versions_that_touch_the_same_fields_are_proved_to_be_the_same() -> None:
    assert between(ASSIGNS, ASSIGNS.replace("rpc.msg.n == 99", "99 == rpc.msg.n")).same
    assert between(PLAIN, PLAIN.replace("pass", "unused = rpc.msg.n")).same
