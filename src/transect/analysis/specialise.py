# SPDX-License-Identifier: Apache-2.0
"""Terms with values for their inputs, computed by folding: for models that are examined closely, and for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from transect.analysis.fold import (
    applied,
    arithmetic,
    both,
    converted,
    either,
    equal,
    fits,
    float_arithmetic,
    float_equal,
    float_less,
    float_negate,
    is_such,
    ite,
    length,
    less,
    narrow,
    negate,
    of_texts,
)
from transect.analysis.terms import Op, Term, walk

Given = Callable[[Term], Term | None]
"""A value for an input, or for an unknown function whose arguments are already values; None: it stays unknown."""


class Specialised:
    """Rebuilds terms; each once."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._made: dict[Term, Term] = {}

    def of(self, term: Term) -> Term:
        for below in walk(term):
            if below not in self._made:
                self._made[below] = self._one(below, [self._made[a] for a in below.args])
        return self._made[term]

    def _one(self, term: Term, args: list[Term]) -> Term:
        if term.op in (Op.VAR, Op.FUNCTION):
            asked = applied(str(term.data), term.sort, args)
            return self._given(asked) or asked if asked.op in (Op.VAR, Op.FUNCTION) else asked
        return rebuilt(term, args)


def rebuilt(term: Term, args: list[Term]) -> Term:
    """The term with other operands, folded."""
    match term.op:
        case Op.CONST | Op.VAR:
            return term
        case Op.FUNCTION:
            return applied(str(term.data), term.sort, args)
        case Op.NOT:
            return negate(*args)
        case Op.AND:
            return both(*args)
        case Op.OR:
            return either(*args)
        case Op.ITE:
            return ite(*args)
        case Op.EQ:
            return equal(*args)
        case Op.LT_S | Op.LT_U:
            return less(*args, signed=term.op is Op.LT_S)
        case Op.NARROW:
            return narrow(args[0], *term.data)
        case Op.LT_F:
            return float_less(*args)
        case Op.EQ_F:
            return float_equal(*args)
        case Op.NEG_F:
            return float_negate(*args)
        case Op.ADD_F | Op.SUB_F | Op.MUL_F | Op.DIV_F:
            return float_arithmetic(term.op, *args)
        case Op.INT_TO_F | Op.UINT_TO_F | Op.F_TO_INT | Op.F_TO_UINT:
            return converted(term.op, *args)
        case Op.LENGTH:
            return length(*args)
        case Op.FITS:
            return fits(args[0], term.data)
        case Op.IS:
            return is_such(term.data, args[0])
        case Op.PREFIX | Op.SUFFIX | Op.CONTAINS | Op.LT_T:
            return of_texts(term.op, *args)
        case (
            Op.ADD
            | Op.SUB
            | Op.MUL
            | Op.FLOORDIV_S
            | Op.FLOORDIV_U
            | Op.MOD_S
            | Op.MOD_U
            | Op.BITAND
            | Op.BITOR
            | Op.XOR
            | Op.SHL
            | Op.SHR_S
            | Op.SHR_U
        ):
            return arithmetic(term.op, *args)
        case _:
            assert_never(term.op)
