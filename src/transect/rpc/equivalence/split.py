# SPDX-License-Identifier: Apache-2.0
"""Proofs by cases: a condition on what no call changes, under which nothing ever passes.

An element without its key rejects every call.  What the element beside it has kept by then differs between the orders,
but nobody will ever see it: where no request is forwarded and rejections are the same from *any* two states, the states
need not be related at all.  In the other case the usual relation holds.  The condition cannot change while a version
runs, so each stream stays in its case.
"""

from __future__ import annotations

from collections.abc import Iterator

from transect.analysis import fold
from transect.analysis.solve import Answer, Question
from transect.analysis.terms import FALSE, Op, Sort, Term, walk
from transect.core.ir import FieldKind
from transect.rpc.equivalence.compare import Comparer
from transect.rpc.equivalence.levels import Level
from transect.rpc.equivalence.obligations import Obligations
from transect.rpc.equivalence.passes import Kind, Side

MOST = 4  # conditions that are tried


def decided(pair: Obligations, comparer: Comparer, goal: Term) -> str:
    """The condition, in words, with and without which all obligations hold; "" when none was found."""
    if comparer.level is Level.IDENTICAL or any("Retry" in e.verdicts("finish") for e in pair.elements):
        return ""
    for number, condition in enumerate(_conditions(pair, goal)):
        if number == MOST:
            break
        for nothing_passes, usual in (
            (condition, fold.negate(condition)),
            (fold.negate(condition), condition),
        ):
            if _nothing_passes(pair, comparer, nothing_passes) and all(
                _never(pair, fold.both(usual, fold.negate(made(comparer)))) for _, made in pair.obligations()
            ):
                return f"{nothing_passes!r}"
    return ""


def _conditions(pair: Obligations, goal: Term) -> Iterator[Term]:
    """The atomic conditions in the goal that depend only on what no call changes."""
    fixed = {f"{e.name}.{name}" for e in pair.elements for name in _fixed(pair, e.name)}
    for term in walk(goal):
        if term.sort is Sort.BOOL and term.op not in (Op.NOT, Op.AND, Op.OR, Op.CONST):
            # An unknown function's value may be a draw, or an entry of a table that calls change.
            inputs = [t for t in walk(term) if t.op in (Op.VAR, Op.FUNCTION)]
            if inputs and all(t.op is Op.VAR and t.data in fixed for t in inputs):
                yield term


def _fixed(pair: Obligations, name: str) -> list[str]:
    """Fields that neither calls nor `set` change."""
    element = pair.chain.elements[name]
    return [
        f.name
        for f in element.program.state
        if f.kind not in (FieldKind.PARAM, FieldKind.LOCAL) and f.name not in element.written
    ]


def _nothing_passes(pair: Obligations, comparer: Comparer, condition: Term) -> bool:
    """Whether under the condition, from any two states, each first request ends here, and callers see the same."""
    chain = pair.chain
    here, there = chain.start(pair.orders[0]), chain.start(pair.orders[1], " apart")
    fields = {
        name: {**held, **{f: here.fields[name][f] for f in _fixed(pair, name)}}
        for name, held in there.fields.items()
    }
    apart = Side(there.order, fields, there.overflow, there.said)
    a, b = (chain.request(side, chain.message("r1"), "r1") for side in (here, apart))
    passing = [o.guard for o in (*a, *b) if o.kind is Kind.FORWARD]
    told = [
        fold.both(x.guard, y.guard, fold.negate(comparer.outputs(x, y)))
        for x in a
        for y in b
        if Kind.FORWARD not in (x.kind, y.kind)
    ]
    return _never(pair, fold.both(condition, fold.either(*passing, *told)))


def _never(pair: Obligations, what: Term) -> bool:
    if what is FALSE:
        return True
    question = Question([what], pair.chain.assumptions, limit=pair.limit)
    return question.ask().answer is Answer.NEVER
