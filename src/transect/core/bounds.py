# SPDX-License-Identifier: Apache-2.0
"""Worst-case bounds of a handler: steps, outside answers, bytes of stack.

Every loop of a policy goes over something whose size is known, or over outside data; in the second case the bound has a
term for the number of elements.  There is no recursion, so this always terminates.  `STEPS_LIMIT` is the most that one
call may take; `docs/design/steps.md` gives the reasons for that number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import assert_never

from transect.core import ir
from transect.core.bound import ONE, Bound, total
from transect.core.effects import Facts, data_path, nodes
from transect.core.ir import Expr, Function, Program
from transect.core.set_sizes import SetSizes
from transect.core.types import (
    ArrayType,
    BoolType,
    BytesType,
    DictType,
    OptionType,
    SeqType,
    SetType,
    StructType,
    TableType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
)
from transect.core.walk import Node, children

STEPS_LIMIT = 100_000_000  # steps of one call, with one element in everything that comes from outside


NOTHING: Mapping[str, Bound] = {}


@dataclass(frozen=True, slots=True)
class Budget:
    """What one call of a handler takes at most."""

    steps: Bound  # nodes of the tree that are evaluated or executed
    tape: Bound  # outside answers that are recorded: one `now`, every draw, every answer
    stack: int  # bytes of locals, helpers included, with texts as slices (pointer and size)
    # Local sets whose size outside data decides: their bytes are not in `stack`
    open_sets: tuple[str, ...] = ()


class Bounds:
    """Budgets of one program's functions; those of helpers are found once.

    `elements`: the bound of the size of outside data, by its name; `step`: the steps of a node by itself.
    """

    def __init__(
        self,
        program: Program,
        elements: Callable[[str], Bound] = Bound.elements,
        step: Callable[[Node], Bound] = lambda _: ONE,
    ) -> None:
        self.program = program
        self.elements = elements
        self.step = step
        self._facts = Facts(program)
        self._fields = {f.name: f for f in program.state}
        self._helpers: dict[str, Budget] = {}
        self.set_sizes = SetSizes(program, self.rounds, self._outside)

    def handler(self, f: Function) -> Budget:
        """The worst case of one call."""
        found = self._function(f)
        clock = Bound.of(1 if self._facts.of(f).clock else 0)
        return Budget(found.steps, found.tape + clock, found.stack, found.open_sets)

    def helper(self, name: str) -> Budget:
        if name not in self._helpers:
            self._helpers[name] = self._function(self.set_sizes.helpers[name])
        return self._helpers[name]

    def steps(self, f: Function) -> Bound:
        """Of one call."""
        return self.counting_steps(f).block(f.body)

    def counting_steps(self, f: Function) -> Count:
        """What counts the steps of the function's parts."""
        return Count(self, f, self.step, lambda name: self._helper_steps[name])

    @cached_property
    def _helper_steps(self) -> Mapping[str, Bound]:
        """The steps of each helper.  A helper stands after those that it calls, so a long chain of them needs no
        recursion.
        """
        found: dict[str, Bound] = {}
        for f in self.program.functions:
            found[f.name] = Count(self, f, self.step, found.__getitem__).block(f.body)
        return found

    def _function(self, f: Function) -> Budget:
        steps = self.steps(f)
        tape = Count(self, f, self._asks, lambda name: self.helper(name).tape).block(f.body)
        own = [*((p.name, p.type) for p in f.params), *f.locals]
        below = [self.helper(name) for name in _called(f)]
        open_sets = [name for name, t in own if size(t) is None]
        return Budget(
            steps,
            tape,
            sum(size(t) or 0 for _, t in own) + max((b.stack for b in below), default=0),
            tuple(dict.fromkeys([*open_sets, *(name for b in below for name in b.open_sets)])),
        )

    def _asks(self, node: Node) -> Bound:
        """Entries that a node adds to the tape itself.  The time is asked once a call, so it is not counted here."""
        if isinstance(node, ir.Intrinsic):
            own = self._facts.own(node)
            return Bound.of(1 if own.random or own.outside_reads else 0)
        return Bound()

    def rounds(self, source: ir.Source, within: Function) -> Bound:
        """How often a loop goes round at most."""
        match source:
            case ir.OverRange(bound=bound):
                return Bound.of(bound)
            case ir.OverState(field=name) if name not in self._fields:
                return self.elements(name)  # old state has no declared bound
            case ir.OverState(field=name):
                match self._fields[name].type:
                    case TableType(most=int(n)) | ArrayType(length=n):
                        return Bound.of(n)
                    case TableType():
                        return self.elements(name)
                    case _:
                        raise AssertionError(f"a loop over state of type {self._fields[name].type}")
            case ir.OverValue(value=value) if isinstance(value.type, SetType):
                return self.members(value, within)
            case ir.OverValue(value=value):
                return self._outside(value, within)
            case _:
                assert_never(source)

    def members(self, e: Expr, within: Function) -> Bound:
        """How many members a set, or those in a value, have at most."""
        return self.set_sizes.size(e, within, self.set_sizes.of(within))

    def _outside(self, e: Expr, within: Function) -> Bound:
        """How many elements a sequence or a map of outside data has."""
        match e:
            case ir.State(field=name):
                return self.elements(name)
            case ir.Intrinsic(name=name):
                return self.elements(name)
            case _:
                path = data_path(e, within)
                return self.elements(".".join(path) if path else "outside data")


class Count:
    """Adds up what the nodes of a function cost, loops and helpers multiplied out."""

    def __init__(
        self,
        bounds: Bounds,
        within: Function,
        own: Callable[[Node], Bound],
        called: Callable[[str], Bound],
    ) -> None:
        self.bounds = bounds
        self.within = within
        self.own = own
        self.called = called

    def block(self, block: ir.Block) -> Bound:
        return total(map(self.node, block))

    def node(self, node: Node) -> Bound:
        own = self.own(node)
        match node:
            case ir.If(cond=cond, then=then, orelse=orelse):
                return own + self.node(cond) + (self.block(then) | self.block(orelse))
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                return own + self.node(cond) + (self.node(then) | self.node(orelse))
            case ir.Switch(subject=subject, cases=cases):
                guards = [self.node(case.guard) for case in cases if case.guard is not None]
                bodies: Bound = reduce(Bound.__or__, (self.block(case.body) for case in cases), Bound())
                tests = total(self.own(case) for case in cases)
                return own + self.node(subject) + tests + total(guards) + bodies
            case ir.For(source=source, body=body):
                return own + self.node(source) + self.rounds(source) * (self.own(node) + self.block(body))
            case ir.Reduce(source=source, cond=cond, value=value, default=default):
                inner = self.optional(cond) + self.node(value)
                return own + self.node(source) + self.rounds(source) * inner + self.optional(default)
            case ir.MakeSet(source=source, cond=cond, item=item):
                return own + self.node(source) + self.rounds(source) * (self.optional(cond) + self.node(item))
            case ir.Call(function=name, args=args):
                below = self.called(name).with_sizes(self.given(node))
                return own + total(map(self.node, args)) + below
            case ir.Binary(type=SetType()):
                return own * (ONE + self.members(node)) + total(map(self.node, children(node)))
            case _:
                return own + total(map(self.node, children(node)))

    def members(self, e: Expr) -> Bound:
        return self.bounds.members(e, self.within)

    def given(self, call: ir.Call) -> dict[str, Bound]:
        """The sizes of a call's arguments, by the names that stand for them in the helper's bounds."""
        sizes = self.bounds.set_sizes
        return sizes.arguments(call, self.within, sizes.of(self.within))

    def optional(self, e: Expr | None) -> Bound:
        return Bound() if e is None else self.node(e)

    def rounds(self, source: ir.Source) -> Bound:
        return self.bounds.rounds(source, self.within)


def _called(f: Function) -> list[str]:
    return list(dict.fromkeys(n.function for n in nodes(f) if isinstance(n, ir.Call)))


def size(t: Type) -> int | None:
    """Bytes that a local of the type takes on the stack of emitted C, about; None when outside data decides it."""
    match t:
        case BoolType():
            return 1
        case UnitType():
            return 0
        case TextType() | BytesType() | SeqType() | DictType():
            return 16
        case OptionType(item=item):
            return _sum([item], 8)
        case TupleType(items=items):
            return _sum(items, 0)
        case StructType(fields=fields):
            return _sum([f.type for f in fields], 0)
        case UnionType(cases=cases):
            sizes = [size(case) for case in cases]
            return 8 + max(s for s in sizes if s is not None)
        case SetType(item=item, bound=bound):
            one = size(item)
            return None if bound is None or one is None else 8 + bound * one
        case _:
            return 8


def _sum(types: Iterable[Type], start: int) -> int | None:
    found = start
    for t in types:
        one = size(t)
        if one is None:
            return None
        found += one
    return found


def bounds(program: Program) -> dict[str, Budget]:
    """The budget of each handler, by its name."""
    found = Bounds(program)
    return {h.name: found.handler(h) for h in program.handlers}


class Steps:
    """Steps of the parts of a program at most, with one element in everything that comes from outside.

    `step` says how many a node takes by itself, where the nodes of a stratum differ.
    """

    def __init__(self, program: Program, step: Callable[[Node], int] = lambda _: 1) -> None:
        self.program = program
        self._bounds = Bounds(program, lambda of: ONE, lambda node: Bound.of(step(node)))

    def of(self, function: Function) -> int:
        """Of one call."""
        return _number(self._bounds.steps(function))

    def within(self, function: Function, node: Node, given: Mapping[str, Bound] = NOTHING) -> int:
        """Of one execution of a node of that function; `given`: see `called`."""
        return _number(self._bounds.counting_steps(function).node(node).with_sizes(given))

    def called(
        self, function: Function, call: ir.Call, given: Mapping[str, Bound] = NOTHING
    ) -> dict[str, Bound]:
        """The sizes of the sets that a call in that function passes to a helper; `given`: the sizes that the function
        itself was passed.
        """
        arguments = self._bounds.counting_steps(function).given(call)
        return {name: members.with_sizes(given) for name, members in arguments.items()}


def worst_steps(program: Program) -> dict[str, int]:
    """The steps of one call of each handler at most, by its name."""
    steps = Steps(program)
    return {h.name: steps.of(h) for h in program.handlers}


def _number(steps: Bound) -> int:
    known = steps.known
    assert known is not None, f"{steps} depends on outside data"
    return known
