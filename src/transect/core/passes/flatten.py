# SPDX-License-Identifier: Apache-2.0
"""CHECKED to FLAT: every effectful expression becomes one `Let` whose operands are pure, in the order of evaluation.

Operands which are evaluated earlier, and depend on state that a hoisted expression may change, are hoisted before it.
`and`, `or` and conditional expressions with something hoisted on a later side become `If`.  Targets that need
statements for other expressions, too, pass a wider `hoist`, and `loops`, which turns reductions into `For`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import Expr, Program, Stage, Stmt
from transect.core.passes.build import Build
from transect.core.passes.reduction import folding
from transect.core.types import BOOL, Type, UnitType
from transect.core.walk import map_children

N = TypeVar("N", bound=Expr | ir.Place | ir.Source)
Hoist = Callable[[Expr], bool]
Guarded = tuple[ir.Case, tuple[Stmt, ...]]  # a case, and the statements that its guard needs first


def flatten(program: Program, hoist: Hoist | None = None, *, loops: bool = False) -> Program:
    """The program in flat form.  `hoist` must be true at least for effectful expressions, which is its default."""
    assert program.stage is Stage.CHECKED, f"flatten got {program.stage.name}"
    facts = Facts(program)
    chosen = hoist or facts.effectful

    def flat(function: ir.Function) -> ir.Function:
        return _Flattener(function, facts, chosen, loops).function()

    return replace(
        program,
        stage=Stage.FLAT,
        functions=tuple(map(flat, program.functions)),
        handlers=tuple(map(flat, program.handlers)),
    )


class _Flattener:
    """Flattens one function."""

    def __init__(self, function: ir.Function, facts: Facts, hoist: Hoist, loops: bool) -> None:
        self._function = function
        self._facts = facts
        self._hoist = hoist
        self._loops = loops
        self._names = {p.name for p in function.params} | {name for name, _ in function.locals}
        self._temps: list[tuple[str, Type]] = []

    def function(self) -> ir.Function:
        body = self.block(self._function.body)
        return replace(self._function, body=body, locals=(*self._function.locals, *self._temps))

    def fresh(self, t: Type) -> str:
        """A new local."""
        n = len(self._temps) + 1
        while f"t{n}" in self._names:
            n += 1
        self._names.add(f"t{n}")
        self._temps.append((f"t{n}", t))
        return f"t{n}"

    def keep(self, value: Expr, out: list[Stmt]) -> Expr:
        """The value in a new local."""
        build = Build(value.span)
        name = self.fresh(value.type)
        out.append(build.let(name, value))
        return build.local(name, value.type)

    # ---------------------------------------------------------------- statements

    def block(self, block: ir.Block) -> ir.Block:
        out: list[Stmt] = []
        for s in block:
            self.statement(s, out)
        return tuple(out)

    def statement(self, s: Stmt, out: list[Stmt]) -> None:
        match s:
            case ir.Let(value=value) | ir.Do(value=value):
                out.append(replace(s, value=self.root(value, out)))
            case ir.Store(place=place, value=value):  # as in Python, the value comes before its place
                first, *rest = self.operands((value, *_within(place)), out)
                out.append(replace(s, place=_with(place, rest), value=first))
            case ir.Update(place=place, value=value):
                *rest, last = self.operands((*_within(place), value), out)
                out.append(replace(s, place=_with(place, rest), value=last))
            case ir.Remove(key=key):
                out.append(replace(s, key=self.expr(key, out)))
            case ir.If(cond=cond, then=then, orelse=orelse):
                flat = self.expr(cond, out)
                out.append(replace(s, cond=flat, then=self.block(then), orelse=self.block(orelse)))
            case ir.Switch():
                self.switch(s, out)
            case ir.For(source=source, body=body):
                out.append(replace(s, source=self.source(source, out), body=self.block(body)))
            case ir.Return(value=value) if value is not None and isinstance(value.type, UnitType):
                out.append(ir.Do(self.root(value, out), s.span))
                out.append(replace(s, value=None))
            case ir.Return(value=value) if value is not None:
                out.append(replace(s, value=self.expr(value, out)))
            case _:
                out.append(s)

    def switch(self, s: ir.Switch, out: list[Stmt]) -> None:
        subject = self.expr(s.subject, out)
        cases: list[Guarded] = []
        for case in s.cases:
            before: list[Stmt] = []
            guard = self.expr(case.guard, before) if case.guard else None
            cases.append((replace(case, guard=guard, body=self.block(case.body)), tuple(before)))
        if any(before for _, before in cases):
            build = Build(s.span)
            done = self.fresh(BOOL)
            out.append(build.let(done, build.const(False, BOOL)))
            kept = subject if isinstance(subject, ir.Local) else self.keep(subject, out)
            self.split(replace(s, subject=kept), cases, build.local(done, BOOL), out)
        else:
            out.append(replace(s, subject=subject, cases=tuple(case for case, _ in cases)))

    def split(self, s: ir.Switch, cases: Sequence[Guarded], done: Expr, out: list[Stmt]) -> None:
        """A switch up to the first guard that needs statements; the rest is tried when nothing has matched yet."""
        assert isinstance(done, ir.Local), "a new local"
        build = Build(s.span)
        taken = build.let(done.name, build.const(True, BOOL))
        part: list[ir.Case] = []
        for case, before in cases:
            body = (taken, *case.body)
            if case.guard is not None and before:
                part.append(replace(case, guard=None, body=(*before, build.when(case.guard, body))))
                break
            part.append(replace(case, body=body))
        out.append(replace(s, cases=tuple(part)))
        if rest := cases[len(part) :]:
            later: list[Stmt] = []
            self.split(s, rest, done, later)
            out.append(build.when(build.negate(done), tuple(later)))

    # ---------------------------------------------------------------- expressions

    def expr(self, e: Expr, out: list[Stmt]) -> Expr:
        """The pure rest of an expression; the statements to run first are appended to `out`."""
        flat = self.root(e, out)
        return self.keep(flat, out) if self._hoist(flat) else flat

    def root(self, e: Expr, out: list[Stmt]) -> Expr:
        """The expression with pure operands; it may itself be one that is hoisted."""
        match e:
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                return self.logic(e, conjunction, self.expr(left, out), right, out)
            case ir.Choose():
                return self.choose(e, self.expr(e.cond, out), out)
            case ir.LetIn(name=name, value=value, body=body):
                first: list[Stmt] = []
                after: list[Stmt] = []
                bound, result = self.root(value, first), self.expr(body, after)
                out.extend(first)
                if not after and not self._hoist(bound) and not self._hoist(e):
                    return replace(e, value=bound, body=result)
                out.extend((Build(e.span).let(name, bound), *after))
                return result
            case ir.Reduce() | ir.MakeSet():
                return self.loop(e, out)
            case _:
                return _with(e, self.operands(_within(e), out))

    def operands(self, operands: Iterable[Expr], out: list[Stmt]) -> list[Expr]:
        """The pure rests of operands, evaluated from left to right."""
        parts: list[tuple[list[Stmt], Expr]] = []
        for operand in operands:
            before: list[Stmt] = []
            parts.append((before, self.expr(operand, before)))
        values: list[Expr] = []
        for index, (before, value) in enumerate(parts):
            later = tuple(s for rest, _ in parts[index + 1 :] for s in rest)
            out.extend(before)
            values.append(self.keep(value, out) if self.may_change(value, later) else value)
        return values

    def may_change(self, value: Expr, later: ir.Block) -> bool:
        """Whether a pure expression may have another value after these statements."""
        if not later or isinstance(value, ir.Const | ir.Local):
            return False
        read, done = self._facts.of(value), self._facts.of(later)
        return bool(read.read_fields & done.written_fields) or bool(read.view_reads and done.view_writes)

    def logic(self, e: ir.Logic, conjunction: bool, left: Expr, right: Expr, out: list[Stmt]) -> Expr:
        later: list[Stmt] = []
        second = self.expr(right, later)
        if not later:
            return replace(e, left=left, right=second)
        build = Build(e.span)
        result = self.keep(left, out)
        assert isinstance(result, ir.Local), "a new local"
        cond = result if conjunction else build.negate(result)
        out.append(build.when(cond, (*later, build.let(result.name, second))))
        return result

    def choose(self, e: ir.Choose, cond: Expr, out: list[Stmt]) -> Expr:
        sides: tuple[list[Stmt], list[Stmt]] = ([], [])
        then, orelse = self.expr(e.then, sides[0]), self.expr(e.orelse, sides[1])
        if not any(sides):
            return replace(e, cond=cond, then=then, orelse=orelse)
        build = Build(e.span)
        name = self.fresh(e.type)
        blocks = [(*done, build.let(name, value)) for done, value in zip(sides, (then, orelse), strict=True)]
        out.append(build.when(cond, *blocks))
        return build.local(name, e.type)

    # ---------------------------------------------------------------- loops within expressions

    def source(self, source: ir.Source, out: list[Stmt]) -> ir.Source:
        return _with(source, self.operands(_within(source), out))

    def loop(self, e: ir.Reduce | ir.MakeSet, out: list[Stmt]) -> Expr:
        """A reduction stays a reduction if its work for each item is pure; else it becomes a loop."""
        default = e.default if isinstance(e, ir.Reduce) else None
        item = e.value if isinstance(e, ir.Reduce) else e.item
        inside: list[Stmt] = []
        cond = self.expr(e.cond, inside) if e.cond else None
        within: list[Stmt] = []
        value = self.expr(item, within)
        first = self.operands((*_within(e.source), *((default,) if default else ())), out)
        count = len(first) - (default is not None)
        source = _with(e.source, first[:count])
        last = first[count] if default else None
        if not inside and not within and not self._loops:
            if isinstance(e, ir.Reduce):
                return replace(e, source=source, cond=cond, value=value, default=last)
            return replace(e, source=source, cond=cond, item=value)
        body = (*inside, *within)
        if last is not None and self.may_change(last, body):
            last = self.keep(last, out)
        fold = folding(e, last, self.fresh)
        build = Build(e.span)
        rounds = (*within, *fold.round(value))
        out.extend(fold.before)
        out.append(build.loop(e.targets, source, (*inside, build.when(cond, rounds)) if cond else rounds))
        return fold.result


def _within(node: Expr | ir.Place | ir.Source) -> tuple[Expr, ...]:
    """The operands of a node, in the order of evaluation."""
    found: list[Expr] = []

    def note(child: Expr) -> Expr:
        found.append(child)
        return child

    map_children(node, note)
    return tuple(found)


def _with(node: N, operands: Sequence[Expr]) -> N:
    """The node with other operands."""
    rest = iter(operands)
    return map_children(node, lambda _: next(rest))
