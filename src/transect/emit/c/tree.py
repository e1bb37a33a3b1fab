# SPDX-License-Identifier: Apache-2.0
"""The C that emitters build: types, expressions, statements and declarations as frozen nodes.

Only what emitted code needs.  A name is an identifier, never a piece of text; `printer.py` alone writes text, and puts
the parentheses.  `#line` marks are nodes too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

# ---------------------------------------------------------------- types


@dataclass(frozen=True, slots=True)
class Named:
    """A type by its name: `int64_t`, `ts_slice`."""

    name: str
    const: bool = False


@dataclass(frozen=True, slots=True)
class StructType:
    """`struct TAG` (or `union TAG`)."""

    tag: str
    const: bool = False
    union: bool = False


@dataclass(frozen=True, slots=True)
class Pointer:
    to: CType
    const: bool = False  # the pointer itself


@dataclass(frozen=True, slots=True)
class ArrayOf:
    item: CType
    length: Expr | None  # None: as its initialiser says


@dataclass(frozen=True, slots=True)
class FunctionType:
    returns: CType
    params: tuple[CType, ...]


CType: TypeAlias = Named | StructType | Pointer | ArrayOf | FunctionType

VOID = Named("void")
BOOL = Named("bool")
INT = Named("int")
I64 = Named("int64_t")
U64 = Named("uint64_t")
U32 = Named("uint32_t")
U8 = Named("uint8_t")
SIZE = Named("size_t")
DOUBLE = Named("double")
SLICE = Named("ts_slice")


def pointer(tag: str, const: bool = False) -> Pointer:
    """`struct TAG *`."""
    return Pointer(StructType(tag, const))


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer literal, not negative, of at most 64 bits; `suffix` as C writes it (`u`, `ull`).

    A compiler may cut a longer one to 0 with no more than a warning.
    """

    value: int
    suffix: str = ""

    def __post_init__(self) -> None:
        assert 0 <= self.value < 1 << (64 if "u" in self.suffix else 63), f"{self.value}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Real:
    """A floating literal, finite, without a sign."""

    value: float

    def __post_init__(self) -> None:
        assert math.isfinite(self.value) and math.copysign(1.0, self.value) > 0, self.value


@dataclass(frozen=True, slots=True)
class String:
    value: bytes


@dataclass(frozen=True, slots=True)
class Unary:
    """A prefix operator: `- ~ ! * & ++ --`."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Postfix:
    """`++` or `--` behind."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary:
    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Assign:
    """`=`, `+=`, …"""

    op: str
    target: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class Ternary:
    cond: Expr
    then: Expr
    orelse: Expr


@dataclass(frozen=True, slots=True)
class Call:
    function: Expr
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Member:
    base: Expr
    name: str
    arrow: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    base: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Cast:
    type: CType
    operand: Expr


@dataclass(frozen=True, slots=True)
class SizeOf:
    type: CType


@dataclass(frozen=True, slots=True)
class SizeOfValue:
    """`sizeof e`."""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Braces:
    """An initialiser list; an item may have a designator."""

    items: tuple[tuple[str | None, Init], ...]


@dataclass(frozen=True, slots=True)
class Compound:
    """A compound literal: `(struct point){1, 2}`."""

    type: CType
    init: Braces


Expr: TypeAlias = (
    Name
    | Integer
    | Real
    | String
    | Unary
    | Postfix
    | Binary
    | Assign
    | Ternary
    | Call
    | Member
    | Index
    | Cast
    | SizeOf
    | SizeOfValue
    | Compound
)
Init: TypeAlias = Expr | Braces

# ---------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Do:
    """An expression statement."""

    expr: Expr


@dataclass(frozen=True, slots=True)
class Var:
    """A variable; also a member of a struct and a parameter (without `init`)."""

    name: str
    type: CType
    init: Init | None = None
    static: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class If:
    cond: Expr
    then: Block
    orelse: Block | If | None = None


@dataclass(frozen=True, slots=True)
class For:
    init: Var | Expr | None
    cond: Expr | None
    step: Expr | None
    body: Block


@dataclass(frozen=True, slots=True)
class Each:
    """A macro that is the head of a loop: `bpf_for(n, 0, 10) { … }`."""

    macro: str
    args: tuple[Expr, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class While:
    cond: Expr
    body: Block


@dataclass(frozen=True, slots=True)
class Arm:
    """A case of a switch; value None: `default`.  Ends in a jump, or falls into the next when its body is empty."""

    value: Expr | None
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Switch:
    subject: Expr
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr | None = None


@dataclass(frozen=True, slots=True)
class Break:
    pass


@dataclass(frozen=True, slots=True)
class Continue:
    pass


@dataclass(frozen=True, slots=True)
class At:
    """What follows comes from that line of a policy."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Here:
    """What follows is the emitted file's own."""


@dataclass(frozen=True, slots=True)
class Comment:
    text: str


Stmt: TypeAlias = (
    Do | Var | Block | If | For | Each | While | Switch | Return | Break | Continue | At | Here | Comment
)

# ---------------------------------------------------------------- declarations


@dataclass(frozen=True, slots=True)
class Include:
    path: str
    system: bool = False


@dataclass(frozen=True, slots=True)
class Ignore:
    """Compilers do not warn of it in this file: `tautological-compare`."""

    warning: str


@dataclass(frozen=True, slots=True)
class Struct:
    """`struct TAG { … };`"""

    tag: str
    members: tuple[Var | Comment, ...]
    union: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    returns: CType
    params: tuple[Var, ...]
    body: Block | None  # None: a prototype
    prefix: str = ""  # `static`, `TS_INLINE`, `extern`


@dataclass(frozen=True, slots=True)
class Macro:
    """A use of a macro that declares something: `TS_TABLE(…)`.  Types and expressions are its arguments."""

    name: str
    args: tuple[CType | Expr, ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """A header's content, read once."""

    name: str
    body: tuple[Decl, ...]


Decl: TypeAlias = Include | Ignore | Struct | Function | Var | Macro | Guard | Comment | At | Here

Node: TypeAlias = CType | Expr | Braces | Stmt | Arm | Decl

# ---------------------------------------------------------------- going through a tree


_NAMES: dict[type[Any], tuple[str, ...]] = {}  # of the fields of a class of nodes, once they were asked for


def children(node: object) -> list[object]:
    """The nodes directly below."""
    cls = type(node)
    if cls not in _NAMES:
        _NAMES[cls] = tuple(f.name for f in fields(node))  # type: ignore[arg-type]
    found: list[object] = []
    for name in _NAMES[cls]:
        _collect(getattr(node, name), found)
    return found


def _collect(value: object, found: list[object]) -> None:
    if isinstance(value, tuple):
        for item in value:
            _collect(item, found)
    elif hasattr(value, "__dataclass_fields__"):
        found.append(value)


def walk(node: object) -> Iterator[object]:
    """The node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


# ---------------------------------------------------------------- short forms


def name(text: str) -> Name:
    return Name(text)


def call(function: str, *args: Expr) -> Call:
    return Call(Name(function), args)


def arrow(base: str | Expr, member: str) -> Member:
    """`base->member`."""
    return Member(Name(base) if isinstance(base, str) else base, member, arrow=True)


def dot(base: Expr, member: str) -> Member:
    return Member(base, member)


def address(e: Expr) -> Expr:
    """`&e`; of `*p` it is p."""
    return e.operand if isinstance(e, Unary) and e.op == "*" else Unary("&", e)


def deref(e: Expr) -> Expr:
    """`*e`; of `&x` it is x."""
    return e.operand if isinstance(e, Unary) and e.op == "&" else Unary("*", e)


def field_of(p: Expr, member: str) -> Expr:
    """A member of what a pointer leads to: `p->m`, or `x.m` when p is `&x`."""
    return (
        Member(p.operand, member) if isinstance(p, Unary) and p.op == "&" else Member(p, member, arrow=True)
    )


def assign(target: Expr, value: Expr) -> Do:
    return Do(Assign("=", target, value))


def negated(e: Expr) -> Expr:
    """`!e`, without two in a row."""
    return e.operand if isinstance(e, Unary) and e.op == "!" else Unary("!", e)


def braces(*items: Init) -> Braces:
    return Braces(tuple((None, item) for item in items))


def designated(**items: Init) -> Braces:
    return Braces(tuple(items.items()))


ZERO = Integer(0)
ONE = Integer(1)
TRUE = Name("true")
FALSE = Name("false")
NULL = Name("NULL")
