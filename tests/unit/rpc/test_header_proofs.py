# SPDX-License-Identifier: Apache-2.0
"""Proofs about policies that read metadata: it is one map, which counter-examples show."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.analysis.diff import Difference, diff
from transect.analysis.prove import Finding, Prover, Verdict
from transect.cli.worlds import world_of
from transect.core.frontend import compile_text
from transect.core.frontend.contracts import compile_contracts, contracted

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.lang import Map, ensures, table, text
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict

"""
QUOTA = """
class Quota(Element):
    calls: Map[str, int] = table(1000, key=text(32))

    @ensures(lambda self, rpc, verdict: self._calls(rpc) <= MOST)
    def request(self, rpc: Rpc) -> Verdict:
        user = rpc.headers.get("user")
        if user is None:
            return Reject(Code.UNAUTHENTICATED)
        self.calls[user] = min(self.calls.get(user, 0) + 1, 10)
        return Forward()

    def _calls(self, rpc: Rpc) -> int:
        user = rpc.headers.get("user")
        return 0 if user is None or user not in self.calls else self.calls.get(user, 0) - self._extra(user)

    def _extra(self, user: str) -> int:
        return self.calls.get(user, 0) - 10 if self.calls.get(user, 0) > 10 else 0
"""
GATE = """
class Gate(Element):
    def request(self, rpc: Rpc) -> Verdict:
        user = rpc.headers.get("user")
        if user is None or user != "ann":
            return Reject(Code.UNAUTHENTICATED)
        return Forward()
"""


def finding(path: Path, most: int) -> Finding:
    path.write_text(HEAD + QUOTA.replace("MOST", str(most)))
    (program,) = compile_contracts(path).programs
    (found,) = Prover(contracted(program), world_of(program)).run()
    return found


def compared(new: str) -> Difference:
    (a,), (b,) = (compile_text(HEAD + text).programs for text in (GATE, new))
    return diff(a, b, world_of(a, b))


def test_a_promise_of_an_entry_by_a_header_is_proved(tmp_path: Path) -> None:
    assert finding(tmp_path / "quota.py", 10).verdict is Verdict.PROVED


def test_where_it_is_broken_the_header_is_shown(tmp_path: Path) -> None:
    found = finding(tmp_path / "quota.py", 9)
    assert found.verdict is Verdict.BROKEN and found.example is not None
    assert "headers={'user': '" in found.example.args["rpc"]


def test_a_header_that_is_read_twice_is_the_same() -> None:
    twice = GATE.replace("if user is None", "if rpc.headers.get('user') is None or user is None")
    assert compared(twice).same


@pytest.mark.parametrize(
    ("old", "new", "shows"),
    [
        ('!= "ann"', '!= "bob"', "headers={'user': '"),
        ('get("user")', 'get("name")', "headers={'"),
        (
            "return Forward()",
            'rpc.headers.remove("user")\n        return Forward()',
            "headers={'user': 'ann'}",
        ),
        (
            "return Forward()",
            'rpc.headers.set("user", "bob")\n        return Forward()',
            "headers={'user': 'ann'}",
        ),
    ],
)
def test_another_header_is_a_difference_that_is_shown(old: str, new: str, shows: str) -> None:
    found = compared(GATE.replace(old, new))
    assert found.changes and not found.open
    assert any(shows in c.example.args["rpc"] for c in found.changes)
    assert all("function" not in c.example.new + c.example.args["rpc"] for c in found.changes)


def test_what_is_set_to_what_it_was_is_no_difference() -> None:
    assert compared(
        GATE.replace("return Forward()", 'rpc.headers.set("user", "ann")\n        return Forward()')
    ).same


COMPUTED = """
class Gate(Element):
    def request(self, rpc: Rpc) -> Verdict:
        rpc.headers.set(rpc.method, "seen")
        if rpc.headers.get(rpc.method) is None:
            return Reject(Code.UNAUTHENTICATED)
        return Forward()
"""


def test_what_is_set_under_a_computed_name_may_not_be_there() -> None:
    """The name may be one of the protocol's, under which nothing is set or read."""
    always = COMPUTED.replace(
        "if rpc.headers.get(rpc.method) is None", 'if rpc.method == "" and rpc.method != ""'
    )
    (a,), (b,) = (compile_text(HEAD + text).programs for text in (COMPUTED, always))
    assert not diff(a, b, world_of(a, b)).same


def test_a_computed_name_that_is_read_twice_has_one_value() -> None:
    once = COMPUTED.replace(
        "if rpc.headers.get(rpc.method) is None",
        "name = rpc.method\n        if rpc.headers.get(name) is None and rpc.headers.get(name) is None",
    )
    (a,), (b,) = (compile_text(HEAD + text).programs for text in (COMPUTED, once))
    assert diff(a, b, world_of(a, b)).same
