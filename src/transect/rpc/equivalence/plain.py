# SPDX-License-Identifier: Apache-2.0
"""What makes a counter-example easy to find: small inputs, and computed values of the stratum's functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from transect.analysis import fold
from transect.analysis.small import small
from transect.analysis.terms import Op, Sort, Term, function, walk
from transect.rpc.equivalence.levels import Element
from transect.rpc.equivalence.metadata import sendable, writable
from transect.rpc.equivalence.samples import is_computed, sampled
from transect.rpc.equivalence.world import REWRITTEN, SIDES


def conditions(elements: Sequence[Element], question: Iterable[Term], *, params: bool) -> list[Term]:
    """Conditions on the inputs of the question, strictest first; `params`: parameters have their declared values."""
    question = list(question)
    computed = [t for t in walk(*question) if is_computed(t)]
    programs = [(e.name, e.program) for e in elements]
    near = small(programs, question, params=params, texts=not computed)  # computed texts may be long
    return [*near, *sampled(computed), *_lengths(question), *_sent(question)]


def _sent(question: Iterable[Term]) -> Iterator[Term]:
    """That headers are as a client's library sends them."""
    for term in walk(*question):
        if term.op is Op.FUNCTION and term.sort is Sort.TEXT and str(term.data).partition(" ")[2] in SIDES:
            name = term.args[0]
            yield fold.both(writable(name), sendable(name, term))


def _lengths(question: Iterable[Term]) -> Iterator[Term]:
    """The length of a message after its texts were assigned, which is an unknown function to the solver."""
    for term in walk(*question):
        if term.op is Op.FUNCTION and str(term.data).startswith(REWRITTEN):
            names = str(term.data).removeprefix(REWRITTEN).split(" ")
            before, *values = term.args
            if len(names) != len(values) or any(v.sort is not Sort.TEXT for v in values):
                continue  # the length says less about other fields
            first = next(t for t in walk(before) if t.sort is Sort.TEXT and not t.args)
            root = "reply" if "reply" in str(first.data) else "request"
            size = fold.length(before)
            for name, value in zip(names, values, strict=True):
                was = fold.length(function(f"{root}.{name}", Sort.TEXT, (first,)))
                size = fold.arithmetic(Op.SUB, fold.arithmetic(Op.ADD, size, fold.length(value)), was)
            yield fold.equal(fold.length(term), size)
