# SPDX-License-Identifier: Apache-2.0
"""How many members the local sets of a function have at most, wherever they grow.

A function is followed from its first statement on, with a bound for each local that is a set or has one within.  A loop
is not unrolled: the analysis looks for an increment that bounds every iteration, proves that it does, and multiplies it
by the number of iterations.  Bounds of a helper name the sizes of its parameters, and each call puts in the sizes of
its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, assert_never

from transect.core import ir
from transect.core.bound import HUGE, Bound, capped
from transect.core.ir import Expr, Function, Program
from transect.core.types import OptionType, SetType, TupleType, Type
from transect.core.walk import Node, walk

Sizes: TypeAlias = dict[str, Bound]

_UNROLLED = 64  # iterations followed of a loop that multiplies sizes: more of them multiply by over 2^64
_VISITS = 5_000  # blocks of a function: loops deep in each other are followed several times each


def holds_sets(t: Type) -> bool:
    match t:
        case SetType():
            return True
        case OptionType(item=item):
            return holds_sets(item)
        case TupleType(items=items):
            return any(map(holds_sets, items))
        case _:
            return False


def given(function: str, parameter: str) -> str:
    """The name that stands for the members of a helper's parameter, until it is called."""
    return f"{parameter} of {function}"


class SetSizes:
    """Of one program's functions, each found once.

    `rounds` says how often a loop over something else than a set goes round, `elements` how much outside data holds.
    """

    def __init__(
        self,
        program: Program,
        rounds: Callable[[ir.Source, Function], Bound],
        elements: Callable[[Expr, Function], Bound],
    ) -> None:
        self.program = program
        self.rounds = rounds
        self.elements = elements
        self.helpers = {f.name: f for f in program.functions}
        self._found: dict[int, _Following] = {}  # by the function's identity

    def of(self, f: Function) -> Mapping[str, Bound]:
        """The most members that each local has anywhere in the function."""
        return self._following(f).most

    def _following(self, f: Function) -> _Following:
        if not self._found:  # helpers stand after those that they call, so that a long chain needs no stack
            for helper in self.program.functions:
                self._found[id(helper)] = _Following(self, helper)
        if id(f) not in self._found:
            self._found[id(f)] = _Following(self, f)
        return self._found[id(f)]

    def size(self, e: Expr, within: Function, sizes: Mapping[str, Bound]) -> Bound:
        """The most members of a set, or of those within a value, where locals have so many."""
        if isinstance(e.type, SetType) and e.type.bound is not None:
            return Bound.of(e.type.bound)
        match e:
            case ir.Local(name=name):
                return sizes.get(name, Bound())
            case ir.MakeSet(source=source):
                return self.gone_over(source, within, sizes)
            case ir.Binary(op=ir.BinaryOp.OR | ir.BinaryOp.XOR, left=left, right=right):
                return self.size(left, within, sizes) + self.size(right, within, sizes)
            case ir.Binary(left=left):
                return self.size(left, within, sizes)
            case ir.Choose(then=then, orelse=orelse):
                return self.size(then, within, sizes) | self.size(orelse, within, sizes)
            case ir.LetIn(name=name, value=value, body=body):
                return self.size(body, within, {**sizes, name: self.size(value, within, sizes)})
            case ir.Call(function=helper):
                return self._following(self.helpers[helper]).result.with_sizes(
                    self.arguments(e, within, sizes)
                )
            case ir.MakeTuple(items=items):
                found = Bound()
                for item in items:
                    found |= self.size(item, within, sizes)
                return found
            case ir.Some(value=inner) | ir.Unwrap(value=inner) | ir.Cast(value=inner) | ir.Item(base=inner):
                return self.size(inner, within, sizes)
            case _ if not holds_sets(e.type):
                return Bound()
            case ir.Const():
                return Bound()
            case _:
                return self.elements(e, within)

    def arguments(self, call: ir.Call, within: Function, sizes: Mapping[str, Bound]) -> Sizes:
        """What stands for the parameters of a helper, at one call."""
        params = self.helpers[call.function].params
        return {
            given(call.function, p.name): self.size(value, within, sizes)
            for p, value in zip(params, call.args, strict=True)
            if holds_sets(p.type)
        }

    def gone_over(self, source: ir.Source, within: Function, sizes: Mapping[str, Bound]) -> Bound:
        """The most iterations of a loop over the source."""
        match source:
            case ir.OverValue(value=value) if isinstance(value.type, SetType):
                return self.size(value, within, sizes)
            case _:
                return self.rounds(source, within)


class _Following:
    """Goes through one function; `most` and `result` are what it found."""

    def __init__(self, all_sizes: SetSizes, f: Function) -> None:
        self.all = all_sizes
        self.function = f
        self.most: Sizes = {
            p.name: Bound.elements(given(f.name, p.name)) for p in f.params if holds_sets(p.type)
        }
        self.result = Bound()
        self.sets = {name for name, t in f.locals if holds_sets(t)} | set(self.most)
        self.jumps: list[Sizes] = []  # of each loop around: what locals had at its `break` and `continue`
        self.visits = 0
        if self.sets or holds_sets(f.returns):
            self.block(f.body, dict(self.most))
        if self.visits > _VISITS:
            self.most = {name: Bound.of(HUGE) for name in self.sets}
            self.result = Bound.of(HUGE)

    def size(self, e: Expr, sizes: Sizes) -> Bound:
        return self.all.size(e, self.function, sizes)

    def block(self, block: ir.Block, sizes: Sizes) -> Sizes:
        """The sizes behind the block, from those before it."""
        self.visits += 1
        if self.visits > _VISITS:
            return sizes
        for s in block:
            sizes = self.statement(s, sizes)
        return sizes

    def statement(self, s: ir.Stmt, sizes: Sizes) -> Sizes:
        self.note_names_within(s, sizes)
        match s:
            case ir.Let(name=name, value=value):
                return self.assigned(sizes, {name: self.size(value, sizes)} if name in self.sets else {})
            case ir.If(then=then, orelse=orelse):
                return _joined(self.block(then, sizes), self.block(orelse, sizes))
            case ir.Switch(subject=subject, cases=cases):
                after = sizes
                for case in cases:
                    names = [n.name for n in walk(case.pattern) if isinstance(n, ir.MatchAny)]
                    bound = {n: self.size(subject, sizes) for n in names if n in self.sets}
                    after = _joined(after, self.block(case.body, self.assigned(sizes, bound)))
                return after
            case ir.For(source=source, body=body):
                return self.loop(self.all.gone_over(source, self.function, sizes), body, sizes)
            case ir.Break() | ir.Continue():
                self.jumps[-1] = _joined(self.jumps[-1], sizes)
                return sizes
            case ir.Return(value=value):
                if value is not None and holds_sets(value.type):
                    self.result |= capped(self.size(value, sizes))
                return sizes
            case ir.Store() | ir.Update() | ir.Remove() | ir.Do() | ir.Pass():
                return sizes
            case _:
                assert_never(s)

    def note_names_within(self, s: ir.Stmt, sizes: Sizes) -> None:
        """Sets that have a name within an expression only."""
        for e in _expressions(s):
            for node in walk(e):
                if isinstance(node, ir.LetIn) and node.name in self.sets:
                    sizes = self.assigned(sizes, {node.name: self.size(node.value, sizes)})

    def assigned(self, sizes: Sizes, new: Sizes) -> Sizes:
        new = {name: capped(size) for name, size in new.items()}
        self.most = _joined(self.most, new)
        return {**sizes, **new}

    # ------------------------------------------------------------ loops

    def loop(self, rounds: Bound, body: ir.Block, sizes: Sizes) -> Sizes:
        """Behind a loop: as before it, or as after any of its rounds."""
        if rounds.known == 0:
            return sizes
        if rounds.known == 1:
            return _joined(sizes, self.round(body, sizes))
        of_round = f"round {len(self.jumps)}"
        growth = self.growth(rounds, body, sizes, of_round)
        if growth is None:
            return self.unrolled(rounds, body, sizes)
        start, step = growth
        last = rounds + Bound({(): -1})
        before, self.most, result, self.result = self.most, {}, self.result, Bound()
        after = self.round(body, _sum(start, _times(step, Bound.elements(of_round))))
        self.most = _joined(before, _at(of_round, last, self.most))
        self.result = result | self.result.with_sizes({of_round: last})
        return _joined(sizes, _at(of_round, last, after))

    def growth(
        self, rounds: Bound, body: ir.Block, sizes: Sizes, of_round: str
    ) -> tuple[Sizes, Sizes] | None:
        """Sizes from which on each iteration adds at most a constant step, and that step; None if none is found."""
        most, result = self.most, self.result
        try:
            first = _joined(sizes, self.round(body, sizes))
            step = _missing(self.round(body, first), first)
            start = _joined(sizes, _missing(first, step))
            for _ in range(len(self.sets) + 1):
                at_round = _sum(start, _times(step, Bound.elements(of_round)))
                wanted = _sum(at_round, step)
                found = self.round(body, at_round)
                missing = _at(of_round, rounds, _missing(found, wanted))
                more = _missing(missing, _constant(of_round, _missing(wanted, found)))
                if not more:
                    return start, step
                step = _sum(step, more)
            return None
        finally:
            self.most, self.result = most, result

    def unrolled(self, rounds: Bound, body: ir.Block, sizes: Sizes) -> Sizes:
        """Behind a loop whose rounds multiply what there is."""
        known = rounds.known
        if known is None or known > _UNROLLED:
            huge = {name: Bound.of(HUGE) for name in self.sets}
            return _joined(huge, self.round(body, huge))
        for _ in range(known):
            sizes = _joined(sizes, self.round(body, sizes))
        return sizes

    def round(self, body: ir.Block, sizes: Sizes) -> Sizes:
        self.jumps.append({})
        after = self.block(body, sizes)
        return _joined(after, self.jumps.pop())


def _expressions(s: ir.Stmt) -> Iterable[Node]:
    """Those that a statement evaluates itself."""
    match s:
        case ir.If(cond=cond):
            return [cond]
        case ir.Switch(subject=subject, cases=cases):
            return [subject, *(case.guard for case in cases if case.guard is not None)]
        case ir.For(source=source):
            return [source]
        case _:
            return [s]


def _joined(a: Sizes, b: Sizes) -> Sizes:
    return {name: a.get(name, Bound()) | b.get(name, Bound()) for name in {**a, **b}}


def _sum(a: Sizes, b: Sizes) -> Sizes:
    return {name: capped(a.get(name, Bound()) + b.get(name, Bound())) for name in {**a, **b}}


def _times(a: Sizes, factor: Bound) -> Sizes:
    return {name: size * factor for name, size in a.items()}


def _at(of_round: str, number: Bound, a: Sizes) -> Sizes:
    """The sizes in the round of that number."""
    return {name: size.with_sizes({of_round: number}) for name, size in a.items()}


def _constant(of_round: str, a: Sizes) -> Sizes:
    """What of the sizes is the same in every round."""
    return {
        name: Bound({names: n for names, n in size.terms.items() if of_round not in names})
        for name, size in a.items()
    }


def _missing(a: Sizes, b: Sizes) -> Sizes:
    """What `b` lacks to be at least as large as `a`."""
    found = {name: size - b.get(name, Bound()) for name, size in a.items()}
    return {name: size for name, size in found.items() if size.terms}
