# SPDX-License-Identifier: Apache-2.0
"""Which inputs give another result in another version of a policy, with an example of each kind of difference.  Both
versions start from the same state, as far as they share it: a field that only one version has starts as declared, and a
parameter whose default changed has each version's own.  If calls change a field that only one version has, the versions
are also compared with any content in it.  A kind of difference is a hook with the two verdicts; other kinds are a
different content of the same verdict, different assignments to outside data, different reports, and a different state
afterwards.  If no difference exists, that is a proof: by induction both versions then do the same for every sequence of
calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from transect.analysis import fold
from transect.analysis.allowance import Spent, allowed
from transect.analysis.concrete import Reader, instance_of
from transect.analysis.did import Doing, ModelTape, told
from transect.analysis.evaluate import Evaluator, initial, start
from transect.analysis.prove import argument, shown
from transect.analysis.running import LimitedRun
from transect.analysis.shown import changes, snapshot
from transect.analysis.small import attempts, parameters
from transect.analysis.smaller import smallest
from transect.analysis.solve import CORRECTIONS, LIMIT, Answer, Question
from transect.analysis.state import Held, Path, Result, Table, said_same, same_held
from transect.analysis.terms import FALSE, Term
from transect.analysis.values import Option, Union, Unsupported, Value, same
from transect.analysis.views import Outside
from transect.analysis.world import World
from transect.core import ir
from transect.core.effects import Effects, Facts
from transect.core.ir import FieldKind, Program
from transect.core.types import TableType, ViewType
from transect.core.values import is_struct, normal, struct_name

STATE = "self"


@dataclass(frozen=True)
class Example:
    """Inputs, and what either version makes of them."""

    state: dict[str, object]
    args: dict[str, str]
    facts: str  # the time and the draws that either version asked for
    old: str
    new: str
    kind: tuple[object, ...] = field(default=(), compare=False)  # verdicts, and what else differs


@dataclass(frozen=True)
class Change:
    """One kind of difference."""

    hook: str
    kind: str  # "Forward becomes Reject"
    old: ir.Function
    new: ir.Function
    example: Example


@dataclass(frozen=True)
class Difference:
    changes: list[Change]
    open: list[str]  # what could not be decided

    @property
    def same(self) -> bool:
        return not self.changes and not self.open


def diff(
    old: Program, new: Program, world: Callable[[str], World] = World, limit: float = LIMIT
) -> Difference:
    """Every kind of difference between two versions.

    `limit`: seconds of processor time to evaluate a hook in both versions, and again for each kind of difference.
    """
    changes: list[Change] = []
    left: list[str] = []
    for before, after in _handlers(old, new):
        compared = _Compared(old, new, before, after, world(before.name), limit)
        try:
            changes += compared.changes(left)
        except (Unsupported, Spent) as why:
            left.append(f"`{before.name}`: not evaluated: {why}")
    return Difference(changes, left)


def _handlers(old: Program, new: Program) -> Iterator[tuple[ir.Function, ir.Function]]:
    for before in old.handlers:
        after = new.handler(before.name)
        if after is not None and not (before.default and after.default):
            yield before, after


Kind = tuple[str, Term]  # what differs, and where


class _Compared:
    """One hook of both versions."""

    def __init__(
        self, old: Program, new: Program, before: ir.Function, after: ir.Function, world: World, limit: float
    ) -> None:
        self.programs = (old, new)
        self.handlers = (before, after)
        self.world = world
        self.limit = limit

    def changes(self, left: list[str]) -> list[Change]:
        open_before = len(left)
        found = []
        for kind, where in self._begin(frozenset()):
            if where is FALSE:
                continue
            change = self._example(kind, where, left)
            if change is not None:
                found.append(change)
        if not found and len(left) == open_before and self.changing:
            left += self._later(self._begin(self.changing))
        if not found:
            left += [f"`{self.handlers[0].name}`: {why}" for why in self.world.unseen(*self._effects())]
        return found

    def _effects(self) -> tuple[Effects, Effects]:
        old, new = (Facts(p).of(h) for p, h in zip(self.programs, self.handlers, strict=True))
        return old, new

    def _begin(self, any_content: frozenset[str]) -> list[Kind]:
        """Both versions start alike; fields that only one has are as declared, except that those in `any_content` may
        hold anything.  Raises `Unsupported`, `Spent`.
        """
        with allowed(self.limit):
            self.starts = self._starts(any_content)
            self.results = [self._result(n) for n in range(2)]
            return list(self.kinds())

    @cached_property
    def changing(self) -> frozenset[str]:
        """Fields that only one version has and that calls change, so that they are as declared only at first."""
        return frozenset(
            name
            for number, program in enumerate(self.programs)
            for h in program.handlers
            for name in (Facts(program).of(h).written_fields if not h.default else ())
            if self._own(name, number)
        )

    def _later(self, kinds: Sequence[Kind]) -> Iterator[str]:
        """The kinds of difference that are not decided once calls have changed a field that only one version has."""
        names = ", ".join(f"`{name}`" for name in sorted(self.changing))
        for kind, where in kinds:
            if where is not FALSE and not self._never(where):
                yield f"`{self.handlers[0].name}`, {kind}: none while {names} is as declared; later calls may differ"

    def _never(self, where: Term) -> bool:
        """Whether it is proved that no input reaches this."""
        try:
            with allowed(self.limit):
                found = Question([where], self.world.assumptions, limit=self.limit).ask()
        except Spent:
            return False
        return found.answer is Answer.NEVER

    def _result(self, number: int) -> Result:
        handler = self.handlers[number]
        args: list[Value] = [
            argument(ir.Param(name, p.type, p.span), self.world)
            for name, p in zip(self.names, handler.params, strict=True)
        ]
        return Evaluator(self.programs[number], self.world).handler(handler.name, args, self.starts[number])

    @property
    def names(self) -> list[str]:
        """One name for each parameter, whatever the versions call it."""
        return [p.name for p in self.handlers[0].params]

    # ------------------------------------------------------------ where both start

    def _starts(self, any_content: frozenset[str]) -> tuple[Path, Path]:
        paths = (start(self.programs[0], STATE, self.world), start(self.programs[1], STATE, self.world))
        for number, program in enumerate(self.programs):
            others = {f.name: f for f in self.programs[1 - number].state}
            for f in program.state:
                other = others.get(f.name)
                shared = other is not None and other.type == f.type and other.kind is f.kind
                own_default = (
                    shared and f.kind is FieldKind.PARAM and other is not None and other.default != f.default
                )
                if f.name in any_content:
                    self._anything(paths[number], f, number)
                elif not shared or own_default:
                    self._as_declared(paths[number], f, number)
        return paths

    def _anything(self, path: Path, f: ir.StateField, number: int) -> None:
        own = start(replace(self.programs[number], state=(f,)), f"new{number}", self.world)
        path.fields |= own.fields
        path.locals |= own.locals

    def _as_declared(self, path: Path, f: ir.StateField, number: int) -> None:
        if f.kind is FieldKind.LOCAL:
            path.locals[f.name] = initial(f)
        elif isinstance(f.type, TableType):
            t = f.type
            path.fields[f.name] = Table(
                f"new{number}.{f.name}", t.key, t.value, t.kind, t.capacity, empty=True
            )
        elif f.default is not None:
            path.fields[f.name] = initial(f)

    # ------------------------------------------------------------ kinds

    def kinds(self) -> Iterator[Kind]:
        old, new = (r.value for r in self.results)
        yield from _verdicts(old, new)
        yield "other assignments to outside data", fold.negate(self._outside())
        yield (
            "other things said or done",
            fold.negate(said_same(self.results[0].path.said, self.results[1].path.said)),
        )
        yield "another state left", fold.negate(self._states())

    def _outside(self) -> Term:
        a, b = (r.path.outside for r in self.results)
        return fold.both(
            *(same_held(self._held(a, place), self._held(b, place)) for place in sorted({*a, *b}))
        )

    def _held(self, outside: dict[str, Held], place: str) -> Held:
        return outside[place] if place in outside else self.world.first(place)

    def _states(self) -> Term:
        a, b = (r.path for r in self.results)
        parts = []
        for name in a.fields:
            if name in b.fields and self._shared(name):
                parts.append(_same_field(a.fields[name], b.fields[name]))
        parts += [
            same(value, b.locals[name])
            for name, value in a.locals.items()
            if name in b.locals and self._shared(name)
        ]
        return fold.both(*parts)

    def _shared(self, name: str) -> bool:
        old, new = (next((f for f in p.state if f.name == name), None) for p in self.programs)
        return old is not None and new is not None and old.type == new.type and old.kind is new.kind

    # ------------------------------------------------------------ examples

    def _example(self, kind: str, where: Term, left: list[str]) -> Change | None:
        try:
            with allowed(self.limit):
                found = self._found(kind, where)
        except Spent as spent:
            found = str(spent)
        if isinstance(found, str):
            left.append(
                f"`{self.handlers[0].name}`, {kind}: {found}{self._unfollowed()}{self.world.unsure()}"
            )
            return None
        return found

    def _unfollowed(self) -> str:
        """The expressions because of which there may be no answer, and what to do instead; "" if all were followed."""
        parts = [f"{words} ({span.path}:{span.line})" for span, words in self.world.unfollowed.items()]
        if not parts:
            return ""
        return (
            f"; any value is taken for {', '.join(parts)}. Run both to see what comes of it: in a simulator, or "
            "on recorded calls by `transect replay LOG NEW`"
        )

    def _found(self, kind: str, where: Term) -> Change | str | None:
        """A difference of the kind; None: there is none; a text: why that is not known.  Raises `Spent`."""
        why = "no proof that there is none, and no input that shows it when it is run"
        for attempt in attempts([(STATE, self.programs[1])], [where], self.world, self.limit):
            found = Question(
                [where, *attempt.more],
                self.world.assumptions,
                attempt.exact,
                attempt.exact,
                attempt.seconds,
                corrections=CORRECTIONS,
                plain=bool(attempt.more),
            ).ask()
            if found.answer is Answer.NEVER and not attempt.more:
                return None
            if found.answer is Answer.UNKNOWN:
                why = f"the solver gave up ({found.why})"
            if found.model is not None:
                reader = Reader(found.model, [where, *self.world.assumptions])
                first = self._run(reader) if reader.computed().of(where) is not FALSE else None
                if first is not None:
                    return Change(
                        self.handlers[0].name, kind, *self.handlers, self._smallest(reader, where, first)
                    )
        return why

    def _smallest(self, reader: Reader, where: Term, first: Example) -> Example:
        """The example, made smaller as long as it is of the same kind."""

        def again() -> Example | None:
            found = self._run(reader) if reader.computed().of(where) is not FALSE else None
            return found if found is not None and found.kind == first.kind else None

        declared = parameters(STATE, self.programs[0])
        return smallest(reader, self.world.assumptions, first, again, declared)

    def _run(self, reader: Reader) -> Example | None:
        """Both versions on the inputs; None when they come to the same."""
        state = reader.state(self.programs[0], STATE) | reader.state(self.programs[1], STATE)
        given = [self._args(reader, n) for n in range(2)]
        tapes = [ModelTape(reader, self.world.tape) for _ in range(2)]
        runs = [self._end(reader, state, n, given[n], tapes[n]) for n in range(2)]
        for a, b in zip(*given, strict=True):
            if isinstance(a, Outside) and isinstance(
                b, Outside
            ):  # a field that only one version has read is no difference
                for view in (a, b):
                    view.see({*a.known(), *b.known()})
        ends = [(run[0], list(map(repr, args)), *run[1:]) for run, args in zip(runs, given, strict=True)]
        if normal(ends[0]) == normal(ends[1]):
            return None
        args = self._args(reader, 0)
        return Example(
            state,
            {n: shown(arg) for n, arg in zip(self.names, args, strict=True)} | dict(self.world.told(reader)),
            told(tapes),
            _shown(ends[0], ends[1]),
            _shown(ends[1], ends[0]),
            (
                *(type_name(end[0]) for end in ends),
                *(a == b for a, b in zip(*map(normal, ends), strict=True)),
            ),
        )

    def _args(self, reader: Reader, number: int) -> list[Any]:
        program = self.programs[number]
        return [
            self.world.outside(reader, program, p.type, name)
            if isinstance(p.type, ViewType)
            else reader.input(p.type, name)
            for name, p in zip(self.names, self.handlers[number].params, strict=True)
        ]

    def _end(
        self, reader: Reader, state: dict[str, object], number: int, args: list[Any], tape: ModelTape
    ) -> tuple[Any, list[str], dict[str, object]]:
        """The verdict, what was said and done, and the state left."""
        program = self.programs[number]
        fields = {f.name for f in program.state if self._own(f.name, number)}
        instance = instance_of(program, {k: v for k, v in state.items() if k not in fields})
        locals: dict[str, object] = {
            f.name: reader.input(f.type, f"{STATE}.{f.name}")
            for f in program.state
            if f.kind is FieldKind.LOCAL and f.name not in fields
        }
        instance.state.update(self.world.kept(reader, program, STATE))
        doing = Doing(reader, program, self.world)
        run = LimitedRun(instance, tape, locals, doing.functions)
        verdict = run.call(self.handlers[number], args)
        left = snapshot({n: v for n, v in instance.state.items() if self._shared(n) and n not in fields})
        held = snapshot({n: v for n, v in locals.items() if self._shared(n)})
        return verdict, doing.done, left | held

    def _own(self, name: str, number: int) -> bool:
        """Whether the field starts in this version as declared."""
        if not self._shared(name):
            return True
        f, other = self.programs[number].field(name), self.programs[1 - number].field(name)
        return f.kind is FieldKind.PARAM and other.default != f.default


def _verdicts(old: Value, new: Value) -> Iterator[Kind]:
    match old, new:
        case Union(cases=a), Union(cases=b):
            for x in a:
                for y in b:
                    both_are = fold.both(old.guard(x), new.guard(y))
                    if x != y:
                        yield f"{x} becomes {y}", both_are
                    else:
                        other = fold.negate(same(a[x][1], b[x][1]))
                        yield f"another {x}", fold.both(both_are, other)
        case Option(present=p, value=x), Option(present=q, value=y):
            yield "nothing becomes something", fold.both(fold.negate(p), q)
            yield "something becomes nothing", fold.both(p, fold.negate(q))
            if x is not None and y is not None:
                yield "another result", fold.both(p, q, fold.negate(same(x, y)))
        case None, None:
            return
        case _:
            yield "another result", fold.negate(same(old, new))


def _same_field(a: Held, b: Held) -> Term:
    parts = [same_held(a, b)]
    if isinstance(a, Table) and isinstance(b, Table):
        parts += [
            fold.equal(a.size, b.size),
            fold.equal(a.overflow, b.overflow),
            fold.equal(a.order, b.order),
        ]
    return fold.both(*parts)


def type_name(verdict: Any) -> str:
    """The kind of a result."""
    return struct_name(verdict) if is_struct(verdict) else str(verdict is None)


def _shown(end: Sequence[Any], other: Sequence[Any]) -> str:
    """A verdict, and everything else that differs from the other version."""
    verdict, args, said, state = end
    parts = [repr(verdict)]
    parts += [f"passes on {a}" for a, b in zip(args, other[1], strict=True) if a != b]
    parts += said if said != other[2] else []
    parts += [f"leaves {place} = {held}" for place, held in changes(other[3], state).items()]
    return "; ".join(parts)
