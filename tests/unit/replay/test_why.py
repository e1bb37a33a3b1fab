# SPDX-License-Identifier: Apache-2.0
"""The decisions about one request, from the log of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from tests.unit.core.test_effects import HEAD
from tests.unit.replay.test_compare import CALLS, IMPORTS, LIMIT, Plain, policy, recorded
from transect.base.request_id import Named
from transect.examples.fair_share import FairShare
from transect.replay import Log, read
from transect.replay.log import Naming
from transect.replay.queues import QueueDecoder
from transect.replay.watched import Change, Value
from transect.replay.why import Layer, why
from transect.rpc.arbiter import Queue
from transect.rpc.grpcio.attach import program_of

SOURCES = {policy().path: HEAD + IMPORTS + LIMIT}


def named(log: Log, *names: tuple[int, str]) -> Log:
    """The log, with sources, and with requests that have names: (instance, id)."""
    policies = tuple(replace(p, sources=SOURCES) for p in log.policies)
    return replace(log, policies=policies, names=tuple(Naming(i, 0, 1, Named(name)) for i, name in names))


def one(log: Log, asked: str) -> Layer:
    (layer,) = why(log, Plain(), asked)
    return layer


def test_a_request_is_shown_with_its_lines_what_they_read_and_what_they_changed() -> None:
    layer = one(named(recorded(policy(), CALLS), (1, "a"), (2, "b")), "b")
    assert layer.explained
    assert [(d.hook, d.verdict[:7], d.differs) for d in layer.decisions] == [
        ("request", "Forward", ""),
        ("request", "Forward", ""),
        ("response", "Reject(", ""),
    ]
    first, _, last = layer.decisions
    texts = [line.text.strip() for line in first.lines]
    assert texts == [
        "self.total += rpc.msg.n",
        "self.mine += 1",
        "if self._over():",
        "return self.total > self.limit",
        "return Forward()",
    ]
    assert first.lines[0].values == (Value("rpc.msg.n", "5"),)
    assert Value("self.total > self.limit", "false") in first.lines[3].values
    assert first.changes == (Change("total", "4", "9"), Change("mine", "nothing", "1"))
    assert [line.text.strip() for line in last.lines] == [
        "if self.mine > 1:",
        'return Reject(Code.ABORTED, "twice")',
    ]
    assert Value("self.mine", "2") in last.lines[0].values


def test_all_requests_of_one_id_are_shown_apart_and_others_not_at_all() -> None:
    log = named(recorded(policy(), CALLS), (1, "a"), (2, "a"), (3, "c"))
    assert [len(layer.decisions) for layer in why(log, Plain(), "a")] == [2, 3]
    assert why(log, Plain(), "b") == []


def test_a_result_that_is_not_as_recorded_is_said() -> None:
    made = recorded(policy(), CALLS)
    records = list(made.records)
    records[1] = replace(records[1], result=records[5].result)
    layer = one(named(replace(made, records=tuple(records)), (2, "b")), "b")
    assert not layer.explained
    assert layer.open and "leaves the recording at call 1" in layer.open[0]


def test_a_call_that_is_missing_before_is_said_and_nothing_is_made_up() -> None:
    made = recorded(policy(), CALLS)
    layer = one(named(replace(made, records=made.records[1:]), (2, "b")), "b")
    assert layer.decisions == ()
    assert layer.open == ("calls of P are missing before number 1",)


def test_a_log_that_is_not_closed_explains_what_it_has() -> None:
    layer = one(named(replace(recorded(policy(), CALLS), trailer=None), (2, "b")), "b")
    assert layer.explained and len(layer.decisions) == 3


def test_a_request_of_which_nothing_was_decided_is_said() -> None:
    layer = one(named(recorded(policy(), CALLS), (9, "z")), "z")
    assert layer.open == ("the log ended before anything was decided about it",)


# ---------------------------------------------------------------- in a queue


def turns(path: Path, *steps: str) -> Log:
    """A server that serves one at a time: `+bob` comes, as `bob-N` by its place; `-`: who is served has ended."""
    clock = count(step=1000)
    sharing = FairShare()
    queue = Queue(sharing, program_of(sharing), 1, 100, clock=lambda: next(clock))
    queue.record(path, "shop")
    there = []
    for number, step in enumerate(steps):
        if step.startswith("+"):
            there.append(queue.join(step[1:], Named(f"{step[1:]}-{number}")))
        else:
            (served,) = [turn for turn in there if turn is not None and turn.came.is_set()]
            there.remove(served)
            queue.end(served)
    queue.end_record()
    return read(path)


def of(log: Log, asked: str) -> Layer:
    (layer,) = why(log, QueueDecoder(log), asked)
    return layer


FLOOD: Sequence[str] = ("+bob", "+bob", "+bob", "+alice", "-", "-", "-", "-")


def test_who_waits_is_shown_with_who_went_first_and_by_what_the_policy_chose(tmp_path: Path) -> None:
    layer = of(turns(tmp_path / "log", *FLOOD), "bob-2")
    assert layer.explained and layer.waited
    assert layer.went_first == {"alice": 1, "bob": 1}
    assert [first.client for first in layer.first] == ["alice", "bob"]
    assert {value.what for value in layer.first[0].choice} >= {"served[alice]", "served[bob]"}
    assert [d.hook for d in layer.decisions] == ["pick", "charge", "charge"]
    (charged,) = layer.decisions[-1].changes
    assert charged.place == "served[bob]"
    times = [d.time for d in layer.decisions if d.time is not None]
    assert len(times) == 3 and layer.came <= times[0] and times == sorted(times)


def test_who_is_next_at_once_waits_for_nobody(tmp_path: Path) -> None:
    layer = of(turns(tmp_path / "log", *FLOOD), "bob-0")
    assert layer.went_first == {} and layer.first == ()
    assert [d.hook for d in layer.decisions] == ["arrive", "pick", "charge", "charge"]


def test_a_log_that_ends_before_the_turn_says_so(tmp_path: Path) -> None:
    layer = of(turns(tmp_path / "log", *FLOOD[:5]), "bob-2")
    assert not layer.explained
    assert layer.open == ("it left, or the log ended, before its turn came",)
    assert layer.went_first == {"alice": 1}
