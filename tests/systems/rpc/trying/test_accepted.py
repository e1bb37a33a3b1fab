# SPDX-License-Identifier: Apache-2.0
"""Accepted rearrangements on real carriers: random streams of interleaved RPCs, cancelled and failing ones among them,
come to the same in both orders, and to what the interpreter says.  `test_two_orders.py` does it for 100,000 RPCs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.rpc.equivalence.test_pairs import example
from tests.unit.rpc.equivalence.two_orders import STATES, judge, permuted
from transect.analysis.concrete import Facts
from transect.rpc.equivalence import Level, Stand
from transect.rpc.equivalence.simulate import Arranged, Trial
from transect.rpc.equivalence.streams import Ends, Event, Run, Step, Stream, Witness
from transect.rpc.trying import Carrier
from transect.rpc.trying.sending import sent

pytestmark = pytest.mark.needs("z3", "envoy", "gcc", "grpcio", "python-headers")

NAMES = ("metrics", "rate_limit", "mutation", "logging", "cache")
RPCS = 60


def stream(names: list[str], seed: int) -> Stream:
    """Unary RPCs: a request, then a reply, an error, or a cancel; several are under way at once."""
    rng = random.Random(seed)
    events: list[Event] = []
    under_way: list[str] = []
    for number in range(2 * RPCS):
        now = number * 10**7
        tapes = {name: Facts(now, (rng.getrandbits(64), rng.getrandbits(64))) for name in names}
        if len(under_way) < 4 and (number % 2 == 0 or not under_way):
            under_way.append(f"r{number}")
            fields = {
                "user": rng.choice(("ann", "bob", "eve")),
                "text": rng.choice("xz"),
                "key": rng.choice("abcd"),
            }
            events.append(Event(under_way[-1], Step.REQUEST, fields, tapes=tapes))
            continue
        rpc = under_way.pop(rng.randrange(len(under_way)))
        kind = rng.random()
        if kind < 0.6:
            events.append(Event(rpc, Step.RESPONSE, {"text": rng.choice("xyz")}, tapes=tapes))
        else:
            code, cause = (1, 2) if kind < 0.8 else (rng.choice((5, 13, 14)), 0)
            events.append(Event(rpc, Step.FINISH, code=code, cause=cause, tapes=tapes))
    return Stream({name: STATES[name] for name in names if name in STATES}, events)


@pytest.mark.parametrize("carrier", list(Carrier))
def test_both_orders_do_the_same(tmp_path: Path, carrier: Carrier) -> None:
    chain = [Stand(example(name).name, example(name)) for name in NAMES]
    other = permuted(chain, Level.SERVICE, judge(), 1)
    orders = [tuple(s.name for s in one) for one in (chain, other)]
    assert orders[0] != orders[1]
    programs = {s.name: s.program for s in chain}
    given = stream(list(programs), 1)
    trial = Trial(programs)
    real = []
    for number, order in enumerate(orders):
        arranged = Arranged(" → ".join(order), server=order)
        said = trial.run(given, arranged, Ends.WITH_REPLY)
        nothing = Run("", [], {})
        witness = Witness(given, (said, nothing), "", Ends.WITH_REPLY)
        real.append(sent(programs, witness, arranged, carrier, tmp_path / str(number)))
        assert [s.what for s in real[-1].seen] == [s.what for s in said.seen]
    assert [s.what for s in real[0].seen] == [s.what for s in real[1].seen]
    kinds = {s.what.partition(" ")[0] for s in real[0].seen}
    assert kinds >= {"forwarded", "rejected", "answered", "delivered", "ended"}, kinds
