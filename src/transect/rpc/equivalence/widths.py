# SPDX-License-Identifier: Apache-2.0
"""What a field of a message holds after a number was assigned: only a service tells how wide the field is.

So in a proof it is an unknown function of the number, except for numbers that every kind of field holds as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from transect.analysis import fold
from transect.analysis.state import Held
from transect.analysis.terms import TRUE, Sort, Term, function, integer
from transect.analysis.values import Option, Value
from transect.rpc.messages.rewriter import single

EXACT = 1 << 31  # numbers from 0 on that every integer field holds as they are


def as_held(
    place: str, value: Value, note: Callable[[Term, Term], None] = lambda found, value: None
) -> Value:
    """What is read from the field at a place after the value was assigned; `note`: called with this and the number
    where they may differ."""
    match value:
        case Option(present=present, value=inner) if inner is not None:
            return Option(present, as_held(place, inner, note))
        case Term(sort=Sort.INT | Sort.FLOAT) if not _exact(value):
            found = function(f"{place} holds", value.sort, (value,))
            note(found, value)
            return found if value.sort is Sort.FLOAT else fold.ite(_small(value), value, found)
        case _:
            return value


def keeps(place: str, held: Held) -> Iterator[Term]:
    """That the field at a place can hold unchanged what was read there: it came out of a field of that width."""
    match held:
        case Option(value=inner) if inner is not None:
            yield from keeps(place, inner)
        case Term(sort=Sort.INT | Sort.FLOAT) if not _exact(held):
            yield fold.equal(function(f"{place} holds", held.sort, (held,)), held)
        case _:
            pass


def _exact(value: Term) -> bool:
    """Whether every kind of field holds the number as it is."""
    if value.sort is Sort.FLOAT:
        return value.is_const and single(float(value.data)) == value.data
    return _small(value) is TRUE


def _small(value: Term) -> Term:
    return fold.both(fold.at_most(integer(0), value), fold.less(value, integer(EXACT)))
