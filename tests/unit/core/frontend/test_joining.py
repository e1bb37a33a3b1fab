# SPDX-License-Identifier: Apache-2.0
"""Where two ways meet, the tightest bounds of both count: whatever order a set gives its members in."""

from __future__ import annotations

from itertools import permutations

from transect.base.span import NOWHERE
from transect.core import ir
from transect.core.frontend.bodies.facts import AtLeast, AtMost, Changes, Fact, Facts, changes_of
from transect.core.types import INT, UNIT

X = ir.Local("x", type=INT, span=NOWHERE)


def test_the_tightest_of_each_side_is_joined() -> None:
    known: list[Fact] = [AtLeast(X, 1), AtLeast(X, 3), AtMost(X, 9), AtMost(X, 7)]
    for order in permutations(known):
        one = Facts().having([AtLeast(X, 5), AtMost(X, 6)])
        joined = one.join(Facts().having(order))
        assert joined.known == {AtLeast(X, 3), AtMost(X, 7)}
        assert Facts().having(order).join(one).known == joined.known


def test_a_bound_that_only_one_side_knows_is_lost() -> None:
    assert Facts().having([AtLeast(X, 5)]).join(Facts().having([AtMost(X, 9)])).known == set()


def test_what_calls_something_unknown_may_change_anything() -> None:
    body = (ir.Do(ir.Call("_other", (), type=UNIT, span=NOWHERE), NOWHERE),)
    changes = Changes(frozenset({"n"}))
    assert changes_of(body, lambda name: None) is None
    assert changes_of(body, {"_other": changes}.get) == changes
