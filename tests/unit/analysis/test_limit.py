# SPDX-License-Identifier: Apache-2.0
"""A question's limit is time of the processor: what other programs take meanwhile changes no answer.

One thread asks.
"""

from __future__ import annotations

import threading
import time

import pytest

from transect.analysis.solve import FIRST, SECOND, Answer, Asking, Found, Question
from transect.analysis.terms import Op, Sort, Term, integer, make, var

pytestmark = pytest.mark.needs("z3")

X, Y = var("x", Sort.INT), var("y", Sort.INT)


def below(a: Term, b: Term) -> Term:
    return make(Op.LT_U, Sort.BOOL, (a, b))


def product(of: int) -> list[Term]:
    """Two numbers with that product: as hard as taking it apart."""
    same = make(Op.EQ, Sort.BOOL, (make(Op.MUL, Sort.INT, (X, Y)), integer(of)))
    return [same, below(integer(1), X), below(X, Y), below(Y, integer(1 << 31))]


HARD = product(1_000_000_007 * 1_000_000_009)


@pytest.mark.parametrize("asking", [FIRST, SECOND])
def test_a_hard_question_ends_when_it_has_taken_its_time(asking: Asking) -> None:
    before = time.thread_time()
    found = Question(HARD, exact=True, limit=0.2 / asking.times, asking=asking).ask()
    taken = time.thread_time() - before
    assert (found.answer, found.model) == (Answer.UNKNOWN, None), found
    assert 0.15 < taken < 2
    assert Question(product(15), exact=True).ask().answer is Answer.SOMETIMES, "the next one is not cut short"


def test_one_thread_asks_at_a_time() -> None:
    """z3's terms are the process's: two threads would crash it."""
    entered, ended, said = threading.Event(), threading.Event(), []

    class Slow(Question):
        def _asked(self) -> Found:
            entered.set()
            assert ended.wait(10)
            return Found(Answer.UNKNOWN)

    other = threading.Thread(target=lambda: said.append(Slow([]).ask()))
    other.start()
    assert entered.wait(10)
    with pytest.raises(RuntimeError, match="one thread"):
        Question([]).ask()
    ended.set()
    other.join()
    assert said == [Found(Answer.UNKNOWN)]
    assert Question([]).ask().answer is Answer.SOMETIMES, "and the next one may"
