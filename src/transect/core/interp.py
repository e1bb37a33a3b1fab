# SPDX-License-Identifier: Apache-2.0
"""The reference interpreter: what a policy means is what this does; every emitter is tested against it.

It walks the tree of a CHECKED or FLAT program.  Evaluation is left to right.  A plain assignment evaluates its value
before its target, as Python does; an augmented one evaluates its target (the key, once), then the value, and then reads
the old content.  What the front end proves (a look-up is dominated by a test, an index is in range) is checked at each
step and never repaired: a program that came as text may break a promise, which raises `Broken`.

Names are looked up in what the program declares: a member of a view, a method of one and a struct's field are never
asked for by a name that is not in these tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, assert_never

from transect.core import ir, tables, values
from transect.core.codec import Slot, decode_state, encode_state
from transect.core.ir import Effect, FieldKind, ReduceOp, Stage, TableRead
from transect.core.operations import binary, cast, compare, unary
from transect.core.rules import widened
from transect.core.stable import hash64
from transect.core.stratum_functions import provided
from transect.core.types import (
    FLOAT,
    U64,
    ArrayType,
    CounterType,
    DictType,
    HistogramType,
    StructType,
    TableType,
    Type,
    ViewType,
)
from transect.lang.tape import Tape, current

Frame = dict[str, Any]  # the locals of one function call
LONGEST = (
    16 << 20
)  # characters of a text that is put together: a program of a log may double one in each step of a loop


class Broken(Exception):
    """The program does something that the front end never lets through; the text says what."""


class Signal:
    """How a block was left before its end."""

    def __init__(self, value: Any = None) -> None:
        self.value = value


BREAK: Final = Signal()
CONTINUE: Final = Signal()

_storer = cache(values.storer)


@cache
def _made(t: Type) -> values.Storer | None:
    """What making a value of the type does: narrow integers within it truncate; texts are checked when stored."""
    return values.storer(t, check=False)


class Instance:
    """One copy of a policy's state, and the policy's hooks."""

    def __init__(self, program: ir.Program, params: Mapping[str, object] | None = None) -> None:
        assert program.stage in (Stage.CHECKED, Stage.FLAT), f"the interpreter got {program.stage.name}"
        self.program = program
        self.fields = {f.name: f for f in program.state}
        self.functions = {f.name: f for f in program.functions}
        self.handlers = {h.name: h for h in program.handlers}
        self.intrinsics = {d.name: d for d in program.intrinsics}
        self.members = {
            (view.name, m.name): attrgetter(_public(m.name)) for view in program.views for m in view.members
        }
        self.methods = {
            d.name: _public(d.name.rpartition(".")[2])
            for d in program.intrinsics
            if d.params and isinstance(d.params[0].type, ViewType)
        }
        self.state: dict[str, Any] = {
            f.name: self.initial(f) for f in program.state if f.kind is not FieldKind.LOCAL
        }
        self.overflow = {
            f.name: 0 for f in program.state if not isinstance(f.type, TableType | ArrayType)
        }  # of fields that hold one value
        for name, value in (params or {}).items():
            self.set_param(name, value)

    @property
    def waiting(self) -> list[Any]:
        """The keys of the waiting clients, oldest first; the caller maintains the list."""
        waiting: list[Any] = self.state["waiting"]
        return waiting

    def initial(self, f: ir.StateField) -> Any:
        """What a field holds at first."""
        if f.kind is FieldKind.GIVEN:
            return []
        match f.type:
            case TableType() | ArrayType() | CounterType() | HistogramType() as t:
                return tables.empty(t)
        if f.default is None:
            return values.zero(f.type)
        run = Run(self, current(), {}, {})
        return run.evaluate(f.default, {})

    def set_param(self, name: str, value: object) -> None:
        """Give a parameter another value, as an operator does."""
        f = self.fields[name]
        assert f.kind is FieldKind.PARAM, f"{name} is no parameter"
        store = _storer(f.type)
        stored = store(value) if store else value
        if stored is values.MISFIT:
            self.overflow[name] += 1
        else:
            self.state[name] = stored

    def overflows(self) -> dict[str, int]:
        """How many stores found no room, by field."""
        return {
            name: self.state[name].overflow
            if isinstance(f.type, TableType | ArrayType)
            else self.overflow[name]
            for name, f in self.fields.items()
            if f.kind in (FieldKind.STATE, FieldKind.PARAM)
        }

    def slots(self) -> dict[str, Slot]:
        """The state by field, as `codec` writes it."""
        return {name: Slot(self.state[name], count) for name, count in self.overflows().items()}

    def image(self) -> bytes:
        """The state as bytes."""
        return encode_state(self.program.state, self.slots())

    def load(self, image: bytes) -> None:
        """Take the state of an image of this program.  Raises `CodecError`, having changed nothing."""
        for name, slot in decode_state(self.program.state, image).items():
            held = self.state[name]
            match held:
                case tables.Table() | tables.Array():
                    held.load(slot.value, slot.overflow)
                    continue
                case tables.Counter():
                    held.value = slot.value
                case tables.Histogram():
                    held.buckets = slot.value
                case _:
                    self.state[name] = slot.value
            self.overflow[name] = slot.overflow

    def call(
        self,
        hook: str,
        args: Sequence[object],
        *,
        tape: Tape | None = None,
        locals: MutableMapping[str, object] | None = None,
        functions: Mapping[str, Callable[..., object]] | None = None,
    ) -> Any:
        """Run one hook.

        `locals` holds the `Local` fields of one RPC or task between its hooks; fresh when None.  `functions` are what
        the stratum's functions do, by full name; a view's methods are called on the view.
        """
        run = Run(self, tape or current(), {} if locals is None else locals, functions or {})
        return run.call(self.handlers[hook], args)


class Run:
    """One call of a hook."""

    def __init__(
        self,
        instance: Instance,
        tape: Tape,
        rpc_locals: MutableMapping[str, Any],
        functions: Mapping[str, Callable[..., object]],
    ) -> None:
        self.instance = instance
        self.tape = tape
        self.rpc_locals = rpc_locals
        self.functions = functions
        self._now: int | None = None

    # ---------------------------------------------------------------- functions and statements

    def call(self, function: ir.Function, args: Sequence[Any]) -> Any:
        frame = dict(zip((p.name for p in function.params), args, strict=True))
        ended = self.block(function.body, frame)
        assert ended not in (BREAK, CONTINUE), "the front end let a `break` out of its loop"
        return ended.value if ended else None

    def block(self, block: ir.Block, frame: Frame) -> Signal | None:
        for s in block:
            if (ended := self.execute(s, frame)) is not None:
                return ended
        return None

    def execute(self, s: ir.Stmt, frame: Frame) -> Signal | None:
        match s:
            case ir.Let(name=name, value=value):
                frame[name] = self.evaluate(value, frame)
            case ir.Store(place=place, value=value):
                self.store(place, self.evaluate(value, frame), frame)
            case ir.Update():
                self.update(s, frame)
            case ir.Remove(field=field, key=key):
                del self.many(field)[self.evaluate(key, frame)]
            case ir.Do(value=value):
                self.evaluate(value, frame)
            case ir.If(cond=cond, then=then, orelse=orelse):
                return self.block(then if self.evaluate(cond, frame) else orelse, frame)
            case ir.Switch():
                return self.switch(s, frame)
            case ir.For():
                return self.loop(s, frame)
            case ir.Break():
                return BREAK
            case ir.Continue():
                return CONTINUE
            case ir.Return(value=value):
                return Signal(None if value is None else self.evaluate(value, frame))
            case ir.Pass():
                pass
            case _:
                assert_never(s)
        return None

    def loop(self, s: ir.For, frame: Frame) -> Signal | None:
        for item in self.items(s.source, frame):
            bind(s.targets, item, frame)
            ended = self.block(s.body, frame)
            if ended is BREAK:
                break
            if ended is not None and ended is not CONTINUE:
                return ended
        return None

    def switch(self, s: ir.Switch, frame: Frame) -> Signal | None:
        subject = self.evaluate(s.subject, frame)
        for case in s.cases:
            bound = matched(case.pattern, subject)
            if bound is None:
                continue
            frame.update(bound)
            if case.guard is None or self.evaluate(case.guard, frame):
                return self.block(case.body, frame)
        return None

    # ---------------------------------------------------------------- state and places

    def many(self, field: str) -> Any:
        return self.instance.state[field]

    def read(self, field: str) -> Any:
        f = self.instance.fields[field]
        if f.kind is not FieldKind.LOCAL:
            return self.instance.state[field]
        if field not in self.rpc_locals:
            self.rpc_locals[field] = self.instance.initial(f)
        return self.rpc_locals[field]

    def write(self, field: str, value: Any) -> None:
        """Store a whole scalar or struct; one that does not fit leaves the old value."""
        f = self.instance.fields[field]
        store = _storer(f.type)
        stored = store(value) if store else value
        if stored is values.MISFIT:
            self.instance.overflow[field] += 1
        elif f.kind is FieldKind.LOCAL:
            self.rpc_locals[field] = stored
        else:
            self.instance.state[field] = stored

    def store(self, place: ir.Place, value: Any, frame: Frame) -> None:
        match place:
            case ir.StatePlace(field=field, path=path):
                self.write(field, values.replaced(self.read(field), path, value))
            case ir.EntryPlace(field=field, key=key, path=path):
                self.store_entry(field, self.evaluate(key, frame), path, value)
            case ir.LocalPlace(name=name, path=path, type=t):
                frame[name] = values.replaced(frame[name], path, made(t, value))
            case ir.ViewPlace(base=base, name=name, type=t):
                self.member(base, name)
                setattr(self.evaluate(base, frame), name, made(t, value))
            case _:
                assert_never(place)

    def store_entry(self, field: str, key: Any, path: tuple[str, ...], value: Any) -> None:
        if path:
            self.many(field).set_field(key, path, value)
        else:
            self.many(field)[key] = value

    def update(self, s: ir.Update, frame: Frame) -> None:
        def operate(old: Any, value: Any) -> Any:
            return binary(s.op, widened(s.place.type), old, value)

        match s.place:
            case ir.StatePlace(field=field, path=path):
                value = self.evaluate(s.value, frame)
                whole = self.read(field)
                if isinstance(whole, tables.Counter):
                    whole.add(value)
                elif isinstance(whole, tables.Histogram):
                    whole.observe(value)
                else:
                    self.write(field, values.replaced(whole, path, operate(at_path(whole, path), value)))
            case ir.EntryPlace(field=field, key=key_expr, path=path):
                key = self.evaluate(key_expr, frame)
                value = self.evaluate(s.value, frame)
                old = at_path(self.many(field)[key], path)
                self.store_entry(field, key, path, operate(old, value))
            case ir.LocalPlace(name=name, path=path, type=t):
                value = self.evaluate(s.value, frame)
                new = made(t, operate(at_path(frame[name], path), value))
                frame[name] = values.replaced(frame[name], path, new)
            case ir.ViewPlace(base=base_expr, name=name, type=t):
                base, read = self.evaluate(base_expr, frame), self.member(base_expr, name)
                value = self.evaluate(s.value, frame)
                setattr(base, name, made(t, operate(read(base), value)))
            case _:
                assert_never(s.place)

    # ---------------------------------------------------------------- expressions

    def evaluate(self, e: ir.Expr, frame: Frame) -> Any:
        match e:
            case ir.Const(value=value):
                return value
            case ir.Local(name=name):
                return frame[name]
            case ir.State(field=field):
                return self.read(field)
            case ir.Attr(base=base, name=name):
                return values.field_of(self.evaluate(base, frame), name)
            case ir.ViewField(base=base, name=name):
                return self.member(base, name)(self.evaluate(base, frame))
            case ir.Item(base=base, index=index):
                return self.evaluate(base, frame)[index]
            case ir.Lookup(op=op, field=field, args=args):
                return look_up(op, self.many(field), [self.evaluate(a, frame) for a in args])
            case ir.Unary(op=op, operand=operand, type=t):
                return unary(op, t, self.evaluate(operand, frame))
            case ir.Binary(op=op, left=left, right=right, type=t):
                return binary(op, t, self.evaluate(left, frame), self.evaluate(right, frame))
            case ir.Compare(op=op, left=left, right=right):
                return compare(op, self.evaluate(left, frame), self.evaluate(right, frame))
            case ir.Logic(conjunction=conjunction, left=left, right=right):
                return (
                    self.evaluate(right, frame)
                    if self.evaluate(left, frame) is conjunction
                    else not conjunction
                )
            case ir.Choose(cond=cond, then=then, orelse=orelse):
                return self.evaluate(then if self.evaluate(cond, frame) else orelse, frame)
            case ir.LetIn(name=name, value=value, body=body):
                frame[name] = self.evaluate(value, frame)
                return self.evaluate(body, frame)
            case ir.Cast(value=value, type=t):
                return cast(t, self.evaluate(value, frame))
            case ir.Some(value=value, type=t):
                return made(t, self.evaluate(value, frame))
            case ir.IsSome(value=value):
                return self.evaluate(value, frame) is not None
            case ir.Unwrap(value=value):
                return self.unwrap(e, self.evaluate(value, frame))
            case ir.MakeStruct(values=items, type=t):
                return self.make_struct(t, [self.evaluate(item, frame) for item in items])
            case ir.MakeTuple(items=items, type=t):
                return made(t, tuple(self.evaluate(item, frame) for item in items))
            case ir.Contains(item=item, container=container):
                return self.contains(self.evaluate(item, frame), self.evaluate(container, frame))
            case ir.Call(function=function, args=args):
                return self.call(self.instance.functions[function], [self.evaluate(a, frame) for a in args])
            case ir.Intrinsic(name=name, args=args, type=t):
                return self.intrinsic(name, t, [self.evaluate(a, frame) for a in args])
            case ir.Reduce():
                return self.reduce(e, frame)
            case ir.MakeSet(targets=targets, source=source, cond=cond, item=item):
                return values.make_set(self.each(targets, source, cond, item, frame))
            case ir.Format(parts=parts):
                text = "".join(values.formatted(self.evaluate(p, frame)) for p in parts)
                if len(text) > LONGEST:
                    raise ValueError(f"an f-string makes a text of {len(text):,} characters")
                return text
            case _:
                assert_never(e)

    def member(self, base: ir.Expr, name: str) -> Callable[[Any], Any]:
        """How a member is read from the object of a view; a member that the view declares."""
        assert isinstance(base.type, ViewType), "a member of something that is no view"
        return self.instance.members[base.type.name, name]

    def unwrap(self, e: ir.Unwrap, value: Any) -> Any:
        if value is None:
            raise Broken(f"{e.span}: an empty Option is taken for a value")
        return value

    def make_struct(self, t: Type, items: list[Any]) -> values.Record:
        assert isinstance(t, StructType)
        record: values.Record = made(
            t, values.Record(t.name, {f.name: item for f, item in zip(t.fields, items, strict=True)})
        )
        return record

    def contains(self, item: Any, container: Any) -> bool:
        if isinstance(container, Mapping):  # a set, too
            return item in container
        return values.contains(container, item)

    # ---------------------------------------------------------------- loops within expressions

    def items(self, source: ir.Source, frame: Frame) -> Iterable[Any]:
        """What a loop goes over, fixed at its start."""
        match source:
            case ir.OverRange(start=start, stop=stop, step=step, bound=bound):
                steps = range(self.evaluate(start, frame), self.evaluate(stop, frame), step)
                if len(steps) > bound:
                    raise Broken(f"{source.span}: {len(steps)} steps, where {bound} were promised")
                return steps
            case ir.OverState(field=field, part=part):
                return of_part(self.many(field), part)
            case ir.OverValue(value=value, part=part):
                container = self.evaluate(value, frame)
                return of_part(container, part) if isinstance(value.type, DictType) else list(container)
            case _:
                assert_never(source)

    def each(
        self, targets: tuple[str, ...], source: ir.Source, cond: ir.Expr | None, value: ir.Expr, frame: Frame
    ) -> Iterable[Any]:
        """The value for each item that the condition lets through."""
        for item in self.items(source, frame):
            bind(targets, item, frame)
            if cond is None or self.evaluate(cond, frame):
                yield self.evaluate(value, frame)

    def reduce(self, e: ir.Reduce, frame: Frame) -> Any:
        items = self.items(e.source, frame)
        default = None if e.default is None else self.evaluate(e.default, frame)
        found = False
        best: Any = values.zero(e.type) if e.op is ReduceOp.SUM else e.op is ReduceOp.ALL
        best_item: Any = None
        for item in items:
            bind(e.targets, item, frame)
            if e.cond is not None and not self.evaluate(e.cond, frame):
                continue
            value = self.evaluate(e.value, frame)
            match e.op:
                case ReduceOp.SUM:
                    best = binary(ir.BinaryOp.ADD, widened(e.type), best, value)
                case ReduceOp.ANY | ReduceOp.ALL:
                    if value is (e.op is ReduceOp.ANY):
                        return value
                case ReduceOp.MIN | ReduceOp.ARGMIN:
                    if not found or values.smaller(best, value):
                        best, best_item = value, item
                case ReduceOp.MAX | ReduceOp.ARGMAX:
                    if not found or values.larger(best, value):
                        best, best_item = value, item
                case _:
                    assert_never(e.op)
            found = True
        if not found and e.op not in (ReduceOp.SUM, ReduceOp.ANY, ReduceOp.ALL):
            if e.default is None:
                raise Broken(f"{e.span}: `{e.op}` of nothing")
            return default
        return best_item if e.op in (ReduceOp.ARGMIN, ReduceOp.ARGMAX) else best

    # ---------------------------------------------------------------- intrinsics

    def now(self) -> int:
        if self._now is None:
            self._now = self.tape.now()
        return self._now

    def intrinsic(self, name: str, t: Type, args: list[Any]) -> Any:
        match name, args:
            case "len", [x]:
                return values.size(x) if isinstance(x, str | bytes) else len(x)
            case "abs", [x]:
                return abs(x) if t in (FLOAT, U64) else values.wrap(abs(x))
            case "startswith", [text, prefix]:
                return text.startswith(prefix)
            case "endswith", [text, suffix]:
                return text.endswith(suffix)
            case "contains", [haystack, needle]:
                return needle in haystack
            case "now", []:
                return self.now()
            case "rand", []:
                return (self.tape.draw() >> 11) * 2.0**-53
            case "rand_below", [n]:
                drawn = self.tape.draw()  # also for n ≤ 0, so that the length of a tape does not depend on n
                return drawn % n if n > 0 else 0
            case "mul_div", [a, b, c]:
                return values.mul_div_u64(a, b, c) if t == U64 else values.mul_div(a, b, c)
            case "fits", [x, size]:
                return values.size(x) <= size
            case "removeprefix", [text, prefix]:
                return text.removeprefix(prefix)
            case "removesuffix", [text, suffix]:
                return text.removesuffix(suffix)
            case "lower", [text]:
                return values.lower(text)
            case "strip", [text]:
                return values.strip(text)
            case "partition", [text, separator]:
                return values.partition(text, separator)
            case "parse_int", [text]:
                return values.parse_int(text)
            case "hash64", [x, seed]:
                return hash64(x, seed)
            case "trace", [text]:
                self.functions.get("trace", ignore)(text)
                return None
            case "dict.get", [mapping, key]:
                return mapping.get(key)
            case "dict.get_or", [mapping, key, default]:
                return mapping.get(key, default)
            case _:
                return self.outside(self.instance.intrinsics[name], args)

    def outside(self, declared: ir.IntrinsicDecl, args: list[Any]) -> Any:
        """Call a function of the stratum; answers from outside come from the tape."""
        if declared.name in self.functions:
            function = self.functions[declared.name]
        elif (given := provided(declared.name)) is not None:
            function = given
        else:
            assert declared.name in self.instance.methods, f"no {declared.name} was given"
            function = getattr(args.pop(0), self.instance.methods[declared.name])
        if declared.effect in (Effect.CLOCK, Effect.RANDOM, Effect.OUTSIDE_READ):
            return self.tape.answer(declared.name, lambda: function(*args))
        return function(*args)


# ---------------------------------------------------------------- without state


def ignore(*_: object) -> None:
    """Drop a trace, when nobody listens."""


def _public(name: str) -> str:
    """The name itself, which is one that Python gives no meaning of its own."""
    if not name.isidentifier() or name.startswith("__"):
        raise Broken(f"{name!r} is no name of the language")
    return name


def made(t: Type, value: Any) -> Any:
    """The value as one of type t: narrow integers within it truncate."""
    make = _made(t)
    return make(value) if make else value


def at_path(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = values.field_of(value, name)
    return value


def bind(targets: tuple[str, ...], item: Any, frame: Frame) -> None:
    if len(targets) == 1:
        frame[targets[0]] = item
    else:
        frame.update(zip(targets, item, strict=True))


def of_part(container: Any, part: ir.Part) -> list[Any]:
    match part:
        case ir.Part.KEYS:
            return list(container.keys())
        case ir.Part.VALUES:
            return list(container.values())
        case ir.Part.ITEMS:
            return list(container.items())
        case _:
            assert_never(part)


def look_up(op: TableRead, table: Any, args: list[Any]) -> Any:
    match op:
        case TableRead.AT | TableRead.TOTAL:
            return table[args[0]]
        case TableRead.GET | TableRead.GET_OR:
            return table.get(*args)
        case TableRead.HAS:
            return args[0] in table
        case TableRead.LEN:
            return len(table)
        case TableRead.FIRST:
            return table.first()
        case TableRead.POP_FIRST:
            return table.pop_first()
        case TableRead.OVERFLOW:
            return table.overflow
        case TableRead.PUT:
            return table.put(*args)
        case _:
            assert_never(op)


def matched(pattern: ir.Pattern, subject: Any) -> Frame | None:
    """The names that the pattern binds when the subject matches, else None."""
    match pattern:
        case ir.MatchAny(name=name):
            return {} if name is None else {name: subject}
        case ir.MatchConst(value=const):
            return {} if values.equal(subject, const.value) else None
        case ir.MatchSome(inner=inner):
            return None if subject is None else matched(inner, subject)
        case ir.MatchTuple(items=items):
            return all_matched(zip(items, subject, strict=True))
        case ir.MatchStruct(type=t, fields=fields):
            if values.struct_name(subject) != t.name:
                return None
            return all_matched((inner, values.field_of(subject, name)) for name, inner in fields)
        case ir.MatchOr(options=options):
            return next((bound for p in options if (bound := matched(p, subject)) is not None), None)
        case _:
            assert_never(pattern)


def all_matched(pairs: Iterable[tuple[ir.Pattern, Any]]) -> Frame | None:
    frame: Frame = {}
    for pattern, subject in pairs:
        bound = matched(pattern, subject)
        if bound is None:
            return None
        frame |= bound
    return frame
