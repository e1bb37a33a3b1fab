# SPDX-License-Identifier: Apache-2.0
"""Places that can be written, patterns, and statements."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from transect.base.record import record
from transect.base.span import Span
from transect.core.ir.expressions import BinaryOp, Const, Expr, Source
from transect.core.types import StructType, Type

# ---------------------------------------------------------------- places that can be written


@record
class StatePlace:
    """A scalar or struct state field (or per-RPC local), or a field within it."""

    field: str
    path: tuple[str, ...]
    type: Type
    span: Span = dataclasses.field(compare=False)


@record
class EntryPlace:
    """An entry of a table or array, or a field within it (then the entry is known to be there)."""

    field: str
    key: Expr
    path: tuple[str, ...]
    type: Type
    span: Span = dataclasses.field(compare=False)


@record
class LocalPlace:
    """A field within a local struct (a whole local is written by Let)."""

    name: str
    path: tuple[str, ...]
    type: Type
    span: Span = dataclasses.field(compare=False)


@record
class ViewPlace:
    """A writable field of a view."""

    base: Expr
    name: str
    type: Type
    span: Span = dataclasses.field(compare=False)


Place: TypeAlias = StatePlace | EntryPlace | LocalPlace | ViewPlace

# ---------------------------------------------------------------- patterns


@record
class MatchAny:
    """`_`, or a name which takes the value."""

    name: str | None


@record
class MatchConst:
    """Equal to a constant; a `None` constant matches an empty Option."""

    value: Const


@record
class MatchSome:
    """A present Option whose value matches."""

    inner: Pattern


@record
class MatchTuple:
    items: tuple[Pattern, ...]


@record
class MatchStruct:
    """A struct (or this case of a union) whose named fields match."""

    type: StructType
    fields: tuple[tuple[str, Pattern], ...]


@record
class MatchOr:
    options: tuple[Pattern, ...]


Pattern: TypeAlias = MatchAny | MatchConst | MatchSome | MatchTuple | MatchStruct | MatchOr

# ---------------------------------------------------------------- statements


@record
class Let:
    """A local takes a value (a first or a later time)."""

    name: str
    value: Expr
    span: Span = dataclasses.field(compare=False)


@record
class Store:
    """A place takes a value.

    A new key in a full table, or a text beyond its bound, changes nothing and counts as overflow.
    """

    place: Place
    value: Expr
    span: Span = dataclasses.field(compare=False)


@record
class Update:
    """`place op= value`: the place is evaluated once and read, then the value, then the operation.

    MIN and MAX are recognised from `m[k] = max(m[k], e)`.  A Tally entry that is absent starts from 0.
    """

    place: Place
    op: BinaryOp
    value: Expr
    span: Span = dataclasses.field(compare=False)


@record
class Remove:
    """`del table[key]`; an absent key changes nothing."""

    field: str
    key: Expr
    span: Span = dataclasses.field(compare=False)


@record
class Do:
    """An expression for its effect."""

    value: Expr
    span: Span = dataclasses.field(compare=False)


@record
class If:
    cond: Expr
    then: Block
    orelse: Block
    span: Span = dataclasses.field(compare=False)


@record
class Case:
    pattern: Pattern
    guard: Expr | None
    body: Block
    span: Span = dataclasses.field(compare=False)


@record
class Switch:
    """`match`: the first case whose pattern and guard hold; none: nothing."""

    subject: Expr
    cases: tuple[Case, ...]
    span: Span = dataclasses.field(compare=False)


@record
class For:
    targets: tuple[str, ...]
    source: Source
    body: Block
    span: Span = dataclasses.field(compare=False)


@record
class Break:
    span: Span = dataclasses.field(compare=False)


@record
class Continue:
    span: Span = dataclasses.field(compare=False)


@record
class Return:
    value: Expr | None
    span: Span = dataclasses.field(compare=False)


@record
class Pass:
    """Nothing; kept so that its line counts as covered."""

    span: Span = dataclasses.field(compare=False)


Stmt: TypeAlias = Let | Store | Update | Remove | Do | If | Switch | For | Break | Continue | Return | Pass
Block: TypeAlias = tuple[Stmt, ...]
