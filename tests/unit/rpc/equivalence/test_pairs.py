# SPDX-License-Identifier: Apache-2.0
"""Which neighbours may change places: the cases that are known, each with its reason."""

from __future__ import annotations

from functools import cache

import pytest

from tests.unit.core.running import compiled
from transect.analysis.solve import Answer
from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.core.ir import Program
from transect.rpc.equivalence import Level, Pair, Settings, Verdict, decide, recheck

pytestmark = pytest.mark.needs("z3")

PATIENT = Settings(limit=20)  # seconds: a machine that others load is slow


@cache
def example(name: str) -> Program:
    return compile_file(path_of(name)).programs[0]


@cache
def pair(first: str, second: str) -> Pair:
    return decide(example(first), example(second), settings=PATIENT)


REDACT = """
class Note(Message):
    note: str

class Redact(Element):
    hidden: Map[str, str] = table(64)
    def request(self, rpc: Rpc[Note]) -> Verdict:
        rpc.msg.note = self.hidden.get(rpc.msg.note, rpc.msg.note)
        return Forward()
"""


def test_a_rate_limit_and_an_acl_may_not_change_places() -> None:
    """Tokens would be spent on, and room be taken by, calls that the access list rejects."""
    found = pair("rate_limit", "acl")
    assert {j.verdict for j in found.levels.values()} == {Verdict.REFUSED}
    assert all(j.witness for j in found.levels.values())


def test_fault_injection_and_a_rate_limit_may_not_change_places() -> None:
    found = pair("fault", "rate_limit")
    assert {j.verdict for j in found.levels.values()} == {Verdict.REFUSED}


def test_a_mutation_of_another_field_and_a_rate_limit_may_change_places() -> None:
    """What the published system refuses without need."""
    found = decide(compiled(REDACT), example("rate_limit"), settings=PATIENT)
    assert {j.verdict for j in found.levels.values()} == {Verdict.PROVED}
    assert {recheck(found, level) for level in found.levels} == {Answer.NEVER}


def test_a_mutation_of_the_key_and_a_rate_limit_may_not() -> None:
    found = pair("mutation", "rate_limit").at(Level.LOOSE)
    assert found.verdict is Verdict.REFUSED


def test_counts_of_calls_are_telemetry() -> None:
    found = pair("metrics", "acl")
    assert found.at(Level.SERVICE).holds
    refused = found.at(Level.IDENTICAL)
    assert refused.verdict is Verdict.REFUSED
    assert "Metrics" in refused.why


def test_two_that_reject_change_who_answers() -> None:
    """A caller sees the other code; what reaches the service is the same."""
    found = pair("fault", "acl")
    assert found.at(Level.LOOSE).holds
    assert found.at(Level.SERVICE).verdict is Verdict.REFUSED


DELAY = """
class Delay(Element):
    def request(self, rpc: Rpc) -> Verdict:
        return Forward(after=ms(300))
"""


def test_a_refusal_does_not_pass_a_delay() -> None:
    """The caller waits for what stands before the refusal, wherever the two stand; the service sees no difference."""
    found = decide(compiled(DELAY), example("acl"), settings=PATIENT)
    assert found.at(Level.LOOSE).holds
    refused = found.at(Level.SERVICE)
    assert refused.verdict is Verdict.REFUSED
    assert refused.witness is not None
    assert "after 300000000 ns" in refused.witness.table()


def test_a_refusal_is_a_table_with_a_starting_state_and_both_orders() -> None:
    witness = pair("rate_limit", "acl").at(Level.LOOSE).witness
    assert witness is not None
    shown = witness.table()
    assert "starting state:" in shown
    assert "RateLimit → Acl" in shown and "Acl → RateLimit" in shown
    assert "r2 request" in shown


def test_what_nobody_will_see_needs_no_relation() -> None:
    """Without its key an element rejects every call; what another one kept of them decides about none."""
    found = decide(example("sticky"), example("encrypt"), [Level.SERVICE], PATIENT)
    judgement = found.at(Level.SERVICE)
    assert judgement.holds, judgement.why
    assert "with and without" in judgement.why
    assert recheck(found, Level.SERVICE) is Answer.NEVER


def test_a_case_in_which_something_passes_proves_nothing() -> None:
    """The key of the one that opens decides about some calls, not about all."""
    found = decide(example("sticky"), example("decrypt"), [Level.SERVICE], Settings(witnesses=False))
    assert found.at(Level.SERVICE).verdict is Verdict.REFUSED


USER = """
class User(Message):
    name: str
    boss: "User | None"
class Ask(Message):
    user: str
    who: User
    deputy: User | None
class Gate(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if CONDITION:
            return Reject(Code.PERMISSION_DENIED, "no")
        return Forward()
"""
ABOUT_SUB_MESSAGES = {
    "rpc.msg.deputy is None": "deputy={",
    "rpc.msg.who.name == 'ann'": "who={",
    "rpc.msg.who.boss is not None": "who={",
}


@pytest.mark.parametrize("condition", ABOUT_SUB_MESSAGES)
def test_a_counter_example_has_sub_messages(condition: str) -> None:
    gate = compiled(USER.replace("CONDITION", condition))
    found = decide(example("rate_limit"), gate, [Level.LOOSE], PATIENT).at(Level.LOOSE)
    assert found.verdict is Verdict.REFUSED
    assert ABOUT_SUB_MESSAGES[condition] in found.table
