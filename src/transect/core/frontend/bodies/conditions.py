# SPDX-License-Identifier: Apache-2.0
"""Conditions and comparisons."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bodies import operators, ordering, sources, state
from transect.core.frontend.bodies.context import NUMBERS, loose, short
from transect.core.frontend.bodies.facts import implied
from transect.core.frontend.bodies.mixing import conversion_help
from transect.core.frontend.bodies.ordering import after
from transect.core.frontend.bodies.reductions import orderable
from transect.core.ir import BinaryOp, CompareOp, Expr, TableRead, UnaryOp
from transect.core.types import (
    BOOL,
    INT,
    BoolType,
    BytesType,
    DictType,
    DurationType,
    EnumType,
    FloatType,
    IntType,
    OptionType,
    SeqType,
    SetType,
    TableType,
    TextType,
    Type,
    UnitType,
    an,
    is_value,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


_COMPARE: dict[type[ast.cmpop], CompareOp] = {
    ast.Eq: CompareOp.EQ,
    ast.NotEq: CompareOp.NE,
    ast.Lt: CompareOp.LT,
    ast.LtE: CompareOp.LE,
    ast.Gt: CompareOp.GT,
    ast.GtE: CompareOp.GE,
}

JOINED = 32  # terms of a condition, one below the other


def condition(typing: Typing, node: ast.expr) -> Expr | None:
    """An expression of type bool; the one test by truth value is `waiting` (empty or not)."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = typing.condition(operand)
            return None if inner is None else ir.Unary(UnaryOp.NOT, inner, type=BOOL, span=typing.span(node))
        case ast.BoolOp():
            return logic(typing, node)
        case _:
            e = typing.expression(node)
    if e is None or isinstance(e.type, BoolType):
        return e
    if isinstance(e, ir.State) and isinstance(e.type, SeqType):
        span = typing.span(node)
        length = ir.Intrinsic("len", (e,), type=INT, span=span)
        return ir.Compare(CompareOp.GT, length, ir.Const(0, type=INT, span=span), type=BOOL, span=span)
    typing.error(
        "P012",
        node,
        f"a condition is a `bool`, not {an(e.type)}",
        _condition_help(e.type, short(node)),
        label=f"`{spell(e.type)}`",
    )
    return None


def logic(typing: Typing, node: ast.BoolOp) -> Expr | None:
    """`and` and `or`.  If one term has a diagnostic, the others still count as facts, so that no second diagnostic
    follows.
    """
    conjunction = isinstance(node.op, ast.And)
    before = typing.facts
    terms: list[Expr] = []
    for value in node.values:
        e = typing.condition(value)
        if e is not None:
            terms.append(e)
            typing.facts = typing.facts.having(implied(e, conjunction))
    if len(terms) < len(node.values):
        return None
    typing.facts = before.surviving(typing.facts)
    return joined(conjunction, terms, typing.span(node))


# ------------------------------------------------------------ comparisons


def compare(typing: Typing, node: ast.Compare) -> Expr | None:
    """`a < b`, and chains: each middle operand is evaluated once."""
    operands = [node.left, *node.comparators]
    if len(operands) == 2:
        return _one(typing, node, node.ops[0], node.left, node.comparators[0])
    return _chain(typing, node, operands)


def _chain(typing: Typing, node: ast.Compare, operands: list[ast.expr]) -> Expr | None:
    if any(isinstance(op, ast.In | ast.NotIn | ast.Is | ast.IsNot) for op in node.ops):
        typing.error("P047", node, "`in` and `is` do not chain", "join two tests by `and`", label="a chain")
        return None
    if len(operands) > JOINED:
        typing.error(
            "P003",
            node,
            f"a chain of {len(node.ops)} comparisons",
            "join several shorter ones by `and`",
            label=f"more than {JOINED - 1}",
        )
        return None
    typed = sources.alike(typing, operands)
    if typed is None:
        return None
    span = typing.span(node)
    names: list[tuple[str, Expr]] = []
    values: list[Expr] = [typed[0]]
    for e in typed[1:-1]:
        if isinstance(e, ir.Const | ir.Local):
            values.append(e)
        else:
            name = typing.scope.unique("middle", e.type)
            names.append((name, e))
            values.append(ir.Local(name, type=e.type, span=e.span))
    values.append(typed[-1])
    return _chained(typing, node, values, dict(names), span)


def _chained(
    typing: Typing, node: ast.Compare, values: list[Expr], lets: dict[str, Expr], span: Span
) -> Expr | None:
    result: Expr | None = None
    for i in reversed(range(len(node.ops))):
        test = _comparison(typing, node, _COMPARE[type(node.ops[i])], values[i], values[i + 1])
        if test is None:
            return None
        result = test if result is None else ir.Logic(True, test, result, type=BOOL, span=span)
        right = values[i + 1]
        if isinstance(right, ir.Local) and right.name in lets:
            # What stands to its left is named by an outer let, so the order of evaluation is kept.
            result = ir.LetIn(right.name, lets[right.name], result, type=BOOL, span=span)
    first = values[0]
    if result is not None and lets and not isinstance(first, ir.Const | ir.Local):
        name = typing.scope.unique("first", first.type)
        result = _replace_first(result, first, ir.Local(name, type=first.type, span=first.span))
        result = ir.LetIn(name, first, result, type=BOOL, span=span)
    return result


def _one(typing: Typing, node: ast.Compare, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Expr | None:
    match op:
        case ast.Is() | ast.IsNot():
            return _is_none(typing, node, isinstance(op, ast.IsNot), left, right)
        case ast.In() | ast.NotIn():
            e = membership(typing, node, left, right)
            negate = e is not None and isinstance(op, ast.NotIn)
            return (
                ir.Unary(UnaryOp.NOT, e, type=BOOL, span=typing.span(node)) if e is not None and negate else e
            )
        case _:
            pass
    if _is_none_literal(left) or _is_none_literal(right):
        other = short(right if _is_none_literal(left) else left)
        typing.error(
            "P022",
            node,
            "None is tested by `is`",
            f"write `{other} is {'not ' if isinstance(op, ast.NotEq) else ''}None`",
            label="compared by value",
        )
        return None
    pair = operators.operands(typing, BinaryOp.ADD, left, right, None)
    return None if pair is None else _comparison(typing, node, _COMPARE[type(op)], *pair)


def _comparison(typing: Typing, node: ast.AST, op: CompareOp, a: Expr, b: Expr) -> Expr | None:
    ordered = op not in (CompareOp.EQ, CompareOp.NE)
    same = loose(a.type) == loose(b.type)
    fine = same and (orderable(a.type) if ordered else equatable(a.type))
    if fine:
        return ir.Compare(op, a, b, type=BOOL, span=typing.span(node))
    _uncomparable(typing, node, op, a, b, same)
    return None


def _equatable(typing: Typing, node: ast.Compare, item: Type) -> bool:
    """Whether a member can be told from others; else a diagnostic."""
    if equatable(item):
        return True
    typing.error(
        "P011",
        node,
        f"values of type `{spell(item)}` have no `==`, so nothing is among them",
        "go over them, and compare their parts",
        label=f"among values of type `{spell(item)}`",
    )
    return False


def _uncomparable(typing: Typing, node: ast.AST, op: CompareOp, a: Expr, b: Expr, same: bool) -> None:
    code, message = "P011", f"`{spell(a.type)}` is not compared with `{spell(b.type)}`"
    numbers = isinstance(a.type, NUMBERS) and isinstance(b.type, NUMBERS)
    help = "compare values of one type"
    if isinstance(a.type, OptionType) or isinstance(b.type, OptionType):
        code, message = "P022", "an option cannot be compared"
        help = "test that the value is there first: `if … is not None:`"
    elif same:
        message = f"values of type `{spell(a.type)}` have no `{op}`"
        help = "compare their parts"
    if numbers:
        code = code if same else "P038"
        help = conversion_help(node, a.type, b.type, lambda x, y: x == y and orderable(x))
    typing.error(code, node, message, help, label=f"`{spell(a.type)}` and `{spell(b.type)}`")


def _is_none(typing: Typing, node: ast.Compare, negate: bool, left: ast.expr, right: ast.expr) -> Expr | None:
    if not _is_none_literal(right):
        typing.error(
            "P047",
            node,
            "`is` tests for None only",
            "compare values by `==`",
            label="identity has no meaning for values",
        )
        return None
    e = typing.raw(left)
    if e is None:
        return None
    if isinstance(
        e.type, UnitType
    ):  # only while nothing else is known of it; otherwise `check_values` reports it
        return ir.Const(not negate, type=BOOL, span=typing.span(node))
    if not isinstance(e.type, OptionType):
        typing.error(
            "P022",
            node,
            f"`{short(left)}` is never None",
            "leave the test out",
            label=f"`{spell(e.type)}`",
        )
        return None
    span = typing.span(node)
    some = ir.IsSome(e, type=BOOL, span=span)
    return some if negate else ir.Unary(UnaryOp.NOT, some, type=BOOL, span=span)


def membership(typing: Typing, node: ast.Compare, left: ast.expr, right: ast.expr) -> Expr | None:
    """`item in container`"""
    span = typing.span(node)
    name = state.own(typing, right)
    if name is not None and isinstance(right, ast.Attribute):
        f = state.state_field(typing, right, name)
        if f is None:
            return None
        if isinstance(f.type, TableType):
            key = typing.value(left, f.type.key, "the key")
            return None if key is None else ir.Lookup(TableRead.HAS, f.name, (key,), type=BOOL, span=span)
    if isinstance(right, ast.Tuple | ast.Set):
        return _one_of(typing, node, left, right.elts)
    container = typing.expression(right)
    if container is None:
        return None
    match container.type:
        case SetType(item=item) | SeqType(item=item) | DictType(key=item):
            member = typing.value(left, item, "the member")
            if member is None or not _equatable(typing, node, item):
                return None
            return ir.Contains(member, container, type=BOOL, span=span)
        case TextType() | BytesType():
            needle = typing.value(left, container.type, "the text searched for")
            if needle is None:
                return None
            (a, b), lets = ordering.named(typing, (needle, container))
            return after(lets, ir.Intrinsic("contains", (b, a), type=BOOL, span=span))
        case _:
            typing.error(
                "P031",
                right,
                f"`in` does not look into {an(container.type)}",
                "it looks into tables, sets, sequences, maps, texts and tuples",
                label=f"`{spell(container.type)}`",
            )
            return None


def _one_of(typing: Typing, node: ast.Compare, left: ast.expr, among: list[ast.expr]) -> Expr | None:
    """`x in (1, 2, 3)`: x is evaluated once, then all choices, and compared from left to right."""
    if not among:
        typing.error("P047", node, "nothing is in an empty tuple", "leave the test out", label="empty")
        return None
    typed = sources.alike(typing, [left, *among])
    if typed is None:
        return None
    span = typing.span(node)
    subject = typed[0]
    name = None if isinstance(subject, ir.Local | ir.Const) else typing.scope.unique("subject", subject.type)
    local: Expr = subject if name is None else ir.Local(name, type=subject.type, span=subject.span)
    choices, lets = ordering.named(typing, typed[1:])
    tests = [_comparison(typing, node, CompareOp.EQ, local, choice) for choice in choices]
    known = [test for test in tests if test is not None]
    if len(known) < len(tests):
        return None
    result = after(lets, joined(False, known, span))
    return result if name is None else ir.LetIn(name, subject, result, type=BOOL, span=span)


def joined(conjunction: bool, terms: Sequence[Expr], span: Span) -> Expr:
    """The terms joined by `and` or `or`, from left to right; many of them in halves, which means the same and is no
    deeper than a tree may be."""
    if len(terms) > JOINED:
        middle = len(terms) // 2
        terms = [joined(conjunction, terms[:middle], span), joined(conjunction, terms[middle:], span)]
    return reduce(lambda left, e: ir.Logic(conjunction, left, e, type=BOOL, span=span), terms)


def _replace_first(e: Expr, old: Expr, new: Expr) -> Expr:
    """The chain with its leftmost operand named."""
    match e:
        case ir.LetIn():
            return replace(e, body=_replace_first(e.body, old, new))
        case ir.Logic():
            return replace(e, left=_replace_first(e.left, old, new))
        case ir.Compare():
            return replace(e, left=new)
        case _:
            raise AssertionError(f"not a comparison: {e}")


def equatable(t: Type) -> bool:
    """Whether two values of the type may be compared by `==`."""
    return is_value(t) and not isinstance(t, OptionType)


def _is_none_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _condition_help(t: Type, text: str) -> str:
    match t:
        case IntType() | FloatType() | DurationType() | EnumType():
            return f"compare it: `{text} != 0`"
        case OptionType():
            return f"write `{text} is not None`"
        case TextType() | BytesType() | SetType() | SeqType() | DictType():
            return f"write `len({text}) > 0`"
        case _:
            return "compare it with something"
