# SPDX-License-Identifier: Apache-2.0
"""The filters to which an element may be equal: read off the terms that its `request` computes.

A candidate need not be right: whether the element does the same as the filters is proved afterwards (`proof`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from transect.analysis import fold
from transect.analysis.state import Table
from transect.analysis.terms import FALSE, TRUE, Op, Sort, Term
from transect.rpc.builtin.filters import (
    ALWAYS,
    HTTP_OF,
    METHOD,
    Filter,
    Mutation,
    NotAFilter,
    Refusal,
    all_of,
    any_of,
    header,
    present,
    unless,
)
from transect.rpc.chain.address import Json
from transect.rpc.equivalence.header_predicates import PRINTABLE
from transect.rpc.equivalence.passes import Kind, Outcome
from transect.rpc.headers import unwritable
from transect.rpc.hooks import Code

HEADERS = "r1 request headers"
OWN = re.compile(r"(x-envoy-.*|x-forwarded-.*|x-transect-.*|.*-bin)")
"""Headers that belong to proxies, and those whose value is written in another form on the wire."""
HOW = {Op.PREFIX: "prefix", Op.SUFFIX: "suffix", Op.CONTAINS: "contains"}
MOST = 256  # headers and constants that a condition may name


def candidate(name: str, outcomes: Sequence[Outcome]) -> list[Filter]:
    """The filters for an element of this name, in the order of a request.  Raises NotAFilter."""
    found: list[Filter] = []
    for number, (when, code, text) in enumerate(_refusals(outcomes)):
        predicate = condition(when)
        if predicate is not None:
            found.append(Refusal(f"transect.{name}.{number}", predicate, code, text))
    for outcome in outcomes:
        if outcome.kind is Kind.FORWARD:
            _passes_on(outcome)
            changed = _mutation(f"transect.{name}", outcome.passing.headers[HEADERS.removeprefix("r1 ")])
            found += [changed] if changed is not None else []
    return found


def _refusals(outcomes: Sequence[Outcome]) -> list[tuple[Term, Code, str]]:
    """The conditions of refusals with their codes and texts: one condition for each pair of code and text,
    however many paths lead to it.
    """
    found: dict[tuple[Code, str], Term] = {}
    for outcome in outcomes:
        if outcome.kind is Kind.RESPOND:
            raise NotAFilter("it answers calls by itself")
        if outcome.kind is not Kind.REJECT:
            continue
        for one, code in _cases(outcome.code):
            for two, text in _cases(outcome.message):
                when = fold.both(outcome.guard, one, two)
                if when is FALSE:
                    continue
                key = _said(code, text)
                found[key] = fold.either(found.get(key, FALSE), when)
    return [(when, *key) for key, when in found.items()]


def _cases(term: Term) -> Iterator[tuple[Term, Term]]:
    """The values that a term may have, each with the condition under which it has it."""
    if term.op is not Op.ITE:
        yield TRUE, term
        return
    test, then, orelse = term.args
    for more, value in _cases(then):
        yield fold.both(test, more), value
    for more, value in _cases(orelse):
        yield fold.both(fold.negate(test), more), value


def _said(code: Term, text: Term) -> tuple[Code, str]:
    if not code.is_const or code.data not in set(HTTP_OF):
        known = ", ".join(c.name for c in HTTP_OF)
        raise NotAFilter(
            f"it refuses with {Code(code.data).name if code.is_const else 'some code'}; `rbac` has {known}"
        )
    if not text.is_const:
        raise NotAFilter("its refusals say something that depends on the call")
    return Code(code.data), text.data.decode()


def _passes_on(outcome: Outcome) -> None:
    if not (outcome.delay.is_const and outcome.delay.data == 0):
        raise NotAFilter("it delays calls")
    if not (outcome.route.is_const and outcome.route.data == b""):
        raise NotAFilter("it chooses a route")
    if outcome.passing.request.fields:
        raise NotAFilter("it changes messages, and Envoy's filters see headers alone")


def _mutation(name: str, headers: Table) -> Mutation | None:
    last: dict[str, str | None] = {}
    for write in headers.writes:
        if not isinstance(write.key, Term) or not write.key.is_const:
            raise NotAFilter("which header it changes depends on the call")
        key = _name(write.key)
        if write.value is not None and not (isinstance(write.value, Term) and write.value.is_const):
            raise NotAFilter(f"what it writes into `{key}` depends on the call")
        # A conditional write is taken for an unconditional one; if that is wrong, the proof fails.
        last[key] = None if write.value is None else _printable(key, write.value)
    sets = tuple((key, value) for key, value in last.items() if value is not None)
    removes = tuple(key for key, value in last.items() if value is None)
    return Mutation(name, sets, removes) if last else None


def _name(term: Term) -> str:
    name: str = term.data.decode()
    if unwritable(name) or OWN.fullmatch(name):
        raise NotAFilter(f"`{name}` is a header of gRPC's or of a proxy's own")
    return name


def _printable(key: str, value: Term) -> str:
    text: str = value.data.decode()
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise NotAFilter(f"what it writes into `{key}` cannot be sent as it is")
    return text


# ---------------------------------------------------------------- conditions


def condition(term: Term) -> Json | None:
    """A predicate of `rbac`; None: it never holds.  Raises NotAFilter."""
    made = _Conditions()
    found = made.of(term)
    return ALWAYS if found is True else None if found is False else found


Made = Json | bool


class _Conditions:
    def __init__(self) -> None:
        self.atoms = 0
        self.known: dict[Term, Made] = {}

    def of(self, term: Term) -> Made:
        if term not in self.known:
            self.known[term] = self._of(term)
        return self.known[term]

    def _of(self, term: Term) -> Made:
        match term.op:
            case Op.CONST:
                return bool(term.data)
            case Op.NOT:
                return _not(self.of(term.args[0]))
            case Op.AND:
                return _and([self.of(one) for one in term.args])
            case Op.OR:
                return _or([self.of(one) for one in term.args])
            case Op.ITE:
                test, then, orelse = map(self.of, term.args)
                return _or([_and([test, then]), _and([_not(test), orelse])])
            case Op.EQ if term.args[0].sort is Sort.BOOL:
                a, b = map(self.of, term.args)
                return _or([_and([a, b]), _and([_not(a), _not(b)])])
            case Op.EQ | Op.PREFIX | Op.SUFFIX | Op.CONTAINS:
                return self._texts(term)
            case Op.FITS:
                return True  # a comparison with a constant that fits: the proof knows it
            case Op.IS if term.data == PRINTABLE and _is_header(term.args[0]):
                return True  # `present` checks it
            case Op.FUNCTION if str(term.data) == f"{HEADERS}[]" and term.args[0].is_const:
                return self._atom(present(_name(term.args[0])))
            case _:
                raise NotAFilter(_obstacle(term))

    def _texts(self, term: Term) -> Made:
        """A comparison of a text of the call with a constant."""
        text, value = term.args
        if text.is_const and term.op is Op.EQ:
            text, value = value, text
        for one, other in ((text, value), (value, text)):
            if one.op is Op.ITE:
                test, then, orelse = one.args
                return self.of(
                    fold.ite(test, _again(term, one, then, other), _again(term, one, orelse, other))
                )
        if not value.is_const:
            raise NotAFilter(_obstacle(value if text.is_const else text))
        how, wanted = HOW.get(term.op, "exact"), value.data.decode()
        if text.op is Op.VAR and text.data == "r1 method":
            return self._atom(header(METHOD, how, wanted))
        if _is_header(text):
            name = _name(text.args[0])
            return self._atom(header(name, how, wanted) if wanted or how == "exact" else present(name))
        raise NotAFilter(_obstacle(text))

    def _atom(self, atom: Json) -> Json:
        self.atoms += 1
        if self.atoms > MOST:
            raise NotAFilter(f"its condition names more than {MOST} headers and constants")
        return atom


def _is_header(text: Term) -> bool:
    """Whether it is the value that a header had when the request came."""
    return text.op is Op.FUNCTION and text.data == HEADERS and text.args[0].is_const


def _again(term: Term, was: Term, now: Term, other: Term) -> Term:
    a, b = (now, other) if term.args[0] is was else (other, now)
    return fold.equal(a, b) if term.op is Op.EQ else fold.of_texts(term.op, a, b)


def _not(one: Made) -> Made:
    return not one if isinstance(one, bool) else one["not_matcher"] if "not_matcher" in one else unless(one)


def _and(parts: Sequence[Made]) -> Made:
    if any(one is False for one in parts):
        return False
    left = [one for one in parts if not isinstance(one, bool)]
    return all_of(left) if left else True


def _or(parts: Sequence[Made]) -> Made:
    return (
        _not(_and([_not(one) for one in parts]))
        if any(isinstance(one, bool) for one in parts)
        else any_of([one for one in parts if not isinstance(one, bool)])
    )


OBSTACLES: Mapping[str, str] = {
    "rand": "it draws random numbers, and Envoy's dice are others",
    "draw": "it draws random numbers, and Envoy's dice are others",
    "now": "it looks at the clock",
    "peer": "it asks who calls (`rpc.peer`)",
}


def _obstacle(term: Term) -> str:
    """The part of a term that no filter can do, in words."""
    from transect.analysis.terms import walk

    for one in walk(term):
        name = str(one.data) if one.op in (Op.VAR, Op.FUNCTION) else ""
        if name.startswith("request.") or name.endswith(" bytes"):
            return "it looks into messages, and Envoy's filters see headers alone"
        for word, said in OBSTACLES.items():
            if name.endswith(f" {word}"):
                return said
    return "its condition is more than comparing headers with constants"
