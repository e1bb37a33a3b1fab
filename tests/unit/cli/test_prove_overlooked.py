# SPDX-License-Identifier: Apache-2.0
"""`transect prove` and `transect diff` where what is promised is false, or two versions differ, in a way which is easy
to overlook."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.cli.app import run
from transect.cli.exits import Exit

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.lang import Instant, Map, Param, as_u64, ensures, invariant, now, param, requires, table, trace
from transect.rpc import Code, Element, Forward, Message, Outcome, Reject, Retry, Rpc, Verdict

class Paid(Message):
    by: str | None

class Ask(Message):
    user: str
    n: int
    card: str | None
    cash: int | None
    paid: Paid | None

"""
BROKEN = {
    "a text with a space": """
class Policy(Element):
    @ensures(lambda self, rpc, verdict: not rpc.msg.user.startswith(" "))
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Forward()
""",
    "a local and a field of one name, in a long loop": """
class Policy(Element):
    held: Map[str, int] = table(64)
    total: int = 0
    same: bool = True

    @ensures(lambda self, rpc, verdict: self.same)
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        total = 0
        for v in self.held.values():
            total += v
            self.total += 2 * v
        self.same = total == self.total
        return Forward()
""",
    "a handler that ends without a `return`": """
class Policy(Element):
    @ensures(lambda self, rpc, outcome, result: result is not None)
    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> Retry | None:
        if outcome.code == Code.ABORTED:
            return Retry()
""",
    "the absolute value of -0.0": """
class Policy(Element):
    f: float = 1.0

    @ensures(lambda self, rpc, verdict: 1.0 / abs(self.f) < 0.0)
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.f = -0.0
        return Forward()
""",
    "another member of a oneof": """
class Policy(Element):
    @requires(lambda self, rpc: rpc.msg.cash is not None)
    @ensures(lambda self, rpc, verdict: rpc.msg.cash is not None)
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.msg.card is None:
            rpc.msg.card = "none"
        return Forward()
""",
    "a sub-message of a oneof that is entered": """
class Policy(Element):
    @ensures(lambda self, rpc, verdict: rpc.msg.cash is not None)
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        paid = rpc.msg.paid
        rpc.msg.cash = 1
        if paid is not None:
            paid.by = "hand"
        return Forward()
""",
    "a parameter that is lowered between calls": """
@invariant(lambda self: self.running <= self.most)
class Policy(Element):
    most: Param[int] = param(10)
    running: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if self.running < self.most:
            self.running += 1
        return Forward()
""",
    "time that passes between calls": """
@invariant(lambda self: not self.on or self.until >= now())
class Policy(Element):
    on: bool = False
    until: Instant = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if not self.on:
            self.until = now()
            self.on = True
        return Forward()
""",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_shown(what: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.py"
    path.write_text(HEAD + BROKEN[what])
    assert run(["prove", str(path), "--limit", "20"]) == Exit.NO


NOT_BROKEN = {
    "a number that fits every field": ("rpc.msg.n == 7", "rpc.msg.n = 7", Exit.DONE),
    "a number that not every field holds": ("rpc.msg.n == 1 << 40", "rpc.msg.n = 1 << 40", Exit.UNKNOWN),
    "what is assigned": (
        "rpc.msg.card is not None",
        "rpc.msg.cash = 1\n        rpc.msg.card = 'x'",
        Exit.DONE,
    ),
    "what is taken out ends nothing": (
        "rpc.msg.cash is not None",
        "rpc.msg.cash = 1\n        rpc.msg.card = None",
        Exit.DONE,
    ),
}


@pytest.mark.parametrize("what", NOT_BROKEN)
def test_what_holds_of_the_messages_of_any_service(what: str, tmp_path: Path) -> None:
    promise, body, code = NOT_BROKEN[what]
    path = tmp_path / "policy.py"
    path.write_text(
        f"{HEAD}\nclass Policy(Element):\n    @ensures(lambda self, rpc, verdict: {promise})\n"
        f"    def request(self, rpc: Rpc[Ask]) -> Verdict:\n        {body}\n        return Forward()\n"
    )
    assert run(["prove", str(path), "--limit", "20"]) == code


def test_versions_that_differ_in_a_oneof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The old version leaves what was there, the new one ends it where both are of one oneof."""
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(version("", "had = rpc.msg.cash\n        rpc.msg.card = 'x'\n        rpc.msg.cash = had"))
    new.write_text(version("", "rpc.msg.card = 'x'"))
    assert run(["diff", str(old), str(new), "--limit", "20"]) == Exit.NO
    assert "a oneof of rpc.msg = card, cash" in capsys.readouterr().out
    assert run(["diff", str(new), str(new)]) == Exit.DONE


def version(fields: str, body: str) -> str:
    return (
        f"{HEAD}\nclass Policy(Element):\n    calls: int = 0\n    {fields}\n"
        f"    def request(self, rpc: Rpc[Ask]) -> Verdict:\n        self.calls += 1\n        {body}\n"
        "        return Forward()\n"
    )


REJECT = 'return Reject(Code.ABORTED, "no")'
DIFFERENT = {
    "a new field decides later": (
        "",
        "",
        "seen: int = 0",
        f"self.seen += 1\n        if self.seen > 5: {REJECT}",
    ),
    "a table with less room": (
        "seen: Map[str, int] = table(10)",
        f"self.seen[rpc.msg.user] = 1\n        if len(self.seen) > 7: {REJECT}",
        "seen: Map[str, int] = table(5)",
        f"self.seen[rpc.msg.user] = 1\n        if len(self.seen) > 7: {REJECT}",
    ),
    "one number as two texts": ("", 'trace(f"{rpc.msg.n}")', "", 'trace(f"{as_u64(rpc.msg.n)}")'),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_versions_that_may_differ_are_not_proved_to_be_the_same(what: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(version(*DIFFERENT[what][:2]))
    new.write_text(version(*DIFFERENT[what][2:]))
    assert run(["diff", str(old), str(new)]) == Exit.UNKNOWN
    assert run(["diff", str(new), str(new)]) == Exit.DONE


def test_a_new_field_that_decides_nothing_is_no_difference(tmp_path: Path) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(version("", ""))
    new.write_text(version("seen: int = 0", "self.seen += 1"))
    assert run(["diff", str(old), str(new)]) == Exit.DONE


def test_an_example_is_one_of_the_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A field which one version alone reads is no difference."""
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(version("", ""))
    new.write_text(version("", f'if rpc.msg.user.startswith(" "): {REJECT}'))
    assert run(["diff", str(old), str(new), "--limit", "20"]) == Exit.NO
    shown = capsys.readouterr().out
    assert "user=' " in shown and "new: Reject" in shown
