# SPDX-License-Identifier: Apache-2.0
"""Values of hard operators at chosen points: if inputs are restricted to a few values, their products and quotients are
computed here, so that a question which treats those operators as unknown functions still has true models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from transect.analysis import fold
from transect.analysis.specialise import rebuilt
from transect.analysis.terms import HARD, Op, Sort, Term, walk

MOST = 48  # combinations of operands at most

Points = Mapping[Term, tuple[Term, ...]]
"""The values to which a term is restricted."""


def at_points(question: Iterable[Term], chosen: Points) -> Iterator[Term]:
    """For each hard term whose operands are restricted to few values, the fact that it equals one of the results."""
    known: dict[Term, tuple[Term, ...]] = {}
    for term in walk(*question):
        if term.sort not in (Sort.INT, Sort.FLOAT):
            continue
        found = _points(term, chosen, known)
        if found:
            known[term] = found
        if term.op in HARD and all(a in known for a in term.args):
            yield fold.either(*_results(term, known))


def _points(term: Term, chosen: Points, known: Points) -> tuple[Term, ...]:
    if term.is_const:
        return (term,)
    if term in chosen:
        return chosen[term]
    if term.op is Op.ITE:
        sides = term.args[1:]
        return _unique(v for side in sides for v in known[side]) if all(s in known for s in sides) else ()
    if term.op in (Op.VAR, Op.FUNCTION) or not all(a in known for a in term.args):
        return ()
    return _unique(rebuilt(term, list(values)) for values in _combinations(term, known))


def _combinations(term: Term, known: Points) -> list[tuple[Term, ...]]:
    sizes = 1
    for a in term.args:
        sizes *= len(known[a])
    return list(product(*(known[a] for a in term.args))) if sizes <= MOST else []


def _results(term: Term, known: Points) -> Iterator[Term]:
    for values in _combinations(term, known):
        same = [fold.equal(a, v) for a, v in zip(term.args, values, strict=True)]
        yield fold.both(*same, fold.equal(term, rebuilt(term, list(values))))


def _unique(values: Iterable[Term]) -> tuple[Term, ...]:
    found = tuple(dict.fromkeys(values))
    return found if len(found) <= MOST and all(v.is_const for v in found) else ()
