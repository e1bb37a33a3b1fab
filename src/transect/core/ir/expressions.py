# SPDX-License-Identifier: Apache-2.0
"""Expressions, each with its type, and what loops and reductions go over."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TypeAlias

from transect.base.record import keyword_record, record
from transect.base.span import Span
from transect.core.types import Type


@keyword_record
class _Typed:
    type: Type
    span: Span = dataclasses.field(compare=False)


@record
class Const(_Typed):
    """A plain value of its type: int (also enum, Instant, Duration), bool, float, str, bytes, None (Option, Unit)."""

    value: int | bool | float | str | bytes | None

    # 0.0 and -0.0, 1 and True, are different constants.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and (repr(self.value), self.type) == (repr(other.value), other.type)

    def __hash__(self) -> int:
        return hash((repr(self.value), self.type))


@record
class Local(_Typed):
    """A parameter or local variable."""

    name: str


@record
class State(_Typed):
    """A state field read whole: a scalar, struct, parameter, per-RPC local; or `waiting`."""

    field: str


@record
class Attr(_Typed):
    """A field of a struct value."""

    base: Expr
    name: str


@record
class ViewField(_Typed):
    """A field of outside data, read through a view."""

    base: Expr
    name: str


@record
class Item(_Typed):
    """An element of a tuple; the index is constant and in range."""

    base: Expr
    index: int


class TableRead(StrEnum):
    """Questions to a table or array.  LRU answers change its order; `pop_first` and `put` change its content."""

    AT = "at"  # (key) -> value; a dominating test shows that it is there; also array[index], index in range
    GET = "get"  # (key) -> Option[value]
    GET_OR = "get_or"  # (key, default) -> value
    TOTAL = "total"  # (key) -> value; a Tally: absent reads 0
    HAS = "has"  # (key) -> bool; a Tally: present even when 0
    LEN = "len"  # () -> int; a Tally skips zeros
    FIRST = "first"  # () -> Option[tuple[key, value]]; ordered
    POP_FIRST = "pop_first"  # () -> Option[tuple[key, value]]; ordered; effectful
    OVERFLOW = "overflow"  # () -> int; how many stores found no room
    PUT = "put"  # (key, value) -> bool; False: full or does not fit; effectful


@record
class Lookup(_Typed):
    op: TableRead
    field: str
    args: tuple[Expr, ...]


class UnaryOp(StrEnum):
    NEG = "-"
    NOT = "not"
    INVERT = "~"


@record
class Unary(_Typed):
    op: UnaryOp
    operand: Expr


class BinaryOp(StrEnum):
    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"  # float only
    FLOORDIV = "//"  # x // 0 == 0
    MOD = "%"  # x % 0 == x
    AND = "&"  # integers, bools, sets
    OR = "|"
    XOR = "^"
    SHL = "<<"  # count modulo 64
    SHR = ">>"  # arithmetic for int, logical for u64
    MIN = "min"  # the first of equals wins; NaN never wins, the first wins when all are NaN
    MAX = "max"


@record
class Binary(_Typed):
    """Both operands have the kind of the result, but for times: Instant ± Duration, Duration // Duration, × int."""

    op: BinaryOp
    left: Expr
    right: Expr


class CompareOp(StrEnum):
    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@record
class Compare(_Typed):
    """Operands of one kind; texts of any two bounds compare by bytes."""

    op: CompareOp
    left: Expr
    right: Expr


@record
class Logic(_Typed):
    """Short-circuiting `and` (`conjunction`) or `or`."""

    conjunction: bool
    left: Expr
    right: Expr


@record
class Choose(_Typed):
    """`then if cond else orelse`; only the chosen side is evaluated."""

    cond: Expr
    then: Expr
    orelse: Expr


@record
class LetIn(_Typed):
    """`value` is evaluated once and named in `body` (a chained comparison)."""

    name: str
    value: Expr
    body: Expr


@record
class Cast(_Typed):
    """Conversion to `type`: narrow storage widened; int/u64/float/Instant/Duration/enum by `as_*` (saturating from
    float, NaN → 0; int ↔ u64 keep the 64 bits); a struct into its union; a text or bytes to another bound (no check:
    stores check)."""

    value: Expr


@record
class Some(_Typed):
    """A value as an Option."""

    value: Expr


@record
class IsSome(_Typed):
    value: Expr


@record
class Unwrap(_Typed):
    """The value of an Option; a dominating test shows that there is one."""

    value: Expr


@record
class MakeStruct(_Typed):
    """A struct from the values of all its fields, in their order.  `type` is the StructType."""

    values: tuple[Expr, ...]


@record
class MakeTuple(_Typed):
    items: tuple[Expr, ...]


@record
class Contains(_Typed):
    """Membership in a set, sequence or outside map (tables: Lookup HAS; texts: Intrinsic `contains`)."""

    item: Expr
    container: Expr


@record
class Call(_Typed):
    """A helper of the program; no recursion."""

    function: str
    args: tuple[Expr, ...]


@record
class Intrinsic(_Typed):
    """A function of the language or of a stratum, by its full name: `len`, `now`, `rpc.Headers.get` (a view's method:
    the view is the first argument).  `Program.intrinsics` has the signature and effect of a stratum's;
    `builtins.py` of the language's own."""

    name: str
    args: tuple[Expr, ...]


class ReduceOp(StrEnum):
    MIN = "min"  # of `value`; the first of equals
    MAX = "max"
    SUM = "sum"  # left to right
    ANY = "any"  # stops at the first that decides
    ALL = "all"
    ARGMIN = "argmin"  # the loop's item whose `value` is smallest; the first of equals
    ARGMAX = "argmax"


@record
class Reduce(_Typed):
    """A fold over a source, in its order.  ARGMIN/ARGMAX yield the loop item itself (one target).

    Without `default` the source is known not to be empty (else a diagnostic), or op is SUM, ANY, ALL.
    """

    op: ReduceOp
    targets: tuple[str, ...]
    source: Source
    cond: Expr | None
    value: Expr
    default: Expr | None = None


@record
class MakeSet(_Typed):
    """A set comprehension."""

    targets: tuple[str, ...]
    source: Source
    cond: Expr | None
    item: Expr


@record
class Format(_Typed):
    """An f-string; parts are of int, u64, bool, text, enum type (constants for the fixed pieces)."""

    parts: tuple[Expr, ...]


Expr: TypeAlias = (
    Const
    | Local
    | State
    | Attr
    | ViewField
    | Item
    | Lookup
    | Unary
    | Binary
    | Compare
    | Logic
    | Choose
    | LetIn
    | Cast
    | Some
    | IsSome
    | Unwrap
    | MakeStruct
    | MakeTuple
    | Contains
    | Call
    | Intrinsic
    | Reduce
    | MakeSet
    | Format
)

# ---------------------------------------------------------------- what a loop goes over


@record
class OverRange:
    """`range(start, stop, step)`; at most `bound` steps, known when compiling."""

    start: Expr
    stop: Expr
    step: int
    bound: int
    span: Span = dataclasses.field(compare=False)


class Part(StrEnum):
    KEYS = "keys"
    VALUES = "values"
    ITEMS = "items"  # two targets


@record
class OverState:
    """The entries of a table present at the start, or of an array (KEYS: the indices)."""

    field: str
    part: Part
    span: Span = dataclasses.field(compare=False)


@record
class OverValue:
    """A set, a sequence or a map of outside data, `waiting` (oldest first)."""

    value: Expr
    part: Part
    span: Span = dataclasses.field(compare=False)


Source: TypeAlias = OverRange | OverState | OverValue
