# SPDX-License-Identifier: Apache-2.0
"""What is known in and after loops: of locals that rounds assign, of what helpers leave alone; and loops' targets."""

from __future__ import annotations

from textwrap import indent

import pytest

from tests.unit.core.running import IMPORTS, arbiter
from transect.core.frontend import compile_text

FIELDS = """
slots: Array[int] = array(8)
seen: Map[int, int] = table(8)
other: Map[int, int] = table(8)
pairs: Map[tuple[int, int], int] = table(8)
served: Tally[Client, int] = tally(8)
maybe: int | None = None
n: int = 0
def _read(self) -> int:
    return self.n + self.seen.get(1, 0)
def _count(self) -> None:
    self.n += 1
def _clear(self, key: int) -> None:
    del self.seen[key]
def _deep(self, key: int) -> None:
    self._count()
    self._clear(key)
"""


def found(charge: str) -> list[str]:
    text = f"""
@helper
def double(a: int) -> int:
    return a * 2
class P(Arbiter):
{indent(FIELDS, "    ")}
    def charge(self, client: Client, cost: int) -> None:
{indent(charge, "        ")}
    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)
"""
    return [d.code for d in compile_text(IMPORTS + text).diagnostics]


@pytest.mark.parametrize(
    "charge",
    [
        # a range that the rounds keep to
        "slot = 0\nfor i in range(8):\n    if self.slots[i] == cost:\n        slot = i\n"
        "        break\nself.slots[slot] = 1",
        "best = 0\nfor i in range(8):\n    if self.slots[i] > self.slots[best]:\n        best = i\n"
        "self.slots[best] = 1",
        "low = 7\nfor i in range(8):\n    if self.slots[i] == 0:\n        low = min(low, i)\n        continue\n"
        "    self.slots[low] = 1\nself.slots[low] = 2",
        "at = 0\nfor i in range(4):\n    for j in range(2):\n        if self.slots[j] > cost:\n"
        "            at = i + j\n"
        "            break\nself.slots[at] = 1",
        "at = 3\nfor i in range(100):\n    at = (at + cost) % 8\n    self.slots[at] = i",
        # an option that each round leaves with a value
        "last = self.maybe\nif last is None:\n    last = 0\nfor i in range(4):\n    last = last + i\nself.n = last",
        # helpers end what they write, and nothing else
        "if cost in self.seen:\n    for i in range(3):\n        self.n = self._read()\n"
        "        self.n += self.seen[cost]",
        "if cost in self.seen:\n    for i in range(3):\n        self._count()\n        self.seen[cost] += 1",
        "if cost in self.other:\n    for i in range(3):\n        self._deep(i)\n"
        "        self.other[cost] += double(i)",
        "if cost in self.seen:\n    self.seen[cost] = self._read() + self.seen[cost]",
        "if cost in self.seen:\n    self.n = sum(self._read() + self.seen[cost] for c in self.waiting)",
        "for key in self.seen:\n    self.seen[key] = self._read()",
        # the loop's own key
        "for key in self.seen:\n    if not self.seen.put(key, cost):\n        self.n += 1",
        "for key, value in self.seen.items():\n    self.seen.put(key, value + 1)",
        # targets within targets
        "for (a, b), c in self.pairs.items():\n    self.n += a * b + c",
        "for a, b in self.pairs:\n    self.pairs[a, b] += self.n",
        "for (a, b), c in self.pairs.items():\n    if c > a:\n        del self.pairs[a, b]",
        "for (a, b), c in self.pairs.items():\n    self.pairs[a, b] = c + 1\n    self.pairs.put((a, b), c)",
        "self.n = sum(a * c for (a, b), c in self.pairs.items() if b > 0)",
        "self.n = len({a for a, b in self.pairs})",
    ],
)
def test_these_are_understood(charge: str) -> None:
    assert found(charge) == []


@pytest.mark.parametrize(
    ("charge", "code"),
    [
        ("at = 0\nfor i in range(9):\n    at = i\nself.slots[at] = 1", "P027"),
        ("at = 0\nfor i in range(3):\n    at += 1\nself.slots[at] = 1", "P027"),
        ("at = 0\nfor i in range(3):\n    self.slots[at] = 1\n    at = at * 2 + 3", "P027"),
        (
            "at = 0\nfor i in range(3):\n    if cost > 3:\n        at = cost\n        break\nself.slots[at] = 1",
            "P027",
        ),
        (
            "at = 0\nfor i in range(3):\n    if cost > 3:\n        at = cost\n        continue\n"
            "    at = 0\nself.slots[at] = 1",
            "P027",
        ),
        (
            "a = 0\nfor i in range(3):\n    a += 1\n    b = min(a, 7)\n    for j in range(3):\n"
            "        self.slots[b] = 1\n"
            "        b = b + 1",
            "P027",
        ),
        ("for i in range(3):\n    at = i\nself.slots[at] = 1", "P024"),
        (
            "last = self.maybe\nif last is None:\n    return\nfor i in range(4):\n    self.n += last\n"
            "    last = self.maybe",
            "P022",
        ),
        (
            "if cost in self.seen:\n    for i in range(3):\n        self.seen[cost] += 1\n        self._clear(cost)",
            "P021",
        ),
        (
            "if cost in self.seen:\n    for i in range(3):\n        self.seen[cost] += 1\n        self._deep(i)",
            "P021",
        ),
        ("for key in self.seen:\n    self.seen.put(cost, 1)", "P026"),
        ("for key in self.seen:\n    key = cost\n    self.seen.put(key, 1)", "P026"),
        ("for a, b in self.pairs:\n    self.pairs[b, a] = 1", "P026"),
        ("for a, b in self.pairs:\n    a = cost\n    del self.pairs[a, b]", "P026"),
        ("for (a, b, c), d in self.pairs.items():\n    pass", "P034"),
        ("for (a, self.n), d in self.pairs.items():\n    pass", "P034"),
        ("for (a, cost), d in self.pairs.items():\n    pass", "P037"),
        ("for (a, (b, c)), d in self.pairs.items():\n    pass", "P034"),
        ("for a, b in self.seen:\n    pass", "P034"),
    ],
)
def test_these_are_refused(charge: str, code: str) -> None:
    assert code in found(charge)


def test_a_loop_may_lose_anything_to_a_helper_that_calls_itself() -> None:
    helper = "def _again(self, key: int) -> None:\n    if key in self.seen:\n        for i in range(3):\n"
    helper += "            self.n += self.seen[key]\n            self._again(key)\n"
    text = f"class P(Arbiter):\n{indent(FIELDS + helper, '    ')}"
    text += "    def pick(self) -> Client:\n        return min(self.waiting, key=self.served.get)\n"
    assert {d.code for d in compile_text(IMPORTS + text).diagnostics} == {"P018"}


def test_targets_within_targets_are_the_parts_of_the_item() -> None:
    p = arbiter(
        "pairs: Map[tuple[int, int], int] = table(8)\nn: int = 0",
        "self.pairs[cost, 2] = 5\nfor (a, b), c in self.pairs.items():\n    self.n += a * 100 + b * 10 + c\n"
        "self.n += sum(b for a, b in self.pairs if a > 3)",
    )
    p.call("charge", (1, 3))
    assert p.state["n"] == 325
    p.call("charge", (1, 4))
    assert p.state["n"] == 325 + 325 + 425 + 2
