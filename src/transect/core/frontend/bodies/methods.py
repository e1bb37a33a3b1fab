# SPDX-License-Identifier: Apache-2.0
"""Methods of tables, texts, maps and views."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from transect.base.diagnostic import Label, closest
from transect.core import ir
from transect.core.frontend.bodies import arguments, loops, state
from transect.core.frontend.bodies.context import short
from transect.core.frontend.modules import ClassDef, FunctionDef
from transect.core.ir import Expr, FieldKind, TableRead
from transect.core.types import (
    BOOL,
    BYTES,
    TEXT,
    BytesType,
    CounterType,
    DictType,
    HistogramType,
    OptionType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    ViewType,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


_TABLE_METHODS = ("get", "put", "keys", "values", "items", "first", "pop_first")


def method_call(
    typing: Typing, node: ast.Call, value: ast.expr, attr: str, wanted: Type | None
) -> Expr | None:
    match value:
        case ast.Call(func=ast.Name(id="super"), args=[]):
            return _super(typing, node, attr)
        case ast.Name(id="self") if typing.scope.lookup("self") is None:
            return _own_method(typing, node, attr)
        case _:
            pass
    match typing.world.binding(typing.module, node.func):
        case FunctionDef() as function:
            return arguments.function_call(typing, node, function)
        case ClassDef() as cls:
            return arguments.construct(typing, node, cls)
        case _:
            pass
    name = state.own(typing, value)
    if name is not None and isinstance(value, ast.Attribute):
        f = state.state_field(typing, value, name)
        if f is None:
            return None
        if isinstance(f.type, TableType):
            return table_method(typing, node, f, f.type, attr)
        if isinstance(f.type, CounterType | HistogramType):
            typing.error(
                "P033",
                node,
                f"`{attr}` has no value",
                f"write `self.{name}.{attr}(…)` on a line of its own",
                label="a statement",
            )
            return None
    base = typing.expression(value)
    return None if base is None else _value_method(typing, node, base, attr)


def _super(typing: Typing, node: ast.Call, attr: str) -> Expr | None:
    if typing.owner is None:
        typing.error(
            "P033",
            node,
            "`super()` has a meaning in a policy's methods only",
            "call a helper",
            label="no class here",
        )
        return None
    if attr in typing.policy.hook_names() and attr != typing.hook:
        typing.error(
            "P033",
            node.func,
            f"hooks are called by the stratum, not by policies: `{attr}`",
            "call the parent's code from the hook of that name, or move it into a helper, `def _name(self, …)`",
            label="another hook",
        )
        return None
    signature = typing.policy.parent_hook(attr, typing.owner, typing.span(node))
    return None if signature is None else arguments.invoke(typing, node, signature)


def _own_method(typing: Typing, node: ast.Call, attr: str) -> Expr | None:
    if attr in typing.policy.fields:
        typing.error(
            "P033",
            node.func,
            f"`{attr}` is a state field, not a method",
            f"read it: `self.{attr}`",
            label="not a method",
        )
        return None
    decl = typing.policy.own_method(attr)
    if decl is not None:
        return arguments.intrinsic(typing, node, decl, ())
    if not attr.startswith("_"):
        hooks = attr in typing.policy.hook_names()
        close = closest(attr, [m for m in typing.policy.method_names() if m.startswith("_")])
        help = (
            "move the shared part into a helper, `def _name(self, …)`, and call that from both"
            if hooks
            else f"write `self.{close}(…)`"
            if close
            else "helper methods begin with `_`"
        )
        typing.error(
            "P033",
            node.func,
            f"hooks are called by the stratum, not by policies: `{attr}`" if hooks else f"no helper `{attr}`",
            help,
            label="not a helper",
        )
        return None
    signature = typing.policy.helper_method(attr, typing.span(node.func))
    return None if signature is None else arguments.invoke(typing, node, signature)


def table_method(typing: Typing, node: ast.Call, f: ir.StateField, t: TableType, attr: str) -> Expr | None:
    span = typing.span(node)
    entry = TupleType((t.key, t.value))
    match attr:
        case "get" if t.kind is TableKind.TALLY:
            args = arguments.by_position(typing, node, [t.key], "a tally's `get`")
            return (
                None
                if args is None
                else ir.Lookup(TableRead.TOTAL, f.name, tuple(args), type=t.value, span=span)
            )
        case "get":
            return _get(typing, node, f, t)
        case "put":
            args = arguments.by_position(typing, node, [t.key, t.value], "`put`")
            if args is None or not writable_field(typing, node, f):
                return None
            typing.facts = typing.facts.write_field(f.name, removes=t.kind is TableKind.LRU)
            return ir.Lookup(TableRead.PUT, f.name, tuple(args), type=BOOL, span=span)
        case "first" | "pop_first" if t.kind is TableKind.ORDERED:
            args = arguments.by_position(typing, node, [], f"`{attr}`")
            if args is None or (attr == "pop_first" and not writable_field(typing, node, f)):
                return None
            op = TableRead.FIRST if attr == "first" else TableRead.POP_FIRST
            if op is TableRead.POP_FIRST:
                typing.facts = typing.facts.write_field(f.name, removes=True)
            return ir.Lookup(op, f.name, (), type=OptionType(entry), span=span)
        case "keys" | "values" | "items":
            typing.error(
                "P033",
                node,
                f"`{attr}()` stands after `in` of a loop only",
                f"write `for … in self.{f.name}.{attr}():`",
                label="not a value",
            )
        case _:
            known = _TABLE_METHODS if t.kind is TableKind.ORDERED else _TABLE_METHODS[:5]
            close = closest(attr, known)
            help = (
                f"write `del self.{f.name}[key]`"
                if attr in ("pop", "clear", "popitem")
                else f"write `.{close}(…)`"
                if close
                else f"it has {', '.join(known)}"
            )
            typing.error(
                "P031", node.func, f"`{spell(t)}` has no method `{attr}`", help, label="unknown method"
            )
    return None


def _get(typing: Typing, node: ast.Call, f: ir.StateField, t: TableType) -> Expr | None:
    if len(node.args) == 2:
        args = arguments.by_position(typing, node, [t.key, t.value], "`get`")
        op, result = TableRead.GET_OR, t.value
    else:
        args = arguments.by_position(typing, node, [t.key], "`get`", least=1)
        op, result = TableRead.GET, OptionType(t.value)
        if args is not None and isinstance(
            t.value, OptionType
        ):  # None for an absent one as well: never nested
            args = [*args, ir.Const(None, type=t.value, span=typing.span(node))]
            op, result = TableRead.GET_OR, t.value
    if t.kind is TableKind.LRU:
        typing.facts = typing.facts.write_field(f.name, removes=False)
    return None if args is None else ir.Lookup(op, f.name, tuple(args), type=result, span=typing.span(node))


def writable_field(typing: Typing, node: ast.AST, f: ir.StateField) -> bool:
    """Whether the policy may write the field; else a diagnostic."""
    if f.name.startswith("old.") or f.kind in (FieldKind.PARAM, FieldKind.GIVEN):
        why = {
            FieldKind.PARAM: "a `Param` is set by the operator",
            FieldKind.GIVEN: "the stratum keeps it",
        }.get(f.kind, "it belongs to the old version")
        typing.error(
            "P037",
            node,
            f"`{f.name.removeprefix('old.')}` cannot be written by the policy",
            f"{why}; keep a field of your own",
            label="read-only",
            others=(Label(f.span, "declared here"),),
        )
        return False
    looped = loops.disturbed(typing, node, f.name)
    if looped is not None:
        typing.error(
            "P026",
            node,
            f"`{f.name}` changes while a loop goes over it",
            "only the entry of the loop's own key may be stored or deleted; collect the keys in a set first",
            label="not the loop's current key",
            others=(Label(looped.span, "the loop"),),
        )
        return False
    return True


def _value_method(typing: Typing, node: ast.Call, base: Expr, attr: str) -> Expr | None:
    span = typing.span(node)
    match base.type:
        case TextType() | BytesType() if attr in ("startswith", "endswith"):
            args = arguments.by_position(typing, node, [base.type], f"`{attr}`")
            return None if args is None else ir.Intrinsic(attr, (base, *args), type=BOOL, span=span)
        case TextType() | BytesType() if attr in ("removeprefix", "removesuffix"):
            args = arguments.by_position(typing, node, [base.type], f"`{attr}`")
            t = TEXT if isinstance(base.type, TextType) else BYTES
            return None if args is None else ir.Intrinsic(attr, (base, *args), type=t, span=span)
        case TextType() if attr in ("lower", "strip"):
            args = arguments.by_position(typing, node, [], f"`{attr}`")
            return None if args is None else ir.Intrinsic(attr, (base,), type=TEXT, span=span)
        case TextType() if attr == "partition":
            args = arguments.by_position(typing, node, [TEXT], "`partition`")
            parts = TupleType((TEXT, TEXT, TEXT))
            return None if args is None else ir.Intrinsic(attr, (base, *args), type=parts, span=span)
        case DictType(value=value) if attr == "get":
            return _dict_get(typing, node, base, base.type, value)
        case ViewType(name=view):
            decl = typing.policy.view_method(view, attr)
            if decl is not None:
                return arguments.intrinsic(typing, node, decl, (base,))
            known = list(typing.world.view_methods.get(view, {}))
        case TextType() | BytesType():
            known = ["startswith", "endswith", "removeprefix", "removesuffix"]
            known += ["lower", "strip", "partition"] if isinstance(base.type, TextType) else []
        case OptionType():
            typing.error(
                "P022",
                node.func,
                f"`{short(node.func)}` looks into an option",
                "test that the value is there first: `if … is not None:`",
                label=f"`{spell(base.type)}`",
            )
            return None
        case _:
            known = []
    close = closest(attr, known)
    typing.error(
        "P031",
        node.func,
        f"`{spell(base.type)}` has no method `{attr}`",
        f"write `.{close}(…)`"
        if close
        else f"it has {', '.join(known)}"
        if known
        else "plain values have no methods",
        label="unknown method",
    )
    return None


def _dict_get(typing: Typing, node: ast.Call, base: Expr, t: DictType, value: Type) -> Expr | None:
    span = typing.span(node)
    if len(node.args) == 2:
        args = arguments.by_position(typing, node, [t.key, value], "`get`")
        return None if args is None else ir.Intrinsic("dict.get_or", (base, *args), type=value, span=span)
    args = arguments.by_position(typing, node, [t.key], "`get`", least=1)
    return (
        None if args is None else ir.Intrinsic("dict.get", (base, *args), type=OptionType(value), span=span)
    )
