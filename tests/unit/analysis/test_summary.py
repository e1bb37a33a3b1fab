# SPDX-License-Identifier: Apache-2.0
"""Reductions and loops that are not unrolled: alike in two versions if they say the same, and only then."""

from __future__ import annotations

import pytest

from transect.analysis.diff import Difference, diff
from transect.cli.worlds import world_of
from transect.core.frontend import compile_text
from transect.core.ir import Program

pytestmark = pytest.mark.needs("z3")

POLICY = '''
from transect.lang import Map, Tally, i32, table, tally
from transect.shapes import Arbiter, Client


class P(Arbiter):
    """The text of one version."""

    served: Tally[Client, int] = tally(64)
    rates: Map[int, float] = table(64)
    level: int = 0
    total: float = 0.0

    def _weigh(self, client: Client) -> int:
        return self.served[client] + self.level

    def arrive(self, client: Client) -> None:
        floor = min((self.served[c] for c in self.waiting if self.served[c] >= 0), default=self.level)
        self.served[client] = max(self.served[client], floor)
        self.total = sum(rate + 0.0 for rate in self.rates.values())

    def pick(self) -> Client:
        for rate in self.rates.values():
            self.total += rate * 2.0
        return min(self.waiting, key=lambda c: self._weigh(c))

    def charge(self, client: Client, cost: int) -> None:
        self.served[client] += cost
'''


def program(*changes: tuple[str, str]) -> Program:
    text = POLICY
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    compiled = compile_text(text)
    assert compiled.programs, [d.message for d in compiled.diagnostics]
    return compiled.programs[0]


def difference(*changes: tuple[str, str]) -> Difference:
    old, new = program(), program(*changes)
    return diff(old, new, world_of(old, new))


@pytest.mark.parametrize(
    "change",
    [
        ("The text of one version.", "The text of\n\n    another."),
        ("    def _weigh", "    # a comment\n\n    def _weigh"),
        ("self.served[client] += cost", "self.served[client] = self.served[client] + cost"),
    ],
    ids=["a docstring", "other lines", "another hook, to the same end"],
)
def test_versions_that_say_the_same_over_all_that_wait_are_proved_to_be_the_same(
    change: tuple[str, str],
) -> None:
    assert difference(change).same


@pytest.mark.parametrize(
    ("hook", "change"),
    [
        ("pick", ("return min(", "return max(")),
        ("pick", ("self.served[client] + self.level", "self.served[client] - self.level")),
        ("pick", ("rate * 2.0", "rate * 3.0")),
        ("pick", ("self._weigh(c))", "self._weigh(c) * 3)")),
        ("arrive", ("if self.served[c] >= 0)", "if self.served[c] > 0)")),
        ("arrive", ("if self.served[c] >= 0)", ")")),
        ("arrive", ("default=self.level", "default=0")),
        ("arrive", ("rate + 0.0", "rate + -0.0")),
        ("arrive", ("rates: Map[int, float] = table(64)", "rates: Map[i32, float] = table(64)")),
        ("arrive", ("rates: Map[int, float] = table(64)", "rates: Map[int, float] = table(65)")),
    ],
    ids=lambda given: given if isinstance(given, str) else given[1],
)
def test_versions_that_say_something_else_are_not(hook: str, change: tuple[str, str]) -> None:
    found = difference(change)
    told = [c.hook for c in found.changes] + [line for line in found.open]
    assert any(hook in line for line in told), told


def test_what_a_reduction_reads_counts() -> None:
    """The same words about another state."""
    other = ("        floor = min(", "        self.level += 1\n        floor = min(")
    assert not difference(other).same
