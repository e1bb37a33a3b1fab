# SPDX-License-Identifier: Apache-2.0
"""Look-ups, helpers, functions of the language and of the stratum, f-strings."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, assert_never

from transect.core import ir
from transect.core.ir import TableRead
from transect.core.passes.ordered_pick import ARGMIN, WAITING, heap_asked
from transect.core.types import U64, BytesType, EnumType, FloatType, TextType
from transect.emit.py import nodes
from transect.emit.py.nodes import LOCAL, OUTSIDE, SELF
from transect.emit.py.scope import asks

if TYPE_CHECKING:
    from transect.emit.py.expressions import Expressions


def lookup(x: Expressions, e: ir.Lookup) -> ast.expr:
    table = x.field(e.field)
    args = [x.plain(a) for a in e.args]
    match e.op:
        case TableRead.AT | TableRead.TOTAL:
            return nodes.item(table, args[0])
        case TableRead.GET | TableRead.GET_OR:
            return nodes.method(table, "get", *args)
        case TableRead.HAS:
            return nodes.compare(args[0], ast.In(), table)
        case TableRead.LEN:
            return nodes.call("len", table)
        case TableRead.FIRST | TableRead.POP_FIRST | TableRead.PUT:
            return nodes.method(table, e.op.value, *args)
        case TableRead.OVERFLOW:
            return nodes.attribute(table, "overflow")
        case _:
            assert_never(e.op)


def helper(x: Expressions, e: ir.Call) -> ast.expr:
    """A call of a helper, which also passes on what it needs of the caller's surroundings."""
    needs = x.scope.needs[e.function]
    name = x.scope.names[e.function]
    params = x.scope.program.function(e.function).params
    args = [x.made(p.type, a) for p, a in zip(params, e.args, strict=True)]
    args += [
        nodes.name(extra) for extra, wanted in ((OUTSIDE, needs.outside), (LOCAL, needs.local)) if wanted
    ]
    return nodes.call(nodes.member(SELF, name) if needs.state else nodes.name(name), *args)


def intrinsic(x: Expressions, e: ir.Intrinsic) -> ast.expr:
    if (tally := heap_asked(e)) is not None:
        question = "argmin" if e.name == ARGMIN else "minimum"
        return nodes.method(x.field(tally), question, x.field(WAITING))
    args = [x.plain(a) for a in e.args]
    match e.name, args:
        case "len", [text]:
            return nodes.call("size" if isinstance(e.args[0].type, TextType | BytesType) else "len", text)
        case "abs", [number]:
            size = nodes.call("abs", number)
            return size if isinstance(e.type, FloatType) or e.type == U64 else nodes.call("wrap", size)
        case "startswith" | "endswith", [text, part]:
            return nodes.method(text, e.name, part)
        case "contains", [text, part]:
            return _contains(e.args[0], text, part)
        case "now" | "rand", []:
            return nodes.method(nodes.name(OUTSIDE), e.name)
        case "rand_below" | "trace", [argument]:
            return nodes.method(nodes.name(OUTSIDE), e.name, argument)
        case "mul_div", [_, _, _]:
            return nodes.call("mul_div_u64" if e.type == U64 else "mul_div", *args)
        case "removeprefix" | "removesuffix", [text, part]:
            return nodes.method(text, e.name, part)
        case "parse_int" | "hash64" | "lower" | "strip" | "partition", _:
            return nodes.call(e.name, *args)
        case "fits", [text, bound]:
            return nodes.compare(nodes.call("size", text), ast.LtE(), bound)
        case "dict.get" | "dict.get_or", [mapping, *rest]:
            return nodes.method(mapping, "get", *rest)
        case _:
            return _of_stratum(x.scope.intrinsics[e.name], args)


def _contains(container: ir.Expr, text: ast.expr, part: ast.expr) -> ast.expr:
    """`part in text`, unless Python would then evaluate the two in the other order and it may matter."""
    if isinstance(container, ir.Const | ir.Local | ir.State | ir.ViewField):
        return nodes.compare(part, ast.In(), text)
    return nodes.method(text, "__contains__", part)


def _of_stratum(declared: ir.IntrinsicDecl, args: list[ast.expr]) -> ast.expr:
    """A call of a stratum's function: through the host, which may provide it, or through the tape if that has the
    answers.
    """
    how = "ask" if asks(declared) else "call"
    return nodes.method(nodes.name(OUTSIDE), how, nodes.constant(declared.name), *args)


# ---------------------------------------------------------------- f-strings


def formatted(x: Expressions, e: ir.Format) -> ast.expr:
    """An f-string; `str.format` where the quoting of older Pythons cannot write it as one."""
    pieces = [(p, x.plain(p)) for p in e.parts]
    if any(_quotes(p, value) for p, value in pieces):
        template = "".join(_template(p) for p, _ in pieces)
        values = [value for p, value in pieces if not _is_text(p)]
        return nodes.method(nodes.constant(template), "format", *values)
    return ast.JoinedStr(
        [value if _is_text(p) else ast.FormattedValue(value, -1, _number(p)) for p, value in pieces]
    )


def _is_text(p: ir.Expr) -> bool:
    """A fixed piece of text."""
    return isinstance(p, ir.Const) and isinstance(p.value, str)


def _quotes(p: ir.Expr, value: ast.expr) -> bool:
    """Whether the piece has characters that an f-string may not hold everywhere."""
    text = str(p.value) if isinstance(p, ir.Const) and isinstance(p.value, str) else ast.unparse(value)
    return any(c in text for c in "'\"\\{}\n") or not text.isprintable()


def _template(p: ir.Expr) -> str:
    if isinstance(p, ir.Const) and isinstance(p.value, str):
        return p.value.replace("{", "{{").replace("}", "}}")
    return "{:d}" if isinstance(p.type, EnumType) else "{}"


def _number(p: ir.Expr) -> ast.expr | None:
    """`:d`, so that an enum's member shows its number."""
    return ast.JoinedStr([ast.Constant("d")]) if isinstance(p.type, EnumType) else None
