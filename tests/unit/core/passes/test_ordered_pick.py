# SPDX-License-Identifier: Apache-2.0
"""Which reductions over `waiting` become questions to a heap."""

from __future__ import annotations

import pytest

from tests.unit.core.passes.test_flatten import body
from transect.core.frontend import compile_text
from transect.core.ir import Program, Stage
from transect.core.passes.ordered_pick import heaps, ordered_pick
from transect.core.text import dump, parse
from transect.core.verify import verify

TEXT = """
from transect.lang import Duration, Map, Tally, as_float, rand_below, table, tally, u8
from transect.shapes import Arbiter, Client


class P(Arbiter):
    level: int = 0
    served: Tally[Client, int] = tally(8)
    small: Tally[Client, u8] = tally(8)
    took: Tally[Client, Duration] = tally(8)
    share: Tally[Client, float] = tally(8)
    other: Map[Client, int] = table(8)

    def pick(self) -> Client:
        return {pick}

    def charge(self, client: Client, cost: int) -> None:
        {charge}
"""


def policy(pick: str = "min(self.waiting, key=self.served.get)", charge: str = "pass") -> Program:
    compiled = compile_text(TEXT.format(pick=pick, charge=charge))
    assert compiled.programs, [f"{d.code} {d.message}" for d in compiled.diagnostics]
    return ordered_pick(compiled.programs[0])


@pytest.mark.parametrize(
    ("pick", "field"),
    [
        ("min(self.waiting, key=self.served.get)", "served"),
        ("min(self.waiting, key=lambda c: self.served[c])", "served"),
        ("min(self.waiting, key=lambda c: self.small[c])", "small"),
        ("min(self.waiting, key=self.took.get)", "took"),
        ("min(self.waiting, key=self.share.get)", "share"),
    ],
)
def test_an_arg_min_of_one_tally_asks_its_heap(pick: str, field: str) -> None:
    program = policy(pick)
    assert body(program, "pick") == f"return %waiting.argmin('{field}')"
    assert heaps(program) == (field,)
    assert verify(program, Stage.CHECKED) == []


@pytest.mark.parametrize(
    "pick",
    [
        "max(self.waiting, key=self.served.get)",
        "min(self.waiting, key=lambda c: self.served[c] + 1)",
        "min(self.waiting, key=lambda c: self.other.get(c, 0))",
    ],
)
def test_other_picks_stay_loops(pick: str) -> None:
    compiled = compile_text(TEXT.format(pick=pick, charge="pass"))
    program = ordered_pick(compiled.programs[0])
    assert program == compiled.programs[0]
    assert heaps(program) == ()


def test_a_minimum_with_a_default_asks_when_somebody_waits() -> None:
    program = policy(charge="self.level = min((self.served[c] for c in self.waiting), default=self.level)")
    assert body(program) == ("store .level = (%waiting.min('served') if (%len(.waiting) > 0) else .level)")


def test_a_default_that_does_something_is_not_skipped() -> None:
    charge = "self.level = min((self.served[c] for c in self.waiting), default=rand_below(3))"
    assert "min{.served.total(c) for c in values(.waiting) else %rand_below(3)}" in body(
        policy(charge=charge)
    )


def test_heaps_come_in_the_order_of_the_state() -> None:
    program = policy(
        "min(self.waiting, key=self.took.get)",
        "self.level = min((self.served[c] for c in self.waiting), default=0)",
    )
    assert heaps(program) == ("served", "took")


def test_a_question_names_a_tally_of_the_program() -> None:
    """And its text form comes back."""
    program = policy()
    assert parse(dump(program)) == program
    for wrong in ("nobody", "level"):
        text = dump(program).replace("%waiting.argmin('served')", f"%waiting.argmin('{wrong}')::#Client")
        assert [d.code for d in verify(parse(text), Stage.CHECKED)] == ["I001"], wrong
