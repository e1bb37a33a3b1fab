# SPDX-License-Identifier: Apache-2.0
"""Symbolic scalars.  Equal terms are one object, and what can be computed is computed when a term is built, so that
most equalities hold before a solver is asked.

An `INT` is 64 bits, whatever its kind (`int`, `u64`, times, enums, a stratum's keys): operators say how they read it.
`TEXT` is a sequence of bytes.  An application of a `Function` is unknown, but the same for the same arguments: what is
proved with it holds for every function, hence for the one that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from transect.analysis.allowance import MOST_TERMS, allowance, tick, too_many_terms


class Sort(StrEnum):
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    OPAQUE = "opaque"  # only ever compared: order of insertion, content of a histogram, outside sequences


class Op(StrEnum):
    """What a term does.  Integer operators wrap at 64 bits; the S and U forms read their operands signed, unsigned."""

    CONST = "const"
    VAR = "var"
    FUNCTION = "function"
    NOT = "not"
    AND = "and"
    OR = "or"
    ITE = "ite"
    EQ = "eq"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    FLOORDIV_S = "floordiv_s"  # x // 0 == 0
    FLOORDIV_U = "floordiv_u"
    MOD_S = "mod_s"  # x % 0 == x
    MOD_U = "mod_u"
    BITAND = "bitand"
    BITOR = "bitor"
    XOR = "xor"
    SHL = "shl"  # count modulo 64
    SHR_S = "shr_s"
    SHR_U = "shr_u"
    LT_S = "lt_s"
    LT_U = "lt_u"
    NARROW = "narrow"  # data: (bits, signed)
    LT_F = "lt_f"
    EQ_F = "eq_f"  # of numbers: NaN is equal to nothing, 0.0 to -0.0
    ADD_F = "add_f"
    SUB_F = "sub_f"
    MUL_F = "mul_f"
    DIV_F = "div_f"
    NEG_F = "neg_f"
    INT_TO_F = "int_to_f"  # signed
    UINT_TO_F = "uint_to_f"
    F_TO_INT = "f_to_int"  # saturating, NaN → 0
    F_TO_UINT = "f_to_uint"
    LENGTH = "length"  # bytes
    FITS = "fits"  # data: at most so many bytes
    PREFIX = "prefix"  # (text, prefix)
    SUFFIX = "suffix"
    CONTAINS = "contains"  # (text, part)
    LT_T = "lt_t"  # by bytes
    IS = "is"  # data: a TextPredicate


HARD = frozenset(
    {Op.MUL, Op.FLOORDIV_S, Op.FLOORDIV_U, Op.MOD_S, Op.MOD_U}
    | {Op.ADD_F, Op.SUB_F, Op.MUL_F, Op.DIV_F, Op.INT_TO_F, Op.UINT_TO_F, Op.F_TO_INT, Op.F_TO_UINT}
)
"""Operators at which a solver is slow; a first question treats them as unknown functions."""

TEXTUAL = frozenset({Op.LENGTH, Op.FITS, Op.PREFIX, Op.SUFFIX, Op.CONTAINS, Op.LT_T, Op.IS})
"""What is asked of texts besides equality."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Term:
    """Compared by identity: there is one object for each term."""

    op: Op
    sort: Sort
    args: tuple[Term, ...]
    data: Any  # CONST: the value; VAR, FUNCTION: its name; NARROW, FITS, IS: see there
    serial: int  # in the order of their making, so that a run repeats

    @property
    def is_const(self) -> bool:
        return self.op is Op.CONST

    def __repr__(self) -> str:
        if self.op in (Op.CONST, Op.VAR):
            return str(self.data)
        name = self.data if self.op is Op.FUNCTION else self.op.value
        return f"{name}({', '.join(map(repr, self.args))})"


_serial = count()
_made: WeakValueDictionary[tuple[Any, ...], Term] = WeakValueDictionary()
_folding: ContextVar[bool] = ContextVar("folding", default=True)


@contextmanager
def unfolded() -> Iterator[None]:
    """Build terms as they are written: a second proof does not rely on folding."""
    token = _folding.set(False)
    try:
        yield
    finally:
        _folding.reset(token)


def folds() -> bool:
    return _folding.get()


def make(op: Op, sort: Sort, args: Sequence[Term] = (), data: Any = None) -> Term:
    """The term, unfolded.  Raises `Spent` when the allowance in force is used up."""
    # 0.0 and -0.0, 1 and True are different constants.
    mark = (type(data), repr(data)) if isinstance(data, float | bool) else data
    key = (op, sort, tuple(map(id, args)), mark)
    found = _made.get(key)
    if found is None:
        _allow_one_more()
        found = Term(op, sort, tuple(args), data, next(_serial))
        _made[key] = found
    return found


def _allow_one_more() -> None:
    own = allowance()
    if own is not None:
        own.tick()
        if len(_made) >= MOST_TERMS:
            raise too_many_terms()


# ---------------------------------------------------------------- leaves

TRUE = make(Op.CONST, Sort.BOOL, (), True)
FALSE = make(Op.CONST, Sort.BOOL, (), False)


def boolean(value: bool) -> Term:
    return TRUE if value else FALSE


def integer(value: int) -> Term:
    """A constant; held as the signed number of its 64 bits."""
    value &= (1 << 64) - 1
    return make(Op.CONST, Sort.INT, (), value - (1 << 64) if value >> 63 else value)


def number(value: float) -> Term:
    return make(Op.CONST, Sort.FLOAT, (), float(value))


def text(value: bytes) -> Term:
    return make(Op.CONST, Sort.TEXT, (), value)


def var(name: str, sort: Sort) -> Term:
    """An input: any value of the sort."""
    return make(Op.VAR, sort, (), name)


def function(name: str, sort: Sort, args: Sequence[Term]) -> Term:
    """An unknown function's value; without arguments it is an input."""
    return make(Op.FUNCTION, sort, args, name) if args else var(name, sort)


def zero(sort: Sort) -> Term:
    match sort:
        case Sort.BOOL:
            return FALSE
        case Sort.INT:
            return integer(0)
        case Sort.FLOAT:
            return number(0.0)
        case Sort.TEXT:
            return text(b"")
        case Sort.OPAQUE:
            return var("nothing", sort)


def walk(*roots: Term) -> Iterator[Term]:
    """Every term below, each once, children before parents.  Raises `Spent`."""
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        term, ready = stack.pop()
        tick()
        if ready:
            yield term
        elif id(term) not in seen:
            seen.add(id(term))
            stack.append((term, True))
            stack.extend((arg, False) for arg in reversed(term.args) if id(arg) not in seen)
