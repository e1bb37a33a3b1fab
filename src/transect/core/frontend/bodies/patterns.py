# SPDX-License-Identifier: Apache-2.0
"""`match`: subjects, patterns, guards."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from transect.core import ir
from transect.core.frontend.bodies import assignments
from transect.core.frontend.bodies.context import convert, short
from transect.core.frontend.bodies.facts import Facts, Present, implied, stable
from transect.core.frontend.constants import fit
from transect.core.frontend.modules import ClassDef
from transect.core.ir import Block, Expr, Pattern
from transect.core.types import (
    INT,
    BoolType,
    EnumType,
    FloatType,
    IntType,
    OptionType,
    StructType,
    TupleType,
    Type,
    UnionType,
    an,
    spell,
)

if TYPE_CHECKING:
    from transect.core.frontend.bodies.typing import Typing


def match(typing: Typing, node: ast.Match) -> Block:
    subject = _subject(typing, node.subject)
    if subject is None:
        for case in node.cases:
            _case_body(typing, case)
        return ()
    cases: list[ir.Case] = []
    before, after = typing.facts, Facts(live=False)
    total = False
    for case in node.cases:
        typing.facts = before if not total else before.dead()
        built, tested = _case(typing, case, subject, [c.pattern for c in cases if c.guard is None])
        before = before.surviving(tested)
        after = after.join(typing.facts)
        if built is None:
            continue
        cases.append(built)
        total = total or (
            built.guard is None and _covers([c.pattern for c in cases if c.guard is None], subject.type)
        )
    total = _missing(typing, node, subject, total) or total
    typing.facts = after if total else after.join(before)
    return (ir.Switch(subject, tuple(cases), typing.module.source.header(node)),)


def _subject(typing: Typing, node: ast.expr) -> Expr | None:
    if isinstance(node, ast.Tuple):
        parts = [typing.raw(e) for e in node.elts]
        good = tuple(p for p in parts if p is not None)
        if len(good) < len(parts):
            return None
        return ir.MakeTuple(good, type=TupleType(tuple(g.type for g in good)), span=typing.span(node))
    e = typing.raw(node)
    if e is not None and isinstance(e.type, FloatType):
        typing.error("P046", node, "a float is not matched", "compare it with `if`", label="`float`")
        return None
    return e


def _missing(typing: Typing, node: ast.Match, subject: Expr, total: bool) -> bool:
    """Whether a match over an open enum lacks a case for other values; then with a diagnostic."""
    if total or not isinstance(subject.type, EnumType) or not subject.type.open:
        return False
    typing.error(
        "P046",
        node.subject,
        f"`{subject.type.name}` may have values that no case names",
        "end with `case _:`",
        label="values from outside are open",
    )
    return True


def _case(
    typing: Typing, case: ast.match_case, subject: Expr, earlier: list[Pattern]
) -> tuple[ir.Case | None, Facts]:
    """The case, and what holds after its pattern and guard, whether they match or not."""
    t = subject.type
    some = isinstance(t, OptionType) and any(_is_none(p) for p in earlier)
    names: dict[str, Type] = {}
    tested = typing.facts
    pattern = pattern_of(typing, case.pattern, t, names, some)
    if pattern is None:
        _case_body(typing, case)
        return None, tested
    for name, bound in names.items():
        assignments.bind_exactly(typing, case.pattern, name, bound)
    typing.facts = typing.facts.assign(*names)
    if case.guard is not None:  # which may fail after the names are bound
        tested = tested.assign(*names)
    if isinstance(t, OptionType) and stable(subject) and not _matches_none(pattern):
        typing.facts = typing.facts.having([Present(subject)])
    guard = None
    if case.guard is not None:
        guard = typing.condition(case.guard)
        tested = tested.surviving(typing.facts)
        if guard is None:
            return None, tested
        typing.facts = typing.facts.having(implied(guard, True))
    body = typing.block(case.body)
    return ir.Case(pattern, guard, body, typing.span(case.pattern)), tested


def _case_body(typing: Typing, case: ast.match_case) -> None:
    """Check the body as well, although the pattern has an error."""
    for n in ast.walk(case.pattern):
        if isinstance(n, ast.MatchAs | ast.MatchStar) and n.name is not None:
            typing.scope.types.setdefault(n.name, None)
            typing.facts = typing.facts.assign(n.name)
    typing.block(case.body)


# ------------------------------------------------------------ patterns


def pattern_of(
    typing: Typing, node: ast.pattern, t: Type, names: dict[str, Type], some: bool = False
) -> Pattern | None:
    """The pattern for a value of type t; bound names go into `names`.  `some`: None has been dealt with before."""
    match node:
        case ast.MatchAs(pattern=None, name=name):
            return _capture(typing, node, name, t, names, some)
        case ast.MatchAs(pattern=inner, name=name) if inner is not None:
            typing.error(
                "P046",
                node,
                "`as` in a pattern is not part of the language",
                "match the parts, and name the subject before",
                label="`as`",
            )
            return None
        case ast.MatchSingleton(value=None):
            return _none(typing, node, t)
        case ast.MatchOr(patterns=options):
            return _or(typing, node, options, t, names)
        case _:
            pass
    if isinstance(t, OptionType):
        inner_pattern = pattern_of(typing, node, t.item, names)
        return None if inner_pattern is None else ir.MatchSome(inner_pattern)
    match node:
        case ast.MatchSingleton(value=bool(value)) if isinstance(t, BoolType):
            return ir.MatchConst(ir.Const(value, type=t, span=typing.span(node)))
        case ast.MatchValue(value=value):
            return _constant_pattern(typing, value, t)
        case ast.MatchSequence(patterns=patterns):
            return _tuple_pattern(typing, node, patterns, t, names)
        case ast.MatchClass():
            return _class_pattern(typing, node, t, names)
        case _:
            typing.error(
                "P046",
                node,
                f"this pattern does not match {an(t)}",
                "patterns are literals, enum members, tuples, structs, `None`, names, `|` and `_`",
                label="not understood",
            )
            return None


def _capture(
    typing: Typing, node: ast.pattern, name: str | None, t: Type, names: dict[str, Type], some: bool
) -> Pattern | None:
    if name is None:
        return ir.MatchAny(None)
    if typing.is_parameter(node, name, "use another name"):
        return None
    if some and isinstance(t, OptionType):
        names[name] = t.item
        return ir.MatchSome(ir.MatchAny(name))
    names[name] = t
    return ir.MatchAny(name)


def _none(typing: Typing, node: ast.pattern, t: Type) -> Pattern | None:
    if isinstance(t, OptionType):
        return ir.MatchConst(ir.Const(None, type=t, span=typing.span(node)))
    typing.error("P046", node, f"{an(t)} is never None", "leave the case out", label="never matches")
    return None


def _or(
    typing: Typing, node: ast.pattern, options: list[ast.pattern], t: Type, names: dict[str, Type]
) -> Pattern | None:
    found = []
    for option in options:
        own: dict[str, Type] = {}
        p = pattern_of(typing, option, t, own)
        if p is None:
            return None
        if own:
            typing.error(
                "P046",
                node,
                "alternatives bind no names",
                "write one case for each",
                label="binds a name",
            )
            return None
        found.append(p)
    return ir.MatchOr(tuple(found))


def _constant_pattern(typing: Typing, node: ast.expr, t: Type) -> Pattern | None:
    e = typing.expression(node, t)
    if e is None:
        return None
    converted: Expr | None = convert(e, t)
    if isinstance(e, ir.Const) and isinstance(t, IntType) and e.type == INT:  # narrow storage, as it is
        converted = replace(e, type=t) if fit(e.value, t)[0] else None
    if converted is None or not isinstance(converted, ir.Const):
        typing.error(
            "P046",
            node,
            f"`{short(node)}` is not a constant of type `{spell(t)}`",
            f"give a literal `{spell(t)}`",
            label=f"`{spell(e.type)}`",
        )
        return None
    return ir.MatchConst(converted)


def _tuple_pattern(
    typing: Typing, node: ast.pattern, patterns: list[ast.pattern], t: Type, names: dict[str, Type]
) -> Pattern | None:
    if (
        not isinstance(t, TupleType)
        or len(t.items) != len(patterns)
        or any(isinstance(p, ast.MatchStar) for p in patterns)
    ):
        typing.error(
            "P046",
            node,
            f"this pattern does not match {an(t)}",
            "give one pattern for each element of the tuple",
            label="another shape",
        )
        return None
    items = [pattern_of(typing, p, i, names) for p, i in zip(patterns, t.items, strict=True)]
    good = tuple(i for i in items if i is not None)
    return ir.MatchTuple(good) if len(good) == len(items) else None


def _class_pattern(typing: Typing, node: ast.MatchClass, t: Type, names: dict[str, Type]) -> Pattern | None:
    binding = typing.world.binding(typing.module, node.cls)
    struct = (
        typing.world.struct(binding)
        if isinstance(binding, ClassDef) and typing.world.kind(binding) == "struct"
        else None
    )
    cases = t.cases if isinstance(t, UnionType) else (t,)
    if struct is None or struct not in cases:
        typing.error(
            "P046",
            node,
            f"this pattern does not match {an(t)}",
            "name a struct of that type",
            label="another type",
        )
        return None
    return _fields_pattern(typing, node, struct, names)


def _fields_pattern(
    typing: Typing, node: ast.MatchClass, struct: StructType, names: dict[str, Type]
) -> Pattern | None:
    pairs = [
        *zip((f.name for f in struct.fields), node.patterns, strict=False),
        *zip(node.kwd_attrs, node.kwd_patterns, strict=True),
    ]
    fields: list[tuple[str, Pattern]] = []
    for name, inner in pairs:
        f = struct.field(name)
        if f is None:
            typing.error(
                "P046",
                node,
                f"`{struct.name}` has no field `{name}`",
                f"it has {', '.join(x.name for x in struct.fields)}",
                label="unknown field",
            )
            return None
        p = pattern_of(typing, inner, f.type, names)
        if p is None:
            return None
        fields.append((name, p))
    return ir.MatchStruct(struct, tuple(fields))


def _covers(patterns: list[Pattern], t: Type) -> bool:
    """Whether every value of the type matches one of the patterns."""
    flat = [q for p in patterns for q in (p.options if isinstance(p, ir.MatchOr) else (p,))]
    if any(isinstance(p, ir.MatchAny) for p in flat):
        return True
    match t:
        case OptionType(item=item):
            return any(_is_none(p) for p in flat) and _covers(
                [p.inner for p in flat if isinstance(p, ir.MatchSome)], item
            )
        case BoolType():
            return {p.value.value for p in flat if isinstance(p, ir.MatchConst)} >= {True, False}
        case EnumType(members=members, open=False):
            return {p.value.value for p in flat if isinstance(p, ir.MatchConst)} >= {v for _, v in members}
        case UnionType(cases=cases):
            return all(
                any(isinstance(p, ir.MatchStruct) and p.type == c and _all_any(p) for p in flat)
                for c in cases
            )
        case StructType():
            return any(isinstance(p, ir.MatchStruct) and _all_any(p) for p in flat)
        case TupleType():
            return any(
                isinstance(p, ir.MatchTuple) and all(isinstance(i, ir.MatchAny) for i in p.items)
                for p in flat
            )
        case _:
            return False


def _is_none(p: Pattern) -> bool:
    match p:
        case ir.MatchConst(value=ir.Const(value=None)):
            return True
        case ir.MatchOr(options=options):
            return any(map(_is_none, options))
        case _:
            return False


def _matches_none(p: Pattern) -> bool:
    return not isinstance(p, ir.MatchSome)


def _all_any(p: ir.MatchStruct) -> bool:
    return all(isinstance(inner, ir.MatchAny) for _, inner in p.fields)
