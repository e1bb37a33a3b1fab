# SPDX-License-Identifier: Apache-2.0
"""Builders of terms which compute what they can: constants, identities, equal operands.

Each rule here is an equality of the two sides for every value; `unfolded()` turns all of them off, for a recheck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from transect.analysis.terms import (
    FALSE,
    TRUE,
    Op,
    Sort,
    Term,
    boolean,
    folds,
    function,
    integer,
    make,
    number,
    text,
)
from transect.analysis.text_predicates import TextPredicate
from transect.core import values
from transect.core.stable import hash64

# ---------------------------------------------------------------- truth


def negate(a: Term) -> Term:
    if folds():
        if a.is_const:
            return boolean(not a.data)
        if a.op is Op.NOT:
            return a.args[0]
    return make(Op.NOT, Sort.BOOL, (a,))


def both(*parts: Term) -> Term:
    return _junction(Op.AND, parts, TRUE, FALSE)


def either(*parts: Term) -> Term:
    return _junction(Op.OR, parts, FALSE, TRUE)


def _junction(op: Op, parts: Iterable[Term], neutral: Term, absorbing: Term) -> Term:
    if not folds():
        return make(op, Sort.BOOL, tuple(parts))
    kept: dict[int, Term] = {}
    for part in parts:
        for p in part.args if part.op is op else (part,):
            if p is absorbing or id(negate(p)) in kept:
                return absorbing
            if p is not neutral:
                kept[id(p)] = p
    if len(kept) <= 1:
        return next(iter(kept.values()), neutral)
    return make(op, Sort.BOOL, tuple(kept.values()))


def implies(a: Term, b: Term) -> Term:
    return either(negate(a), b)


def ite(cond: Term, then: Term, orelse: Term) -> Term:
    if folds():
        if cond.is_const:
            return then if cond.data else orelse
        if then is orelse:
            return then
        if cond.op is Op.NOT:
            return ite(cond.args[0], orelse, then)
        if then.sort is Sort.BOOL:
            if then is TRUE:
                return either(cond, orelse)
            if then is FALSE:
                return both(negate(cond), orelse)
            if orelse is TRUE:
                return either(negate(cond), then)
            if orelse is FALSE:
                return both(cond, then)
        if then.op is Op.ITE and then.args[0] is cond:
            return ite(cond, then.args[1], orelse)
        if orelse.op is Op.ITE and orelse.args[0] is cond:
            return ite(cond, then, orelse.args[2])
    return make(Op.ITE, then.sort, (cond, then, orelse))


def equal(a: Term, b: Term) -> Term:
    """The same value; floats are compared by their bits, with all NaNs the same."""
    assert a.sort is b.sort, f"{a} and {b} are of two sorts"
    if folds():
        if a is b:
            return TRUE
        if a.is_const and b.is_const:  # interned: constants that are the same are one object
            return boolean(a.sort is Sort.FLOAT and values.normal(a.data) == values.normal(b.data))
        if _is_decimal(a) or _is_decimal(b):
            numbers = _number_of(a), _number_of(b)
            if numbers[0] is not None and numbers[1] is not None:
                return equal(numbers[0], numbers[1])
            if a.is_const or b.is_const:
                return FALSE
        if a.sort is Sort.BOOL:
            for x, y in ((a, b), (b, a)):
                if x.is_const:
                    return y if x.data else negate(y)
        if a.is_const or (not b.is_const and a.serial > b.serial):
            a, b = b, a
    return make(Op.EQ, Sort.BOOL, (a, b))


# ---------------------------------------------------------------- integers

_U64 = (1 << 64) - 1

_FOLDED: Mapping[Op, Callable[[int, int], int]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.FLOORDIV_S: values.floordiv,
    Op.FLOORDIV_U: lambda a, b: values.floordiv_u64(a & _U64, b & _U64),
    Op.MOD_S: values.modulo,
    Op.MOD_U: lambda a, b: values.modulo(a & _U64, b & _U64),
    Op.BITAND: lambda a, b: a & b,
    Op.BITOR: lambda a, b: a | b,
    Op.XOR: lambda a, b: a ^ b,
    Op.SHL: values.shift_left,
    Op.SHR_S: values.shift_right,
    Op.SHR_U: lambda a, b: values.shift_right(a & _U64, b),
}
_COMMUTES = frozenset({Op.ADD, Op.MUL, Op.BITAND, Op.BITOR, Op.XOR})


def arithmetic(op: Op, a: Term, b: Term) -> Term:
    """An integer operator of `_FOLDED`."""
    if folds():
        if a.is_const and b.is_const:
            return integer(_FOLDED[op](a.data, b.data))
        if op in (Op.ADD, Op.SUB, Op.BITOR, Op.XOR) and b is integer(0):
            return a
        if op in (Op.ADD, Op.BITOR, Op.XOR) and a is integer(0):
            return b
        if op in _COMMUTES and (a.is_const or (not b.is_const and a.serial > b.serial)):
            a, b = b, a
    return make(op, Sort.INT, (a, b))


def less(a: Term, b: Term, *, signed: bool = True) -> Term:
    op = Op.LT_S if signed else Op.LT_U
    if folds():
        if a is b:
            return FALSE
        if a.is_const and b.is_const:
            return boolean(a.data < b.data if signed else (a.data & _U64) < (b.data & _U64))
    return make(op, Sort.BOOL, (a, b))


def at_most(a: Term, b: Term, *, signed: bool = True) -> Term:
    return negate(less(b, a, signed=signed))


def narrow(a: Term, bits: int, signed: bool) -> Term:
    """Cut to so many bits and widened again, as storing and loading does."""
    if folds():
        if a.is_const:
            return integer(values.narrow(a.data, bits, signed))
        if a.op is Op.NARROW and a.data == (bits, signed):
            return a
    return make(Op.NARROW, Sort.INT, (a,), (bits, signed))


# ---------------------------------------------------------------- floats

_FLOATS: Mapping[Op, Callable[[float, float], float]] = {
    Op.ADD_F: lambda a, b: a + b,
    Op.SUB_F: lambda a, b: a - b,
    Op.MUL_F: lambda a, b: a * b,
    Op.DIV_F: values.float_div,
}


def float_arithmetic(op: Op, a: Term, b: Term) -> Term:
    if folds() and a.is_const and b.is_const:
        return number(_FLOATS[op](a.data, b.data))
    return make(op, Sort.FLOAT, (a, b))


def float_less(a: Term, b: Term) -> Term:
    if folds() and a.is_const and b.is_const:
        return boolean(a.data < b.data)
    return make(Op.LT_F, Sort.BOOL, (a, b))


def float_equal(a: Term, b: Term) -> Term:
    if folds() and a.is_const and b.is_const:
        return boolean(a.data == b.data)
    return make(Op.EQ_F, Sort.BOOL, (a, b))


def float_negate(a: Term) -> Term:
    return number(-a.data) if folds() and a.is_const else make(Op.NEG_F, Sort.FLOAT, (a,))


_CONVERTED: Mapping[Op, tuple[Sort, Callable[[Any], Term]]] = {
    Op.INT_TO_F: (Sort.FLOAT, lambda x: number(float(x))),
    Op.UINT_TO_F: (Sort.FLOAT, lambda x: number(float(x & _U64))),
    Op.F_TO_INT: (Sort.INT, lambda x: integer(values.saturate(x))),
    Op.F_TO_UINT: (Sort.INT, lambda x: integer(values.saturate_u64(x))),
}


def converted(op: Op, a: Term) -> Term:
    """Between integers and floats."""
    sort, fold = _CONVERTED[op]
    return fold(a.data) if folds() and a.is_const else make(op, sort, (a,))


# ---------------------------------------------------------------- texts


def length(a: Term) -> Term:
    return integer(len(a.data)) if folds() and a.is_const else make(Op.LENGTH, Sort.INT, (a,))


def part_of(what: str, whole: Term, *of: Term) -> Term:
    """A text made of another: known of constants.  `what` names the function, and of several parts which."""
    if whole.is_const and all(a.is_const for a in of):
        return text(_PARTS[what](whole.data, *(a.data for a in of)))
    return function(what, Sort.TEXT, (whole, *of))


def _partition(whole: bytes, mark: bytes) -> tuple[bytes, bytes, bytes]:
    return whole.partition(mark) if mark else (whole, b"", b"")


_PARTS: Mapping[str, Callable[..., bytes]] = {
    "lower": bytes.lower,
    "strip": lambda whole: whole.strip(values.BLANKS.encode()),
    "removeprefix": bytes.removeprefix,
    "removesuffix": bytes.removesuffix,
    "before": lambda whole, mark: _partition(whole, mark)[0],
    "between": lambda whole, mark: _partition(whole, mark)[1],
    "behind": lambda whole, mark: _partition(whole, mark)[2],
}

DECIMAL, IS_NUMBER, NUMBER = "in decimal", "is a number", "as a number"
"""Unknown functions of which a few equalities are known: a number's text, whether a text is a number, and which."""


def decimal(a: Term) -> Term:
    """The text of an `int`."""
    return text(str(a.data).encode()) if a.is_const else function(DECIMAL, Sort.TEXT, (a,))


def _is_decimal(a: Term) -> bool:
    return a.op is Op.FUNCTION and a.data == DECIMAL


def _number_of(a: Term) -> Term | None:
    """The number whose text, as `decimal` writes it, this is; None where it is not seen to be one."""
    if _is_decimal(a):
        return a.args[0]
    found = values.parse_int(a.data.decode(errors="replace")) if a.is_const else None
    return None if found is None or str(found).encode() != a.data else integer(found)


def parsed(a: Term) -> tuple[Term, Term]:
    """Whether a text is a number, and which: the same for the same text."""
    if a.is_const:
        found = values.parse_int(a.data.decode(errors="replace"))
        return boolean(found is not None), integer(found or 0)
    if folds() and _is_decimal(a):
        return TRUE, a.args[0]
    return function(IS_NUMBER, Sort.BOOL, (a,)), function(NUMBER, Sort.INT, (a,))


def hashed(a: Term, seed: Term) -> Term:
    """`hash64` of a text or a number: the same for the same, and known of constants."""
    if a.is_const and seed.is_const:
        return integer(hash64(a.data, seed.data & _U64))
    return function(_HASHED[a.sort], Sort.INT, (a, seed))


_HASHED = {Sort.TEXT: "hash64 of a text", Sort.INT: "hash64 of a number"}
_UNDERSTOOD: Mapping[str, Callable[..., Term]] = {
    DECIMAL: decimal,
    IS_NUMBER: lambda a: parsed(a)[0],
    NUMBER: lambda a: parsed(a)[1],
    **dict.fromkeys(_HASHED.values(), hashed),
    **{name: partial(part_of, name) for name in _PARTS},
}


def applied(name: str, sort: Sort, args: Sequence[Term]) -> Term:
    """An unknown function of these arguments, as far as it is known of them."""
    understood = _UNDERSTOOD.get(name)
    return function(name, sort, args) if understood is None else understood(*args)


def fits(a: Term, size: int) -> Term:
    """Whether a text has at most so many bytes."""
    if folds():
        if a.is_const:
            return boolean(len(a.data) <= size)
        if a.op is Op.ITE:
            return ite(a.args[0], fits(a.args[1], size), fits(a.args[2], size))
    return make(Op.FITS, Sort.BOOL, (a,), size)


_TEXTS: Mapping[Op, Callable[[bytes, bytes], bool]] = {
    Op.PREFIX: lambda a, b: a.startswith(b),
    Op.SUFFIX: lambda a, b: a.endswith(b),
    Op.CONTAINS: lambda a, b: b in a,
    Op.LT_T: lambda a, b: a < b,
}


def of_texts(op: Op, a: Term, b: Term) -> Term:
    if folds():
        if a.is_const and b.is_const:
            return boolean(_TEXTS[op](a.data, b.data))
        if a is b:
            return boolean(op is not Op.LT_T)
    return make(op, Sort.BOOL, (a, b))


def is_such(predicate: TextPredicate, a: Term) -> Term:
    """Whether the predicate holds of a text."""
    if folds():
        if a.is_const:
            return boolean(predicate.holds(a.data))
        if a.op is Op.ITE:
            return ite(a.args[0], is_such(predicate, a.args[1]), is_such(predicate, a.args[2]))
    return make(Op.IS, Sort.BOOL, (a,), predicate)
