# SPDX-License-Identifier: Apache-2.0
"""Refused rearrangements on real carriers: the counter-example is sent, and the two arrangements really differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.terminal import runner
from tests.unit.rpc.equivalence.test_pairs import PATIENT, REDACT, example
from transect.cli.exits import Exit
from transect.rpc.equivalence import Level, Move, Side, Verdict, decide, judge_move
from transect.rpc.equivalence.levels import named
from transect.rpc.equivalence.simulate import Arranged
from transect.rpc.equivalence.streams import Ends, Run, Stream, Witness
from transect.rpc.trying import Carrier, Tried, Unsendable, tried

pytestmark = pytest.mark.needs("z3", "envoy", "gcc", "grpcio", "python-headers")


def swapped(first: str, second: str, level: Level, carrier: Carrier = Carrier.ENVOY) -> Tried:
    """The counter-example of two that may not change places, sent both ways."""
    judgement = decide(example(first), example(second), [level], PATIENT).at(level)
    assert judgement.verdict is Verdict.REFUSED and judgement.witness is not None, judgement.why
    elements = named(example(first), example(second))
    arranged = Arranged.swapped(elements[0].name, elements[1].name)
    return tried({e.name: e.program for e in elements}, judgement.witness, arranged, level, carrier)


@pytest.mark.parametrize(
    ("first", "second", "level"),
    [
        ("rate_limit", "acl", Level.LOOSE),  # tokens spent on calls that the access list rejects
        ("fault", "rate_limit", Level.LOOSE),  # and on calls that are aborted
        ("sticky", "acl", Level.LOOSE),  # routes
        ("fault", "logging", Level.IDENTICAL),  # what is said
    ],
)
def test_a_refused_swap_differs_in_envoy(first: str, second: str, level: Level) -> None:
    found = swapped(first, second, level)
    assert found.differs, found.table()
    assert found.as_interpreted, found.table()


def test_a_refused_swap_differs_in_the_library() -> None:
    found = swapped("fault", "rate_limit", Level.LOOSE, Carrier.GRPCIO)
    assert found.differs and found.as_interpreted, found.table()


def test_a_refused_move_differs() -> None:
    """A limit for all is another one where each client has its own."""
    judgement = judge_move(Move(example("rate_limit"), Side.CLIENT), Level.SERVICE, PATIENT.limit)
    assert judgement.witness is not None
    programs = {"RateLimit": example("rate_limit")}
    found = tried(programs, judgement.witness, Arranged.moved("RateLimit"), Level.SERVICE)
    assert found.differs and found.as_interpreted, found.table()
    assert "at each client" in found.table()


def test_what_no_carrier_can_be_told_is_not_sent() -> None:
    nothing = Run("", [], {})
    witness = Witness(Stream({}, []), (nothing, nothing), "", Ends.LATER)
    with pytest.raises(Unsendable, match="would have to wait"):
        tried({}, witness, Arranged.swapped("a", "b"), Level.LOOSE)


CHAIN = """
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain, Element, Forward, Message, Rpc, Verdict
from transect.lang import Map, table
{redact}
chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[RateLimit(), Acl(), Redact()])
"""


def test_the_verb_tries_each_two_of_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runner(capsys)
    chain = tmp_path / "chain.py"
    chain.write_text(CHAIN.format(redact=REDACT))
    done = run("rpc", "try", chain, "RateLimit", "Acl", "--level", "loose", "--limit", "20")
    assert done.code == Exit.DONE, done.out + done.err
    assert "RateLimit and Acl change places: refused at loose" in done.out
    assert "seen on envoy: the arrangements differ" in done.out
    accepted = run("rpc", "try", chain, "RateLimit", "Redact", "--level", "identical", "--json")
    assert accepted.code == Exit.DONE, accepted.out + accepted.err
    (said,) = json.loads(accepted.out)["rearrangements"]
    assert (said["verdict"], said["carrier"]) == ("proved", None)


def test_the_verb_knows_the_elements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run: Any = runner(capsys)
    chain = tmp_path / "chain.py"
    chain.write_text(CHAIN.format(redact=REDACT))
    done = run("rpc", "try", chain, "RateLmit")
    assert done.code == Exit.USAGE
    assert "did you mean RateLimit?" in done.err
