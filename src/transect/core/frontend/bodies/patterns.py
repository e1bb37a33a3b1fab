# SPDX-License-Identifier: Apache-2.0
"""`match`: subjects, patterns, guards."""

from __future__ import annotations

import ast
from dataclasses import replace

from transect.core import ir
from transect.core.frontend.bodies.context import convert, short
from transect.core.frontend.bodies.facts import Facts, Present, implied, stable
from transect.core.frontend.bodies.loops import Loops
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


class Patterns(Loops):
    """Typing of `match`."""

    tested = (
        Facts()
    )  # what holds after the pattern and guard of the case typed last, whether they matched or not

    def block(self, body: list[ast.stmt]) -> Block:
        raise NotImplementedError

    def take(self, node: ast.AST, name: str, e: Expr | None) -> Block:
        raise NotImplementedError

    def bind_exactly(self, node: ast.AST, name: str, t: Type) -> None:
        raise NotImplementedError

    def _match(self, node: ast.Match) -> Block:
        subject = self._subject(node.subject)
        if subject is None:
            for case in node.cases:
                self._case_body(case, self.facts)
            return ()
        cases: list[ir.Case] = []
        before, after = self.facts, Facts(live=False)
        total = False
        for case in node.cases:
            self.facts = before if not total else before.dead()
            built = self._case(case, subject, [c.pattern for c in cases if c.guard is None])
            before = before.surviving(self.tested)
            after = after.join(self.facts)
            if built is None:
                continue
            cases.append(built)
            total = total or (
                built.guard is None
                and self._covers([c.pattern for c in cases if c.guard is None], subject.type)
            )
        total = self._missing(node, subject, total) or total
        self.facts = after if total else after.join(before)
        return (ir.Switch(subject, tuple(cases), self.module.source.header(node)),)

    def _subject(self, node: ast.expr) -> Expr | None:
        if isinstance(node, ast.Tuple):
            parts = [self.raw(e) for e in node.elts]
            good = tuple(p for p in parts if p is not None)
            if len(good) < len(parts):
                return None
            return ir.MakeTuple(good, type=TupleType(tuple(g.type for g in good)), span=self.span(node))
        e = self.raw(node)
        if e is not None and isinstance(e.type, FloatType):
            self.error("P046", node, "a float is not matched", "compare it with `if`", label="`float`")
            return None
        return e

    def _missing(self, node: ast.Match, subject: Expr, total: bool) -> bool:
        """A match over an enum that may have other values says what then; whether a diagnostic asks for it."""
        if total or not isinstance(subject.type, EnumType) or not subject.type.open:
            return False
        self.error(
            "P046",
            node.subject,
            f"`{subject.type.name}` may have values that no case names",
            "end with `case _:`",
            label="values from outside are open",
        )
        return True

    def _case(self, case: ast.match_case, subject: Expr, earlier: list[Pattern]) -> ir.Case | None:
        t = subject.type
        some = isinstance(t, OptionType) and any(_is_none(p) for p in earlier)
        names: dict[str, Type] = {}
        self.tested = self.facts
        pattern = self.pattern(case.pattern, t, names, some)
        if pattern is None:
            self._case_body(case, self.facts)
            return None
        for name, bound in names.items():
            self.bind_exactly(case.pattern, name, bound)
        self.facts = self.facts.assign(*names)
        if case.guard is not None:  # which may fail after the names are bound
            self.tested = self.tested.assign(*names)
        if isinstance(t, OptionType) and stable(subject) and not _matches_none(pattern):
            self.facts = self.facts.having([Present(subject)])
        guard = None
        if case.guard is not None:
            guard = self.condition(case.guard)
            self.tested = self.tested.surviving(self.facts)
            if guard is None:
                return None
            self.facts = self.facts.having(implied(guard, True))
        body = self.block(case.body)
        return ir.Case(pattern, guard, body, self.span(case.pattern))

    def _case_body(self, case: ast.match_case, facts: Facts) -> None:
        """Complain about the body as well, although the pattern is not understood."""
        for n in ast.walk(case.pattern):
            if isinstance(n, ast.MatchAs | ast.MatchStar) and n.name is not None:
                self.scope.types.setdefault(n.name, None)
                facts = facts.assign(n.name)
        self.facts = facts
        self.block(case.body)

    # ------------------------------------------------------------ patterns

    def pattern(
        self, node: ast.pattern, t: Type, names: dict[str, Type], some: bool = False
    ) -> Pattern | None:
        """The pattern for a value of type t; bound names go into `names`.  `some`: None has been dealt with before."""
        match node:
            case ast.MatchAs(pattern=None, name=name):
                return self._capture(node, name, t, names, some)
            case ast.MatchAs(pattern=inner, name=name) if inner is not None:
                self.error(
                    "P046",
                    node,
                    "`as` in a pattern is not part of the language",
                    "match the parts, and name the subject before",
                    label="`as`",
                )
                return None
            case ast.MatchSingleton(value=None):
                return self._none(node, t)
            case ast.MatchOr(patterns=options):
                return self._or(node, options, t, names)
            case _:
                pass
        if isinstance(t, OptionType):
            inner_pattern = self.pattern(node, t.item, names)
            return None if inner_pattern is None else ir.MatchSome(inner_pattern)
        match node:
            case ast.MatchSingleton(value=bool(value)) if isinstance(t, BoolType):
                return ir.MatchConst(ir.Const(value, type=t, span=self.span(node)))
            case ast.MatchValue(value=value):
                return self._constant_pattern(value, t)
            case ast.MatchSequence(patterns=patterns):
                return self._tuple_pattern(node, patterns, t, names)
            case ast.MatchClass():
                return self._class_pattern(node, t, names)
            case _:
                self.error(
                    "P046",
                    node,
                    f"this pattern does not match {an(t)}",
                    "patterns are literals, enum members, tuples, structs, `None`, names, `|` and `_`",
                    label="not understood",
                )
                return None

    def _capture(
        self, node: ast.pattern, name: str | None, t: Type, names: dict[str, Type], some: bool
    ) -> Pattern | None:
        if name is None:
            return ir.MatchAny(None)
        if name in self.scope.params:
            self.error(
                "P037",
                node,
                f"the parameter `{name}` cannot be assigned",
                "use another name",
                label="a parameter",
            )
            return None
        if some and isinstance(t, OptionType):
            names[name] = t.item
            return ir.MatchSome(ir.MatchAny(name))
        names[name] = t
        return ir.MatchAny(name)

    def _none(self, node: ast.pattern, t: Type) -> Pattern | None:
        if isinstance(t, OptionType):
            return ir.MatchConst(ir.Const(None, type=t, span=self.span(node)))
        self.error("P046", node, f"{an(t)} is never None", "leave the case out", label="never matches")
        return None

    def _or(
        self, node: ast.pattern, options: list[ast.pattern], t: Type, names: dict[str, Type]
    ) -> Pattern | None:
        found = []
        for option in options:
            own: dict[str, Type] = {}
            p = self.pattern(option, t, own)
            if p is None:
                return None
            if own:
                self.error(
                    "P046",
                    node,
                    "alternatives bind no names",
                    "write one case for each",
                    label="binds a name",
                )
                return None
            found.append(p)
        return ir.MatchOr(tuple(found))

    def _constant_pattern(self, node: ast.expr, t: Type) -> Pattern | None:
        e = self.expression(node, t)
        if e is None:
            return None
        converted: Expr | None = convert(e, t)
        if isinstance(e, ir.Const) and isinstance(t, IntType) and e.type == INT:  # narrow storage, as it is
            converted = replace(e, type=t) if fit(e.value, t)[0] else None
        if converted is None or not isinstance(converted, ir.Const):
            self.error(
                "P046",
                node,
                f"`{short(node)}` is not a constant of type `{spell(t)}`",
                f"give a literal `{spell(t)}`",
                label=f"`{spell(e.type)}`",
            )
            return None
        return ir.MatchConst(converted)

    def _tuple_pattern(
        self, node: ast.pattern, patterns: list[ast.pattern], t: Type, names: dict[str, Type]
    ) -> Pattern | None:
        if (
            not isinstance(t, TupleType)
            or len(t.items) != len(patterns)
            or any(isinstance(p, ast.MatchStar) for p in patterns)
        ):
            self.error(
                "P046",
                node,
                f"this pattern does not match {an(t)}",
                "give one pattern for each element of the tuple",
                label="another shape",
            )
            return None
        items = [self.pattern(p, i, names) for p, i in zip(patterns, t.items, strict=True)]
        good = tuple(i for i in items if i is not None)
        return ir.MatchTuple(good) if len(good) == len(items) else None

    def _class_pattern(self, node: ast.MatchClass, t: Type, names: dict[str, Type]) -> Pattern | None:
        binding = self.world.binding(self.module, node.cls)
        struct = (
            self.world.struct(binding)
            if isinstance(binding, ClassDef) and self.world.kind(binding) == "struct"
            else None
        )
        cases = t.cases if isinstance(t, UnionType) else (t,)
        if struct is None or struct not in cases:
            self.error(
                "P046",
                node,
                f"this pattern does not match {an(t)}",
                "name a struct of that type",
                label="another type",
            )
            return None
        return self._fields_pattern(node, struct, names)

    def _fields_pattern(
        self, node: ast.MatchClass, struct: StructType, names: dict[str, Type]
    ) -> Pattern | None:
        pairs = [
            *zip((f.name for f in struct.fields), node.patterns, strict=False),
            *zip(node.kwd_attrs, node.kwd_patterns, strict=True),
        ]
        fields: list[tuple[str, Pattern]] = []
        for name, inner in pairs:
            f = struct.field(name)
            if f is None:
                self.error(
                    "P046",
                    node,
                    f"`{struct.name}` has no field `{name}`",
                    f"it has {', '.join(x.name for x in struct.fields)}",
                    label="unknown field",
                )
                return None
            p = self.pattern(inner, f.type, names)
            if p is None:
                return None
            fields.append((name, p))
        return ir.MatchStruct(struct, tuple(fields))

    def _covers(self, patterns: list[Pattern], t: Type) -> bool:
        """Whether every value of the type matches one of the patterns."""
        flat = [q for p in patterns for q in (p.options if isinstance(p, ir.MatchOr) else (p,))]
        if any(isinstance(p, ir.MatchAny) for p in flat):
            return True
        match t:
            case OptionType(item=item):
                return any(_is_none(p) for p in flat) and self._covers(
                    [p.inner for p in flat if isinstance(p, ir.MatchSome)], item
                )
            case BoolType():
                return {p.value.value for p in flat if isinstance(p, ir.MatchConst)} >= {True, False}
            case EnumType(members=members, open=False):
                return {p.value.value for p in flat if isinstance(p, ir.MatchConst)} >= {
                    v for _, v in members
                }
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
