# SPDX-License-Identifier: Apache-2.0
"""Which type a node has, given those of its operands, and which operands it takes.

`result_type` is what the text form leaves out and what the verifier insists on; the tables below are the rules as data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, Expr, IntrinsicDecl, Program, ReduceOp, Source, StateField, TableRead
from transect.core.types import (
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INSTANT,
    INT,
    TEXT,
    U64,
    UNIT,
    ArrayType,
    BoolType,
    BytesType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    ViewType,
)


@dataclass(frozen=True)
class Scope:
    """The names that an expression may use: the program's, and the locals of its function."""

    program: Program
    locals: Mapping[str, Type] = field(default_factory=dict)

    @cached_property
    def fields(self) -> dict[str, StateField]:
        """State; what `migrate` reads of the old one too, under names that begin with `old.`."""
        return {f.name: f for f in (*self.program.state, *self.program.old_state)}

    @cached_property
    def functions(self) -> dict[str, ir.Function]:
        return {f.name: f for f in self.program.functions}

    @cached_property
    def intrinsics(self) -> dict[str, IntrinsicDecl]:
        return {i.name: i for i in self.program.intrinsics}

    @cached_property
    def views(self) -> dict[str, ir.View]:
        return {v.name: v for v in self.program.views}

    def within(self, function: ir.Function) -> Scope:
        """The scope of a function's body."""
        inner = replace(self, locals={p.name: p.type for p in function.params} | dict(function.locals))
        for name in ("fields", "functions", "intrinsics", "views"):
            inner.__dict__[name] = getattr(self, name)
        return inner

    def member_type(self, view: ViewType, name: str) -> Type | None:
        """The type of a view's field, with the view's arguments put in for its parameters."""
        declared = self.views.get(view.name)
        member = declared.member(name) if declared else None
        if declared is None or member is None:
            return None
        unsaid = dict.fromkeys(declared.params, ViewType("Any"))
        return _substitute(
            member.type, {**unsaid, **dict(zip(declared.params, view.arguments, strict=False))}
        )


def _substitute(t: Type, arguments: Mapping[str, Type]) -> Type:
    match t:
        case ViewType(name=name, arguments=()):
            return arguments.get(name, t)
        case ViewType(arguments=inner):
            return replace(t, arguments=tuple(_substitute(a, arguments) for a in inner))
        case OptionType(item=item) | SeqType(item=item):
            return replace(t, item=_substitute(item, arguments))
        case _:
            return t


# ---------------------------------------------------------------- when types agree


def loose(t: Type) -> Type:
    """The type without bounds and widths: texts of any bound compare, narrow integers are `int` once loaded, and stores
    check and truncate what they store."""
    match t:
        case IntType(bits=bits) if bits < 64:
            return INT
        case TextType() | BytesType():
            return replace(t, bound=None)
        case SetType(item=item):
            return SetType(loose(item))
        case OptionType(item=item) | SeqType(item=item):
            return replace(t, item=loose(item))
        case TupleType(items=items):
            return TupleType(tuple(map(loose, items)))
        case DictType(key=key, value=value):
            return DictType(loose(key), loose(value))
        case _:
            return t


def agrees(a: Type, b: Type) -> bool:
    """Whether two types are the same but for bounds."""
    return a == b or loose(a) == loose(b)


def is_narrow(t: Type) -> bool:
    """An integer of fewer than 64 bits: storage only."""
    return isinstance(t, IntType) and t.bits < 64


def widened(t: Type) -> Type:
    """The type that arithmetic sees when storage of this type is loaded."""
    return INT if is_narrow(t) else t


def stores(value: Type, place: Type) -> bool:
    """Whether a value of one type may be stored where the other is declared: narrow integers truncate an `int`."""
    match value, place:
        case TupleType(items=values), TupleType(items=places) if len(values) == len(places):
            return all(map(stores, values, places))
        case OptionType(item=item), OptionType(item=inner):
            return stores(item, inner)
        case _:
            return agrees(value, place) or (is_narrow(place) and value == INT)


# ---------------------------------------------------------------- operators

_LETTERS: dict[type, str] = {
    FloatType: "f",
    InstantType: "t",
    DurationType: "d",
    BoolType: "b",
    SetType: "s",
    TextType: "x",
    BytesType: "y",
}
_TYPES: dict[str, Type] = {
    "i": INT,
    "u": U64,
    "f": FLOAT,
    "t": INSTANT,
    "d": DURATION,
    "b": BOOL,
    "x": TEXT,
    "y": BYTES,
}

# left, right, result; i int, u u64, f float, t Instant, d Duration, b bool, s set (of one item type), x text, y bytes
BINARY: dict[BinaryOp, tuple[str, ...]] = {
    BinaryOp.ADD: ("iii", "uuu", "fff", "tdt", "dtt", "ddd"),
    BinaryOp.SUB: ("iii", "uuu", "fff", "ttd", "tdt", "ddd", "sss"),
    BinaryOp.MUL: ("iii", "uuu", "fff", "did", "idd"),
    BinaryOp.DIV: ("fff",),
    BinaryOp.FLOORDIV: ("iii", "uuu", "did", "ddi"),
    BinaryOp.MOD: ("iii", "uuu", "did", "ddd"),
    BinaryOp.AND: ("iii", "uuu", "bbb", "sss"),
    BinaryOp.OR: ("iii", "uuu", "bbb", "sss"),
    BinaryOp.XOR: ("iii", "uuu", "bbb", "sss"),
    BinaryOp.SHL: ("iii", "uuu", "uiu"),
    BinaryOp.SHR: ("iii", "uuu", "uiu"),
    BinaryOp.MIN: ("iii", "uuu", "fff", "ttt", "ddd", "bbb", "xxx", "yyy"),
    BinaryOp.MAX: ("iii", "uuu", "fff", "ttt", "ddd", "bbb", "xxx", "yyy"),
}

UNARY: dict[ir.UnaryOp, str] = {ir.UnaryOp.NEG: "iufd", ir.UnaryOp.NOT: "b", ir.UnaryOp.INVERT: "iu"}


def letter(t: Type) -> str:
    """The type's letter in the tables above; `?` for one that no operator takes."""
    if isinstance(t, IntType):
        return "?" if t.bits < 64 else "i" if t.signed else "u"
    return _LETTERS.get(type(t), "?")


def binary_type(op: BinaryOp, left: Type, right: Type) -> Type | None:
    """The type of `left op right`; None when the operator does not take them."""
    if op in (BinaryOp.MIN, BinaryOp.MAX) and agrees(left, right) and is_ordered(left):
        return left
    pair = letter(left) + letter(right)
    rule = next((rule for rule in BINARY[op] if rule[:2] == pair), None)
    if rule == "sss":
        return left if agrees(left, right) else None
    return _TYPES[rule[2]] if rule else None


def is_ordered(t: Type) -> bool:
    """Whether `<` has a meaning for it."""
    match t:
        case TupleType(items=items):
            return all(is_ordered(widened(item)) for item in items)
        case EnumType():
            return True
        case _:
            return letter(t) in "iuftdbxy"


def is_comparable(t: Type) -> bool:
    """Whether `==` has a meaning for it."""
    match t:
        case TupleType(items=items):
            return all(map(is_comparable, items))
        case StructType(fields=fields):
            return all(is_comparable(f.type) for f in fields)
        case OptionType(item=item):
            return is_comparable(item)
        case SetType() | KeyType() | EnumType():
            return True
        case _:
            return is_narrow(t) or letter(t) in "iuftdbxy"


_NUMBERS = IntType | BoolType | FloatType | InstantType | DurationType | EnumType


def casts(source: Type, target: Type) -> bool:
    """Whether `Cast` converts between these types."""
    match source, target:
        case StructType(), UnionType(cases=cases):
            return source in cases
        case _ if isinstance(source, _NUMBERS) and isinstance(target, _NUMBERS):
            return not isinstance(target, BoolType) or source == target
        case _:
            return agrees(source, target)


# ---------------------------------------------------------------- table questions


def lookup_signature(op: TableRead, t: Type) -> tuple[tuple[Type, ...], Type] | None:
    """Arguments and result of a question to a table or array; None when that kind has no such question."""
    if op is TableRead.OVERFLOW:
        return (), INT
    match t:
        case ArrayType(item=item):
            return _array_signature(op, item)
        case TableType(kind=kind, key=key, value=value):
            entry = OptionType(TupleType((key, value)))
            signatures: dict[TableRead, tuple[tuple[Type, ...], Type]] = {
                TableRead.HAS: ((key,), BOOL),
                TableRead.LEN: ((), INT),
                TableRead.PUT: ((key, value), BOOL),
            }
            if kind is TableKind.TALLY:
                signatures[TableRead.TOTAL] = ((key,), value)
            else:
                signatures[TableRead.AT] = ((key,), value)
                signatures[TableRead.GET] = ((key,), OptionType(value))
                signatures[TableRead.GET_OR] = ((key, value), value)
            if kind is TableKind.ORDERED:
                signatures[TableRead.FIRST] = ((), entry)
                signatures[TableRead.POP_FIRST] = ((), entry)
            return signatures.get(op)
        case _:
            return None


def _array_signature(op: TableRead, item: Type) -> tuple[tuple[Type, ...], Type] | None:
    if op is TableRead.AT:
        return (INT,), item
    return ((), INT) if op is TableRead.LEN else None


# ---------------------------------------------------------------- what loops bind


def targets_of(source: Source, scope: Scope) -> tuple[Type, ...] | None:
    """The types of one round's targets: two for ITEMS; None when the source cannot be gone over in that way."""
    match source:
        case ir.OverRange():
            return (INT,)
        case ir.OverState(field=name, part=part):
            declared = scope.fields.get(name)
            match declared.type if declared else None:
                case TableType(kind=kind, key=key, value=value) if kind is not TableKind.LRU:
                    return _part(part, key, value)
                case ArrayType(item=item):
                    return _part(part, INT, item)
                case _:
                    return None
        case ir.OverValue(value=value, part=part):
            match value.type:
                case DictType(key=key, value=item):
                    return _part(part, key, item)
                case SetType(item=item) | SeqType(item=item):
                    return None if part is ir.Part.ITEMS else (item,)
                case _:
                    return None
        case _:
            assert_never(source)


def _part(part: ir.Part, key: Type, value: Type) -> tuple[Type, ...]:
    return {ir.Part.KEYS: (key,), ir.Part.VALUES: (value,), ir.Part.ITEMS: (key, value)}[part]


# ---------------------------------------------------------------- the language's own functions

_SIZED = TextType | BytesType | SetType | SeqType | DictType

FIXED: dict[str, tuple[tuple[Type, ...], Type]] = {
    "now": ((), INSTANT),
    "rand": ((), FLOAT),
    "rand_below": ((INT,), INT),
    "trace": ((TEXT,), UNIT),
}

PARTS_OF_TEXTS = ("lower", "strip", "removeprefix", "removesuffix", "partition")
"""Functions whose results are, or may be, slices of the text that they are given."""

LANGUAGE = frozenset(
    (
        *FIXED,
        *PARTS_OF_TEXTS,
        "len",
        "abs",
        "startswith",
        "endswith",
        "contains",
        "fits",
        "mul_div",
        "parse_int",
        "hash64",
        "dict.get",
        "dict.get_or",
    )
)
"""The names of the language's own functions."""


def builtin_type(name: str, args: tuple[Type, ...]) -> Type | None:
    """The result of one of the language's own functions; None when it is unknown or does not take such arguments."""
    match name, args:
        case _ if name in FIXED:
            wanted, result = FIXED[name]
            return result if len(args) == len(wanted) and all(map(agrees, args, wanted)) else None
        case "len", (sized,) if isinstance(sized, _SIZED):
            return INT
        case "abs", (IntType(bits=64) | FloatType() | DurationType() as number,):
            return number
        case "startswith" | "endswith" | "contains", (a, b) if isinstance(a, TextType | BytesType):
            return BOOL if agrees(a, b) else None
        case "fits", (TextType() | BytesType(), IntType(bits=64)):
            return BOOL
        case "removeprefix" | "removesuffix", (TextType() | BytesType() as a, b):
            return (TEXT if isinstance(a, TextType) else BYTES) if agrees(a, b) else None
        case "lower" | "strip", (TextType(),):
            return TEXT
        case "partition", (TextType(), TextType()):
            return TupleType((TEXT, TEXT, TEXT))
        case "parse_int", (TextType(),):
            return OptionType(INT)
        case "hash64", (TextType() | BytesType() | IntType(bits=64), IntType(bits=64, signed=False)):
            return U64
        case "mul_div", (IntType(bits=64) as a, b, c):
            return a if a == b == c else None
        case "dict.get", (DictType(key=key, value=value), asked) if stores(asked, key):
            return OptionType(value)
        case "dict.get_or", (DictType(key=key, value=value), asked, default) if stores(asked, key):
            return value if stores(default, value) else None
        case _:
            return None


# ---------------------------------------------------------------- expressions


def result_type(e: Expr, scope: Scope) -> Type | None:
    """The type that the node's operands give it; None when they do not say (or are wrong).

    For a constant, the type that its Python value suggests.
    """
    match e:
        case ir.Const(value=value):
            return constant_type(value)
        case ir.Local(name=name):
            return scope.locals.get(name)
        case ir.State(field=name):
            return scope.fields[name].type if name in scope.fields else None
        case ir.Attr(base=base, name=name):
            found = base.type.field(name) if isinstance(base.type, StructType) else None
            return found.type if found else None
        case ir.ViewField(base=base, name=name):
            return scope.member_type(base.type, name) if isinstance(base.type, ViewType) else None
        case ir.Item(base=base, index=index):
            items = base.type.items if isinstance(base.type, TupleType) else ()
            return items[index] if 0 <= index < len(items) else None
        case ir.Lookup(op=op, field=name):
            signature = lookup_signature(op, scope.fields[name].type) if name in scope.fields else None
            return signature[1] if signature else None
        case ir.Unary(operand=operand):
            return operand.type
        case ir.Binary(op=op, left=left, right=right):
            return binary_type(op, left.type, right.type)
        case ir.Compare() | ir.Logic() | ir.IsSome() | ir.Contains():
            return BOOL
        case ir.Choose(then=then):
            return then.type
        case ir.LetIn(body=body):
            return body.type
        case ir.Cast() | ir.MakeStruct():
            return None
        case ir.Some(value=value):
            return OptionType(value.type)
        case ir.Unwrap(value=value):
            return value.type.item if isinstance(value.type, OptionType) else None
        case ir.MakeTuple(items=parts):
            return TupleType(tuple(p.type for p in parts))
        case ir.Call(function=name):
            return scope.functions[name].returns if name in scope.functions else None
        case ir.Intrinsic(name="waiting.argmin" | "waiting.min", args=(ir.Const(value=str(name)),)):
            tally = scope.fields[name].type if name in scope.fields else None  # passes/ordered_pick.py
            if not isinstance(tally, TableType):
                return None
            return tally.key if e.name == "waiting.argmin" else widened(tally.value)
        case ir.Intrinsic(name=name, args=args):
            if name in scope.intrinsics:
                return scope.intrinsics[name].returns
            return builtin_type(name, tuple(a.type for a in args))
        case ir.Reduce():
            return reduce_type(e, scope)
        case ir.MakeSet(item=item):
            return SetType(item.type)
        case ir.Format():
            return TEXT
        case _:
            assert_never(e)


def constant_type(value: object) -> Type:
    """The type that a plain Python value suggests."""
    match value:
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return FLOAT
        case str():
            return TEXT
        case bytes():
            return BYTES
        case _:
            return UNIT


def reduce_type(e: ir.Reduce, scope: Scope) -> Type | None:
    match e.op:
        case ReduceOp.ANY | ReduceOp.ALL:
            return BOOL
        case ReduceOp.ARGMIN | ReduceOp.ARGMAX:
            return scope.locals.get(e.targets[0]) if len(e.targets) == 1 else None
        case ReduceOp.MIN | ReduceOp.MAX | ReduceOp.SUM:
            return e.value.type
        case _:
            assert_never(e.op)


def place_type(place: ir.Place, scope: Scope) -> Type | None:
    """The type of what is stored at a place; None when there is no such place."""
    match place:
        case ir.StatePlace(field=name, path=path):
            return _along(scope.fields[name].type, path) if name in scope.fields else None
        case ir.EntryPlace(field=name, path=path):
            match scope.fields[name].type if name in scope.fields else None:
                case TableType(value=value):
                    return _along(value, path)
                case ArrayType(item=item):
                    return _along(item, path)
                case _:
                    return None
        case ir.LocalPlace(name=name, path=path):
            return _along(scope.locals[name], path) if name in scope.locals else None
        case ir.ViewPlace(base=base, name=name):
            return scope.member_type(base.type, name) if isinstance(base.type, ViewType) else None
        case _:
            assert_never(place)


def _along(t: Type, path: tuple[str, ...]) -> Type | None:
    """The type of the field that a path of names leads to."""
    for name in path:
        found = t.field(name) if isinstance(t, StructType) else None
        if found is None:
            return None
        t = found.type
    return t
