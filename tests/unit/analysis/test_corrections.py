# SPDX-License-Identifier: Apache-2.0
"""An impossible model of a first question, which takes products and floats for unknown functions, is corrected."""

import struct

import pytest

from transect.analysis import fold
from transect.analysis.solve import Answer, Question
from transect.analysis.terms import Op, Sort, Term, integer, number, var

pytestmark = pytest.mark.needs("z3")

FEW = tuple(map(integer, (2, 3, 5, 7)))


def _one_of(term: Term, values: tuple[Term, ...]) -> Term:
    return fold.either(*(fold.equal(term, v) for v in values))


def _product(wanted: int) -> tuple[list[Term], Term]:
    a, b = var("a", Sort.INT), var("b", Sort.INT)
    product = fold.arithmetic(Op.MUL, a, b)
    return [_one_of(a, FEW), _one_of(b, FEW), fold.equal(product, integer(wanted))], product


def _true_of_it(question: Question) -> bool:
    found = question.ask()
    assert found.model is not None
    a, b = (found.model.value(var(name, Sort.INT)) for name in "ab")
    assert isinstance(a, int) and isinstance(b, int)
    return a * b == found.model.value(question.parts[2].args[0])


def test_a_corrected_model_multiplies_as_numbers_do() -> None:
    parts, _ = _product(35)
    assert _true_of_it(Question(parts, corrections=20))
    assert any(not _true_of_it(Question(_product(n)[0])) for n in (6, 10, 14, 15, 21, 35)), (
        "else nothing is shown"
    )


def test_a_product_of_none_of_them_is_never() -> None:
    assert Question(_product(11)[0], corrections=20).ask().answer is Answer.NEVER
    assert Question(_product(11)[0]).ask().answer is Answer.SOMETIMES


def test_what_there_was_no_correction_left_for_is_a_model_as_it_was() -> None:
    found = Question(_product(11)[0], corrections=1).ask()
    assert found.answer is Answer.SOMETIMES
    assert found.model is not None


def test_a_corrected_model_divides_floats() -> None:
    few = tuple(map(number, (1.0, 2.0, 8.0)))
    x, y = var("x", Sort.FLOAT), var("y", Sort.FLOAT)
    quotient = fold.float_arithmetic(Op.DIV_F, x, y)
    parts = [_one_of(x, few), _one_of(y, few), fold.equal(quotient, number(0.25))]
    found = Question(parts, corrections=20).ask()
    assert found.model is not None
    assert (found.model.value(x), found.model.value(y)) == (2.0, 8.0)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 5e-324, -0.0, 0.1])
def test_every_float_can_be_asked_about(value: float) -> None:
    x = var("x", Sort.FLOAT)
    found = Question([fold.equal(x, number(value))]).ask()
    assert found.model is not None
    assert struct.pack("<d", float(found.model.value(x))) == struct.pack("<d", value)
