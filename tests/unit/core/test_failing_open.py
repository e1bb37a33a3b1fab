# SPDX-License-Identifier: Apache-2.0
"""P060: refusals that rest on an entry for which there may be no room."""

from __future__ import annotations

import textwrap

import pytest

from tests.unit.core.test_effects import HEAD
from transect.base.shipped import paths
from transect.core.frontend import compile_file, compile_text

TALLY = "used: Tally[str, int] = tally(1000)\nmost: Param[int] = param(3)"
MAP = "left: Map[str, int] = table(8)\nmost: Param[int] = param(3)"


def warned(fields: str, body: str) -> list[tuple[int, str]]:
    """Line of the body, and why there may be no room."""
    head = textwrap.indent(fields, "    ") + "\n    def request(self, rpc: Rpc[Ask]) -> Verdict:\n"
    text = HEAD + "from transect.lang import fits\nclass P(Element):\n" + head
    body = textwrap.indent(textwrap.dedent(body).strip("\n"), "        ")
    found = compile_text(f"{text}{body}\n").diagnostics
    assert not found.failed, [d.message for d in found]
    return [(d.span.line - text.count("\n"), d.label) for d in found if d.code == "P060"]


def lines(*parts: str) -> str:
    return "\n".join(parts)


WINDOW = """
from transect.lang import Instant, Map, Param, now, param, seconds, struct, table
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


@struct
class Window:
    began: Instant
    calls: int


class Fixed(Element):
    used: Map[str, Window] = table(100)
    most: Param[int] = param(3)

    def request(self, rpc: Rpc) -> Verdict:
        window = self.used.get(rpc.peer, Window(now(), 0))
        if now() - window.began >= seconds(1):
            window = Window(now(), 0)
        if window.calls >= self.most:
            return Reject(Code.RESOURCE_EXHAUSTED, "over")
        window.calls += 1
        self.used[rpc.peer] = window
        return Forward()
"""
QUOTA = """
if self.used[rpc.msg.user] >= self.most:
    return Reject(Code.RESOURCE_EXHAUSTED, "no more")
self.used[rpc.msg.user] += 1
return Forward()
"""


def test_a_quota_without_room_limits_nobody() -> None:
    why = "changes nothing where the table has 1,000 entries or the key has more than 64 bytes"
    assert warned(TALLY, QUOTA) == [(3, why)]


@pytest.mark.parametrize(
    ("fields", "body", "line"),
    [
        (
            MAP,
            lines(
                "left = self.left.get(rpc.msg.user, 3)",
                "if left == 0:",
                "    return Reject(Code.OK, '')",
                "self.left[rpc.msg.user] = left - 1",
                "return Forward()",
            ),
            4,
        ),
        (
            MAP,
            lines(
                "x = self.left.get(rpc.msg.user)",
                "if x is not None and x > self.most:",
                "    return Reject(Code.OK, '')",
                "self.left[rpc.msg.user] = 1",
                "return Forward()",
            ),
            4,
        ),
        (
            MAP,
            lines(
                "if rpc.msg.user in self.left:",
                "    return Reject(Code.OK, '')",
                "self.left[rpc.msg.user] = 1",
                "return Forward()",
            ),
            3,
        ),
        (
            MAP,
            lines(
                "match self.left.get(rpc.msg.user):",
                "    case None:",
                "        pass",
                "    case x:",
                "        return Reject(Code.OK, '')",
                "self.left[rpc.msg.user] = 1",
                "return Forward()",
            ),
            6,
        ),
        (
            MAP,
            lines(
                "self.left.put(rpc.msg.user, 1)",
                "return Reject(Code.OK, '') if self.left.get(rpc.msg.user, 0) > 9 else Forward()",
            ),
            1,
        ),
        (
            "b: Map[str, Bucket] = table(8)",
            lines(
                "b = self.b.get(rpc.msg.user, Bucket(5, 0))",
                "if b.tokens <= 0:",
                "    return Reject(Code.OK, '')",
                "b.tokens -= 1",
                "self.b[rpc.msg.user] = b",
                "return Forward()",
            ),
            5,
        ),
        (
            MAP,
            lines(
                "if rpc.msg.note != 'a':",
                "    left = self.left.get(rpc.msg.user, 3)",
                "else:",
                "    return Reject(Code.OK, 'another reason')",
                "if left == 0:",
                "    return Reject(Code.OK, '')",
                "self.left[rpc.msg.user] = left - 1",
                "return Forward()",
            ),
            7,
        ),
        (
            "b: Map[str, Bucket] = table(8)",
            lines(
                "b = self.b.get(rpc.msg.user, Bucket(5, 0))",
                "if b.tokens <= 0:",
                "    return Reject(Code.OK, '')",
                "for i in range(3):",
                "    b.tokens -= 1",
                "self.b[rpc.msg.user] = b",
                "return Forward()",
            ),
            6,
        ),
        (
            "t: Map[str, int] = lru(8)",
            lines(
                "if self.t.get(rpc.msg.user, 0) > 3:",
                "    return Reject(Code.OK, '')",
                "self.t[rpc.msg.user] = 4",
                "return Forward()",
            ),
            3,
        ),
    ],
)
def test_other_ways_to_fail_open(fields: str, body: str, line: int) -> None:
    assert [at for at, _ in warned(fields, body)] == [line]


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (
            TALLY,
            lines(
                "used = self.used[rpc.msg.user]",
                "if used >= 3 or not self.used.put(rpc.msg.user, used + 1):",
                "    return Reject(Code.OK, '')",
                "return Forward()",
            ),
        ),
        (
            TALLY,
            lines(
                "if not fits(rpc.msg.user) or len(self.used) > 900 or self.used[rpc.msg.user] > 3:",
                "    return Reject(Code.OK, '')",
                "self.used[rpc.msg.user] += 1",
                "return Forward()",
            ),
        ),
        (
            MAP,
            lines(
                "if rpc.msg.user not in self.left:",
                "    return Reject(Code.OK, '')",
                "self.left[rpc.msg.user] = 1",
                "return Forward()",
            ),
        ),
        (
            MAP,
            lines(
                "if self.left.get(rpc.msg.user, 0) > 3:",
                "    return Reject(Code.OK, '')",
                "return Forward()",
            ),
        ),
        (
            MAP,
            lines(
                "self.left[rpc.msg.user] = 1",
                "return Forward() if rpc.msg.user == 'a' else Reject(Code.OK, '')",
            ),
        ),
        (
            "t: Tally[int, int] = tally(8)\nn: int = 0",
            lines(
                "if self.n > self.t[1]:",
                "    return Reject(Code.OK, '')",
                "self.t[1] += 1",
                "return Forward()",
            ),
        ),
        (
            TALLY + "\ndef _room(self, user: str) -> bool:\n    return self.used.put(user, 1)",
            lines(
                "if not self._room(rpc.msg.user) or self.used[rpc.msg.user] > 3:",
                "    return Reject(Code.OK, '')",
                "self.used[rpc.msg.user] += 1",
                "return Forward()",
            ),
        ),
        (
            MAP,
            lines(
                "match self.left.get(rpc.msg.user):",
                "    case 3:",
                "        return Reject(Code.OK, '')",
                "self.left[rpc.msg.user] = 1",
                "return Forward()",
            ),
        ),
        (
            "t: Map[int, int] = lru(8)",
            lines(
                "if self.t.get(3, 0) > 3:",
                "    return Reject(Code.OK, '')",
                "self.t[3] = 4",
                "return Forward()",
            ),
        ),
    ],
)
def test_what_refuses_looks_or_passes_for_another_reason_is_silent(fields: str, body: str) -> None:
    assert warned(fields, body) == []


@pytest.mark.parametrize("path", paths(), ids=lambda p: p.stem)
def test_no_example_fails_open(path: object) -> None:
    found = compile_file(str(path)).diagnostics
    assert [d.span.line for d in found if d.code == "P060"] == []


def test_a_put_that_is_looked_at_elsewhere_does_not_hide_a_store_that_is_not() -> None:
    body = lines(
        "if rpc.method == '/x.X/Reset' and not self.used.put(rpc.msg.user, 0):",
        "    return Reject(Code.RESOURCE_EXHAUSTED, 'no room')",
        "if self.used[rpc.msg.user] >= self.most:",
        "    return Reject(Code.RESOURCE_EXHAUSTED, 'no more')",
        "self.used[rpc.msg.user] += 1",
        "return Forward()",
    )
    assert [line for line, _ in warned(TALLY, body)] == [5]


def test_a_refusal_where_there_is_no_room_makes_up_for_the_one_that_does_not_come() -> None:
    body = lines(
        "if self.used[rpc.msg.user] >= self.most:",
        "    return Reject(Code.RESOURCE_EXHAUSTED, 'no more')",
        "if not self.used.put(rpc.msg.user, self.used[rpc.msg.user] + 1):",
        "    return Reject(Code.RESOURCE_EXHAUSTED, 'no room')",
        "return Forward()",
    )
    assert warned(TALLY, body) == []


def test_what_is_the_same_after_both_branches_is_known() -> None:
    """A window of time that begins anew, as most limits have it."""
    found = compile_text(WINDOW).diagnostics
    assert [(d.code, WINDOW.splitlines()[d.span.line - 1].strip()) for d in found] == [
        ("P060", "self.used[rpc.peer] = window")
    ]
