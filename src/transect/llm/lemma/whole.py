# SPDX-License-Identifier: Apache-2.0
"""Questions about whole numbers, for polynomials, at which a solver of 64-bit words fails.

Intervals show which terms cannot leave 64 bits; for these, whole numbers and 64-bit words agree.  A term that may leave
them stands for any number, and so does the result of an operator that is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transect.analysis.solve import Asking, limited, reason, solver
from transect.analysis.terms import Op, Sort, Term

Range = tuple[int, int]
WORD: Range = -(1 << 63), (1 << 63) - 1


class Whole:
    """z3's numbers for terms."""

    def __init__(self, ranges: Mapping[Term, Range]) -> None:
        """`ranges`: the least and the largest value of each input."""
        self._z3 = solver()
        self._ranges = ranges
        self._made: dict[Term, tuple[Any, Range]] = {}
        self._inputs: list[Any] = []  # that the inputs lie in their ranges

    def always(self, claim: Term, given: Sequence[Term], limit: float, asking: Asking) -> str:
        """Empty if the claim holds wherever `given` does; else why this is not known."""
        asked = asking.solver()
        asked.add(self._z3.Not(self._of(claim)[0]), *(self._of(term)[0] for term in given))
        asked.add(*self._inputs)
        with limited(asked, asking.times * limit):
            try:
                said = asked.check()
            except self._z3.Z3Exception as failed:
                return f"the solver gave up ({reason(failed)})"
        if said == self._z3.unsat:
            return ""
        return "it is not known to hold for all tokens" if said == self._z3.sat else "the solver gave up"

    def _of(self, term: Term) -> tuple[Any, Range]:
        if term not in self._made:
            found = None if term.op in (Op.VAR, Op.FUNCTION) else self._operator(term)
            known = found is not None and WORD[0] <= found[1][0] <= found[1][1] <= WORD[1]
            self._made[term] = found if found is not None and known else self._input(term)
        return self._made[term]

    def _input(self, term: Term) -> tuple[Any, Range]:
        if term.sort is Sort.BOOL:
            return self._z3.Bool(f"b{term.serial}"), (0, 1)
        value, found = self._z3.Int(f"n{term.serial}"), self._ranges.get(term, WORD)
        self._inputs += [value >= found[0], value <= found[1]]
        return value, found

    def _operator(self, term: Term) -> tuple[Any, Range] | None:
        z3, parts = self._z3, [self._of(arg) for arg in term.args]
        values, ranges = [value for value, _ in parts], [found for _, found in parts]
        match term.op:
            case Op.CONST if term.sort is Sort.BOOL:
                return z3.BoolVal(term.data), (0, 1)
            case Op.CONST if term.sort is Sort.INT:
                value = term.data - (1 << 64) if term.data >> 63 == 1 else term.data
                return z3.IntVal(value), (value, value)
            case Op.ADD:
                return values[0] + values[1], (ranges[0][0] + ranges[1][0], ranges[0][1] + ranges[1][1])
            case Op.SUB:
                return values[0] - values[1], (ranges[0][0] - ranges[1][1], ranges[0][1] - ranges[1][0])
            case Op.MUL:
                ends = [a * b for a in ranges[0] for b in ranges[1]]
                return values[0] * values[1], (min(ends), max(ends))
            case Op.FLOORDIV_S if ranges[1][0] > 0:
                ends = [a // b for a in ranges[0] for b in ranges[1]]
                return values[0] / values[1], (min(ends), max(ends))
            case Op.ITE:
                return z3.If(*values), _chosen(term, *ranges[1:])
            case Op.LT_S:
                return values[0] < values[1], (0, 1)
            case Op.EQ:
                return values[0] == values[1], (0, 1)
            case Op.NOT:
                return z3.Not(values[0]), (0, 1)
            case Op.AND:
                return z3.And(*values), (0, 1)
            case Op.OR:
                return z3.Or(*values), (0, 1)
            case _:
                return None


def _chosen(term: Term, then: Range, orelse: Range) -> Range:
    """The range of a choice; of a minimum or maximum, a narrower one."""
    condition, *branches = term.args
    if condition.op is Op.LT_S and list(condition.args) == branches:
        return min(then[0], orelse[0]), min(then[1], orelse[1])
    if condition.op is Op.LT_S and list(condition.args) == branches[::-1]:
        return max(then[0], orelse[0]), max(then[1], orelse[1])
    return min(then[0], orelse[0]), max(then[1], orelse[1])
