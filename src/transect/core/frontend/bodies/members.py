# SPDX-License-Identifier: Apache-2.0
"""What stands behind a dot or in brackets: state fields, entries of tables, fields, enum members."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from transect.base.counted import counted
from transect.base.diagnostic import Label, closest
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bodies import names, numbers, state
from transect.core.frontend.bodies.context import short
from transect.core.frontend.bodies.facts import Has, interval, stable
from transect.core.frontend.constants import constant_int
from transect.core.frontend.modules import ClassDef, ConstantDef
from transect.core.ir import Expr, FieldKind, TableRead
from transect.core.types import (
    INT,
    ArrayType,
    DictType,
    OptionType,
    StructType,
    TableKind,
    TableType,
    TupleType,
    ViewType,
    an,
    is_value,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def attribute(typing: Typing, node: ast.Attribute) -> Expr | None:
    name = state.own(typing, node)
    if name is not None:
        return _own_field(typing, node, name)
    constant = _member(typing, node)
    if constant is not None:
        return constant
    if isinstance(typing.world.binding(typing.module, node), ConstantDef):
        binding = typing.world.binding(typing.module, node)
        assert isinstance(binding, ConstantDef)
        return names.named_constant(typing, node, binding, None)
    if node.attr == "overflow":
        return _overflow(typing, node)
    base = typing.expression(node.value)
    return None if base is None else field_of(typing, base, node)


def _overflow(typing: Typing, node: ast.Attribute) -> Expr | None:
    name = state.own(typing, node.value)
    if name is not None and isinstance(node.value, ast.Attribute):
        f = state.state_field(typing, node.value, name)
        if f is None:
            return None
        if isinstance(f.type, TableType):
            return ir.Lookup(TableRead.OVERFLOW, f.name, (), type=INT, span=typing.span(node))
    base = typing.expression(node.value)
    return None if base is None else field_of(typing, base, node)


def _own_field(typing: Typing, node: ast.Attribute, name: str) -> Expr | None:
    f = state.state_field(typing, node, name)
    if f is None:
        return None
    if isinstance(f.type, TableType | ArrayType):
        typing.error(
            "P031",
            node,
            f"the table `{name}` as a whole is not a value",
            f"look up a key: `self.{name}[key]`, ask `key in self.{name}`, or loop over it",
            label=f"`{spell(f.type)}`",
        )
        return None
    if not is_value(f.type) and f.kind is not FieldKind.GIVEN:
        typing.error(
            "P031",
            node,
            f"`{name}` is for the operator, not for verdicts",
            "keep a number of your own: `seen: int = 0`",
            label=f"`{spell(f.type)}`",
        )
        return None
    return ir.State(name, type=f.type, span=typing.span(node))


def _member(typing: Typing, node: ast.Attribute) -> Expr | None:
    """`Code.ABORTED`"""
    if isinstance(node.value, ast.Name) and typing.scope.lookup(node.value.id) is not None:
        return None
    binding = typing.world.binding(typing.module, node.value)
    if not isinstance(binding, ClassDef) or typing.world.kind(binding) != "enum":
        return None
    enum = typing.world.enum(binding)
    members = typing.world.enum_numbers(binding)
    if node.attr in members:
        return ir.Const(members[node.attr], type=enum, span=typing.span(node))
    close = closest(node.attr, members)
    typing.error(
        "P031",
        node,
        f"`{enum.name}` has no member `{node.attr}`",
        f"write `{enum.name}.{close}`" if close else f"members: {', '.join(members)}",
        label="unknown member",
    )
    return ir.Const(0, type=enum, span=typing.span(node))


def field_of(typing: Typing, base: Expr, node: ast.Attribute) -> Expr | None:
    """A field of a struct or view."""
    match base.type:
        case StructType() as struct:
            f = struct.field(node.attr)
            if f is not None:
                return ir.Attr(base, node.attr, type=f.type, span=typing.span(node))
            known = [x.name for x in struct.fields]
        case ViewType() as view:
            member = view_member(typing, view, node.attr)
            if member is not None:
                return ir.ViewField(base, node.attr, type=member.type, span=typing.span(node))
            known = _view_names(typing, view)
        case OptionType():
            typing.may_be_none(node.value, base.type)
            return None
        case _:
            known = []
    close = closest(node.attr, known)
    help = (
        f"write `.{close}`"
        if close
        else f"it has {', '.join(known)}"
        if known
        else "plain values have no fields"
    )
    if isinstance(base.type, ViewType) and base.type.name in ("Any", "M", "R"):
        help = "say which view the message is: `rpc: Rpc[Ask]` with `class Ask(Message): …`"
    typing.error(
        "P031",
        _attr_span(typing, node),
        f"`{spell(base.type)}` has no field `{node.attr}`",
        help,
        label="unknown field",
    )
    return None


def _attr_span(typing: Typing, node: ast.Attribute) -> Span:
    whole = typing.span(node)
    return replace(whole, line=whole.end_line, column=max(whole.end_column - len(node.attr), 0))


def view_member(typing: Typing, view: ViewType, name: str) -> ir.ViewMember | None:
    """A member with the view's type arguments put in."""
    declared = typing.world.find_view(view.name)
    member = None if declared is None else declared.member(name)
    if declared is None or member is None:
        return None
    if isinstance(member.type, ViewType) and member.type.name in declared.params:
        index = declared.params.index(member.type.name)
        argument = view.arguments[index] if index < len(view.arguments) else ViewType("Any")
        return replace(member, type=argument)
    return member


def _view_names(typing: Typing, view: ViewType) -> list[str]:
    declared = typing.world.find_view(view.name)
    return [] if declared is None else [m.name for m in declared.members]


def subscript(typing: Typing, node: ast.Subscript) -> Expr | None:
    name = state.own(typing, node.value)
    if name is not None and isinstance(node.value, ast.Attribute):
        f = state.state_field(typing, node.value, name)
        if f is None:
            return None
        if not isinstance(f.type, TupleType):
            return entry(typing, node, f)
    base = typing.expression(node.value)
    if base is None:
        return None
    match base.type:
        case TupleType(items=items):
            index = constant_int(node.slice, lambda n: numbers.constant_number(typing, n))
            if index is not None and 0 <= index < len(items):
                return ir.Item(base, index, type=items[index], span=typing.span(node))
            typing.error(
                "P027",
                node.slice,
                "the index of a tuple is a constant in its range",
                f"write a number from 0 to {len(items) - 1}",
                label="not such a number",
            )
        case DictType(key=key):
            typing.error(
                "P021",
                node,
                "the key may be missing",
                f"write `{short(node.value)}.get({short(node.slice)}, …)`",
                label=f"a map field; keys are `{spell(key)}`",
            )
        case _:
            typing.error(
                "P031",
                node,
                f"{an(base.type)} cannot be indexed",
                "only tables, arrays and tuples have `[…]`; loop over a sequence, and compare texts as a whole",
                label=f"`{spell(base.type)}`",
            )
    return None


def entry(typing: Typing, node: ast.Subscript, f: ir.StateField) -> Expr | None:
    """`self.table[key]`, read: a key known to be there, a tally, an index in range."""
    span = typing.span(node)
    match f.type:
        case ArrayType(item=item):
            index = array_index(typing, node, f)
            return None if index is None else ir.Lookup(TableRead.AT, f.name, (index,), type=item, span=span)
        case TableType(kind=TableKind.TALLY, key=key_type, value=value):
            key = typing.value(node.slice, key_type, "the key")
            return None if key is None else ir.Lookup(TableRead.TOTAL, f.name, (key,), type=value, span=span)
        case TableType(key=key_type, value=value):
            key = typing.value(node.slice, key_type, "the key")
            if key is None:
                return None
            if not certainly_has(typing, node, f, key):
                return None
            if f.type.kind is TableKind.LRU:
                typing.facts = typing.facts.write_field(f.name, removes=False)
            return ir.Lookup(TableRead.AT, f.name, (key,), type=value, span=span)
        case _:
            typing.error(
                "P031",
                node,
                f"`{f.name}` cannot be indexed",
                "only tables and arrays have `[…]`",
                label=f"`{spell(f.type)}`",
            )
            return None


def certainly_has(typing: Typing, node: ast.Subscript, f: ir.StateField, key: Expr) -> bool:
    """Whether a test shows that the key is there; else a diagnostic."""
    if Has(f.name, key) in typing.facts.known:
        return True
    tested = f"test `if {short(node.slice)} in self.{f.name}:` first"
    if not stable(key):  # evaluated again, it may be another
        tested = f"`k = {short(node.slice)}` and test `if k in self.{f.name}:` first"
    typing.error(
        "P021",
        node,
        f"`{short(node.slice)}` may not be in `{f.name}`",
        f"write `self.{f.name}.get({short(node.slice)}, …)`, or {tested}",
        label="no test shows that the key is there",
        others=(Label(f.span, "declared here"),),
    )
    return False


def array_index(typing: Typing, node: ast.Subscript, f: ir.StateField) -> Expr | None:
    """An array index that is certainly in range."""
    assert isinstance(f.type, ArrayType)
    index = typing.value(node.slice, INT, "the index")
    if index is None:
        return None
    low, high = interval(index, typing.facts)
    if low < 0 or high >= f.type.length:
        length = f.type.length
        whole = f"write `{_operand(node.slice)} % {length}`"
        tested = f"`if 0 <= {_operand(node.slice)} < {length}:`"
        if not stable(index):
            tested = f"`i = {short(node.slice)}`, then `if 0 <= i < {length}:`"
        typing.error(
            "P027",
            node.slice,
            f"`{short(node.slice)}` may be outside of `{f.name}`",
            f"write an index from 0 to {length - 1}"
            if isinstance(index, ir.Const)
            else f"test it first: {tested}, or {whole}",
            label=f"must be from 0 to {f.type.length - 1}",
            others=(Label(f.span, counted(f.type.length, "element")),),
        )
        return None
    return index


def _operand(node: ast.expr) -> str:
    """The text as an operand of `%` or `<`: in brackets, if it needs them."""
    closed = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant
    return short(node) if isinstance(node, closed) else f"({short(node)})"
