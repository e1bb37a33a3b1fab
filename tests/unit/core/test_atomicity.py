# SPDX-License-Identifier: Apache-2.0
"""Reads and writes of shared state that another handler may come between, where handlers are not atomic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.running import arbiter, compiled
from transect.base.diagnostic import Diagnostics, Severity
from transect.core.atomicity import races, warn
from transect.core.frontend import compile_text, policies
from transect.core.frontend.modules import library_constant

PAIR = "@struct\nclass Pair:\n    a: int\n"
FIELDS = """
n: int = 0
peak: int = 0
real: float = 0.0
held: int = state(0, exclusive=True)
near: int = state(0, scope="cpu")
pair: Pair = Pair(0)
seen: Map[int, int] = table(8)
served: Tally[Client, int] = tally(8)
def _n(self) -> int:
    return self.n
def _set(self, value: int) -> None:
    self.n = value
def _bump(self) -> None:
    self.n += 1
def _full(self) -> bool:
    return self.seen.put(1, 2)
"""


def found(charge: str, serial: tuple[str, ...] = ()) -> list[tuple[str, int, int]]:
    """Field, and the lines of read and write within the handler, counted from 1."""
    program = arbiter(FIELDS, charge, PAIR).program
    handler = program.handler("charge")
    assert handler is not None
    first = handler.span.line
    return [(r.field, r.read.line - first, r.write.line - first) for r in races(program, serial)]


@pytest.mark.parametrize(
    "charge",
    [
        "self.n += cost",
        "self.n -= cost",
        "self.n = self.n + cost",
        "self.n = cost + self.n",
        "self.n = max(self.n, cost)",
        "self.n = max(cost, self.n)",
        "self.n = min(self.n, cost)",
        "self.served[client] += cost",
        "self.served[client] = max(self.served[client], cost)",
        "self.real += 1.0",
        "self.n = cost\nself.n = 2",
        "self.n = self.peak",
        "self.n += self.n",
        "before = self.n\nself.peak = before",
        "floor = min((self.served[c] for c in self.waiting), default=0)\n"
        "self.served[client] = max(self.served[client], floor)",
        "if cost in self.seen:\n    del self.seen[cost]",
        "held = self.held\nself.held = held * 2",
        "near = self.near\nself.near = near * 2",
        "self._bump()",
        "if self.n > 3:\n    self.peak += 1\nelse:\n    self.peak = 0",
        "pair = Pair(0)\npair.a = self.n\nself.pair = pair",
    ],
)
def test_these_lose_nothing(charge: str) -> None:
    assert found(charge) == []


@pytest.mark.parametrize(
    ("charge", "wanted"),
    [
        ("self.n *= 2", ("n", 1, 1)),
        ("self.n = self.n * 2 + 1", ("n", 1, 1)),
        ("before = self.n\nself.peak = 1\nself.n = before + 1", ("n", 1, 3)),
        ("before = self.n\nafter = before if cost > 1 else 0\nself.n = after", ("n", 1, 3)),
        ("if self.n < 5:\n    self.n += 1", ("n", 1, 2)),
        ("if self.n >= 5:\n    return\nself.n += 1", ("n", 1, 3)),
        ("match self.n:\n    case 0:\n        self.n = 1\n    case _:\n        pass", ("n", 1, 3)),
        (
            "match self.n:\n    case x if x > cost:\n        self.n = 1\n    case _:\n        pass",
            ("n", 1, 3),
        ),
        ("match (self.n, cost):\n    case (a, b):\n        self.n = a * b", ("n", 1, 3)),
        ("if cost not in self.seen:\n    self.seen[cost] = 1", ("seen", 1, 2)),
        ("if cost not in self.seen:\n    self.seen.put(cost, 1)", ("seen", 1, 2)),
        ("if cost not in self.seen and self.seen.put(cost, 1):\n    pass", ("seen", 1, 1)),
        (
            "x = self.seen.put(cost, 1) if self.seen.get(cost, 0) == 2 else False\nif x:\n    pass",
            ("seen", 1, 1),
        ),
        ("self.seen.put(cost, self.seen.get(cost, 0) + 1)", ("seen", 1, 1)),
        ("if 0 < self.seen.get(1, 0) < (1 if self._full() else 0):\n    pass", ("seen", 1, 1)),
        ("pair = Pair(0)\npair.a = self.n\nself.n = pair.a * 2\nself.pair = pair", ("n", 2, 3)),
        ("for c in self.waiting:\n    if self.served[c] > 3:\n        self.n = self.n // 2", ("n", 3, 3)),
        ("last = 0\nfor i in range(3):\n    self.n = last\n    last = self.n * 2", ("n", 4, 3)),
        ("for i in range(3):\n    if self.n > 5:\n        break\n    self.n += 1", ("n", 2, 4)),
        ("self._set(self._n() * 2)", ("n", 1, 1)),
        ("if self._n() > 3:\n    self._bump()", ("n", 1, 2)),
        ("x = self.seen.get(1, 0)\nif x > 2 and self._full():\n    pass", ("seen", 1, 2)),
        (
            "lowest = min((self.served[c] for c in self.waiting), default=0)\nself.served[client] = lowest",
            ("served", 1, 2),
        ),
        ("if any(self._full() for c in self.waiting if self.seen.get(1, 0) == 2):\n    pass", ("seen", 1, 1)),
    ],
)
def test_these_may_lose_an_update_or_rest_on_a_test_that_no_longer_holds(
    charge: str, wanted: tuple[str, int, int]
) -> None:
    assert wanted in found(charge)


def test_entries_of_different_keys_are_different_entries() -> None:
    assert found("self.seen[1] = self.seen.get(2, 0)") == []
    assert found("self.seen[1] = self.seen.get(1, 0)") == [("seen", 1, 1)]


def test_a_stratum_may_say_that_calls_about_one_client_follow_each_other() -> None:
    test = "if client not in self.served:\n    self.served[client] = self.n"
    assert found(test) == [("served", 1, 2)]
    assert found(test, serial=("Client",)) == []
    assert (
        found("if self.served[client] > 2:\n    self.n = 1\nx = self.n\nself.n = x", serial=("Client",)) != []
    )


def test_a_message_is_nobody_elses() -> None:
    text = """
class Ask(Message):
    size: int
class P(Element):
    n: int = 0
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        before = self.n
        rpc.msg.size = before
        self.n = before * 2
        return Forward()
"""
    assert [(r.field, r.write.line - r.read.line) for r in races(compiled(text))] == [("n", 2)]
    assert races(compiled(text.replace("before * 2", "3"))) == ()


# ---------------------------------------------------------------- as a warning

POLICY = """
from transect.rpc import Element, Forward, Rpc, Verdict
class P(Element):
    n: int = 0
    def request(self, rpc: Rpc) -> Verdict:
        before = self.n
        self.n = before * 2
        return Forward()
"""


def test_a_stratum_without_atomic_handlers_says_so_in_its_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(compile_text(POLICY).diagnostics) == []

    def constant(module: Any, name: str) -> object:
        return {"ATOMIC": False}.get(name, library_constant(module, name))

    monkeypatch.setattr(policies, "library_constant", constant)
    compiled = compile_text(POLICY)
    (warning,) = compiled.diagnostics
    assert compiled.programs and warning.severity is Severity.WARNING
    assert (warning.code, warning.span.line, warning.others[0].span.line) == ("P050", 7, 6)
    assert warning.message == "`n` may change between this write and the read that it rests on"
    assert warning.help == (
        "change it in one step (`self.n += …`, `self.n = max(self.n, …)`), or keep it in a `Local` if it is of one task"
        " alone; if a lost update does no harm, leave it"
    )


def test_the_help_for_a_table_speaks_of_an_entry() -> None:
    program = arbiter(FIELDS, "self.seen[cost] = self.seen.get(cost, 0) * 2", PAIR).program
    diagnostics = Diagnostics()
    warn(program, diagnostics)
    (warning,) = diagnostics
    assert warning.help.startswith(
        "change it in one step (`self.seen[key] += …`, `self.seen[key] = max(self.seen[key], …)`)"
    )


def test_the_example_policies_that_run_everywhere_have_no_race() -> None:
    path = Path(policies.__file__).parents[2] / "examples" / "fair_share.py"
    (program,) = compile_text(path.read_text(), path.name).programs
    assert races(program) == ()


def test_of_hooks_that_run_one_at_a_time_nobody_comes_between() -> None:
    """`charge` and its like; a field that another hook writes as well is nobody's own."""
    test = "if self.n > 2:\n    self.n = 1"
    assert found(test) != []
    assert found(test, serial=("charge",)) == []
