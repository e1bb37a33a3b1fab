# SPDX-License-Identifier: Apache-2.0
"""What a field holds of a number: how wide it is, only a service tells, but what was read there it holds as it is."""

from __future__ import annotations

import pytest

from tests.unit.core.running import compiled
from transect.core.ir import Program
from transect.core.values import normal
from transect.rpc.equivalence import Level, Settings, Verdict, decide, recheck
from transect.rpc.messages.rewriter import stored
from transect.rpc.messages.wire import BITS, Kind, Presence, ProtoField

pytestmark = pytest.mark.needs("z3")

PATIENT = Settings(limit=5)


def element(name: str, assigned: str, t: str = "int") -> Program:
    return compiled(f"""
class Ask(Message):
    n: {t}

class {name}(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        rpc.msg.n = {assigned}
        return Forward()
""")


def test_two_bounds_on_one_field_commute_where_the_lower_is_below() -> None:
    first, second = element("AtMost5", "min(rpc.msg.n, 5)"), element("AtLeast2", "max(rpc.msg.n, 2)")
    found = decide(first, second, settings=PATIENT)
    assert {j.verdict for j in found.levels.values()} == {Verdict.PROVED}
    assert {recheck(found, level).value for level in found.levels} == {"never"}


@pytest.mark.parametrize("bound", ["3", "0 - 3"])
def test_bounds_that_cross_are_refused_with_a_stream(bound: str) -> None:
    first = element("AtMost", f"min(rpc.msg.n, {bound} - 1)")
    found = decide(first, element("AtLeast", f"max(rpc.msg.n, {bound})"), [Level.SERVICE], PATIENT)
    judgement = found.at(Level.SERVICE)
    assert judgement.verdict is Verdict.REFUSED and judgement.witness is not None
    assert "r1's request is forwarded n=" in judgement.why


@pytest.mark.parametrize(("add", "bound"), [("1", "100"), ("5_000_000_000", "5")])
def test_what_is_computed_may_be_cut_and_is_never_taken_for_what_was_read(add: str, bound: str) -> None:
    """Of 32 bits, a large sum would be cut before the other looks at it, and after in the other order."""
    first, second = element("Add", f"rpc.msg.n + {add}"), element("AtMost", f"min(rpc.msg.n, {bound})")
    assert not decide(first, second, [Level.LOOSE], PATIENT).at(Level.LOOSE).holds


@pytest.mark.parametrize("kind", [*BITS, Kind.FLOAT, Kind.DOUBLE])
def test_every_kind_of_field_holds_what_was_read_there(kind: Kind) -> None:
    f = ProtoField("n", 1, kind, Presence.IMPLICIT)
    wild = [0.1, -0.0, 1e300, float("inf"), float("nan")] if kind in (Kind.FLOAT, Kind.DOUBLE) else [
        -1, 0, 1, 2**31 - 1, 2**31, 2**32, -(2**31) - 1, 2**63 - 1, -(2**63), 2**64 - 1,
    ]  # fmt: skip
    for value in wild:
        read = stored(f, value)
        assert normal(stored(f, read)) == normal(read)
    assert kind in (Kind.DOUBLE,) or any(normal(stored(f, v)) != normal(v) for v in wild), (
        "else nothing is shown"
    )
