# SPDX-License-Identifier: Apache-2.0
"""Methods of tables, texts, maps and views; helpers and constructors; a stratum's own functions."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from transect.base.diagnostic import Label, closest
from transect.core import ir
from transect.core.frontend.bodies import loops, ordering, state
from transect.core.frontend.bodies.context import Signature, short
from transect.core.frontend.bodies.ordering import after
from transect.core.frontend.constants import constant_of
from transect.core.frontend.modules import ClassDef, FunctionDef
from transect.core.ir import Effect, Expr, FieldKind, TableRead
from transect.core.types import (
    BOOL,
    TEXT,
    BytesType,
    CounterType,
    DictType,
    HistogramType,
    OptionType,
    StructType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    ViewType,
    an,
    is_value,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


Ordered: TypeAlias = tuple[tuple[Expr, ...], tuple[tuple[str, Expr], ...]]
"""Values in the order in which the tree evaluates them, and what the text evaluates before, by name."""

_TABLE_METHODS = ("get", "put", "keys", "values", "items", "first", "pop_first")


def arguments(
    typing: Typing, node: ast.Call, wanted: Sequence[Type | None], what: str, least: int | None = None
) -> list[Expr] | None:
    """Positional arguments by type; a None type takes any."""
    least = len(wanted) if least is None else least
    if node.keywords or not least <= len(node.args) <= len(wanted):
        count = str(least) if least == len(wanted) else f"{least} to {len(wanted)}"
        typing.error(
            "P032",
            node,
            f"{what} takes {count} argument{'' if count == '1' else 's'}, by position",
            "count them",
            label=f"{len(node.args) + len(node.keywords)} given",
        )
        return None
    found = [
        typing.expression(a) if t is None else typing.value(a, t, "the argument")
        for a, t in zip(node.args, wanted, strict=False)
    ]
    good = [f for f in found if f is not None]
    return good if len(good) == len(found) else None


def function_call(typing: Typing, node: ast.Call, function: FunctionDef) -> Expr | None:
    if function.module.library:
        decl = typing.policy.stratum_function(function)
        if decl is None:
            typing.error(
                "P033",
                node.func,
                f"`{function.node.name}` is not for policies",
                "call functions of the stratum's `hooks.py`",
                label="not callable here",
            )
            return None
        return _intrinsic(typing, node, decl, ())
    signature = typing.policy.helper(function, typing.span(node))
    return None if signature is None else invoke(typing, node, signature)


def invoke(typing: Typing, node: ast.Call, signature: Signature) -> Expr | None:
    """A call of a helper: arguments by position or name."""
    bound = _bind(typing, node, signature.name, signature.params)
    if bound is None:
        return None
    args, lets = bound
    changes = typing.policy.changes(signature.name)
    typing.facts = typing.facts.write_anything() if changes is None else typing.facts.after(changes)
    return after(lets, ir.Call(signature.name, args, type=signature.returns, span=typing.span(node)))


def _bind(typing: Typing, node: ast.Call, name: str, params: tuple[ir.Param, ...]) -> Ordered | None:
    """The arguments in the order of the parameters."""
    given: dict[str, ast.expr] = dict(zip((p.name for p in params), node.args, strict=False))
    extra = [k for k in node.keywords if k.arg in given or k.arg not in {p.name for p in params}]
    given.update({k.arg: k.value for k in node.keywords if k.arg is not None})
    missing = [p.name for p in params if p.name not in given]
    if len(node.args) > len(params) or extra or missing:
        label = f"no {', '.join(missing)}" if missing else "too many"
        typing.error(
            "P032",
            node,
            f"`{name}` takes {len(params)} argument{'' if len(params) == 1 else 's'}",
            f"it takes ({', '.join(f'{p.name}: {spell(p.type)}' for p in params)})",
            label=label,
        )
        return None
    types = {p.name: p.type for p in params}
    values = {n: typing.value(written, types[n], f"`{n}`") for n, written in given.items()}
    good = {n: v for n, v in values.items() if v is not None}
    return None if len(good) < len(values) else _in_order(typing, good, list(types))


def _in_order(typing: Typing, values: dict[str, Expr], names: Sequence[str]) -> Ordered:
    """Values in the order of names, and those to evaluate before, where the text has another order."""
    lets: tuple[tuple[str, Expr], ...] = ()
    if list(values) != [n for n in names if n in values]:
        kept, lets = ordering.named(typing, tuple(values.values()))
        values = dict(zip(values, kept, strict=True))
    return tuple(values[n] for n in names if n in values), lets


def construct(typing: Typing, node: ast.Call, cls: ClassDef) -> Expr | None:
    kind = typing.world.kind(cls)
    t = typing.world.class_type(cls, typing.span(node.func)) if kind in ("struct", "enum", "") else None
    if isinstance(t, StructType):
        return _struct(typing, node, t)
    if kind == "enum":
        typing.error(
            "P033",
            node,
            "an enum is not made from a number",
            f"name a member: `{cls.node.name}.…`",
            label="not a constructor",
        )
    elif kind in ("view", "policy", "key", "old"):
        typing.error(
            "P033",
            node,
            f"a {kind} is not made by a policy",
            "policies read what the stratum gives them",
            label="not a constructor here",
        )
    return None


def _struct(typing: Typing, node: ast.Call, t: StructType) -> Expr | None:
    """All fields in order; a verdict's message may be an f-string."""
    given: dict[str, ast.expr] = dict(zip((f.name for f in t.fields), node.args, strict=False))
    unknown = next((k for k in node.keywords if t.field(k.arg or "") is None), None)
    twice = next((k for k in node.keywords if k.arg in given), None)
    if unknown is not None or twice is not None or len(node.args) > len(t.fields):
        _bad_struct(typing, node, t, unknown or twice)
        return None
    given.update({k.arg: k.value for k in node.keywords if k.arg is not None})
    values: dict[str, Expr | None] = {}
    before, typing.formats = typing.formats, _is_verdict(typing, t)
    for name, value in given.items():
        field = t.field(name)
        assert field is not None
        values[name] = typing.value(value, field.type, f"`{name}`")
    typing.formats = before
    good = {n: v for n, v in values.items() if v is not None}
    if len(good) < len(values):
        return None
    parts, lets = _in_order(typing, good, [f.name for f in t.fields])
    filled = _filled(
        typing, node, t, dict(zip((f.name for f in t.fields if f.name in good), parts, strict=True))
    )
    return None if filled is None else after(lets, filled)


def _is_verdict(typing: Typing, t: StructType) -> bool:
    return any(t in u.cases for u in typing.world.unions.values())


def _bad_struct(typing: Typing, node: ast.Call, t: StructType, keyword: ast.keyword | None) -> None:
    close = None if keyword is None else closest(keyword.arg or "", [f.name for f in t.fields])
    message = (
        f"`{t.name}` has no field `{keyword.arg}`"
        if keyword is not None and t.field(keyword.arg or "") is None
        else f"`{t.name}` has {len(t.fields)} fields"
    )
    listed = ", ".join(f"{f.name}: {spell(f.type)}" for f in t.fields)
    typing.error(
        "P032",
        node if keyword is None else keyword,
        message,
        f"write `{close}=`" if close else f"fields: {listed or 'none'}",
        label="not a field",
    )


def _filled(typing: Typing, node: ast.Call, t: StructType, values: dict[str, Expr]) -> Expr | None:
    span = typing.span(node)
    parts: list[Expr] = []
    for f in t.fields:
        if f.name in values:
            parts.append(values[f.name])
        elif f.required:
            typing.error(
                "P032",
                node,
                f"`{t.name}` needs `{f.name}`",
                f"write `{f.name}=…`",
                label=f"no `{f.name}`: `{spell(f.type)}`",
            )
            return None
        else:
            parts.append(constant_of(f.default, f.type, span))  # type: ignore[arg-type]
    return ir.MakeStruct(tuple(parts), type=t, span=span)


def _intrinsic(
    typing: Typing, node: ast.Call, decl: ir.IntrinsicDecl, first: tuple[Expr, ...]
) -> Expr | None:
    before, typing.formats = typing.formats, decl.effect is Effect.REPORT
    own = {p.name for p in decl.params}
    more = [k for k in node.keywords if decl.named and k.arg is not None and k.arg not in own]
    plain = ast.copy_location(
        ast.Call(node.func, node.args, [k for k in node.keywords if k not in more]), node
    )
    bound = _bind(typing, plain, decl.name, decl.params[len(first) :])
    named = [part for k in more for part in _named(typing, k)]
    typing.formats = before
    if bound is None or any(n is None for n in named):
        return None
    args, lets = bound
    given = (*first, *args, *(n for n in named if n is not None))
    return after(lets, ir.Intrinsic(decl.name, given, type=decl.returns, span=typing.span(node)))


def _named(typing: Typing, keyword: ast.keyword) -> tuple[Expr | None, Expr | None]:
    """A keyword of a function that takes any: its name, and a value that can be written down."""
    assert keyword.arg is not None
    value = typing.expression(keyword.value)
    if value is not None and not is_value(value.type):
        typing.error(
            "P011",
            keyword.value,
            f"{an(value.type)} cannot be reported",
            "give a field of it: a number, a text or bytes",
            label=f"`{spell(value.type)}`",
        )
        value = None
    return ir.Const(keyword.arg, type=TEXT, span=typing.span(keyword)), value


# ------------------------------------------------------------ methods


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
            return function_call(typing, node, function)
        case ClassDef() as cls:
            return construct(typing, node, cls)
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
    return None if signature is None else invoke(typing, node, signature)


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
        return _intrinsic(typing, node, decl, ())
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
    return None if signature is None else invoke(typing, node, signature)


def table_method(typing: Typing, node: ast.Call, f: ir.StateField, t: TableType, attr: str) -> Expr | None:
    span = typing.span(node)
    entry = TupleType((t.key, t.value))
    match attr:
        case "get" if t.kind is TableKind.TALLY:
            args = arguments(typing, node, [t.key], "a tally's `get`")
            return (
                None
                if args is None
                else ir.Lookup(TableRead.TOTAL, f.name, tuple(args), type=t.value, span=span)
            )
        case "get":
            return _get(typing, node, f, t)
        case "put":
            args = arguments(typing, node, [t.key, t.value], "`put`")
            if args is None or not writable_field(typing, node, f):
                return None
            typing.facts = typing.facts.write_field(f.name, removes=t.kind is TableKind.LRU)
            return ir.Lookup(TableRead.PUT, f.name, tuple(args), type=BOOL, span=span)
        case "first" | "pop_first" if t.kind is TableKind.ORDERED:
            args = arguments(typing, node, [], f"`{attr}`")
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
        args = arguments(typing, node, [t.key, t.value], "`get`")
        op, result = TableRead.GET_OR, t.value
    else:
        args = arguments(typing, node, [t.key], "`get`", least=1)
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
            args = arguments(typing, node, [base.type], f"`{attr}`")
            return None if args is None else ir.Intrinsic(attr, (base, *args), type=BOOL, span=span)
        case DictType(value=value) if attr == "get":
            return _dict_get(typing, node, base, base.type, value)
        case ViewType(name=view):
            decl = typing.policy.view_method(view, attr)
            if decl is not None:
                return _intrinsic(typing, node, decl, (base,))
            known = list(typing.world.view_methods.get(view, {}))
        case TextType() | BytesType():
            known = ["startswith", "endswith"]
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
        args = arguments(typing, node, [t.key, value], "`get`")
        return None if args is None else ir.Intrinsic("dict.get_or", (base, *args), type=value, span=span)
    args = arguments(typing, node, [t.key], "`get`", least=1)
    return (
        None if args is None else ir.Intrinsic("dict.get", (base, *args), type=OptionType(value), span=span)
    )
