# SPDX-License-Identifier: Apache-2.0
"""Counter-examples show only what matters, as small as it can be, and keep what they must keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.analysis.diff import diff
from transect.analysis.prove import Example, Prover
from transect.cli.worlds import world_of
from transect.core.frontend import compile_text
from transect.core.frontend.contracts import compile_contracts, contracted

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.lang import Map, Param, ensures, invariant, param, requires, table, text
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

class Ask(Message):
    user: str
    n: int

"""
QUOTA = """
class Quota(Element):
    calls: Map[str, int] = table(1000, key=text(32))

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if self.calls.get(rpc.msg.user, 0) > 5:
            return Reject(Code.RESOURCE_EXHAUSTED)
        self.calls[rpc.msg.user] = self.calls.get(rpc.msg.user, 0) + 1
        return Forward()
"""
GAUGE = """
@invariant(lambda self: self.low <= self.running)
class Gauge(Element):
    most: Param[int] = param(10)
    low: int = 0
    running: int = 0

    @requires(lambda self, rpc: rpc.msg.n >= 40)
    @ensures(lambda self, rpc, verdict: self.running != self.most + rpc.msg.n)
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.running += rpc.msg.n
        self.low = self.running
        return Forward()
"""


def example(path: Path, text: str) -> Example:
    path.write_text(HEAD + text)
    (program,) = compile_contracts(path).programs
    broken = [f.example for f in Prover(contracted(program), world_of(program)).run() if f.example]
    assert broken[0] is not None
    return broken[0]


def test_of_a_table_only_the_entry_that_changed_is_shown(tmp_path: Path) -> None:
    promise = "    @ensures(lambda self, rpc, verdict: self.calls.get(rpc.msg.user, 0) <= 3)\n    def request"
    found = example(tmp_path / "quota.py", QUOTA.replace("    def request", promise))
    assert found.args == {"rpc": "Rpc(msg=Ask(user='a'))"}
    assert found.after in ({}, {"calls['a']": "4"})
    (entries,) = found.state.values()
    assert [*entries.entries] in ([("a", 3)], [("a", 4)])  # type: ignore[attr-defined]


def test_an_entry_that_has_gone_is_said_to_be_nothing(tmp_path: Path) -> None:
    gone = QUOTA.replace(
        "        return Forward()", "        del self.calls[rpc.msg.user]\n        return Forward()"
    )
    promise = "    @ensures(lambda self, rpc, verdict: len(self.calls) > 0)\n    def request"
    found = example(tmp_path / "gone.py", gone.replace("    def request", promise))
    assert len(str(found)) < 400


def test_what_is_required_still_holds_and_parameters_stay_as_declared(tmp_path: Path) -> None:
    found = example(tmp_path / "gauge.py", GAUGE)
    assert found.state == {"most": 10, "low": 0, "running": 10}
    assert found.args == {"rpc": "Rpc(msg=Ask(n=40))"}
    assert found.after == {"running": "50", "low": "50"}


def test_the_same_question_has_the_same_example(tmp_path: Path) -> None:
    path = tmp_path / "gauge.py"
    assert [example(path, GAUGE) for _ in range(3)] == [example(path, GAUGE)] * 3


def test_versions_are_told_apart_at_the_edge() -> None:
    (old,), (new,) = (compile_text(HEAD + text).programs for text in (QUOTA, QUOTA.replace("> 5", "> 6")))
    found = diff(old, new, world_of(old, new))
    kinds = {c.kind: c.example for c in found.changes}
    refused = kinds["Reject becomes Forward"]
    (entries,) = refused.state.values()
    assert [*entries.entries] == [("a", 6)] and entries.filled == 1  # type: ignore[attr-defined]
    assert refused.new == "Forward(after=None, to=None); leaves calls['a'] = 7"
    assert all(len(e.old + e.new + str(e.state)) < 400 for e in kinds.values())
