# SPDX-License-Identifier: Apache-2.0
"""Whole chains: moves between the sides of the network, trust, company; and answers that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.core.running import compiled
from tests.unit.rpc.equivalence.test_pairs import PATIENT, REDACT, example
from transect.rpc.equivalence import Cache, Judge, Level, Move, Side, Stand, Verdict, judge_move
from transect.rpc.equivalence.arrangement import check

pytestmark = pytest.mark.needs("z3")

READS_BYTES = """
class Size(Element):
    most: Param[int] = param(100)
    def request(self, rpc: Rpc) -> Verdict:
        return Forward() if len(rpc.body) <= self.most else Reject(Code.RESOURCE_EXHAUSTED, "large")
"""
OTHER = REDACT.replace("Note", "Other").replace("note", "other").replace("Redact", "Hide")


def test_what_keeps_nothing_may_move() -> None:
    assert judge_move(Move(example("mutation"), Side.CLIENT), Level.IDENTICAL).holds


def test_a_guard_may_not_move_to_the_clients_side() -> None:
    found = judge_move(Move(example("acl"), Side.CLIENT, guards=True), Level.LOOSE)
    assert found.verdict is Verdict.REFUSED
    assert "a client that leaves its own chain out would pass it by" in found.why


def test_shared_state_may_not_be_split_among_clients() -> None:
    found = judge_move(Move(example("rate_limit"), Side.CLIENT), Level.SERVICE, 20)
    assert found.verdict is Verdict.REFUSED, found.why
    assert found.witness is not None
    assert "at each client" in found.witness.table()


def test_telemetry_may_be_split_where_it_does_not_count() -> None:
    move = Move(example("metrics"), Side.CLIENT)
    assert judge_move(move, Level.SERVICE).holds
    assert not judge_move(move, Level.IDENTICAL).holds


def test_who_calls_is_seen_differently() -> None:
    found = judge_move(Move(example("bandwidth"), Side.CLIENT), Level.LOOSE)
    assert found.verdict is Verdict.REFUSED and "rpc.peer" in found.why


def test_who_calls_does_not_count_where_it_is_only_said() -> None:
    move = Move(example("logging"), Side.CLIENT)
    assert judge_move(move, Level.SERVICE).holds
    found = judge_move(move, Level.IDENTICAL)
    assert found.verdict is Verdict.REFUSED and "rpc.peer" in found.why


def stands(*names: str, side: Side = Side.SERVER) -> list[Stand]:
    return [Stand(name, example(name), side) for name in names]


def test_an_arrangement_is_judged_step_by_step() -> None:
    before = stands("metrics", "acl", "rate_limit")
    after = [Stand("metrics", example("metrics"), Side.CLIENT), *stands("rate_limit", "acl")]
    report = Judge(PATIENT).compare(before, after, Level.SERVICE)
    assert [(s.what, s.judgement.verdict) for s in report.steps] == [
        ("metrics goes to the client's side", Verdict.PROVED),
        ("rate_limit goes before acl", Verdict.REFUSED),
    ]
    assert not report.holds


def test_the_clients_side_comes_first() -> None:
    with pytest.raises(ValueError, match="clients' side first"):
        check([*stands("acl"), *stands("metrics", side=Side.CLIENT)])


def test_bytes_depend_on_who_assigns_first() -> None:
    redact, hide, size = (
        Stand(name, compiled(text)) for name, text in (("a", REDACT), ("b", OTHER), ("c", READS_BYTES))
    )
    assert Judge(PATIENT).compare([redact, hide], [hide, redact], Level.SERVICE).holds
    refused = Judge(PATIENT).compare([redact, hide, size], [hide, redact, size], Level.SERVICE).refused
    assert "rpc.body" in refused[0].judgement.why


def test_answers_are_kept_by_content(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = Judge(PATIENT, cache).pair(example("acl"), example("rate_limit"), False)
    again = Judge(PATIENT, cache).pair(example("acl"), example("rate_limit"), False)
    assert len(list(tmp_path.iterdir())) == 1
    assert {level: j.verdict for level, j in first.levels.items()} == {
        level: j.verdict for level, j in again.levels.items()
    }
    assert again.at(Level.LOOSE).table == first.at(Level.LOOSE).table != ""
    next(tmp_path.iterdir()).write_text("{")
    assert Judge(PATIENT, cache).pair(example("acl"), example("rate_limit"), False).seconds > 0
