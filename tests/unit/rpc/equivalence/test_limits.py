# SPDX-License-Identifier: Apache-2.0
"""The limit of a question about a chain is kept where a few lines come to millions of terms; and no element moves by a
question that was not answered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unit.core.running import compiled
from tests.unit.rpc.equivalence.test_pairs import REDACT, example
from transect.analysis.solve import Answer, Found, Question
from transect.base.span import NOWHERE
from transect.core.ir import Program
from transect.rpc.chain.arrangement import Processor
from transect.rpc.chain.constraints import Piece
from transect.rpc.equivalence import Judge, Level, Move, Settings, Side, Verdict, decide, judge_move, recheck
from transect.rpc.equivalence.levels import LEVELS
from transect.rpc.equivalence.pairs import Judgement, Pair
from transect.rpc.placement.moves import permitted, relations

pytestmark = pytest.mark.needs("z3")

LIMIT = 0.1  # seconds
HELPERS = "\n".join(
    f"@helper\ndef h{n}(x: int) -> int:\n    return h{n - 1}(x + {n}) + h{n - 1}(x * {n})\n"
    for n in range(1, 21)
)
DOUBLING = f"""
from transect.lang import helper

@helper
def h0(x: int) -> int:
    return x * x + 1
{HELPERS}

class Ask(Message):
    user: str

class Doubling(Element):
    total: int = 0
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.total = h20(self.total + len(rpc.msg.user))
        return Forward() if self.total > 7 else Reject(Code.RESOURCE_EXHAUSTED, "less")
"""
"""A policy whose last helper is called 2^20 times, with another argument each."""


@pytest.fixture(scope="module")
def doubling() -> Program:
    return compiled(DOUBLING)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Of the processor."""
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def test_a_pair_that_comes_to_millions_of_terms_is_unknown_at_its_limit(doubling: Program) -> None:
    with within(10):
        found = decide(doubling, example("rate_limit"), settings=Settings(limit=LIMIT))
    assert {level: j.verdict for level, j in found.levels.items()} == dict.fromkeys(LEVELS, Verdict.UNKNOWN)
    assert all("not evaluated: the limit of" in j.why for j in found.levels.values())


def test_a_recheck_of_one_is_no_proof(doubling: Program) -> None:
    said = {level: Judgement(level, Verdict.PROVED, "as it was said") for level in LEVELS}
    with within(10):
        again = recheck(Pair(doubling, compiled(REDACT), said), Level.SERVICE, Settings(limit=LIMIT))
    assert again is Answer.UNKNOWN


def test_a_move_that_comes_to_millions_of_terms_is_unknown_at_its_limit(doubling: Program) -> None:
    with within(10):
        found = judge_move(Move(doubling, Side.CLIENT), Level.SERVICE, LIMIT)
    assert found.verdict is Verdict.UNKNOWN
    assert "no stream was found that shows it (the limit of" in found.why


def test_a_search_whose_questions_are_not_answered_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Question, "ask", lambda _: Found(Answer.UNKNOWN, why="canceled"))
    found = judge_move(Move(example("rate_limit"), Side.CLIENT), Level.SERVICE, 20)
    assert found.verdict is Verdict.UNKNOWN
    assert found.why.endswith("no stream was found that shows it (the solver gave up: canceled)")


def test_no_element_moves_by_a_question_that_was_not_answered(doubling: Program) -> None:
    pieces = [
        Piece(program.name, program, NOWHERE, False, dict.fromkeys(Processor, ()))
        for program in (doubling, example("rate_limit"))
    ]
    written = [Processor.SERVER_PROXY] * 2
    with within(10):
        answers = relations(pieces, written, (), Level.SERVICE, Judge(Settings(limit=LIMIT, witnesses=False)))
    assert list(answers.kept) == [(0, 1)]
    assert answers.kept[0, 1].startswith("not proved (not evaluated: the limit of")
    sides = {at.side for allowed in permitted(pieces, written, answers, [{}, {}]) for at in allowed}
    assert sides == {"server"}
