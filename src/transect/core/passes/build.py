# SPDX-License-Identifier: Apache-2.0
"""Short forms for the nodes which passes make, all at one place of the policy."""

from __future__ import annotations

from dataclasses import dataclass

from transect.base.span import Span
from transect.core import ir
from transect.core.ir import BinaryOp, CompareOp, Expr, UnaryOp
from transect.core.types import BOOL, INT, FloatType, OptionType, SetType, Type


@dataclass(frozen=True, slots=True)
class Build:
    """Makes nodes with this span."""

    span: Span

    def const(self, value: int | bool | float | str | None, t: Type) -> Expr:
        return ir.Const(value=value, type=t, span=self.span)

    def local(self, name: str, t: Type) -> Expr:
        return ir.Local(name=name, type=t, span=self.span)

    def let(self, name: str, value: Expr) -> ir.Stmt:
        return ir.Let(name, value, self.span)

    def when(self, cond: Expr, then: ir.Block, orelse: ir.Block = ()) -> ir.Stmt:
        return ir.If(cond, then, orelse, self.span)

    def loop(self, targets: tuple[str, ...], source: ir.Source, body: ir.Block) -> ir.Stmt:
        return ir.For(targets, source, body, self.span)

    def none(self, t: Type) -> Expr:
        return self.const(None, OptionType(t))

    def some(self, value: Expr) -> Expr:
        return ir.Some(value=value, type=OptionType(value.type), span=self.span)

    def is_some(self, value: Expr) -> Expr:
        return ir.IsSome(value=value, type=BOOL, span=self.span)

    def unwrap(self, value: Expr) -> Expr:
        assert isinstance(value.type, OptionType), f"not an Option: {value}"
        return ir.Unwrap(value=value, type=value.type.item, span=self.span)

    def negate(self, value: Expr) -> Expr:
        return ir.Unary(op=UnaryOp.NOT, operand=value, type=BOOL, span=self.span)

    def compare(self, op: CompareOp, left: Expr, right: Expr) -> Expr:
        return ir.Compare(op=op, left=left, right=right, type=BOOL, span=self.span)

    def add(self, left: Expr, right: Expr) -> Expr:
        return ir.Binary(op=BinaryOp.ADD, left=left, right=right, type=left.type, span=self.span)

    def both(self, left: Expr, right: Expr) -> Expr:
        return ir.Logic(conjunction=True, left=left, right=right, type=BOOL, span=self.span)

    def either(self, left: Expr, right: Expr) -> Expr:
        return ir.Logic(conjunction=False, left=left, right=right, type=BOOL, span=self.span)

    def choose(self, cond: Expr, then: Expr, orelse: Expr) -> Expr:
        return ir.Choose(cond=cond, then=then, orelse=orelse, type=then.type, span=self.span)

    def zero(self, t: Type) -> Expr:
        """The number 0 of a kind."""
        return self.const(0.0 if isinstance(t, FloatType) else 0, t)

    def members(self, target: str, member: Expr, count: int) -> Expr:
        """The set which holds `member` if count is 1, and nothing if it is 0."""
        steps = ir.OverRange(self.const(0, INT), self.const(count, INT), 1, count, self.span)
        t = SetType(member.type)
        return ir.MakeSet(targets=(target,), source=steps, cond=None, item=member, type=t, span=self.span)
