# SPDX-License-Identifier: Apache-2.0
"""A handler over all inputs at once: branches are evaluated on both sides and joined, so that the work grows with the
length of the handler and not with the number of its paths.

It follows `core/interp.py` case by case on the flat form, where operands are pure and each effect is one statement.
What it does not know raises `Unsupported`; nothing is approximated but by unknown functions (`summary.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import assert_never

from transect.analysis import fold
from transect.analysis.allowance import tick
from transect.analysis.expressions import Expressions
from transect.analysis.state import End, Held, Path, Result, Table, Way, fresh_table, join_paths, unknown
from transect.analysis.summary import summarised_loop
from transect.analysis.terms import FALSE, TRUE, Op, Sort, Term, function, integer, var
from transect.analysis.values import (
    Option,
    Struct,
    Tuple,
    Union,
    Unsupported,
    Value,
    constant,
    join,
    made,
    replaced,
    stored,
)
from transect.analysis.world import World
from transect.core import ir
from transect.core.ir import FieldKind, Program, Stage
from transect.core.passes.flatten import flatten
from transect.core.types import (
    INT,
    ArrayType,
    CounterType,
    HistogramType,
    OptionType,
    StructType,
    TableType,
    Type,
)
from transect.core.values import zero


class Evaluator(Expressions):
    """Evaluates the functions of one program in one world."""

    def __init__(self, program: Program, world: World) -> None:
        super().__init__(flat(program), world)

    # ------------------------------------------------------------ calls

    def handler(self, name: str, args: Sequence[Value], path: Path) -> Result:
        """One call of a hook, from the state that `path` holds; `path` itself does not change."""
        handler = self.program.handler(name)
        assert handler is not None, f"{self.program.name} has no {name}"
        start = path.copy()
        start.draws = integer(0)
        return self.call(handler, args, start)

    def call(self, called: ir.Function, args: Sequence[Value], path: Path) -> Result:
        outer = path.frame
        path.frame = dict(zip((p.name for p in called.params), args, strict=True))
        ends = self.block(called.body, path)
        result = self._joined([_returned(e, called.returns) for e in ends if e.way in (Way.RETURN, Way.ON)])
        result.path.frame = outer
        return result

    def _joined(self, ends: Sequence[End]) -> Result:
        """Join the ends of one call into one."""
        assert ends, "a function ends somewhere"
        last = ends[-1]
        value, path = last.value, last.path
        for end in reversed(ends[:-1]):
            value = join(end.guard, end.value, value)
            path = join_paths(end.guard, end.path, path, self.world.first)
        return Result(value, path)

    # ------------------------------------------------------------ statements

    def block(self, block: ir.Block, path: Path) -> list[End]:
        """How the block may end; exactly one guard holds.  `path` is used up."""
        ended: list[End] = []
        alive = TRUE
        for s in block:
            on = None
            for end in self.statement(s, path):
                if end.way is Way.ON:
                    on = end
                else:
                    ended.append(End(end.way, fold.both(alive, end.guard), end.path, end.value))
            if on is None or on.guard is FALSE:
                return ended
            alive, path = fold.both(alive, on.guard), on.path
        return [*ended, End(Way.ON, alive, path)]

    def statement(self, s: ir.Stmt, path: Path) -> list[End]:
        """The ends of one statement; at most one goes on.  Raises `Unsupported`, `Spent`."""
        tick()
        try:
            return self._statement(s, path)
        except Unsupported as why:
            why.span = why.span or s.span
            raise

    def _statement(self, s: ir.Stmt, path: Path) -> list[End]:
        match s:
            case ir.Let(name=name, value=value):
                path.frame[name] = self.effect(value, path)
            case ir.Store(place=place, value=value):
                self.store(place, self.evaluate(value, path), path)
            case ir.Update():
                self.update(s, path)
            case ir.Remove(field=field, key=key):
                path.fields[field] = self.table(field, path).removed(self.evaluate(key, path))
            case ir.Do(value=value):
                self.effect(value, path)
            case ir.If(cond=cond, then=then, orelse=orelse):
                return self._branch(self.truth(cond, path), then, orelse, path)
            case ir.Switch():
                return self._switch(s, path)
            case ir.For():
                return self._loop(s, path)
            case ir.Break():
                return [End(Way.BREAK, TRUE, path)]
            case ir.Continue():
                return [End(Way.CONTINUE, TRUE, path)]
            case ir.Return(value=value):
                return [End(Way.RETURN, TRUE, path, None if value is None else self.evaluate(value, path))]
            case ir.Pass():
                pass
            case _:
                assert_never(s)
        return [End(Way.ON, TRUE, path)]

    def _branch(self, cond: Term, then: ir.Block, orelse: ir.Block, path: Path) -> list[End]:
        if cond is TRUE:
            return self.block(then, path)
        if cond is FALSE:
            return self.block(orelse, path)
        first = [(cond, end) for end in self.block(then, path.copy())]
        second = [(fold.negate(cond), end) for end in self.block(orelse, path)]
        return self._together([*first, *second])

    def _together(self, found: Iterable[tuple[Term, End]]) -> list[End]:
        """Join ends whose conditions exclude each other: those that go on become one."""
        out: list[End] = []
        on: End | None = None
        for cond, end in found:
            guard = fold.both(cond, end.guard)
            if guard is FALSE:
                continue
            if end.way is not Way.ON:
                out.append(End(end.way, guard, end.path, end.value))
            elif on is None:
                on = End(Way.ON, guard, end.path)
            else:
                joined = join_paths(on.guard, on.path, end.path, self.world.first)
                on = End(Way.ON, fold.either(on.guard, guard), joined)
        return out if on is None else [*out, on]

    def _switch(self, s: ir.Switch, path: Path) -> list[End]:
        subject = self.evaluate(s.subject, path)
        left, found = TRUE, []
        for case in s.cases:
            inner = path.copy()
            hit = self.matches(case.pattern, subject, inner.frame)
            if hit is FALSE:
                continue
            if case.guard is not None:
                hit = fold.both(hit, self.truth(case.guard, inner))
            cond = fold.both(left, hit)
            found += [(cond, end) for end in self.block(case.body, inner)]
            left = fold.both(left, fold.negate(hit))
            if left is FALSE:
                break
        return self._together([*found, (left, End(Way.ON, TRUE, path))])

    def matches(self, pattern: ir.Pattern, subject: Value, frame: dict[str, Value]) -> Term:
        """Whether the subject matches; what the pattern binds goes to the frame."""
        match pattern, subject:
            case ir.MatchAny(name=name), _:
                if name is not None:
                    frame[name] = subject
                return TRUE
            case ir.MatchConst(value=const), Option(present=present) if const.value is None:
                return fold.negate(present)
            case ir.MatchConst(value=const), Option(present=present, value=inner):
                if inner is None:
                    return FALSE
                return fold.both(present, self.equal(inner, constant(const.type, const.value)))
            case ir.MatchConst(value=const), _:
                return self.equal(subject, constant(const.type, const.value))
            case ir.MatchSome(inner=within), Option(present=present, value=inner):
                return FALSE if inner is None else fold.both(present, self.matches(within, inner, frame))
            case ir.MatchTuple(items=items), Tuple(items=parts):
                return fold.both(*(self.matches(p, v, frame) for p, v in zip(items, parts, strict=True)))
            case ir.MatchStruct(type=t, fields=fields), Struct(fields=parts) as held:
                if held.name != t.name:
                    return FALSE
                return fold.both(*(self.matches(p, parts[name], frame) for name, p in fields))
            case ir.MatchStruct(type=t, fields=fields), Union(cases=cases):
                if t.name not in cases:
                    return FALSE
                guard, held = cases[t.name]
                return fold.both(guard, *(self.matches(p, held.fields[name], frame) for name, p in fields))
            case ir.MatchOr(options=options), _:
                return fold.either(*(self.matches(p, subject, frame) for p in options))
            case _:
                raise Unsupported(f"a pattern over {type(subject).__name__}")

    # ------------------------------------------------------------ loops

    def _loop(self, s: ir.For, path: Path) -> list[End]:
        members = self.members(s.source, path)
        if members is None:
            return summarised_loop(self, s, path)
        out: list[End] = []
        alive = TRUE
        broken: list[tuple[Term, End]] = []
        for guard, item in members:
            ends = self._round(s, guard, item, path)
            on = None
            for end in ends:
                here = End(end.way, fold.both(alive, end.guard), end.path, end.value)
                if end.way is Way.RETURN:
                    out.append(here)
                elif end.way is Way.BREAK:
                    broken.append((here.guard, End(Way.ON, TRUE, end.path)))
                else:
                    on = here
            if on is None or on.guard is FALSE:
                return [*out, *self._together(broken)]
            alive, path = on.guard, on.path
        return [*out, *self._together([*broken, (alive, End(Way.ON, TRUE, path))])]

    def _round(self, s: ir.For, guard: Term, item: Value, path: Path) -> list[End]:
        """One iteration; its `continue` counts as going on."""
        inner = path.copy()
        self.bind(s.targets, item, inner.frame)
        ends = [
            End(Way.ON if e.way is Way.CONTINUE else e.way, e.guard, e.path, e.value)
            for e in self.block(s.body, inner)
        ]
        skipped = End(Way.ON, TRUE, path)
        return self._together([*((guard, end) for end in ends), (fold.negate(guard), skipped)])

    # ------------------------------------------------------------ writing

    def store(self, place: ir.Place, value: Value, path: Path) -> None:
        match place:
            case ir.StatePlace(field=field, path=within):
                self.write(field, replaced(self.read(field, path), within, value), path)
            case ir.EntryPlace(field=field, key=key, path=within):
                self.store_entry(field, self.evaluate(key, path), within, value, path)
            case ir.LocalPlace(name=name, path=within, type=t):
                path.frame[name] = replaced(path.frame[name], within, made(t, value))
            case ir.ViewPlace(base=base, name=name, type=t):
                self.world.write(path, self.view(base, path), name, t, value)
            case _:
                assert_never(place)

    def write(self, field: str, value: Value, path: Path) -> None:
        """Store a whole scalar or struct; one that does not fit leaves the old value and counts."""
        declared = self.fields[field]
        fits, new = stored(declared.type, value)
        after = join(fits, new, self.read(field, path))
        one = integer(1)
        more = fold.arithmetic(Op.ADD, path.overflow[field], one)
        path.overflow[field] = fold.ite(fits, path.overflow[field], more)
        if declared.kind is FieldKind.LOCAL:
            path.locals[field] = after
        else:
            path.fields[field] = after

    def store_entry(self, field: str, key: Value, within: tuple[str, ...], value: Value, path: Path) -> None:
        table = self.table(field, path)
        if within:
            value = replaced(table.get(key, self.world.assume), within, value)
        path.fields[field] = self.put(table, key, value)[1]

    def put(self, table: Table, key: Value, value: Value) -> tuple[Term, Table]:
        return table.put(key, value, self.world.assume)

    def update(self, s: ir.Update, path: Path) -> None:
        match s.place:
            case ir.StatePlace(field=field, path=within):
                value = self.evaluate(s.value, path)
                self._update_field(s, field, within, value, path)
            case ir.EntryPlace(field=field, key=key_of, path=within):
                key, value = self.evaluate(key_of, path), self.evaluate(s.value, path)
                table = self.table(field, path)
                old = self.at(self.entry(field, key, path), within)
                self.store_entry(field, key, within, self.operate(s, old, value), path)
                del table
            case ir.LocalPlace(name=name, path=within, type=t):
                value = self.evaluate(s.value, path)
                new = made(t, self.operate(s, self.at(path.frame[name], within), value))
                path.frame[name] = replaced(path.frame[name], within, new)
            case ir.ViewPlace(base=base_of, name=name, type=t):
                base, value = self.view(base_of, path), self.evaluate(s.value, path)
                old = self.world.read(path, base, name, t)
                self.world.write(path, base, name, t, self.operate(s, old, value))
            case _:
                assert_never(s.place)

    def _update_field(
        self, s: ir.Update, field: str, within: tuple[str, ...], value: Value, path: Path
    ) -> None:
        match self.fields[field].type:
            case CounterType():
                old = path.fields[field]
                assert isinstance(old, Term) and isinstance(value, Term), "a counter counts"
                path.fields[field] = fold.arithmetic(Op.ADD, old, value)
            case HistogramType():
                old = path.fields[field]
                assert isinstance(old, Term) and isinstance(value, Term), "a histogram counts"
                path.fields[field] = function("observe", Sort.OPAQUE, (old, value))
            case _:
                whole = self.read(field, path)
                self.write(
                    field, replaced(whole, within, self.operate(s, self.at(whole, within), value)), path
                )

    def operate(self, s: ir.Update, old: Value, value: Value) -> Value:
        return self.binary(s.op, s.place.type, s.place.type, old, value)

    @cached_property
    def functions(self) -> Mapping[str, ir.Function]:
        return {f.name: f for f in self.program.functions}


def _returned(end: End, t: Type) -> End:
    """The end with its value converted to type `t`; where nothing is returned, the option is empty."""
    return replace(end, value=Option(FALSE, None)) if end.value is None and isinstance(t, OptionType) else end


# ---------------------------------------------------------------- where an evaluation starts

_flat: dict[tuple[str, str], tuple[Program, Program]] = {}


def flat(program: Program) -> Program:
    """The flat form; made once for each program."""
    if program.stage is Stage.FLAT:
        return program
    key = (program.name, program.source_hash)
    known = _flat.get(key)
    if known is None or known[0] is not program:
        known = _flat[key] = (program, flatten(program))
    return known[1]


def start(program: Program, name: str, world: World, *, first_message: bool = False) -> Path:
    """Any state of the program, under this name; locals have any value, too, or their first values at a first
    message.
    """
    path = Path()
    for f in program.state:
        path_of = f"{name}.{f.name}"
        if f.kind is FieldKind.LOCAL:
            path.overflow[f.name] = var(f"{path_of}!", Sort.INT)
            path.locals[f.name] = initial(f) if first_message else unknown(path_of, f.type, world.assume)
            continue
        path.fields[f.name] = _unknown_field(f, path_of, world)
        path.overflow[f.name] = var(f"{path_of}!", Sort.INT)
    return path


def _unknown_field(f: ir.StateField, name: str, world: World) -> Held:
    if f.kind is FieldKind.GIVEN:
        return var(name, Sort.OPAQUE)
    match f.type:
        case TableType():
            return fresh_table(name, f.type, world.assume)
        case ArrayType(item=item, length=length):
            return Table(name, INT, item, None, length)
        case _:
            return unknown(name, f.type, world.assume)


def initial(f: ir.StateField) -> Value:
    """What a per-RPC local is at first: its default is made of constants."""
    if f.default is None:
        return constant(f.type, zero(f.type))
    return _constant_of(f.default)


def _constant_of(e: ir.Expr) -> Value:
    match e:
        case ir.Const(value=value, type=t):
            return constant(t, value)
        case ir.MakeStruct(values=parts, type=StructType() as t):
            return Struct(t.name, {f.name: _constant_of(v) for f, v in zip(t.fields, parts, strict=True)})
        case ir.MakeTuple(items=items):
            return Tuple(tuple(map(_constant_of, items)))
        case ir.Cast(value=value) | ir.Some(value=value):
            inner = _constant_of(value)
            return Option(TRUE, inner) if isinstance(e, ir.Some) else inner
        case _:
            raise Unsupported("a default that is no constant")
