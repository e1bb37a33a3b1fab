# SPDX-License-Identifier: Apache-2.0
"""Accepted pairs: random streams of interleaved RPCs, cancelled and failing ones among them, through both orders."""

from __future__ import annotations

import random
from functools import cache
from itertools import combinations

import pytest

from tests.unit.core.running import compiled
from tests.unit.rpc.equivalence.test_pairs import REDACT, example
from transect.analysis.concrete import Content, Facts
from transect.core.ir import Program
from transect.rpc.equivalence import Level, Pair, Settings, decide
from transect.rpc.equivalence.levels import named
from transect.rpc.equivalence.simulate import Arranged, Trial, differs, observed
from transect.rpc.equivalence.streams import Event, Step, Stream

pytestmark = pytest.mark.needs("z3")

NAMES = ("acl", "fault", "rate_limit", "mutation", "cache", "breaker", "logging", "metrics", "null")
USERS = ("ann", "bob", "eve")
EVENTS = 60
RUNS = 4
STATE: dict[str, dict[str, object]] = {
    "Acl": {"allowed": Content([("ann", True), ("bob", True)])},
    "RateLimit": {"burst": 2, "per_second": 1},
    "Mutation": {"changes": Content([(("user", "eve"), "ann"), (("text", "x"), "y")])},
    "Fault": {"abort": 0.3, "delay": 0.2},
    "Breaker": {"limit": 2},
}


def stream(names: tuple[str, ...], seed: int) -> Stream:
    """RPCs that begin, go on and end in any order."""
    rng = random.Random(seed)
    events: list[Event] = []
    open_: list[str] = []
    now = 0
    for number in range(EVENTS):
        now += rng.choice((0, 1, 10**8, 10**9))
        tapes = {n: Facts(now, tuple(rng.getrandbits(64) for _ in range(3))) for n in names}
        choice = rng.random()
        if choice < 0.5 or not open_:
            rpc = f"r{number}"
            open_.append(rpc)
            fields = {
                "user": rng.choice(USERS),
                "text": rng.choice("xz"),
                "key": rng.choice("ab"),
                "note": "n",
            }
            events.append(Event(rpc, Step.REQUEST, fields, tapes=tapes))
        elif choice < 0.7:
            fields = {"text": rng.choice("xyz")}
            events.append(Event(rng.choice(open_), Step.RESPONSE, fields, tapes=tapes))
        else:
            rpc = open_.pop(rng.randrange(len(open_)))
            code, cause = rng.choice(((0, 0), (14, 0), (1, 2), (4, 3), (14, 4), (7, 1)))
            ended = Event(rpc, Step.FINISH, code=code, cause=cause, elapsed=rng.randrange(10**6), tapes=tapes)
            events.append(ended)
    return Stream({n: STATE[n] for n in names if n in STATE}, events)


@cache
def decided() -> list[tuple[Program, Program, Pair]]:
    """Each two of them, and whether they may change places."""
    programs = [*(example(name) for name in NAMES), compiled(REDACT)]
    settings = Settings(limit=20, witnesses=False)
    return [(a, b, decide(a, b, settings=settings)) for a, b in combinations(programs, 2)]


def test_accepted_pairs_do_the_same_on_random_streams() -> None:
    accepted = rpcs = 0
    for first, second, found in decided():
        levels = [level for level, j in found.levels.items() if j.holds]
        if not levels:
            continue
        accepted += 1
        strongest = levels[-1]
        elements = {e.name: e.program for e in named(first, second)}
        names = tuple(elements)
        trial = Trial(elements)
        for seed in range(RUNS):
            given = stream(names, seed)
            rpcs += len({e.rpc for e in given.events})
            runs = [
                observed(trial.run(given, Arranged("", server=order)), strongest is not Level.LOOSE)
                for order in (names, names[::-1])
            ]
            assert not differs(*runs, state=strongest is Level.IDENTICAL), (names, strongest, seed)
    assert accepted > 25
    assert rpcs > 3000


def test_such_streams_tell_what_was_refused() -> None:
    """The same streams are no weak test: they find most refused pairs out by themselves."""
    told = refused = 0
    for first, second, found in decided():
        if found.at(Level.IDENTICAL).holds:
            continue
        refused += 1
        elements = {e.name: e.program for e in named(first, second)}
        names = tuple(elements)
        trial = Trial(elements)
        told += any(
            differs(
                *(trial.run(stream(names, seed), Arranged("", server=o)) for o in (names, names[::-1])),
                state=True,
            )
            for seed in range(RUNS)
        )
    assert told > 0.6 * refused


NOWHERE = """
    class Away(Element):
        where: str = text(8)

        def request(self, rpc: Rpc) -> Verdict:
            return Forward(to=self.where)
    """


def test_a_route_without_a_name_is_none_as_in_carriers() -> None:
    away = compiled(NOWHERE)
    trial, event = Trial({"Away": away}), Event("r", Step.REQUEST, tapes={"Away": Facts(0, ())})
    for where, said in (
        ("", "rejected UNAVAILABLE: the policy names a route that this proxy does not have"),
        ("b", "forwarded to b"),
    ):
        (seen,) = trial.run(Stream({"Away": {"where": where}}, [event]), Arranged("", server=("Away",))).seen
        assert seen.what == said
