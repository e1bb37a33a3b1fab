# SPDX-License-Identifier: Apache-2.0
"""Computed values of the stratum's functions (`rpc/functions/__init__.py`), for the solver to choose from.

To the solver such a function is unknown, so a model may contain a sealed text that no key opens.  In the search for a
counter-example the function is therefore restricted to arguments whose results are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from transect.analysis import fold
from transect.analysis.terms import FALSE, Op, Sort, Term, boolean, integer, text
from transect.rpc import functions

KEY = b"k" * 32
DRAWN = 1, 2
TEXTS = ("a", "bb", "a" * 64)
MOST = 1_000_000

Sample = tuple[tuple[object, ...], object]


@cache
def samples() -> dict[str, Sequence[Sample]]:
    """By function: arguments, and their results."""
    sealed = [s for s in (functions.seal_text(t, KEY, *DRAWN) for t in TEXTS) if s is not None]
    twice = [s for s in (functions.seal_text(t, KEY, *DRAWN) for t in sealed) if s is not None]
    packed = [functions.compress_text(t) for t in (*TEXTS, *sealed)]
    every = [*TEXTS, *sealed, *twice, *packed]
    keys = (KEY, b"")
    found: dict[str, Sequence[Sample]] = {
        "seal_text": [
            ((t, k, *DRAWN), functions.seal_text(t, k, *DRAWN)) for t in (*TEXTS, *sealed) for k in keys
        ],
        "unseal_text": [((t, k), functions.unseal_text(t, k)) for t in every for k in keys],
        "compress_text": [((t,), functions.compress_text(t)) for t in (*TEXTS, *sealed)],
        "digest": [((t,), functions.digest(t)) for t in TEXTS],
        "expand_text": [((t, MOST), functions.expand_text(t, MOST)) for t in every],
    }
    return found


def _name(term: Term) -> tuple[str, bool]:
    """The function of a term, and whether the term asks if there is a result."""
    name = str(term.data).rpartition(".")[2]
    return name.removesuffix("?"), name.endswith("?")


def is_computed(term: Term) -> bool:
    return term.op is Op.FUNCTION and bool(term.args) and _name(term)[0] in samples()


def sampled(terms: Iterable[Term]) -> list[Term]:
    """That each application equals one of the samples."""
    return [fold.either(*(_is(term, sample) for sample in samples()[_name(term)[0]])) for term in terms]


def _is(term: Term, sample: Sample) -> Term:
    args, result = sample
    _, asks = _name(term)
    same = [fold.equal(a, _constant(a.sort, value)) for a, value in zip(term.args, args, strict=True)]
    if asks:
        return fold.both(*same, fold.equal(term, boolean(result is not None)))
    return (
        fold.both(*same)
        if result is None
        else fold.both(*same, fold.equal(term, _constant(term.sort, result)))
    )


def _constant(sort: Sort, value: object) -> Term:
    match value:
        case str():
            return text(value.encode())
        case bytes():
            return text(value)
        case int():
            return integer(value)
        case _:
            return FALSE
