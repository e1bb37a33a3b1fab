# SPDX-License-Identifier: Apache-2.0
"""The state from which a step of a proof fails, in a form for people.

The state is a model of the solver and not from a run: no calls that lead to it are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from transect.analysis import fold
from transect.analysis.solve import Answer, Found, Model, Question, relevant
from transect.analysis.terms import Op, Sort, Term, function, integer, walk

NEAR = 100  # numbers up to this are read at a glance
SECONDS = 1.0  # to look for small numbers


def shown_state(question: Sequence[Term], assumptions: Iterable[Term], limit: float, found: Found) -> str:
    """The numbers of `found`, whose model makes the question true; small ones, if the solver finds some soon."""
    assert found.model is not None, "it makes the question true"
    known = list(assumptions)
    terms = list(walk(*question, *relevant(known, question)))
    numbers = [term for term in terms if term.sort is Sort.INT and term.op in (Op.VAR, Op.FUNCTION)]
    near = [part for n in numbers for part in (fold.less(integer(-NEAR), n), fold.less(n, integer(NEAR)))]
    small = Question([*question, *near], known, True, True, min(limit, SECONDS), plain=False).ask()
    model = small.model if small.answer is Answer.SOMETIMES and small.model is not None else found.model
    keys = {key for term in terms if term.op is Op.FUNCTION for key in term.args}
    words = dict(_numbers(model, [n for n in numbers if n not in keys and "#" not in str(n.data)]))
    return ", ".join(f"{name} = {value:,}" for name, value in words.items()) or "some state"


def _numbers(model: Model, numbers: Iterable[Term]) -> Iterator[tuple[str, int]]:
    """Named numbers, and the entries of tallies by client; a client without an entry has 0."""
    for term in numbers:
        name = str(term.data)
        if term.op is Op.VAR:
            yield name, int(model.value(term))
        elif name.startswith("self.") and all(key.op is Op.VAR for key in term.args):
            there = bool(model.value(function(f"{name}[]", Sort.BOOL, term.args)))
            keys = ", ".join(str(key.data) for key in term.args)
            yield f"{name}[{keys}]", int(model.value(term)) if there else 0
