# SPDX-License-Identifier: Apache-2.0
"""Conditions over all entries of a table whose entries change: proved by induction, and never wrongly."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from transect.analysis.prove import Finding, Prover, Verdict, holds_on
from transect.cli.proving import Proof, diagnostic
from transect.cli.worlds import world_of
from transect.core.frontend.contracts import Contracted, compile_contracts, contracted
from transect.core.interp import Instance

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.lang import Map, ensures, invariant, now, rand_below, table, text
from transect.rpc import Element, Forward, Message, Rpc, Verdict

class Ask(Message):
    user: str
    n: int

"""
QUOTA = """
@invariant(lambda self: all(n <= 10 for n in self.calls.values()))
class Quota(Element):
    calls: Map[str, int] = table(1000, key=text(32))
    limit: int = 10

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if self.calls.get(rpc.msg.user, 0) < 10:
            self.calls[rpc.msg.user] = self.calls.get(rpc.msg.user, 0) + 1
        return Forward()
"""


def policy(path: Path, text: str) -> Contracted:
    path.write_text(HEAD + text)
    compiled = compile_contracts(path)
    assert compiled.programs, [str(d) for d in compiled.diagnostics]
    return contracted(compiled.programs[0])


def findings(made: Contracted) -> list[Finding]:
    return Prover(made, world_of(made.program), 1.0).run()


def of_request(path: Path, text: str) -> Finding:
    (found,) = (f for f in findings(policy(path, text)) if f.hook == "request")
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<= 10", "<= 10"),
        ("all(n <= 10 for n in self.calls.values())", "not any(n > 10 for n in self.calls.values())"),
        ("all(n <= 10 for n in", "all(n <= self.limit for n in"),
        ("        return Forward()", "        if rpc.msg.n > 3:\n            del self.calls[rpc.msg.user]\n"
         "        return Forward()"),
    ],
)  # fmt: skip
def test_what_each_store_keeps_is_proved_of_all(tmp_path: Path, old: str, new: str) -> None:
    text = QUOTA.replace(old, new)
    if "self.limit for" in text:
        text = text.replace("0) < 10", "0) < self.limit")
    assert of_request(tmp_path / "p.py", text).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0) < 10", "0) < 11"),
        ("all(n <= 10", "all(n < 10"),
        ("        return Forward()", "        self.calls[\"other\"] = rpc.msg.n\n        return Forward()"),
        ("        if self.calls", "        self.limit = rpc.msg.n\n        if self.calls"),
    ],
)  # fmt: skip
def test_a_store_that_breaks_it_is_shown(tmp_path: Path, old: str, new: str) -> None:
    text = QUOTA.replace(old, new)
    if "self.limit =" in text:
        text = text.replace("n <= 10 for", "n <= self.limit for")
    found = of_request(tmp_path / "p.py", text)
    assert found.verdict is Verdict.BROKEN and found.example is not None and found.example.after


def test_an_entry_that_may_be_missing_is_not_taken_for_there(tmp_path: Path) -> None:
    some = QUOTA.replace("all(n <= 10 for", "len(self.calls) == 0 or any(n <= 10 for")
    gone = some.replace(
        "        return",
        "        if rpc.msg.user in self.calls:\n            del self.calls[rpc.msg.user]\n        return",
    )
    assert of_request(tmp_path / "p.py", gone).verdict is not Verdict.PROVED


def test_a_condition_that_reads_other_entries_is_not_proved_entry_by_entry(tmp_path: Path) -> None:
    head, _, _ = QUOTA.replace("all(n <= 10 for", "all(n <= self.calls.get('most', 0) for").partition(
        "        if self"
    )
    lowered = head + "        self.calls['most'] = 0\n        return Forward()\n"
    assert of_request(tmp_path / "p.py", lowered).verdict is not Verdict.PROVED


def test_what_is_not_followed_is_marked_with_what_to_write(tmp_path: Path) -> None:
    text = QUOTA.replace(
        "all(n <= 10 for n in self.calls.values())", "sum(n for n in self.calls.values()) < 99"
    )
    made = policy(tmp_path / "p.py", text)
    (found,) = (f for f in findings(made) if f.hook == "request")
    assert found.verdict is Verdict.UNKNOWN
    told = diagnostic(Proof(made.program, found))
    assert told is not None and "the entry that the call changes" in told.help and "--limit" not in told.help
    assert any("`sum` over the entries of `calls`" in label.text for label in told.others)


STATEMENTS = (
    "self.calls[user] = self.calls.get(user, 0) + 1",
    "self.calls[user] = min(self.calls.get(user, 0) + n, 4)",
    "if n > 0:\n            self.calls[user] = n",
    "if self.calls.get(user, 0) < 4:\n            self.calls[user] = self.calls.get(user, 0) + 1",
    "if user in self.calls:\n            del self.calls[user]",
    "self.limit = max(self.limit, n)",
    "self.limit = n",
    "if n <= self.limit:\n            self.calls['b'] = n",
    "self.most = max(self.most, self.calls.get(user, 0))",
)
CONDITIONS = (
    "all(v <= 4 for v in self.calls.values())",
    "all(v >= 0 for v in self.calls.values())",
    "all(v <= self.limit for v in self.calls.values())",
    "all(v <= self.most for v in self.calls.values())",
    "not any(v > 4 for v in self.calls.values())",
    "not any(k == 'c' for k in self.calls)",
    "all(v > 0 for k, v in self.calls.items() if k != 'a')",
    "all(v <= self.calls.get('b', 4) for v in self.calls.values())",
)


def written(rng: random.Random) -> str:
    body = "\n        ".join(rng.sample(STATEMENTS, rng.randrange(1, 4)))
    return f"""
@invariant(lambda self: {rng.choice(CONDITIONS)})
class P(Element):
    calls: Map[str, int] = table({rng.choice((2, 3))}, key=text(8))
    limit: int = {rng.choice((0, 4))}
    most: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        user = rpc.msg.user
        n = rpc.msg.n
        {body}
        return Forward()
"""


def test_no_random_policy_breaks_what_was_proved_of_it(tmp_path: Path) -> None:
    rng = random.Random(7)
    proved = broken = 0
    for number in range(60):
        made = policy(tmp_path / f"p{number}.py", written(rng))
        (condition,) = made.of("invariant")
        verdicts = {f.hook: f.verdict for f in findings(made)}
        broken += verdicts["request"] is Verdict.BROKEN
        if set(verdicts.values()) != {Verdict.PROVED}:
            continue
        proved += 1
        instance = Instance(made.program)
        for _ in range(200):
            ask = SimpleNamespace(user=rng.choice("abcd"), n=rng.choice((-5, -1, 0, 1, 2, 4, 5, 9)))
            instance.call("request", [SimpleNamespace(msg=ask)])
            assert holds_on(instance, condition, ()), written
    assert proved >= 8 and broken >= 15, (proved, broken)
