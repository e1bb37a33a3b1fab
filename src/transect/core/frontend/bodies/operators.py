# SPDX-License-Identifier: Apache-2.0
"""Operators, conditional expressions, tuples and f-strings."""

from __future__ import annotations

import ast

from transect.core import ir
from transect.core.frontend.bodies.context import convert, join, loose
from transect.core.frontend.bodies.facts import implied
from transect.core.frontend.bodies.members import Members
from transect.core.ir import BinaryOp, Expr, UnaryOp
from transect.core.types import (
    DURATION,
    INSTANT,
    INT,
    TEXT,
    BoolType,
    BytesType,
    DurationType,
    EnumType,
    FloatType,
    InstantType,
    IntType,
    OptionType,
    SetType,
    TextType,
    TupleType,
    Type,
    an,
    spell,
)

BINARY: dict[type[ast.operator], BinaryOp] = {
    ast.Add: BinaryOp.ADD,
    ast.Sub: BinaryOp.SUB,
    ast.Mult: BinaryOp.MUL,
    ast.Div: BinaryOp.DIV,
    ast.FloorDiv: BinaryOp.FLOORDIV,
    ast.Mod: BinaryOp.MOD,
    ast.BitAnd: BinaryOp.AND,
    ast.BitOr: BinaryOp.OR,
    ast.BitXor: BinaryOp.XOR,
    ast.LShift: BinaryOp.SHL,
    ast.RShift: BinaryOp.SHR,
}
_BITS = (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)


class Operators(Members):
    """Typing of operators."""

    def _unary(self, node: ast.UnaryOp, wanted: Type | None) -> Expr | None:
        if isinstance(node.op, ast.Not):
            return self.condition(node)
        if (
            isinstance(node.op, ast.USub)
            and isinstance(node.operand, ast.Constant)
            and isinstance(node.operand.value, int | float)
            and not isinstance(node.operand.value, bool)
        ):
            return self._constant(ast.copy_location(ast.Constant(-node.operand.value), node), wanted)
        operand = self.expression(node.operand, wanted)
        if operand is None:
            return None
        span = self.span(node)
        match node.op, operand.type:
            case ast.UAdd(), IntType() | FloatType():
                return operand
            case ast.USub(), IntType() | FloatType() | DurationType():
                return ir.Unary(UnaryOp.NEG, operand, type=operand.type, span=span)
            case ast.Invert(), IntType():
                return ir.Unary(UnaryOp.INVERT, operand, type=operand.type, span=span)
            case _:
                sign = {ast.UAdd: "+", ast.USub: "-"}.get(type(node.op), "~")
                self.error(
                    "P011",
                    node,
                    f"`{sign}` needs a number, not {an(operand.type)}",
                    "give an integer" if sign == "~" else "give a number",
                    label=f"`{spell(operand.type)}`",
                )
                return None

    def operator(self, node: ast.BinOp | ast.AugAssign) -> BinaryOp | None:
        """What `+` of `a + b` or `a += b` is; None, and an error, where the language has none."""
        op = BINARY.get(type(node.op))
        if op is None:
            self.error(
                "P047",
                node,
                "this operator is not part of the language",
                "write powers as multiplications or shifts",
                label="not part of the language",
            )
        return op

    def _binary(self, node: ast.BinOp, wanted: Type | None) -> Expr | None:
        op = self.operator(node)
        if op is None:
            return None
        pair = self._operands(op, node.left, node.right, wanted)
        return None if pair is None else self.combine(node, op, *pair)

    def _operands(
        self, op: BinaryOp, left: ast.expr, right: ast.expr, wanted: Type | None
    ) -> tuple[Expr, Expr] | None:
        """Both sides; a bare number takes the other side's type."""
        context = wanted if isinstance(wanted, IntType | FloatType | DurationType | InstantType) else None
        if isinstance(context, DurationType) and op in (BinaryOp.MUL, BinaryOp.FLOORDIV):
            context = None  # one side is a number
        if self.flexible(left) and not self.flexible(right):
            b = self.expression(right, context)
            a = None if b is None else self.expression(left, literal_kind(op, b.type, on_left=True))
        else:
            a = self.expression(left, context)
            kind = (
                context
                if self.flexible(left)
                else None
                if a is None
                else literal_kind(op, a.type, on_left=False)
            )
            b = self.expression(right, kind)
        return None if a is None or b is None else (a, b)

    def combine(self, node: ast.AST, op: BinaryOp, a: Expr, b: Expr) -> Expr | None:
        """The operation on typed operands, or None with a diagnostic."""
        t = _result(op, a.type, b.type)
        if t is not None:
            return ir.Binary(op, a, b, type=t, span=self.span(node))
        message = f"`{op}` does not go between `{spell(a.type)}` and `{spell(b.type)}`"
        code, help = "P011", "both sides need one type"
        numbers = (IntType, FloatType, InstantType, DurationType, EnumType)
        if isinstance(a.type, OptionType) or isinstance(b.type, OptionType):
            code, help = "P022", "test that the value is there first: `if … is not None:`"
        elif isinstance(a.type, FloatType) and isinstance(b.type, FloatType):
            help = "floats have `+ - * /`; `as_int(x / y)` is the whole part of a quotient"
        elif isinstance(a.type, numbers) and isinstance(b.type, numbers):
            code, help = "P038", "convert one side: `as_int(…)`, `as_u64(…)`, `as_float(…)`, `ns(…)`"
            if op is BinaryOp.DIV and isinstance(a.type, IntType):
                help = "integers divide by `//`; for a fraction write `as_float(…) / as_float(…)`"
        elif isinstance(a.type, TextType | BytesType):
            help = "texts are never joined; use a tuple of texts as a key, an f-string in a message"
        self.error(code, node, message, help, label=f"`{spell(a.type)}` and `{spell(b.type)}`")
        return None

    def _choose(self, node: ast.IfExp, wanted: Type | None) -> Expr | None:
        cond = self.condition(node.test)
        if cond is None:
            return None
        flexible = self.flexible(node.body) and not self.flexible(node.orelse)
        with self.assuming(self.facts.having(implied(cond, False))):
            orelse = self.expression(node.orelse, wanted)
        with self.assuming(self.facts.having(implied(cond, True))):
            then = self.expression(node.body, orelse.type if flexible and orelse is not None else wanted)
        if then is not None and orelse is not None and self.flexible(node.orelse):
            with self.assuming(self.facts.having(implied(cond, False))):
                orelse = self.expression(node.orelse, then.type if wanted is None else wanted)
        if then is None or orelse is None:
            return None
        t = join(then.type, orelse.type) or wanted
        a, b = (None, None) if t is None else (convert(then, t), convert(orelse, t))
        if t is None or a is None or b is None:
            self.error(
                "P011",
                node,
                f"the two sides are `{spell(then.type)}` and `{spell(orelse.type)}`",
                "give both sides one type",
                label="two types",
            )
            return None
        return ir.Choose(cond, a, b, type=t, span=self.span(node))

    def _tuple(self, node: ast.Tuple, wanted: Type | None) -> Expr | None:
        kinds: tuple[Type | None, ...] = (
            wanted.items
            if isinstance(wanted, TupleType) and len(wanted.items) == len(node.elts)
            else (None,) * len(node.elts)
        )
        items = [self.expression(e, k) for e, k in zip(node.elts, kinds, strict=True)]
        good = tuple(i for i in items if i is not None)
        if len(good) < len(items) or not good:
            if not node.elts:
                self.error("P047", node, "an empty tuple has no use", "leave it out", label="empty")
            return None
        return ir.MakeTuple(good, type=TupleType(tuple(g.type for g in good)), span=self.span(node))

    def _format(self, node: ast.JoinedStr) -> Expr | None:
        if not self.formats:
            self.error(
                "P035",
                node,
                "an f-string may not stand here",
                "f-strings are for a verdict's message, `trace` and `report`; elsewhere use a tuple",
                label="only for people to read",
            )
            return None
        parts: list[Expr] = []
        for value in node.values:
            part = self._piece(value, node)
            if part is None:
                return None
            parts.append(part)
        return ir.Format(tuple(parts), type=TEXT, span=self.span(node))

    def _piece(self, node: ast.expr, whole: ast.JoinedStr) -> Expr | None:
        match node:
            case ast.Constant(value=str(text)):
                return ir.Const(text, type=TEXT, span=self.span(node))
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                e = self.expression(inner)
                if e is None or isinstance(e.type, IntType | BoolType | TextType | EnumType):
                    return e
                self.error(
                    "P035",
                    inner,
                    f"{an(e.type)} cannot be put into a text",
                    "parts are int, u64, bool, str and enums; convert with `as_int(…)`",
                    label=f"`{spell(e.type)}`",
                )
            case _:
                self.error(
                    "P035",
                    whole,  # Python 3.11 does not know where in it the part stands
                    "format specifications are not part of the language",
                    "write `{value}` alone",
                    label="`!r`, `:x` and the like",
                )
        return None


def literal_kind(op: BinaryOp, other: Type, on_left: bool) -> Type | None:
    """The type of a bare number beside an operand of type `other`."""
    if isinstance(other, InstantType):
        return DURATION if op in (BinaryOp.ADD, BinaryOp.SUB) and not on_left else INSTANT
    if isinstance(other, DurationType) and op in (BinaryOp.MUL, BinaryOp.FLOORDIV):
        return INT if not (op is BinaryOp.FLOORDIV and on_left) else DURATION
    return other


def _result(op: BinaryOp, a: Type, b: Type) -> Type | None:
    """The type of `a op b`; None when there is no such operation."""
    match a, b:
        case IntType(), IntType() if a == b:
            return None if op is BinaryOp.DIV else a
        case FloatType(), FloatType():
            return (
                a
                if op in (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.DIV, BinaryOp.MIN, BinaryOp.MAX)
                else None
            )
        case BoolType(), BoolType():
            return a if op in _BITS else None
        case SetType(item=x, bound=m), SetType(item=y, bound=n) if loose(x) == loose(y):
            return _set_result(op, x, m, n)
        case InstantType() | DurationType(), InstantType() | DurationType() | IntType():
            return _time_result(op, a, b)
        case IntType(signed=True), DurationType():
            return DURATION if op is BinaryOp.MUL else None
        case (TextType(), TextType()) | (BytesType(), BytesType()):
            return join(a, b) if op in (BinaryOp.MIN, BinaryOp.MAX) else None
        case _:
            return None


def _set_result(op: BinaryOp, item: Type, m: int | None, n: int | None) -> Type | None:
    match op:
        case BinaryOp.OR:
            return SetType(item, None if m is None or n is None else m + n)
        case BinaryOp.AND | BinaryOp.SUB:
            return SetType(item, m)
        case _:
            return None


def _time_result(op: BinaryOp, a: Type, b: Type) -> Type | None:
    match a, op, b:
        case InstantType(), BinaryOp.SUB, InstantType():
            return DURATION
        case InstantType(), BinaryOp.ADD | BinaryOp.SUB, DurationType():
            return INSTANT
        case InstantType(), BinaryOp.MIN | BinaryOp.MAX, InstantType():
            return INSTANT
        case DurationType(), BinaryOp.ADD, InstantType():
            return INSTANT
        case (
            DurationType(),
            BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MOD | BinaryOp.MIN | BinaryOp.MAX,
            DurationType(),
        ):
            return DURATION
        case DurationType(), BinaryOp.FLOORDIV, DurationType():
            return INT
        case DurationType(), BinaryOp.MUL | BinaryOp.FLOORDIV, IntType(signed=True):
            return DURATION
        case _:
            return None
