# SPDX-License-Identifier: Apache-2.0
"""Comprehensions, and reductions over them: `min`, `max`, `sum`, `any`, `all`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from transect.base.record import record
from transect.core import ir
from transect.core.frontend.bodies import loops, sources
from transect.core.frontend.bodies.context import convert, widen
from transect.core.frontend.bodies.facts import NonEmpty, implied, interval
from transect.core.frontend.bodies.loops import ITEM, Target
from transect.core.frontend.bodies.ordering import after
from transect.core.frontend.bodies.sources import Walked
from transect.core.ir import Expr, OverRange, OverState, OverValue, ReduceOp
from transect.core.types import (
    BOOL,
    ArrayType,
    BytesType,
    DurationType,
    FloatType,
    InstantType,
    IntType,
    SetType,
    TableKind,
    TableType,
    TextType,
    TupleType,
    Type,
    ViewType,
    an,
    is_key,
    spell,
)
from transect.core.walk import walk

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


@record
class Opened:
    """A comprehension whose targets are in scope."""

    names: tuple[str, ...]
    walked: Walked
    cond: Expr | None
    parts: tuple[tuple[str, Expr], ...]  # what names within brackets stand for

    def whole(self, e: Expr) -> Expr:
        """The expression, inside lets that bind the parts of the targets."""
        return _with_parts(self.parts, e)


def _with_parts(parts: tuple[tuple[str, Expr], ...], e: Expr) -> Expr:
    used = {n.name for n in walk(e) if isinstance(n, ir.Local)}
    return after([(name, value) for name, value in parts if name in used], e)


# ------------------------------------------------------------ comprehensions


@contextmanager
def comprehension(
    typing: Typing, node: ast.expr, generators: list[ast.comprehension], options: Sequence[ast.keyword] = ()
) -> Iterator[Opened | None]:
    """Targets, source and condition of `for x in s if c`, with the targets in scope; None with a diagnostic.

    `options`: those of the reduction around it, whose `key=` runs for each item.
    """
    opened = _open(typing, node, generators)
    if opened is None:
        yield None
        return
    targets, unique, walked = opened
    for part in [node, *generators[0].ifs, *options]:  # an iteration may see what an earlier one changed
        typing.facts = loops.without_spoilt(typing, part)
    before = typing.facts
    typing.facts = typing.facts.assign(*unique).having(loops.entry_facts(typing, walked, unique))
    parts = _hide(typing, targets, unique, walked)
    typing.facts = typing.facts.assign(*(name for name, _ in parts)).having(
        loops.part_facts(typing, targets, walked)
    )
    inside = [replace(t, parts=tuple(typing.scope.hidden[p][-1] for p in t.parts)) for t in targets]
    try:
        with loops.within(typing, walked, unique, inside):
            cond = typing.condition(generators[0].ifs[0]) if generators[0].ifs else None
            if generators[0].ifs and cond is None:
                yield None
            else:
                typing.facts = typing.facts if cond is None else typing.facts.having(implied(cond, True))
                yield Opened(unique, walked, None if cond is None else _with_parts(parts, cond), parts)
    finally:
        for name in (n for t in targets for n in t.names):
            typing.scope.hidden[name].pop()
        typing.facts = before.surviving(typing.facts)


def _hide(
    typing: Typing, targets: list[Target], unique: tuple[str, ...], walked: Walked
) -> tuple[tuple[str, Expr], ...]:
    """The targets' names stand for their items, and those in brackets for the parts of one."""
    parts: list[tuple[str, Expr]] = []
    for target, name, t in zip(targets, unique, walked.items, strict=True):
        if not target.parts:
            typing.scope.hidden.setdefault(target.name, []).append(name)
            continue
        whole = ir.Local(name, type=t, span=walked.source.span)
        for part, e in zip(target.parts, loops.parts_of(whole), strict=True):
            parts.append((typing.scope.unique(part, e.type), e))
            typing.scope.hidden.setdefault(part, []).append(parts[-1][0])
    return tuple(parts)


def _open(
    typing: Typing, node: ast.expr, generators: list[ast.comprehension]
) -> tuple[list[Target], tuple[str, ...], Walked] | None:
    generator = generators[0]
    if len(generators) > 1 or len(generator.ifs) > 1 or generator.is_async:
        typing.error(
            "P034",
            node,
            "a comprehension has one `for` and at most one `if`",
            "join conditions by `and`; write an outer loop as a statement",
            label="too many parts",
        )
        return None
    walked = sources.source(typing, generator.iter)
    targets = None if walked is None else loops.targets(typing, generator.target, walked)
    if walked is None or targets is None:
        return None
    names = ["item" if t.name in ("", ITEM) else t.name for t in targets]
    return (
        targets,
        tuple(typing.scope.unique(n, t) for n, t in zip(names, walked.items, strict=True)),
        walked,
    )


def set_comprehension(typing: Typing, node: ast.SetComp) -> Expr | None:
    with comprehension(typing, node, node.generators) as opened:
        item = None if opened is None else typing.expression(node.elt)
        if opened is None or item is None:
            return None
        if not is_key(item.type):
            typing.error(
                "P034",
                node.elt,
                f"a set cannot hold {an(item.type)}",
                "members are integers, texts, enums, keys, and tuples of these",
                label=f"`{spell(item.type)}`",
            )
            return None
        return ir.MakeSet(
            opened.names,
            opened.walked.source,
            opened.cond,
            opened.whole(item),
            type=SetType(item.type, opened.walked.size),
            span=typing.span(node),
        )


# ------------------------------------------------------------ reductions


def is_reduction(node: ast.Call, name: str) -> bool:
    """`min(iterable…)` as against `min(a, b)`."""
    return name in ("sum", "any", "all") or len(node.args) == 1


def reduction(typing: Typing, node: ast.Call, name: str, wanted: Type | None) -> Expr | None:
    options = {k.arg: k.value for k in node.keywords}
    allowed = {"min": ("key", "default"), "max": ("key", "default")}.get(name, ())
    unknown = next((k for k in node.keywords if k.arg not in allowed), None)
    if len(node.args) != 1 or unknown is not None:
        typing.error(
            "P032",
            node if unknown is None else unknown,
            f"`{name}` takes one thing to go over{' and `key=`, `default=`' if allowed else ''}",
            f"write `{name}(… for … in …)`",
            label="not understood",
        )
        return None
    elt, generators = generator(node.args[0])
    with comprehension(typing, node.args[0], generators, node.keywords) as opened:
        if opened is None:
            return None
        names, walked, cond = opened.names, opened.walked, opened.cond
        if "key" in options:
            target = generators[0].target
            op, value, result = _chosen(typing, name, elt, target, names, walked, options["key"])
        else:
            op, value, result = _folded(typing, name, elt, wanted)
    if value is None or result is None:
        return None
    value = opened.whole(value)
    default = _default(typing, options["default"], result) if "default" in options else None
    if "default" in options and default is None:
        return None
    if default is None and name in ("min", "max") and not _certainly_some(typing, walked, cond):
        typing.error(
            "P041",
            node,
            f"`{name}` of nothing has no value",
            _of_nothing(node, result),
            label="may go over nothing",
        )
        return None
    return ir.Reduce(op, names, walked.source, cond, value, default, type=result, span=typing.span(node))


def generator(node: ast.expr) -> tuple[ast.expr, list[ast.comprehension]]:
    """The argument as a generator: `min(self.waiting)` becomes one over the items."""
    if isinstance(node, ast.GeneratorExp):
        return node.elt, node.generators
    item = ast.copy_location(ast.Name(ITEM, ast.Load()), node)
    target = ast.copy_location(ast.Name(ITEM, ast.Store()), node)
    return item, [ast.comprehension(target, node, [], 0)]


def _chosen(
    typing: Typing,
    name: str,
    elt: ast.expr,
    target: ast.expr,
    names: tuple[str, ...],
    walked: Walked,
    key: ast.expr,
) -> tuple[ReduceOp, Expr | None, Type | None]:
    """Operation, compared value and result type of `min` or `max` with `key=`."""
    op = ReduceOp.ARGMIN if name == "min" else ReduceOp.ARGMAX
    match elt, target:
        case ast.Name(id=item), ast.Name(id=bound) if item == bound:
            pass
        case _:
            typing.error(
                "P034",
                elt,
                "with `key=` the items themselves are compared",
                "write `min(source, key=…)`",
                label="not the loop's item",
            )
            return op, None, None
    local = ir.Local(names[0], type=walked.items[0], span=typing.span(elt))
    hidden = typing.scope.hidden[bound].pop()  # the comprehension's variable is not in scope in `key=`
    value = _keyed(typing, key, local)
    typing.scope.hidden[bound].append(hidden)
    return op, _ordered_value(typing, key, value, name), widen(local).type


def _folded(
    typing: Typing, name: str, elt: ast.expr, wanted: Type | None
) -> tuple[ReduceOp, Expr | None, Type | None]:
    """Operation, folded value and result type."""
    op = ReduceOp(name)
    if op in (ReduceOp.ANY, ReduceOp.ALL):
        return op, typing.condition(elt), BOOL
    value = typing.expression(elt, wanted)
    if op is ReduceOp.SUM:
        if value is not None and not isinstance(value.type, IntType | FloatType | DurationType):
            typing.error(
                "P011",
                elt,
                f"`sum` adds numbers, not `{spell(value.type)}`",
                "give a number",
                label=f"`{spell(value.type)}`",
            )
            return op, None, None
        return op, value, None if value is None else value.type
    return op, _ordered_value(typing, elt, value, name), None if value is None else value.type


def _ordered_value(typing: Typing, node: ast.expr, value: Expr | None, name: str) -> Expr | None:
    if value is None or orderable(value.type):
        return value
    typing.error(
        "P011",
        node,
        f"`{name}` cannot compare values of type `{spell(value.type)}`",
        "compare numbers, texts, times, or tuples of these",
        label=f"`{spell(value.type)}`",
    )
    return None


def _keyed(typing: Typing, key: ast.expr, item: ir.Local) -> Expr | None:
    """`key=self.served.get`, `key=self._score`, or a lambda of one expression."""
    stand_in = ast.copy_location(ast.Name(ITEM, ast.Load()), key)
    typing.scope.hidden.setdefault(ITEM, []).append(item.name)
    try:
        match key:
            case ast.Lambda(
                args=ast.arguments(
                    posonlyargs=[], args=[ast.arg(arg=arg)], vararg=None, kwonlyargs=[], kwarg=None
                ),
                body=body,
            ):
                typing.scope.hidden.setdefault(arg, []).append(item.name)
                try:
                    return typing.expression(body)
                finally:
                    typing.scope.hidden[arg].pop()
            case ast.Attribute() | ast.Name():
                e = typing.raw(ast.copy_location(ast.Call(key, [stand_in], []), key))
                return None if e is None else widen(e)
            case _:
                typing.error(
                    "P034",
                    key,
                    "`key=` takes `self.table.get`, a helper, or a lambda of one argument",
                    "write `key=lambda c: …`",
                    label="not understood",
                )
                return None
    finally:
        typing.scope.hidden[ITEM].pop()


def _default(typing: Typing, value: ast.expr, result: Type) -> Expr | None:
    e = typing.expression(value, result)
    if e is None:
        return None
    converted = convert(e, result)
    if converted is None:
        typing.error(
            "P011",
            value,
            f"the default is `{spell(e.type)}`, the values are `{spell(result)}`",
            _NO_LITERAL if isinstance(result, ViewType) else f"give {an(result)}",
            label=f"`{spell(e.type)}`",
        )
    return converted


def _certainly_some(typing: Typing, walked: Walked, cond: Expr | None) -> bool:
    """Whether the source has a member on every path to here."""
    if cond is not None:
        return False
    match walked.source:
        case OverRange(start=start, stop=stop, step=step):
            (_, a), (b, _) = interval(start, typing.facts), interval(stop, typing.facts)
            return step > 0 and a < b
        case OverState(field=field):
            f = typing.policy.fields.get(field)
            if f is None or (isinstance(f.type, TableType) and f.type.kind is TableKind.TALLY):
                return False  # a tally's zeros are skipped
            return isinstance(f.type, ArrayType) or NonEmpty(field) in typing.facts.known
        case OverValue(value=ir.State(field=field)):
            return NonEmpty(field) in typing.facts.known or typing.policy.nonempty.get(typing.hook) == field
        case _:
            return False


def orderable(t: Type) -> bool:
    match t:
        case IntType() | FloatType() | TextType() | BytesType() | InstantType() | DurationType():
            return True
        case TupleType(items=items):
            return all(map(orderable, items))
        case _:
            return False


_NO_LITERAL = "go over them by `for`, and keep in a local what the best so far has"


def _of_nothing(node: ast.Call, result: Type) -> str:
    """What to write where there may be nothing to choose from."""
    match result:
        case ViewType():
            return _NO_LITERAL
        case FloatType():
            default = "0.0"
        case TextType() | BytesType():
            default = '""' if isinstance(result, TextType) else 'b""'
        case IntType():
            default = "0"
        case _:
            default = "…"
    given = ast.keyword("default", ast.Name(default, ast.Load()))
    return f"say what then: `{ast.unparse(ast.Call(node.func, node.args, [*node.keywords, given]))}`"
