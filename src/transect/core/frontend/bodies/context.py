# SPDX-License-Identifier: Apache-2.0
"""What typing a function needs at every node: names and their types, facts, conversions, complaints."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from transect.base.record import record
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bodies.facts import Changes, Fact
from transect.core.ir import Expr
from transect.core.types import (
    BYTES,
    INT,
    TEXT,
    BytesType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    OptionType,
    SetType,
    StructType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
)

if TYPE_CHECKING:
    from transect.core.frontend.modules import ClassDef, FunctionDef


NUMBERS = (IntType, FloatType, InstantType, DurationType, EnumType)  # which `as_int` and its like convert


@record
class Signature:
    """What must be known of a helper to call it."""

    name: str
    params: tuple[ir.Param, ...]
    returns: Type


class Policy(Protocol):
    """The policy around a function, as far as typing its body asks about it."""

    fields: dict[str, ir.StateField]
    old_fields: dict[str, ir.StateField]
    broken: set[str]  # fields that have a diagnostic of their own
    nonempty: dict[str, str]  # hook -> the given field which is not empty then
    intrinsics: dict[str, ir.IntrinsicDecl]  # those met so far

    def method(self, name: str) -> tuple[ClassDef, ast.FunctionDef] | None: ...
    def method_names(self) -> list[str]: ...
    def hook_names(self) -> list[str]: ...
    def helper_method(self, name: str, at: Span) -> Signature | None: ...
    def helper(self, function: FunctionDef, at: Span) -> Signature | None: ...
    def parent_hook(self, name: str, owner: ClassDef, at: Span) -> Signature | None: ...
    def stratum_function(self, function: FunctionDef) -> ir.IntrinsicDecl | None: ...
    def view_method(self, view: str, name: str) -> ir.IntrinsicDecl | None: ...
    def own_method(self, name: str) -> ir.IntrinsicDecl | None: ...
    def changes(self, name: str) -> Changes | None: ...


@dataclass(eq=False)
class Scope:
    """Locals of one function.  Types survive from round to round, until nothing widens any more."""

    params: dict[str, Type]
    types: dict[str, Type | None] = field(default_factory=dict)  # None: its value has an error of its own
    declared: set[str] = field(default_factory=set)  # with an annotation of their own
    first: dict[str, Span] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()  # every name that the function's text mentions
    hidden: dict[str, list[str]] = field(default_factory=dict)  # comprehension variable -> its unique names
    fresh: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Type] = field(default_factory=dict)  # comprehension variables and temporaries
    changed: bool = False
    rounds: int = 0  # how often the body has been typed
    held: dict[int, frozenset[Fact]] = field(
        default_factory=dict
    )  # loop -> what its rounds leave as they find it

    def begin_round(self) -> None:
        self.rounds += 1
        self.fresh.clear()
        self.extra.clear()
        self.hidden.clear()
        self.changed = False

    def lookup(self, name: str) -> tuple[str, Type | None] | None:
        """The unique name and type of a local; None when there is no such local."""
        if self.hidden.get(name):
            unique = self.hidden[name][-1]
            return unique, self.extra[unique]
        if name in self.types:
            return name, self.types[name]
        if name in self.params:
            return name, self.params[name]
        return None

    def unique(self, name: str, t: Type) -> str:
        """A name that nothing else in the function has."""
        n = self.fresh.get(name, 1)
        candidate = name if n == 1 and name not in self.params and name not in self.types else f"{name}_{n}"
        while candidate in self.extra or (candidate != name and candidate in self.reserved):
            n += 1
            candidate = f"{name}_{n}"
        self.fresh[name] = n + 1
        self.extra[candidate] = t
        return candidate

    def all_locals(self) -> tuple[tuple[str, Type], ...]:
        own = [(n, t) for n, t in self.types.items() if t is not None]
        return tuple(own + list(self.extra.items()))


def short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 40 else text[:37] + "…"


def widen(e: Expr) -> Expr:
    """The expression as arithmetic sees it: narrow storage is read as `int`."""
    if isinstance(e.type, IntType) and e.type.bits < 64:
        return ir.Cast(e, type=INT, span=e.span)
    return e


def loose(t: Type) -> Type:
    """A type without the bounds of its texts: what comparison and assignment ask for."""
    match t:
        case TextType():
            return TEXT
        case BytesType():
            return BYTES
        case OptionType(item=item):
            return OptionType(loose(item))
        case TupleType(items=items):
            return TupleType(tuple(map(loose, items)))
        case SetType(item=item):
            return SetType(loose(item))
        case EnumType(name=name):
            return EnumType(name, ())
        case IntType(bits=bits) if bits < 64:
            return INT
        case _:
            return t


def convert(e: Expr, wanted: Type) -> Expr | None:
    """The expression as a value of the wanted type, or None when there is no silent conversion."""
    if e.type == wanted:
        return e
    match wanted, e:
        case OptionType(), ir.Const(value=None):
            return replace(e, type=wanted)
        case OptionType(item=item), _ if not isinstance(e.type, OptionType):
            inner = convert(e, item)
            return None if inner is None else ir.Some(inner, type=OptionType(inner.type), span=e.span)
        case UnionType(cases=cases), _ if isinstance(e.type, StructType) and e.type in cases:
            return ir.Cast(e, type=wanted, span=e.span)
        case IntType(bits=bits), _ if bits < 64 and e.type == INT:
            return ir.Cast(e, type=wanted, span=e.span)
        case TupleType(items=items), ir.MakeTuple(items=parts) if len(items) == len(parts):
            new = [convert(p, i) for p, i in zip(parts, items, strict=True)]
            good = tuple(n for n in new if n is not None)
            return (
                ir.MakeTuple(good, type=TupleType(tuple(g.type for g in good)), span=e.span)
                if len(good) == len(items)
                else None
            )
        case ViewType(name=a), _ if isinstance(e.type, ViewType) and a == e.type.name:
            return e
        case _:
            return e if loose(e.type) == loose(wanted) else None


def join(a: Type, b: Type) -> Type | None:
    """The one type of a local which is assigned values of both; None when there is none."""
    if a == b:
        return a
    match a, b:
        case UnitType(), OptionType():
            return b
        case OptionType(), UnitType():
            return a
        case UnitType(), _:
            return OptionType(b)
        case _, UnitType():
            return OptionType(a)
        case OptionType(item=x), OptionType(item=y):
            inner = join(x, y)
        case OptionType(item=x), _:
            inner = join(x, b)
        case _, OptionType(item=y):
            inner = join(a, y)
        case TextType(), TextType():
            return TextType(None if a.bound is None or b.bound is None else max(a.bound, b.bound))
        case BytesType(), BytesType():
            return BytesType(None if a.bound is None or b.bound is None else max(a.bound, b.bound))
        case TupleType(items=xs), TupleType(items=ys) if len(xs) == len(ys):
            joined = [join(x, y) for x, y in zip(xs, ys, strict=True)]
            return (
                None
                if any(j is None for j in joined)
                else TupleType(tuple(j for j in joined if j is not None))
            )
        case SetType(item=x, bound=m), SetType(item=y, bound=n) if join(x, y) is not None:
            item = join(x, y)
            return None if item is None else SetType(item, None if m is None or n is None else max(m, n))
        case IntType(), IntType() if loose(a) == loose(b):
            return INT
        case _:
            return None
    return None if inner is None else OptionType(inner)
