# SPDX-License-Identifier: Apache-2.0
"""What the operands of each node must be.  Every function yields facts that do not hold, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from transect.base.counted import counted
from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, Expr, FieldKind, ReduceOp
from transect.core.rules import (
    UNARY,
    Scope,
    agrees,
    binary_type,
    casts,
    is_comparable,
    is_ordered,
    letter,
    lookup_signature,
    place_type,
    result_type,
    stores,
    targets_of,
    widened,
)
from transect.core.types import (
    BOOL,
    DURATION,
    INT,
    ArrayType,
    BoolType,
    BytesType,
    CounterType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    HistogramType,
    InstantType,
    IntType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
    is_key,
    spell,
)

Faults = Iterator[str]


def fits_constant(value: object, t: Type) -> bool:
    """Whether a constant of that type can have the value."""
    match t:
        case IntType(bits=bits, signed=signed):
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
            return type(value) is int and low <= value <= high
        case InstantType() | DurationType():
            return type(value) is int and -(1 << 63) <= value < 1 << 63
        case EnumType(members=members, open=is_open):
            return type(value) is int and (is_open or any(value == number for _, number in members))
        case BoolType():
            return isinstance(value, bool)
        case FloatType():
            return isinstance(value, float)
        case TextType():
            return isinstance(value, str) and _is_utf8(value)
        case BytesType():
            return isinstance(value, bytes)
        case OptionType() | UnitType():
            return value is None
        case _:
            return False


def _is_utf8(text: str) -> bool:
    """Whether it has no surrogates, which no text of the language has."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def type_fault(e: Expr, scope: Scope) -> Faults:
    """Whether a node has the type that its operands give it."""
    if isinstance(e, ir.Const | ir.Cast | ir.MakeStruct):
        return
    found = result_type(e, scope)
    if found is None:
        yield f"no {type(e).__name__} has such operands, or it names something unknown"
    elif not agrees(found, e.type):
        yield f"its type is {spell(e.type)}, where its operands give {spell(found)}"


def operand_faults(e: Expr, scope: Scope) -> Faults:
    """Which operands of a node are not what it takes."""
    match e:
        case ir.Const(value=value, type=t):
            if not fits_constant(value, t):
                yield f"{value!r} is no {spell(t)}"
        case ir.Local() | ir.Attr() | ir.ViewField() | ir.Item() | ir.Binary() | ir.Unwrap() | ir.MakeTuple():
            pass  # result_type says it all
        case ir.State(field=name):
            if name in scope.fields and isinstance(scope.fields[name].type, _MANY):
                yield f".{name} is read whole"
        case ir.Lookup(op=op, field=name, args=args):
            signature = lookup_signature(op, scope.fields[name].type) if name in scope.fields else None
            if signature is not None:
                yield from _arguments(args, signature[0])
        case ir.Unary(op=op, operand=operand):
            if letter(operand.type) not in UNARY[op]:
                yield f"`{op}` does not take {spell(operand.type)}"
        case ir.Compare(op=op, left=left, right=right):
            yield from _compared(op, left.type, right.type)
        case ir.Logic(left=left, right=right):
            yield from _wanted(left, BOOL)
            yield from _wanted(right, BOOL)
        case ir.Choose(cond=cond, then=then, orelse=orelse):
            yield from _wanted(cond, BOOL)
            yield from _wanted(orelse, then.type)
        case ir.LetIn(name=name, value=value):
            yield from bound(name, value.type, scope)
        case ir.Cast(value=value, type=t):
            if not casts(value.type, t):
                yield f"{spell(value.type)} does not become {spell(t)}"
        case ir.Some(value=value):
            if isinstance(value.type, OptionType):
                yield "an Option within an Option"
        case ir.IsSome(value=value):
            if not isinstance(value.type, OptionType):
                yield f"{spell(value.type)} is no Option"
        case ir.MakeStruct(values=values, type=t):
            if isinstance(t, StructType):
                yield from _arguments(values, tuple(f.type for f in t.fields))
            else:
                yield f"{spell(t)} is no struct"
        case ir.Contains(item=item, container=container):
            yield from _contained(item.type, container.type)
        case ir.Call(function=name, args=args):
            if name in scope.functions:
                yield from _arguments(args, tuple(p.type for p in scope.functions[name].params))
        case ir.Intrinsic(name=name, args=args):
            if name in scope.intrinsics:
                yield from _intrinsic(scope.intrinsics[name], args)
        case ir.Reduce():
            yield from _reduced(e, scope)
        case ir.MakeSet(targets=targets, source=source, cond=cond, item=item):
            yield from loop_faults(targets, source, scope)
            yield from _wanted(cond, BOOL)
            if not is_key(item.type):
                yield f"{spell(item.type)} cannot be a member of a set"
        case ir.Format(parts=parts):
            for part in parts:
                if letter(part.type) not in "iubx" and not isinstance(part.type, EnumType):
                    yield f"{spell(part.type)} has no text"
        case _:
            assert_never(e)


_MANY = TableType | ArrayType | CounterType | HistogramType


def _wanted(e: Expr | None, t: Type) -> Faults:
    if e is not None and not agrees(e.type, t):
        yield f"expected {spell(t)}, found {spell(e.type)}"


def _arguments(args: Iterable[Expr], wanted: tuple[Type, ...]) -> Faults:
    args = tuple(args)
    if len(args) != len(wanted):
        yield f"expected {len(wanted)} operands, found {len(args)}"
        return
    for arg, t in zip(args, wanted, strict=True):
        if not stores(arg.type, t):
            yield f"expected {spell(t)}, found {spell(arg.type)}"


def _intrinsic(declared: ir.IntrinsicDecl, args: tuple[Expr, ...]) -> Faults:
    wanted = tuple(p.type for p in declared.params)
    if declared.named:
        args, names = args[: len(wanted)], args[len(wanted) :: 2]
        if not all(isinstance(n, ir.Const) and isinstance(n.type, TextType) for n in names):
            yield "a keyword's name is no constant text"
    method = len(args) == len(wanted) + 1 and isinstance(args[0].type, ViewType)
    yield from _arguments(args[1:] if method else args, wanted)


def _compared(op: CompareOp, left: Type, right: Type) -> Faults:
    if not agrees(left, right):
        yield f"{spell(left)} is compared with {spell(right)}"
    elif not (is_comparable(left) if op in (CompareOp.EQ, CompareOp.NE) else is_ordered(left)):
        yield f"`{op}` does not take {spell(left)}"


def _contained(item: Type, container: Type) -> Faults:
    match container:
        case SetType(item=wanted) | SeqType(item=wanted) | DictType(key=wanted):
            if not stores(item, wanted):
                yield f"expected {spell(wanted)}, found {spell(item)}"
        case _:
            yield f"nothing is in {spell(container)}"


_FOLDED = {
    ReduceOp.SUM: "iufd",
    ReduceOp.ANY: "b",
    ReduceOp.ALL: "b",
}


def _reduced(e: ir.Reduce, scope: Scope) -> Faults:
    yield from loop_faults(e.targets, e.source, scope)
    yield from _wanted(e.cond, BOOL)
    yield from _wanted(e.default, e.type)
    letters = _FOLDED.get(e.op)
    if letter(e.value.type) not in letters if letters else not is_ordered(e.value.type):
        yield f"`{e.op}` does not take {spell(e.value.type)}"


def bound(name: str, t: Type, scope: Scope) -> Faults:
    """Whether a local may take a value of the type."""
    if name not in scope.locals:
        yield f"{name} is not declared"
    elif not agrees(scope.locals[name], t):
        yield f"{name} is {spell(scope.locals[name])}, and takes {spell(t)}"


def loop_faults(targets: tuple[str, ...], source: ir.Source, scope: Scope) -> Faults:
    """Whether the targets of a loop are those of its source."""
    if isinstance(source, ir.OverRange):
        yield from _wanted(source.start, INT)
        yield from _wanted(source.stop, INT)
        if source.step == 0 or source.bound < 0:
            yield f"a range with step {source.step} and bound {source.bound}"
    found = targets_of(source, scope)
    if found is None:
        yield "nothing can be gone over in this way"
        return
    if len(found) != len(targets):
        yield f"{counted(len(targets), 'target')} for {counted(len(found), 'value')}"
        return
    for name, t in zip(targets, found, strict=True):
        yield from bound(name, t, scope)


# ---------------------------------------------------------------- places


def place_faults(place: ir.Place, scope: Scope) -> Faults:
    """Whether a place exists, may be written, and has its type."""
    found = place_type(place, scope)
    if found is None:
        yield "there is no such place"
        return
    if found != place.type:
        yield f"the place is {spell(found)}, not {spell(place.type)}"
    match place:
        case ir.StatePlace(field=name) | ir.EntryPlace(field=name):
            old = scope.fields[name] in scope.program.old_state
            if old or scope.fields[name].kind in (FieldKind.PARAM, FieldKind.GIVEN):
                yield f".{name} is read-only"
            if isinstance(place, ir.EntryPlace):
                yield from key_faults(name, place.key, scope)
        case ir.LocalPlace(name=name, path=path):
            if not path:
                yield f"{name} is written whole: that is a Let"
        case ir.ViewPlace(base=base, name=name):
            assert isinstance(base.type, ViewType)
            member = scope.views[base.type.name].member(name)
            if member is None or not member.writable:
                yield f"{base.type.name}.{name} is read-only"
        case _:
            assert_never(place)


def key_faults(field: str, key: Expr, scope: Scope) -> Faults:
    match scope.fields[field].type:
        case TableType(key=wanted):
            pass
        case ArrayType():
            wanted = INT
        case _:
            raise AssertionError(f".{field} has no entries: the place has a type")
    if not stores(key.type, wanted):
        yield f"expected {spell(wanted)}, found {spell(key.type)}"


def store_faults(place: ir.Place, value: Expr) -> Faults:
    if isinstance(place.type, _MANY):
        yield f"{spell(place.type)} is stored whole"
    elif not stores(value.type, place.type):
        yield f"{spell(value.type)} is stored where {spell(place.type)} is kept"


def update_faults(place: ir.Place, op: BinaryOp, value: Expr) -> Faults:
    match place.type:
        case CounterType():
            takes = op is BinaryOp.ADD and value.type == INT
        case HistogramType():
            takes = op is BinaryOp.ADD and value.type in (INT, DURATION)
        case t:
            made = binary_type(op, widened(t), value.type)
            takes = made is not None and agrees(made, widened(t))
    if not takes:
        yield f"`{op}=` does not take {spell(value.type)} where {spell(place.type)} is kept"


# ---------------------------------------------------------------- patterns


def pattern_faults(pattern: ir.Pattern, t: Type, scope: Scope) -> Faults:
    """Whether a pattern can match values of the type."""
    match pattern:
        case ir.MatchAny(name=name):
            if name is not None:
                yield from bound(name, t, scope)
        case ir.MatchConst(value=constant):
            if not (agrees(constant.type, t) or (constant.value is None and isinstance(t, OptionType))):
                yield f"{spell(constant.type)} is matched with {spell(t)}"
            yield from operand_faults(constant, scope)
        case ir.MatchSome(inner=inner):
            if isinstance(t, OptionType):
                yield from pattern_faults(inner, t.item, scope)
            else:
                yield f"{spell(t)} is no Option"
        case ir.MatchTuple(items=items):
            if not isinstance(t, TupleType) or len(t.items) != len(items):
                yield f"{spell(t)} is no tuple of {len(items)}"
                return
            for inner, item in zip(items, t.items, strict=True):
                yield from pattern_faults(inner, item, scope)
        case ir.MatchStruct(type=struct, fields=fields):
            if struct != t and not (isinstance(t, UnionType) and struct in t.cases):
                yield f"{struct.name} is no case of {spell(t)}"
            for name, inner in fields:
                declared = struct.field(name)
                if declared is None:
                    yield f"{struct.name} has no field {name}"
                else:
                    yield from pattern_faults(inner, declared.type, scope)
        case ir.MatchOr(options=options):
            for option in options:
                yield from pattern_faults(option, t, scope)
        case _:
            assert_never(pattern)


def return_faults(value: Expr | None, returns: Type) -> Faults:
    if value is None:
        if not isinstance(returns, UnitType | OptionType):
            yield f"nothing is returned, where {spell(returns)} is promised"
    elif not agrees(value.type, returns):
        yield f"{spell(value.type)} is returned, where {spell(returns)} is promised"
