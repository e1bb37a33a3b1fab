# SPDX-License-Identifier: Apache-2.0
"""Calls to typed tree: functions of the language, and everything else by `arguments.py` and `methods.py`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transect.base.diagnostic import closest
from transect.core import ir
from transect.core.frontend.bodies import arguments, arithmetic, methods, reductions, sources, state
from transect.core.frontend.modules import ClassDef, FunctionDef, Surface
from transect.core.frontend.surface import BUILTIN_FUNCTIONS, CASTS, DURATION_UNITS, FUNCTIONS, REDUCTIONS
from transect.core.ir import BinaryOp, Expr, TableRead
from transect.core.types import (
    BOOL,
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
    OptionType,
    SeqType,
    SetType,
    TableType,
    TextType,
    TupleType,
    Type,
    an,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def call(typing: Typing, node: ast.Call, wanted: Type | None) -> Expr | None:
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        typing.error(
            "P020",
            node,
            "`*` and `**` are not part of the language",
            "write the arguments out",
            label="unpacked arguments",
        )
        return None
    match node.func:
        case ast.Name(id=name) if typing.scope.lookup(name) is None:
            return _named_call(typing, node, name, wanted)
        case ast.Attribute(value=value, attr=attr):
            return methods.method_call(typing, node, value, attr, wanted)
        case _:
            typing.error(
                "P033",
                node.func,
                "this cannot be called",
                "call helpers, functions of the language, and methods of tables and texts by name",
                label="not a function",
            )
            return None


# ------------------------------------------------------------ functions by name


def _named_call(typing: Typing, node: ast.Call, name: str, wanted: Type | None) -> Expr | None:
    match typing.world.binding(typing.module, node.func):
        case Surface(name=original) if original in FUNCTIONS:
            return _language(typing, node, original, wanted)
        case Surface(name="set" | "frozenset"):
            return _builtin(typing, node, "set", wanted)
        case FunctionDef() as function:
            return arguments.function_call(typing, node, function)
        case ClassDef() as cls:
            return arguments.construct(typing, node, cls)
        case Surface(name="bool" | "int" | "float" | "str" | "bytes" | "tuple" as kind):
            help = {
                "int": "write `as_int(…)`, of a text `parse_int(…)`",
                "float": "write `as_float(…)`",
                "bool": "write a comparison",
                "str": "write `as_text(…)`",
            }.get(kind, "bytes and tuples are not converted")
            typing.error(
                "P033",
                node,
                f"`{kind}(…)` is not part of the language",
                help,
                label="not a conversion of the language",
            )
        case None if name in BUILTIN_FUNCTIONS:
            return _builtin(typing, node, name, wanted)
        case None:
            _unknown_function(typing, node, name)
        case _:
            typing.error(
                "P033",
                node.func,
                f"`{name}` cannot be called here",
                "call helpers and functions of the language",
                label="not a function",
            )
    return None


def _unknown_function(typing: Typing, node: ast.Call, name: str) -> None:
    if name in typing.module.lacking:
        return
    close = closest(name, [*typing.module.names, *BUILTIN_FUNCTIONS])
    if f"_{name}" in typing.policy.method_names() or name in typing.policy.method_names():
        close = f"self.{name}" if name in typing.policy.method_names() else f"self._{name}"
    imported = f"import it: `from transect.lang import {name}`" if name in FUNCTIONS else ""
    if name == "print":
        imported = "write `trace(…)`, with one text"
    typing.error(
        "P033",
        node.func,
        f"unknown function `{name}`",
        imported or (f"write `{close}`" if close else "define a helper, `@helper def …`, or import it"),
        label="not defined or imported",
    )


def _language(typing: Typing, node: ast.Call, name: str, wanted: Type | None) -> Expr | None:
    span = typing.span(node)
    if name in DURATION_UNITS:
        if len(node.args) != 1 or node.keywords:
            arguments.by_position(typing, node, [INT], f"`{name}`")
            return None
        return duration(typing, node, name, node.args[0])
    if name in CASTS:
        return _cast(typing, node, CASTS[name], name)
    match name:
        case "now" | "rand":
            args = arguments.by_position(typing, node, [], f"`{name}`")
            return (
                None
                if args is None
                else ir.Intrinsic(name, (), type=INSTANT if name == "now" else FLOAT, span=span)
            )
        case "rand_below":
            args = arguments.by_position(typing, node, [INT], "`rand_below`")
            return None if args is None else ir.Intrinsic(name, tuple(args), type=INT, span=span)
        case "mul_div":
            return _mul_div(typing, node)
        case "fits":
            return _fits(typing, node)
        case "as_text":
            return _as_text(typing, node)
        case "parse_int":
            args = arguments.by_position(typing, node, [TEXT], "`parse_int`")
            return None if args is None else ir.Intrinsic(name, tuple(args), type=OptionType(INT), span=span)
        case "hash64":
            return _hash64(typing, node)
        case "trace":
            args = message(typing, node, [TEXT], "`trace`")
            return None if args is None else ir.Intrinsic(name, tuple(args), type=UNIT, span=span)
        case _:
            typing.error(
                "P033",
                node,
                f"`{name}` is a statement of its own",
                f"write `{name}(…)` on a line of its own",
                label="no value",
            )
            return None


def message(typing: Typing, node: ast.Call, wanted: Sequence[Type | None], what: str) -> list[Expr] | None:
    """Arguments among which f-strings may stand."""
    before, typing.formats = typing.formats, True
    try:
        return arguments.by_position(typing, node, wanted, what)
    finally:
        typing.formats = before


def duration(typing: Typing, node: ast.expr, unit: str, count: ast.expr) -> Expr | None:
    """`ms(5)`: a number of units as nanoseconds."""
    factor = DURATION_UNITS[unit]
    e = typing.value(count, INT, "the number")
    if e is None:
        return None
    span = typing.span(node)
    if isinstance(e, ir.Const) and isinstance(e.value, int):
        total = e.value * factor
        if -(2**63) <= total < 2**63:
            return ir.Const(total, type=DURATION, span=span)
        typing.error(
            "P039",
            node,
            "this duration does not fit in 64 bits of nanoseconds",
            "about 292 years is the longest",
            label="out of range",
        )
        return None
    product = (
        e
        if factor == 1
        else ir.Binary(BinaryOp.MUL, e, ir.Const(factor, type=INT, span=span), type=INT, span=span)
    )
    return ir.Cast(product, type=DURATION, span=span)


def _cast(typing: Typing, node: ast.Call, target: Type, name: str) -> Expr | None:
    args = arguments.by_position(typing, node, [None], f"`{name}`")
    if args is None:
        return None
    e = args[0]
    if isinstance(e.type, IntType | FloatType | BoolType | EnumType | InstantType | DurationType):
        return e if e.type == target else ir.Cast(e, type=target, span=typing.span(node))
    typing.error(
        "P011",
        node.args[0],
        f"`{name}` converts numbers, bools, enums and times, not {an(e.type)}",
        "write `parse_int(…)`" if isinstance(e.type, TextType) else "give a number",
        label=f"`{spell(e.type)}`",
    )
    return None


def _mul_div(typing: Typing, node: ast.Call) -> Expr | None:
    """Of three `int`, or three `u64`."""
    if len(node.args) != 3 or node.keywords:
        arguments.by_position(typing, node, [INT, INT, INT], "`mul_div`")
        return None
    typed = sources.alike(typing, node.args)
    if typed is None:
        return None
    t = U64 if typed[0].type == U64 else INT
    given = zip(typed, node.args, strict=True)
    args = [typing.convert(e, t, written, "the argument") for e, written in given]
    good = tuple(a for a in args if a is not None)
    return ir.Intrinsic("mul_div", good, type=t, span=typing.span(node)) if len(good) == 3 else None


def _fits(typing: Typing, node: ast.Call) -> Expr | None:
    args = arguments.by_position(typing, node, [None, INT], "`fits`", least=1)
    if args is None:
        return None
    if not isinstance(args[0].type, TextType | BytesType):
        typing.error(
            "P011",
            node.args[0],
            "`fits` asks about a text or bytes",
            "give a `str` or `bytes`",
            label=f"`{spell(args[0].type)}`",
        )
        return None
    span = typing.span(node)
    size = args[1] if len(args) == 2 else ir.Const(64, type=INT, span=span)
    return ir.Intrinsic("fits", (args[0], size), type=BOOL, span=span)


def _as_text(typing: Typing, node: ast.Call) -> Expr | None:
    """A number in decimal: an f-string of one part, whose length has a bound."""
    args = arguments.by_position(typing, node, [None], "`as_text`")
    if args is None:
        return None
    span, e = typing.span(node), args[0]
    match e.type:
        case InstantType() | DurationType():
            e = ir.Cast(e, type=INT, span=span)
        case IntType() | EnumType():
            pass
        case _:
            typing.error(
                "P011",
                node.args[0],
                f"`as_text` writes whole numbers, enums and times, not {an(e.type)}",
                "convert it with `as_int(…)`, or write a conditional expression",
                label=f"`{spell(e.type)}`",
            )
            return None
    return ir.Format((e,), type=TEXT, span=span)


def _hash64(typing: Typing, node: ast.Call) -> Expr | None:
    """Of a text, bytes, or a number of 64 bits; the seed is a `u64`, and 0 where it is left out."""
    args = arguments.by_position(typing, node, [None, U64], "`hash64`", least=1)
    if args is None:
        return None
    span = typing.span(node)
    if not isinstance(args[0].type, TextType | BytesType | IntType):
        typing.error(
            "P011",
            node.args[0],
            f"`hash64` is of a text, bytes, `int` or `u64`, not of {an(args[0].type)}",
            "convert it with `as_int(…)`, or hash one part with the hash of the other as its seed",
            label=f"`{spell(args[0].type)}`",
        )
        return None
    seed = args[1] if len(args) == 2 else ir.Const(0, type=U64, span=span)
    return ir.Intrinsic("hash64", (args[0], seed), type=U64, span=span)


def _builtin(typing: Typing, node: ast.Call, name: str, wanted: Type | None) -> Expr | None:
    if name in REDUCTIONS:
        return (
            reductions.reduction(typing, node, name, wanted)
            if reductions.is_reduction(node, name)
            else _smallest(typing, node, name, wanted)
        )
    match name:
        case "len":
            return _len(typing, node)
        case "abs":
            args = arguments.by_position(typing, node, [None], "`abs`")
            if args is None:
                return None
            if isinstance(args[0].type, IntType | FloatType | DurationType):
                return ir.Intrinsic("abs", tuple(args), type=args[0].type, span=typing.span(node))
            typing.error(
                "P011",
                node.args[0],
                "`abs` needs a number",
                "give a number",
                label=f"`{spell(args[0].type)}`",
            )
        case "set":
            return _set(typing, node)
        case "range" | "enumerate":
            typing.error(
                "P010",
                node,
                f"`{name}` stands after `in` of a loop only",
                f"write `for i in {name}(…):`",
                label="not a value",
            )
        case _:
            raise AssertionError(f"no typing of `{name}`")
    return None


def _set(typing: Typing, node: ast.Call) -> Expr | None:
    if len(node.args) != 1 or node.keywords:
        typing.error(
            "P032",
            node,
            "`set` takes one thing to go over",
            "write `{x for x in …}`",
            label=f"{len(node.args)} given",
        )
        return None
    elt, generators = reductions.generator(node.args[0])
    return reductions.set_comprehension(typing, ast.copy_location(ast.SetComp(elt, generators), node))


def _smallest(typing: Typing, node: ast.Call, name: str, wanted: Type | None) -> Expr | None:
    """`min(a, b, …)`: the first of equals wins."""
    if node.keywords or len(node.args) < 2:
        typing.error(
            "P032",
            node,
            f"`{name}` takes two or more values, or something to go over",
            f"write `{name}(a, b)` or `{name}(… for … in …)`",
            label=f"{len(node.args)} given",
        )
        return None
    typed = sources.alike(typing, node.args, wanted)
    if typed is None:
        return None
    op = BinaryOp.MIN if name == "min" else BinaryOp.MAX
    result: Expr | None = typed[0]
    for e in typed[1:]:
        result = None if result is None else arithmetic.combine(typing, node, op, result, e)
    return result


def _len(typing: Typing, node: ast.Call) -> Expr | None:
    if len(node.args) != 1 or node.keywords:
        arguments.by_position(typing, node, [None], "`len`")
        return None
    name = state.own(typing, node.args[0])
    span = typing.span(node)
    if name is not None and isinstance(node.args[0], ast.Attribute):
        f = state.state_field(typing, node.args[0], name)
        if f is None:
            return None
        if isinstance(f.type, TableType):
            return ir.Lookup(TableRead.LEN, name, (), type=INT, span=span)
        if isinstance(f.type, ArrayType):
            return ir.Const(f.type.length, type=INT, span=span)
    e = typing.expression(node.args[0])
    if e is None:
        return None
    if isinstance(e.type, TextType | BytesType | SetType | SeqType | DictType):
        return ir.Intrinsic("len", (e,), type=INT, span=span)
    if isinstance(e.type, TupleType):
        return ir.Const(len(e.type.items), type=INT, span=span)
    if isinstance(e.type, OptionType):
        typing.may_be_none(node.args[0], e.type)
        return None
    typing.error(
        "P011",
        node.args[0],
        f"{an(e.type)} has no length",
        "`len` measures tables, texts (in bytes), sets and sequences",
        label=f"`{spell(e.type)}`",
    )
    return None
