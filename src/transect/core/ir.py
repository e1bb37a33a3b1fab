# SPDX-License-Identifier: Apache-2.0
"""The tree of a policy: three closed unions (types, in `types.py`; expressions; statements) and declarations.

Every node is frozen and carries its span; an expression carries its type.  Spans do not take part in comparison.
A local name is unique within its function: the front end renames what a comprehension, lambda or inlined call binds.
`verify.py` says which nodes and shapes each stage allows.  Dispatch by `match`, ending in `assert_never`.
"""

from __future__ import annotations

import dataclasses
from enum import IntEnum, StrEnum
from typing import TypeAlias

from transect.base.record import keyword_record, record
from transect.base.span import NOWHERE, Span
from transect.core.types import DEFAULT_OPTIONS, Options, StructType, Type, UnionType


class Stage(IntEnum):
    TYPED = 1  # every expression has its type; nothing is proved about paths yet
    CHECKED = 2  # the flow rules hold: look-ups dominated, every path returns, no copy lost
    FLAT = 3  # operands are pure; each effectful read is one Let; short circuits with effects are If


# ---------------------------------------------------------------- expressions


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

# ---------------------------------------------------------------- declarations


MIGRATIONS = ("migrate", "migrate_back")
"""Handlers that no stratum calls: they run once, when one version of a policy takes over from another."""


class FieldKind(StrEnum):
    STATE = "state"
    PARAM = "param"  # set by the operator while it runs
    LOCAL = "local"  # one value per RPC (request, task …)
    GIVEN = "given"  # kept by the adapter, read-only for the policy: `waiting`


@record
class StateField:
    name: str
    type: Type
    kind: FieldKind
    default: (
        Expr | None
    )  # Const, MakeStruct or MakeTuple of constants; None for tables, arrays, counters: empty or zero
    options: Options = DEFAULT_OPTIONS
    doc: str = ""
    span: Span = dataclasses.field(compare=False, kw_only=True)


@record
class Param:
    name: str
    type: Type
    span: Span = dataclasses.field(compare=False)


@record
class Function:
    """A handler (its name is the hook's) or a helper (`_name` of the class, `name` of the module)."""

    name: str
    params: tuple[Param, ...]  # without `self`
    returns: Type
    body: Block
    locals: tuple[tuple[str, Type], ...]  # every name that Let, For, Reduce, MakeSet, LetIn, patterns bind
    default: bool = False  # a hook's default body, which the policy did not write
    doc: str = ""
    span: Span = dataclasses.field(compare=False, kw_only=True)


@record
class ViewMember:
    name: str
    type: Type
    writable: bool = False
    doc: str = ""
    layout: str = ""  # how the stratum finds it, as the class says behind `=`; "": by its name
    span: Span = dataclasses.field(default=NOWHERE, compare=False)


@record
class View:
    """A class of outside data: just the fields that a policy reads; bound to the real layout by a stratum."""

    name: str
    base: str  # the stratum's view class it derives from (`rpc.Message`), or "" for a stratum's own
    params: tuple[str, ...]  # type parameters (`M`, `R` of `Rpc`)
    members: tuple[ViewMember, ...]
    of: str = ""  # what it is a view of, when its class says so (`of="task_struct"`)
    span: Span = dataclasses.field(compare=False, kw_only=True)

    def member(self, name: str) -> ViewMember | None:
        return next((m for m in self.members if m.name == name), None)


class Effect(StrEnum):
    """What an intrinsic touches besides its arguments."""

    PURE = "pure"
    CLOCK = "clock"
    RANDOM = "random"
    OUTSIDE_READ = "outside-read"  # kernel results, remote reads, headers: answers go on the tape
    OUTSIDE_WRITE = "outside-write"
    REPORT = "report"  # trace, report: write-only output


@record
class IntrinsicDecl:
    name: str
    params: tuple[Param, ...]
    returns: Type
    effect: Effect
    named: bool = False  # any keywords may follow: (text constant, value) for each, after the parameters


@record
class Program:
    """One policy, complete: what its files say, resolved and typed."""

    name: str
    stratum: str  # rpc, llm, cpu, memory; "" for a shape
    base: str  # the class that gives the hooks: `rpc.Element`, `Arbiter`
    path: str
    source_hash: str  # sha256 of all its source texts, hex
    stage: Stage
    structs: tuple[StructType, ...]
    unions: tuple[UnionType, ...]
    views: tuple[View, ...]
    intrinsics: tuple[IntrinsicDecl, ...]  # those of the stratum
    state: tuple[StateField, ...]
    functions: tuple[Function, ...]  # helpers, each after those that it calls
    handlers: tuple[Function, ...]  # in the order of the base class's hooks
    old_state: tuple[StateField, ...] = ()  # of `class V1(OldState)`, for `migrate`
    doc: str = ""

    def view(self, name: str) -> View:
        return next(v for v in self.views if v.name == name)

    def field(self, name: str) -> StateField:
        return next(f for f in self.state if f.name == name)

    def handler(self, name: str) -> Function | None:
        return next((h for h in self.handlers if h.name == name), None)

    def function(self, name: str) -> Function:
        return next(f for f in self.functions if f.name == name)
