# SPDX-License-Identifier: Apache-2.0
"""Which state may influence what is observed, through assignments and through conditions.  The analysis is
flow-insensitive, and so conservative: a field that it does not find has no influence, whatever it holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from transect.analysis.evaluate import flat
from transect.core import ir
from transect.core.effects import BUILTIN_EFFECTS
from transect.core.ir import Effect, Program, TableRead
from transect.core.types import TableKind, TableType
from transect.core.walk import children

Node = tuple[str, ...]
"""("field", name) · ("local", function, name) · ("view", hook, path) · ("result", function) · ("control", function) ·
("draws", function) · ("verdict", hook) · ("write", hook, path) · ("said", hook)."""


@dataclass
class Flows:
    """What flows into what, within one program."""

    program: Program
    into: dict[Node, set[Node]] = field(default_factory=lambda: defaultdict(set))
    seen: set[Node] = field(default_factory=set)  # every field of a view that is read

    def relevant(self, sinks: Iterable[Node]) -> frozenset[Node]:
        """Everything that may influence one of the sinks."""
        found: set[Node] = set()
        stack = list(sinks)
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack += self.into.get(node, ())
        return frozenset(found)

    def sinks(self, kind: str, hook: str) -> list[Node]:
        return [node for node in self.into if node[0] == kind and node[1] == hook]


def flows(program: Program) -> Flows:
    """The flows of a program."""
    found = Flows(flat(program))
    for handler in found.program.handlers:
        _Function(found, handler, handler.name).run()
    for helper in found.program.functions:  # whoever calls it
        for hook in (h.name for h in found.program.handlers):
            _Function(found, helper, hook).run()
    _written_and_read(found)
    return found


def _written_and_read(found: Flows) -> None:
    """Outside data that a hook reads may have been written there by the same hook or by an earlier one."""
    written = {node for node in found.into if node[0] == "write"}
    for node in found.seen:
        found.into[node] |= written


class _Function:
    """Adds the flows of one function, as a part of one hook."""

    def __init__(self, flows: Flows, function: ir.Function, hook: str) -> None:
        self.flows = flows
        self.function = function
        self.hook = hook
        self.handler = function.name == hook
        self.exits: set[Node] = set()  # what decides whether the rest of the function runs
        self.bound = {p.name for p in function.params}

    def run(self) -> None:
        control: set[Node] = set() if self.handler else {("control", self.function.name)}
        self.block(self.function.body, control)

    def put(self, target: Node, sources: set[Node], control: set[Node]) -> None:
        self.flows.into[target] |= sources | control | self.exits

    # ------------------------------------------------------------ statements

    def block(self, block: ir.Block, control: set[Node]) -> None:
        for s in block:
            self.statement(s, control)

    def statement(self, s: ir.Stmt, control: set[Node]) -> None:
        match s:
            case ir.Let(name=name, value=value):
                self.put(self.local(name), self.reads(value, control), control)
            case ir.Store(place=place, value=value) | ir.Update(place=place, value=value):
                self.place(place, self.reads(value, control), control, isinstance(s, ir.Update))
            case ir.Remove(field=name, key=key):
                self.put(("field", name), self.reads(key, control), control)
            case ir.Do(value=value):
                self.reads(value, control)
            case ir.If(cond=cond, then=then, orelse=orelse):
                self.branches(self.reads(cond, control), (then, orelse), control)
            case ir.Switch(subject=subject, cases=cases):
                decides = self.reads(subject, control)
                for case in cases:
                    self.pattern(case.pattern, decides, control)
                    if case.guard is not None:
                        decides = decides | self.reads(case.guard, control)
                self.branches(decides, [case.body for case in cases], control)
            case ir.For(targets=targets, source=source, body=body):
                over = self.reads(source, control)
                for _ in range(
                    2
                ):  # leaving the loop decides whether earlier statements of the next iteration run
                    for target in targets:
                        self.put(self.local(target), over, control)
                    self.branches(over, (body,), control)
            case ir.Return(value=value):
                sources = set() if value is None else self.reads(value, control)
                self.put(self.outcome(), sources, control)
            case ir.Break() | ir.Continue() | ir.Pass():
                pass

    def branches(self, decides: set[Node], blocks: Iterable[ir.Block], control: set[Node]) -> None:
        inner = control | decides
        for block in blocks:
            self.block(block, inner)
            if any(isinstance(s, ir.Return | ir.Break | ir.Continue) for s in _statements(block)):
                self.exits |= inner
                self.put(self.outcome(), decides, control)

    def outcome(self) -> Node:
        return ("verdict", self.hook) if self.handler else ("result", self.function.name)

    def pattern(self, pattern: ir.Pattern, sources: set[Node], control: set[Node]) -> None:
        match pattern:
            case ir.MatchAny(name=str(name)):
                self.put(self.local(name), sources, control)
            case _:
                for child in children(pattern):
                    if isinstance(child, ir.Pattern):
                        self.pattern(child, sources, control)

    def place(self, place: ir.Place, sources: set[Node], control: set[Node], update: bool) -> None:
        match place:
            case ir.StatePlace(field=name):
                self.put(("field", name), sources | {("field", name)}, control)
            case ir.EntryPlace(field=name, key=key):
                self.put(("field", name), sources | self.reads(key, control) | {("field", name)}, control)
            case ir.LocalPlace(name=name):
                self.put(self.local(name), sources | {self.local(name)}, control)
            case ir.ViewPlace(base=base, name=name):
                path = self.path(base, name)
                old = {("view", self.hook, path)} if update else set()
                self.put(("write", self.hook, path), sources | old | self.reads(base, control), control)

    def local(self, name: str) -> Node:
        return ("local", self.function.name, name)

    # ------------------------------------------------------------ expressions

    def reads(self, e: ir.Expr | ir.Source, control: set[Node]) -> set[Node]:
        """What an expression reads; what it does goes into the flows."""
        match e:
            case ir.Local(name=name):
                return {self.local(name)}
            case ir.State(field=name) | ir.OverState(field=name):
                return {("field", name)}
            case ir.ViewField(base=base, name=name):
                seen: Node = ("view", self.hook, self.path(base, name))
                self.flows.seen.add(seen)
                return self.reads(base, control) | {seen}
            case ir.Lookup():
                return self.look_up(e, control)
            case ir.Call(function=name, args=args):
                return self.called(name, args, control)
            case ir.Intrinsic(name=name, args=args):
                return self.intrinsic(name, args, control)
            case ir.LetIn(name=name, value=value, body=body):
                self.put(self.local(name), self.reads(value, control), control)
                return self.reads(body, control) | {self.local(name)}
            case ir.Reduce(targets=targets, source=source) | ir.MakeSet(targets=targets, source=source):
                over = self.reads(source, control)
                for target in targets:
                    self.put(self.local(target), over, control)
                return over.union(*(self.reads(c, control) for c in _expressions(e)))
            case _:
                found: set[Node] = set()
                return found.union(*(self.reads(child, control) for child in _expressions(e)))

    def look_up(self, e: ir.Lookup, control: set[Node]) -> set[Node]:
        args: set[Node] = set()
        args = args.union(*(self.reads(a, control) for a in e.args))
        declared = self.flows.program.field(e.field).type
        touches = (
            isinstance(declared, TableType) and declared.kind is TableKind.LRU and e.op is not TableRead.HAS
        )
        if e.op in (TableRead.PUT, TableRead.POP_FIRST) or touches:
            self.put(("field", e.field), args | {("field", e.field)}, control)
        return args | {("field", e.field)}

    def called(self, name: str, args: tuple[ir.Expr, ...], control: set[Node]) -> set[Node]:
        helper = self.flows.program.function(name)
        for parameter, arg in zip(helper.params, args, strict=True):
            self.put(("local", name, parameter.name), self.reads(arg, control), control)
        self.put(("control", name), set(), control)
        return {("result", name)}

    def intrinsic(self, name: str, args: tuple[ir.Expr, ...], control: set[Node]) -> set[Node]:
        sources: set[Node] = set()
        sources = sources.union(*(self.reads(a, control) for a in args))
        declared = next((d for d in self.flows.program.intrinsics if d.name == name), None)
        effect = declared.effect if declared else BUILTIN_EFFECTS.get(name, Effect.PURE)
        match effect:
            case Effect.RANDOM | Effect.OUTSIDE_READ:
                draws: Node = ("draws", self.hook)
                self.put(draws, set(), control)  # whether it is drawn decides which number the next one is
                return sources | {draws, ("view", self.hook, name)}
            case Effect.OUTSIDE_WRITE:
                self.put(("write", self.hook, name), sources, control)
            case Effect.REPORT:
                self.put(("said", self.hook), sources, control)
            case _:
                pass
        return sources

    def path(self, base: ir.Expr, name: str) -> str:
        """The way to a view's field, from the hook's parameter on: `msg.user`."""
        match base:
            case ir.ViewField(base=inner, name=outer):
                return f"{self.path(inner, outer)}.{name}"
            case ir.Local(name=local) if local in self.bound and self.handler:
                return name
            case _:
                return f"?.{name}"


def _statements(block: ir.Block) -> Iterator[ir.Stmt]:
    for s in block:
        yield s
        match s:
            case ir.If(then=then, orelse=orelse):
                yield from _statements((*then, *orelse))
            case ir.For(body=body):
                yield from _statements(body)
            case ir.Switch(cases=cases):
                for case in cases:
                    yield from _statements(case.body)
            case _:
                pass


def _expressions(e: ir.Expr | ir.Source) -> list[ir.Expr | ir.Source]:
    return [c for c in children(e) if isinstance(c, ir.Expr | ir.Source)]
