# SPDX-License-Identifier: Apache-2.0
"""Folding computes what the language means, and agrees with z3 about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.analysis import fold
from transect.analysis.solve import solver
from transect.analysis.terms import TRUE, Op, Sort, Term, boolean, integer, number, text, unfolded, var
from transect.analysis.translation import Translation
from transect.core import values

INTS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-5, 5), st.sampled_from([-(2**63), 2**63 - 1, 63, 64])
)
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.5, math.inf, math.nan, 2.0**63]))
TEXTS = st.one_of(st.binary(max_size=4), st.sampled_from([b"", b"a", b"ab", b"\\u{41}", b"\xff"]))
ARITHMETIC = tuple(fold._FOLDED)


def by_z3(build: Callable[[], Term]) -> object:
    """What z3 makes of a term without inputs, built without folding."""
    with unfolded():
        term = build()
    z3 = solver()
    translation = Translation(z3, True, True)
    return translation.plain(z3.simplify(translation.of(term)), term.sort)


def agree(build: Callable[[], Term]) -> None:
    folded = build()
    assert folded.is_const, f"{folded} was not computed"
    assert values.normal(by_z3(build)) == values.normal(folded.data)


@pytest.mark.needs("z3")
@pytest.mark.parametrize("op", ARITHMETIC)
@given(INTS, INTS)
def test_integers(op: Op, a: int, b: int) -> None:
    agree(lambda: fold.arithmetic(op, integer(a), integer(b)))


@pytest.mark.needs("z3")
@given(INTS, INTS, st.sampled_from([8, 16, 32]), st.booleans())
def test_comparing_and_narrowing(a: int, b: int, bits: int, signed: bool) -> None:
    agree(lambda: fold.less(integer(a), integer(b), signed=signed))
    agree(lambda: fold.narrow(integer(a), bits, signed))
    agree(lambda: fold.equal(integer(a), integer(b)))


@pytest.mark.needs("z3")
@given(FLOATS, FLOATS, INTS)
def test_floats(a: float, b: float, n: int) -> None:
    for op in (Op.ADD_F, Op.SUB_F, Op.MUL_F, Op.DIV_F):
        agree(partial(fold.float_arithmetic, op, number(a), number(b)))
    agree(lambda: fold.float_less(number(a), number(b)))
    agree(lambda: fold.float_equal(number(a), number(b)))
    agree(lambda: fold.equal(number(a), number(b)))
    agree(lambda: fold.float_negate(number(a)))
    for op in (Op.F_TO_INT, Op.F_TO_UINT):
        agree(partial(fold.converted, op, number(a)))
    for op in (Op.INT_TO_F, Op.UINT_TO_F):
        agree(partial(fold.converted, op, integer(n)))


@pytest.mark.needs("z3")
@given(TEXTS, TEXTS)
def test_texts(a: bytes, b: bytes) -> None:
    for op in (Op.PREFIX, Op.SUFFIX, Op.CONTAINS):
        agree(partial(fold.of_texts, op, text(a), text(b)))
    agree(lambda: fold.length(text(a)))
    agree(lambda: fold.fits(text(a), 2))
    agree(lambda: fold.equal(text(a), text(b)))


@pytest.mark.needs("z3")
@given(st.booleans(), st.booleans(), st.booleans())
def test_truth(a: bool, b: bool, c: bool) -> None:
    x, y, z = boolean(a), boolean(b), boolean(c)
    agree(lambda: fold.both(x, y, z))
    agree(lambda: fold.either(x, y, z))
    agree(lambda: fold.ite(x, y, z))
    agree(lambda: fold.implies(x, y))


def test_equal_terms_are_one_object() -> None:
    x, y = var("x", Sort.INT), var("y", Sort.INT)
    assert fold.arithmetic(Op.ADD, x, y) is fold.arithmetic(Op.ADD, y, x)
    assert fold.equal(fold.ite(fold.less(x, y), x, x), x) is TRUE
    a = var("a", Sort.BOOL)
    assert fold.either(a, fold.negate(a)) is TRUE
