# SPDX-License-Identifier: Apache-2.0
"""A policy on the interpreter, watched: which lines a call takes, what it reads there, what becomes of the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transect.base.span import NOWHERE, Span, lines_of
from transect.control.readings import shown
from transect.core import ir, tables
from transect.core.effects import Facts
from transect.core.interp import Frame, Run, Signal, look_up
from transect.core.ir import Effect, FieldKind, Program, TableRead
from transect.core.param_text import spelled
from transect.core.types import (
    ArrayType,
    BoolType,
    DictType,
    SeqType,
    SetType,
    TableType,
    Type,
    UnionType,
    UnitType,
    ViewType,
)
from transect.lang.tape import Tape, current
from transect.replay.compare import Functions, TracedInstance

MOST = 12  # values of one line, and members of one list, that are shown
GONE = "nothing"  # an entry that is not there

NameOf = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression was, as a person reads it."""

    what: str  # `self.level`, `served[alice]`, `rpc.msg.user`
    value: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the policy that a call took."""

    path: str
    number: int
    text: str
    values: tuple[Value, ...]
    more: int  # values that are left out


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the state that is not as it was."""

    place: str
    before: str
    after: str


class Watch:
    """One call under way."""

    def __init__(self, sources: Mapping[str, str], name_of: NameOf) -> None:
        self._lines = {path: lines_of(text) for path, text in sources.items()}
        self._name_of = name_of
        self._taken: dict[tuple[str, int], dict[Value, None]] = {}
        self._at: tuple[str, int] | None = None

    def enter(self, span: Span) -> tuple[str, int] | None:
        """A statement begins; where the one around it stands."""
        before = self._at
        if span != NOWHERE:
            self._at = (span.path, span.line)
            self._taken.setdefault(self._at, {})
        return before

    def leave(self, before: tuple[str, int] | None) -> None:
        self._at = before

    def saw(self, what: str, value: object, t: Type) -> None:
        if self._at is not None and what:
            self._taken[self._at].setdefault(Value(what, self.shown(value, t)))

    def text(self, span: Span) -> str:
        """Of an expression that stands on one line; empty: of another one."""
        lines = self._lines.get(span.path, [])
        if span.line != span.end_line or not 0 < span.line <= len(lines):
            return ""
        return lines[span.line - 1][span.column : span.end_column]

    def shown(self, value: object, t: Type) -> str:
        return shown_value(value, t, self._name_of)

    def lines(self) -> tuple[Line, ...]:
        return tuple(self._line(*at, tuple(values)) for at, values in self._taken.items())

    def _line(self, path: str, number: int, values: tuple[Value, ...]) -> Line:
        lines = self._lines.get(path, [])
        text = lines[number - 1].rstrip() if 0 < number <= len(lines) else ""
        return Line(path, number, text, values[:MOST], max(len(values) - MOST, 0))


class _WatchedRun(Run):
    watch: Watch

    def execute(self, s: ir.Stmt, frame: Frame) -> Signal | None:
        before = self.watch.enter(s.span)
        try:
            ended = super().execute(s, frame)
        finally:
            self.watch.leave(before)
        return ended

    def evaluate(self, e: ir.Expr, frame: Frame) -> Any:
        if isinstance(e, ir.Lookup):
            return self._looked_up(e, frame)
        value = super().evaluate(e, frame)
        if self._tells(e):
            self.watch.saw(self.watch.text(e.span) or _name(e), value, e.type)
        return value

    def _looked_up(self, e: ir.Lookup, frame: Frame) -> Any:
        args = [self.evaluate(a, frame) for a in e.args]
        table = self.many(e.field)
        value = look_up(e.op, table, args)
        keys = [self.watch.shown(arg, a.type) for arg, a in zip(args, e.args, strict=True)]
        self.watch.saw(_question(e.op, e.field, keys), value, e.type)
        return value

    def _tells(self, e: ir.Expr) -> bool:
        """Whether the value comes from outside the handler, or decides where it goes."""
        match e:
            case ir.State() | ir.Compare() | ir.Contains():
                return True
            case ir.ViewField(type=t):
                return not isinstance(t, ViewType)
            case ir.Intrinsic(name=name):
                declared = self.instance.intrinsics.get(name)
                told = declared is None and name in _TOLD
                return told or (declared is not None and declared.effect in _OUTSIDE)
            case _:
                return False


_TOLD = ("now", "rand", "rand_below", "startswith", "endswith", "parse_int", "hash64")
_OUTSIDE = (Effect.CLOCK, Effect.RANDOM, Effect.OUTSIDE_READ)


def _name(e: ir.Expr) -> str:
    """Of an expression whose text is not at hand."""
    match e:
        case ir.State(field=name) | ir.ViewField(name=name) | ir.Intrinsic(name=name):
            return name
        case _:
            return ""


def _question(op: TableRead, table: str, keys: Sequence[str]) -> str:
    match op:
        case TableRead.AT | TableRead.GET | TableRead.GET_OR | TableRead.TOTAL:
            return f"{table}[{keys[0]}]"
        case TableRead.HAS:
            return f"{keys[0]} in {table}"
        case TableRead.LEN:
            return f"len({table})"
        case _:
            return f"{table}.{op}({', '.join(keys)})"


class WatchedInstance(TracedInstance):
    """The interpreter; calls are watched while `watch` is there."""

    watch: Watch | None = None

    def call(
        self,
        hook: str,
        args: Sequence[object],
        *,
        tape: Tape | None = None,
        locals: MutableMapping[str, object] | None = None,
        functions: Functions | None = None,
    ) -> Any:
        if self.watch is None:
            return super().call(hook, args, tape=tape, locals=locals, functions=functions)
        run = _WatchedRun(self, tape or current(), {} if locals is None else locals, functions or {})
        run.watch = self.watch
        return run.call(self.handlers[hook], args)


# ---------------------------------------------------------------- state


@dataclass(slots=True)
class Snapshot:
    """What the fields hold that a handler may write, in words."""

    program: Program
    name_of: NameOf
    places: dict[str, str] = field(default_factory=dict)

    def take(self, hook: str, instance: WatchedInstance, kept: Mapping[str, object]) -> Snapshot:
        """`kept`: the request's own."""
        handler = self.program.handler(hook)
        assert handler is not None, f"{self.program.name} has no {hook}"
        written = Facts(self.program).of(handler).written_fields
        for f in self.program.state:
            if f.name not in written or f.kind is FieldKind.GIVEN:
                continue
            held = kept.get(f.name) if f.kind is FieldKind.LOCAL else instance.state[f.name]
            if held is not None or f.kind is not FieldKind.LOCAL:
                self.places |= dict(self._places(f.name, held, f.type))
        return self

    def _places(self, name: str, held: object, t: Type) -> Iterator[tuple[str, str]]:
        match held, t:
            case tables.Table(), TableType(key=key, value=value):
                for k, v in held.entries():
                    yield f"{name}[{self._shown(k, key)}]", self._shown(v, value)
            case tables.Array(), ArrayType(item=item):
                for index in range(len(held)):
                    yield f"{name}[{index}]", self._shown(held[index], item)
            case tables.Counter(), _:
                yield name, str(held.value)
            case tables.Histogram(), _:
                yield name, shown(repr(held))
            case _:
                yield name, self._shown(held, t)

    def _shown(self, value: object, t: Type) -> str:
        return shown_value(value, t, self.name_of)

    def changes(self, after: Snapshot) -> tuple[Change, ...]:
        """What is not as it was."""
        names = dict.fromkeys((*self.places, *after.places))
        pairs = ((n, self.places.get(n, GONE), after.places.get(n, GONE)) for n in names)
        return tuple(Change(name, was, now) for name, was, now in pairs if was != now)


# ---------------------------------------------------------------- values


def shown_value(value: object, t: Type, name_of: NameOf) -> str:
    """As a person reads it, on one line of bounded length."""
    return shown(_said(value, t, name_of))


def _said(value: Any, t: Type, name_of: NameOf) -> str:
    match t:
        case SeqType(item=item) | SetType(item=item):
            return _several([_said(v, item, name_of) for v in list(value)[:MOST]], len(value))
        case DictType(key=key, value=item):
            pairs = [
                f"{_said(k, key, name_of)}: {_said(v, item, name_of)}" for k, v in [*value.items()][:MOST]
            ]
            return _several(pairs, len(value))
        case BoolType():
            return "true" if value else "false"
        case UnitType() | UnionType():
            return repr(value)
        case _:
            return spelled(value, t, name_of)


def _several(items: Sequence[str], count: int) -> str:
    more = f", … {count - len(items)} more" if count > len(items) else ""
    return f"{', '.join(items)}{more}" or "nobody"
