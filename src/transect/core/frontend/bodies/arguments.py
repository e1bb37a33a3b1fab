# SPDX-License-Identifier: Apache-2.0
"""Calls that bind arguments to parameters: of helpers, of constructors, of a stratum's own functions."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from transect.base.counted import counted
from transect.base.diagnostic import closest
from transect.core import ir
from transect.core.frontend.bodies import ordering
from transect.core.frontend.bodies.context import Signature
from transect.core.frontend.bodies.ordering import after
from transect.core.frontend.constants import constant_of
from transect.core.frontend.modules import ClassDef, FunctionDef
from transect.core.ir import Effect, Expr
from transect.core.types import (
    TEXT,
    StructType,
    Type,
    an,
    is_value,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


Ordered: TypeAlias = tuple[tuple[Expr, ...], tuple[tuple[str, Expr], ...]]
"""Values in the order in which the tree evaluates them, and the named values to evaluate before them."""


def by_position(
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
        return intrinsic(typing, node, decl, ())
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
            f"`{name}` takes {counted(len(params), 'argument')}",
            f"it takes ({', '.join(f'{p.name}: {spell(p.type)}' for p in params)})",
            label=label,
        )
        return None
    types = {p.name: p.type for p in params}
    values = {n: typing.value(written, types[n], f"`{n}`") for n, written in given.items()}
    good = {n: v for n, v in values.items() if v is not None}
    return None if len(good) < len(values) else _in_order(typing, good, list(types))


def _in_order(typing: Typing, values: dict[str, Expr], names: Sequence[str]) -> Ordered:
    """Values in the order of the parameters' names, and those that get a name because the text evaluates them
    earlier.
    """
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


def intrinsic(typing: Typing, node: ast.Call, decl: ir.IntrinsicDecl, first: tuple[Expr, ...]) -> Expr | None:
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
    """A keyword argument of a function that takes any keywords: its name, and a value that can be reported."""
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
