# SPDX-License-Identifier: Apache-2.0
"""Whether a program is well formed at a stage.  What is found here is a mistake of the compiler, never of the user.

| code | what does not hold                                                                 | from    |
|------|------------------------------------------------------------------------------------|---------|
| I001 | a node has the type that its operands give it                                      | TYPED   |
| I002 | operands are what the node takes; names exist                                      | TYPED   |
| I003 | a local is bound on every path that reads it                                       | TYPED   |
| I004 | declarations: unique names, keys and values of state that may be stored            | TYPED   |
| I005 | a place exists, may be written, and takes the value                                | TYPED   |
| I006 | `break` and `continue` stand in a loop                                             | TYPED   |
| I007 | every path of a function returns what it promises                                  | CHECKED |
| I008 | a helper calls only helpers before it                                              | TYPED   |
| I009 | an effect is the whole value of a Let or Do, and its operands have none            | FLAT    |
| I010 | the program says that it is at the stage                                           | TYPED   |
| I015 | a secret field is read by its digest alone                                         | TYPED   |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from transect.base.diagnostic import Diagnostic, Severity
from transect.base.span import NOWHERE, Span
from transect.core import ir
from transect.core import verify_types as rules
from transect.core.effects import Facts
from transect.core.ir import Expr, FieldKind, Function, Program, Stage, StateField
from transect.core.rules import Scope, stores
from transect.core.secrets import exposed
from transect.core.types import (
    ArrayType,
    CounterType,
    HistogramType,
    TableType,
    Type,
    is_key,
    is_value,
    spell,
)
from transect.core.verify_flow import Flow
from transect.core.walk import children, walk


def verify(program: Program, stage: Stage) -> list[Diagnostic]:
    """The rules of a stage that the program breaks; empty when it is well formed."""
    check = _Verify(program, stage)
    check.program_()
    return check.found


def require(program: Program, stage: Stage) -> Program:
    """The program itself, when it is well formed; else an assertion fails and shows the program."""
    found = verify(program, stage)
    if found:
        from transect.core.text import dump

        facts = "\n".join(f"{d.code} {d.span}: {d.message}" for d in found)
        raise AssertionError(
            f"the compiler broke its own rules for {stage.name}:\n{facts}\n\n{dump(program)}"
        )
    return program


class _Verify:
    def __init__(self, program: Program, stage: Stage) -> None:
        self.program = program
        self.stage = stage
        self.found: list[Diagnostic] = []
        self.facts = Facts(program)

    def report(self, code: str, message: str, span: Span) -> None:
        self.found.append(Diagnostic(Severity.ERROR, code, message, span))

    def all(self, code: str, faults: Iterable[str], span: Span) -> None:
        for fault in faults:
            self.report(code, fault, span)

    # ---------------------------------------------------------------- declarations

    def program_(self) -> None:
        p = self.program
        if p.stage is not self.stage:
            self.report("I010", f"the program is {p.stage.name}, not {self.stage.name}", NOWHERE)
        for names in (
            [f.name for f in p.state],
            [f.name for f in p.functions],
            [h.name for h in p.handlers],
            [s.name for s in p.structs],
            [v.name for v in p.views],
            [i.name for i in p.intrinsics],
        ):
            self.unique(names, NOWHERE)
        for f in (*p.state, *p.old_state):
            self.field(f)
        names = [f.name for f in p.functions]
        for i, function in enumerate(p.functions):
            self.function(function, later=frozenset(names[i:]))
        for handler in p.handlers:
            self.function(handler, later=frozenset())
        for exposed_ in exposed(p):
            self.report(
                "I015", f".{exposed_.name} is secret, and read otherwise than by its digest", exposed_.span
            )

    def unique(self, names: Iterable[str], span: Span) -> None:
        for name, times in Counter(names).items():
            if times > 1:
                self.report("I004", f"{name} is declared {times} times", span)

    def field(self, f: StateField) -> None:
        if f.kind is not FieldKind.GIVEN and not _may_be_state(f.type):
            self.report("I004", f"{spell(f.type)} cannot be state: .{f.name}", f.span)
        if f.default is None:
            return
        if not stores(f.default.type, f.type):
            self.report(
                "I004", f"the default of .{f.name} is {spell(f.default.type)}, not {spell(f.type)}", f.span
            )
        if not _is_constant(f.default):
            self.report("I004", f"the default of .{f.name} is not constant", f.span)
        self.expr(f.default, Scope(replace(self.program, state=(), functions=())))

    def function(self, f: Function, later: frozenset[str]) -> None:
        self.unique([*(p.name for p in f.params), *(name for name, _ in f.locals)], f.span)
        for s in f.body:
            for node in walk(s):
                if isinstance(node, ir.Call) and node.function in later:
                    self.report(
                        "I008", f"{f.name} calls {node.function}, which does not come before it", node.span
                    )
        scope = Scope(self.program).within(f)
        self.block(f.body, f, scope)
        Flow(self.report).function(f, must_return=self.stage >= Stage.CHECKED)

    # ---------------------------------------------------------------- statements

    def block(self, block: ir.Block, f: Function, scope: Scope) -> None:
        for s in block:
            self.statement(s, f, scope)

    def statement(self, s: ir.Stmt, f: Function, scope: Scope) -> None:
        self.parts(s, scope)
        match s:
            case ir.Let(name=name, value=value):
                self.all("I001", rules.bound(name, value.type, scope), s.span)
            case ir.Store(place=place, value=value):
                self.place(place, scope)
                self.all("I005", rules.store_faults(place, value), s.span)
            case ir.Update(place=place, op=op, value=value):
                self.place(place, scope)
                self.all("I005", rules.update_faults(place, op, value), s.span)
            case ir.Remove(field=name, key=key):
                self.remove(name, key, s.span, scope)
            case ir.If(cond=cond, then=then, orelse=orelse):
                self.condition(cond)
                self.block(then, f, scope)
                self.block(orelse, f, scope)
            case ir.Switch(subject=subject, cases=cases):
                for case in cases:
                    self.all("I002", rules.pattern_faults(case.pattern, subject.type, scope), case.span)
                    if case.guard is not None:
                        self.condition(case.guard)
                    self.block(case.body, f, scope)
            case ir.For(targets=targets, source=source, body=body):
                self.all("I002", rules.loop_faults(targets, source, scope), source.span)
                self.block(body, f, scope)
            case ir.Return(value=value):
                self.all("I001", rules.return_faults(value, f.returns), s.span)
            case ir.Do() | ir.Break() | ir.Continue() | ir.Pass():
                pass
            case _:
                assert_never(s)

    def parts(self, s: ir.Stmt, scope: Scope) -> None:
        """The expressions that a statement holds itself, not those of the blocks within it."""
        for e in _expressions(s):
            self.expr(e, scope)
            if self.stage is Stage.FLAT:
                self.flat(e, whole=isinstance(s, ir.Let | ir.Do))

    def place(self, place: ir.Place, scope: Scope) -> None:
        self.all("I005", rules.place_faults(place, scope), place.span)

    def remove(self, name: str, key: Expr, span: Span, scope: Scope) -> None:
        declared = scope.fields.get(name)
        if declared is None or not isinstance(declared.type, TableType) or declared.kind is FieldKind.GIVEN:
            self.report("I005", f".{name} is no table to remove from", span)
        else:
            self.all("I005", rules.key_faults(name, key, scope), span)

    def condition(self, cond: Expr) -> None:
        if spell(cond.type) != "bool":
            self.report("I002", f"a condition of type {spell(cond.type)}", cond.span)

    # ---------------------------------------------------------------- expressions

    def expr(self, e: Expr, scope: Scope) -> None:
        for node in walk(e):
            if isinstance(node, Expr):
                self.all("I001", rules.type_fault(node, scope), node.span)
                self.all("I002", rules.operand_faults(node, scope), node.span)

    def flat(self, e: Expr, whole: bool) -> None:
        """Effects stand alone: at the root of a Let or Do, or nowhere."""
        for node in walk(e):
            if isinstance(node, Expr) and not (whole and node is e) and self.has_effect(node):
                self.report(
                    "I009", f"a {type(node).__name__} with an effect is part of something else", node.span
                )

    def has_effect(self, e: Expr) -> bool:
        try:
            return self.facts.effectful(e)
        except KeyError:  # it names something unknown, which is reported already
            return False


def _expressions(s: ir.Stmt) -> Iterable[Expr]:
    """The expressions directly in a statement: in its place, source or guards too."""
    for child in children(s):
        if isinstance(child, Expr):
            yield child
        elif isinstance(child, ir.Case):
            if child.guard is not None:
                yield child.guard
        elif not isinstance(child, ir.Stmt):
            yield from (inner for inner in children(child) if isinstance(inner, Expr))


def _may_be_state(t: Type) -> bool:
    match t:
        case TableType(key=key, value=value, capacity=capacity):
            return is_key(key) and is_value(value) and capacity > 0
        case ArrayType(item=item, length=length):
            return is_value(item) and length > 0
        case CounterType() | HistogramType():
            return True
        case _:
            return is_value(t)


def _is_constant(e: Expr) -> bool:
    constant = (ir.Const, ir.MakeStruct, ir.MakeTuple, ir.Some, ir.Cast)
    return all(isinstance(node, constant) for node in walk(e))
