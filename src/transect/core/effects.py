# SPDX-License-Identifier: Apache-2.0
"""What a piece of a policy touches: state, outside data, clock, randomness, and through which operation.

One walk over the tree gives all of it, through helpers too: a helper's parameters are replaced by the arguments of the
call, so that keys are given in terms of the handler's own parameters wherever possible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property, reduce
from typing import TypeAlias, assert_never

from transect.core import ir
from transect.core.ir import BinaryOp, Effect, Expr, Function, Program, TableRead
from transect.core.rules import Scope
from transect.core.types import (
    ArrayType,
    FloatType,
    OptionType,
    StructType,
    TableKind,
    TableType,
    Type,
    UnionType,
    ViewType,
)
from transect.core.verify_flow import Flow
from transect.core.walk import Node, map_children, walk

Part: TypeAlias = Expr | ir.Stmt | ir.Source | ir.Block | Function
"""The pieces of a program whose effects may be asked for."""

BUILTIN_EFFECTS = {
    "now": Effect.CLOCK,
    "rand": Effect.RANDOM,
    "rand_below": Effect.RANDOM,
    "trace": Effect.REPORT,
}


class Operation(StrEnum):
    """How a write changes what it writes.  ADD, MIN and MAX of integers commute with themselves."""

    SET = "set"
    ADD = "add"
    MIN = "min"
    MAX = "max"
    INSERT = "insert"  # a whole entry, which may be a new one
    REMOVE = "remove"
    TOUCH = "touch"  # reading an lru makes the entry its most recent


@dataclass(frozen=True, slots=True)
class Read:
    """A read of a state field or of a part of it."""

    field: str
    # Of the one entry that is read, in terms of the parameters; None: not known, or `whole`
    key: Expr | None = None
    whole: bool = True  # not just one entry: a scalar, a loop, the number of entries


@dataclass(frozen=True, slots=True)
class Write:
    field: str
    operation: Operation
    key: Expr | None = None  # as of Read
    whole: bool = True
    inserts: bool = False  # an entry may be new: a full table then counts an overflow


@dataclass(frozen=True, slots=True)
class Touch:
    """A field of outside data.  `path` leads there from a parameter (`*`: any element of a sequence or map)."""

    view: str
    field: str
    path: tuple[str, ...] | None = None  # ("rpc", "msg", "user"); None: reached in a way that is not followed


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything that a piece of a policy touches."""

    reads: frozenset[Read] = frozenset()
    writes: frozenset[Write] = frozenset()
    view_reads: frozenset[Touch] = frozenset()
    view_writes: frozenset[Touch] = frozenset()
    clock: frozenset[str] = frozenset()  # names of the intrinsics, here and below
    random: frozenset[str] = frozenset()
    outside_reads: frozenset[str] = frozenset()
    outside_writes: frozenset[str] = frozenset()
    reports: frozenset[str] = frozenset()

    def __or__(self, other: Effects) -> Effects:
        if other is NONE or self is NONE:  # most nodes have none
            return self if other is NONE else other
        return Effects(*(getattr(self, f.name) | getattr(other, f.name) for f in fields(self)))

    @property
    def read_fields(self) -> frozenset[str]:
        return frozenset(r.field for r in self.reads)

    @property
    def written_fields(self) -> frozenset[str]:
        return frozenset(w.field for w in self.writes)

    @property
    def reads_only(self) -> bool:
        """Whether nothing that lasts is changed: neither state, nor a view, nor anything outside."""
        return not (self.writes or self.view_writes or self.outside_writes)

    @property
    def pure(self) -> bool:
        """Whether doing it twice, or not at all, makes no difference beyond its value."""
        return self.reads_only and not (self.clock or self.random or self.outside_reads or self.reports)


NONE = Effects()

_UPDATES = {
    BinaryOp.ADD: Operation.ADD,
    BinaryOp.SUB: Operation.ADD,
    BinaryOp.MIN: Operation.MIN,
    BinaryOp.MAX: Operation.MAX,
}
_ONE_ENTRY = (TableRead.AT, TableRead.GET, TableRead.GET_OR, TableRead.TOTAL, TableRead.HAS, TableRead.PUT)


def nodes(part: Part) -> Iterator[Node]:
    """Every node of a piece of a policy, parents first."""
    roots = part.body if isinstance(part, Function) else part if isinstance(part, tuple) else (part,)
    for root in roots:
        yield from walk(root)


def bindings(part: Part) -> dict[str, list[Expr | None]]:
    """What each local is bound to, in every place that binds it; None where that is no expression (a loop's target)."""
    bound: dict[str, list[Expr | None]] = {}
    for node in nodes(part):
        match node:
            case ir.Let(name=name, value=value) | ir.LetIn(name=name, value=value):
                bound.setdefault(name, []).append(value)
            case ir.For(targets=targets) | ir.Reduce(targets=targets) | ir.MakeSet(targets=targets):
                for name in targets:
                    bound.setdefault(name, []).append(None)
            case ir.MatchAny(name=str(name)):
                bound.setdefault(name, []).append(None)
            case ir.Store(place=ir.LocalPlace(name=name)) | ir.Update(place=ir.LocalPlace(name=name)):
                bound.setdefault(name, []).append(None)
            case _:
                pass
    return bound


class Facts:
    """Effects of the pieces of one program.  Effects of helpers are found once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._scope = Scope(program)
        self._helpers: dict[str, Effects] = {}

    def of(self, part: Part, within: Function | None = None) -> Effects:
        """The effects of a piece; `within` is the function that it is a piece of (itself, for a function)."""
        owner = part if isinstance(part, Function) else within
        names = _Names(owner, part)
        return reduce(Effects.__or__, (self._own(node, names) for node in nodes(part)), NONE)

    def effectful(self, e: Expr) -> bool:
        """Whether this node itself, operands apart, does more than compute and read; the flat form makes such a node a
        Let.
        """
        return not self.own(e).pure

    def helper(self, name: str) -> Effects:
        """The effects of a helper, in terms of its own parameters."""
        if name not in self._helpers:
            self._helpers[name] = self.of(self._scope.functions[name])
        return self._helpers[name]

    def own(self, node: Node) -> Effects:
        """The effects of a node itself, operands apart (through a helper, for a call); keys and paths are not known."""
        return self._own(node, _Names(None, ()))

    def within(self, function: Function) -> Callable[[Node], Effects]:
        """As `own`, for nodes of one function: keys and paths in terms of its parameters, where that is possible."""
        names = _Names(function, function)
        return lambda node: self._own(node, names)

    def verdicts(self, function: Function) -> frozenset[str]:
        """The names of the structs that a function may return; `None` for an empty Option."""
        returned = (node.value for node in nodes(function) if isinstance(node, ir.Return) and node.value)
        bound = bindings(function)
        found = {name for value in returned for name in self._kinds(value, bound)}
        falls = Flow(lambda code, message, span: None).function(function, must_return=False)
        return frozenset(found | {"None"} if falls and isinstance(function.returns, OptionType) else found)

    def _kinds(self, e: Expr, bound: dict[str, list[Expr | None]]) -> Iterable[str]:
        match e:
            case ir.Cast(value=value) | ir.Some(value=value):
                return self._kinds(value, bound)
            case ir.LetIn(body=body):
                return self._kinds(body, bound)
            case ir.Choose(then=then, orelse=orelse):
                return [*self._kinds(then, bound), *self._kinds(orelse, bound)]
            case ir.Const(value=None):
                return ["None"]
            case ir.Call(function=name):
                return self.verdicts(self._scope.functions[name])
            case ir.Local(name=name) if name in bound and None not in bound[name]:
                values = [v for v in bound[name] if v is not None and v != e]
                return [kind for v in values for kind in self._kinds(v, {**bound, name: [None]})]
            case _:
                return _struct_names(e.type)

    # ---------------------------------------------------------------- one node

    def _own(self, node: Node, names: _Names) -> Effects:
        match node:
            case ir.State(field=name) | ir.OverState(field=name):
                return Effects(reads=frozenset({Read(name)}))
            case ir.Lookup():
                return self._lookup(node, names)
            case ir.ViewField(base=base, name=name):
                return Effects(view_reads=frozenset({names.touch(base, name)}))
            case ir.Store(place=place):
                return self._write(place, None, names)
            case ir.Update(place=place, op=op):
                return self._write(place, op, names)
            case ir.Remove(field=name, key=key):
                return Effects(writes=frozenset({Write(name, Operation.REMOVE, names.stable(key), False)}))
            case ir.Intrinsic(name=name):
                return self._intrinsic(name)
            case ir.Call(function=name, args=args):
                return names.substituted(self.helper(name), self._scope.functions[name], args)
            case _:
                return NONE

    def _lookup(self, e: ir.Lookup, names: _Names) -> Effects:
        declared = self._scope.fields[e.field].type
        one = e.op in _ONE_ENTRY
        key = names.stable(e.args[0]) if one else None
        read = Read(e.field, key, not one)
        writes: set[Write] = set()
        if e.op is TableRead.PUT:
            writes.add(Write(e.field, Operation.INSERT, key, False, inserts=True))
        elif e.op is TableRead.POP_FIRST:
            writes.add(Write(e.field, Operation.REMOVE))
        elif (
            isinstance(declared, TableType)
            and declared.kind is TableKind.LRU
            and one
            and e.op is not TableRead.HAS
        ):
            writes.add(Write(e.field, Operation.TOUCH, key))
        return Effects(reads=frozenset({read}), writes=frozenset(writes))

    def _write(self, place: ir.Place, op: BinaryOp | None, names: _Names) -> Effects:
        operation = (
            _UPDATES.get(op, Operation.SET) if op and not isinstance(place.type, FloatType) else Operation.SET
        )
        # An update that does not commute is a read and a write.
        reads_too = op is not None and operation is Operation.SET
        match place:
            case ir.StatePlace(field=name):
                read, write = Read(name), Write(name, operation)
            case ir.EntryPlace(field=name, key=key, path=path):
                stable, declared = names.stable(key), self._scope.fields[name].type
                new = not path and not isinstance(declared, ArrayType)
                if op is None and new:
                    operation = Operation.INSERT
                inserts = new and (op is None or _is_tally(declared))
                read, write = Read(name, stable, False), Write(name, operation, stable, False, inserts)
            case ir.ViewPlace(base=base, name=name):
                touch = frozenset({names.touch(base, name)})
                return Effects(view_reads=touch if op else frozenset(), view_writes=touch)
            case ir.LocalPlace():
                return NONE
            case _:
                assert_never(place)
        return Effects(reads=frozenset({read}) if reads_too else frozenset(), writes=frozenset({write}))

    def _intrinsic(self, name: str) -> Effects:
        declared = self._scope.intrinsics.get(name)
        this = frozenset({name})
        match declared.effect if declared else BUILTIN_EFFECTS.get(name, Effect.PURE):
            case Effect.PURE:
                return NONE
            case Effect.CLOCK:
                return Effects(clock=this)
            case Effect.RANDOM:
                return Effects(random=this)
            case Effect.OUTSIDE_READ:
                return Effects(outside_reads=this)
            case Effect.OUTSIDE_WRITE:
                return Effects(outside_writes=this)
            case Effect.REPORT:
                return Effects(reports=this)
            case other:
                assert_never(other)


def _is_tally(t: Type) -> bool:
    return isinstance(t, TableType) and t.kind is TableKind.TALLY


def _struct_names(t: Type) -> list[str]:
    match t:
        case UnionType(cases=cases):
            return [case.name for case in cases]
        case OptionType(item=item):
            return ["None", *_struct_names(item)]
        case StructType(name=name):
            return [name]
        case _:
            return []


# ---------------------------------------------------------------- keys and paths in terms of parameters

_STABLE = (
    ir.Const,
    ir.MakeTuple,
    ir.Cast,
    ir.Attr,
    ir.Item,
    ir.Some,
    ir.Unwrap,
    ir.Unary,
    ir.Binary,
    ir.ViewField,
)


class _Names:
    """What the locals of a function stand for, in terms of its parameters."""

    def __init__(self, owner: Function | None, part: Part) -> None:
        self._whole = owner if owner is not None else part
        self._params = frozenset(p.name for p in owner.params) if owner else frozenset()
        self._open: set[str] = set()  # names whose value is being followed

    @cached_property
    def _bound(self) -> dict[str, list[Expr | None]]:
        return bindings(self._whole)

    @cached_property
    def _sources(self) -> dict[str, Expr]:
        return _loop_sources(self._whole)

    @cached_property
    def _written(self) -> frozenset[tuple[str, str]]:
        """The fields of views that something writes."""
        return frozenset(
            (node.place.base.type.name, node.place.name)
            for node in nodes(self._whole)
            if isinstance(node, ir.Store | ir.Update)
            and isinstance(node.place, ir.ViewPlace)
            and isinstance(node.place.base.type, ViewType)
        )

    def stable(self, e: Expr) -> Expr | None:
        """The expression in terms of parameters, if it has one value throughout the call; else None."""
        match e:
            case ir.Local(name=name):
                values = self._bound.get(name, [])
                if not values:
                    return e if name in self._params else None
                if name in self._params or len(values) > 1 or values[0] is None or name in self._open:
                    return None  # in a piece of a function, `x = x + 1` may be all that binds x
                self._open.add(name)
                found = self.stable(values[0])
                self._open.discard(name)
                return found
            case ir.ViewField(base=base, name=name) if isinstance(base.type, ViewType) and (
                (base.type.name, name) in self._written
            ):
                return None
            case _ if isinstance(e, _STABLE):
                within = [self.stable(child) for child in _operands(e)]
                if any(child is None for child in within):
                    return None
                replaced = iter(within)
                return map_children(e, lambda _: next(replaced))
            case _:
                return None

    def path(self, e: Expr) -> tuple[str, ...] | None:
        """The way from a parameter to a piece of outside data."""
        match e:
            case ir.Local(name=name):
                if name in self._params and name not in self._bound:
                    return (name,)
                if name in self._sources:
                    over = self.path(self._sources[name])
                    return (*over, "*") if over else None
                values = self._bound.get(name, [])
                paths = {self.path(v) if v is not None else None for v in values if v != e}
                return paths.pop() if len(paths) == 1 else None
            case ir.ViewField(base=base, name=name):
                above = self.path(base)
                return (*above, name) if above else None
            case ir.Unwrap(value=value) | ir.Some(value=value):
                return self.path(value)
            case _:
                return None

    def touch(self, base: Expr, name: str) -> Touch:
        above = self.path(base)
        view = base.type.name if isinstance(base.type, ViewType) else "?"
        return Touch(view, name, (*above, name) if above else None)

    def substituted(self, e: Effects, callee: Function, args: tuple[Expr, ...]) -> Effects:
        """A helper's effects in terms of the caller's parameters."""
        given = {p.name: self.stable(a) for p, a in zip(callee.params, args, strict=True)}
        paths = {p.name: self.path(a) for p, a in zip(callee.params, args, strict=True)}
        return replace(
            e,
            reads=frozenset(replace(r, key=_put(r.key, given)) for r in e.reads),
            writes=frozenset(replace(w, key=_put(w.key, given)) for w in e.writes),
            view_reads=frozenset(_moved(t, paths) for t in e.view_reads),
            view_writes=frozenset(_moved(t, paths) for t in e.view_writes),
        )


def _operands(e: Expr) -> Iterator[Expr]:
    collected: list[Expr] = []
    map_children(e, lambda child: collected.append(child) or child)
    return iter(collected)


def _loop_sources(part: Part) -> dict[str, Expr]:
    """For each target that takes the elements of outside data: that data.  Patterns that unwrap an Option likewise."""
    found: dict[str, Expr] = {}
    for node in nodes(part):
        match node:
            case (
                ir.For(targets=targets, source=ir.OverValue(value=value, part=over))
                | ir.Reduce(targets=targets, source=ir.OverValue(value=value, part=over))
                | ir.MakeSet(targets=targets, source=ir.OverValue(value=value, part=over))
            ) if over is not ir.Part.KEYS or len(targets) == 1:
                found[targets[-1]] = value
            case _:
                pass
    return found


def _put(key: Expr | None, given: dict[str, Expr | None]) -> Expr | None:
    """A key with the parameters in it replaced; None when one of them has no stable expression."""
    if key is None:
        return None
    if isinstance(key, ir.Local):
        return given[key.name]
    within = [_put(child, given) for child in _operands(key)]
    if any(child is None for child in within):
        return None
    replaced = iter(within)
    return map_children(key, lambda _: next(replaced))


def _moved(touch: Touch, paths: dict[str, tuple[str, ...] | None]) -> Touch:
    if touch.path is None:
        return touch
    above = paths[touch.path[0]]
    return replace(touch, path=(*above, *touch.path[1:]) if above else None)


# ---------------------------------------------------------------- facts drawn from effects


def data_path(e: Expr, within: Function) -> tuple[str, ...] | None:
    """The way from a parameter of the function to a piece of outside data; None when it is not followed."""
    return _Names(within, within).path(e)


def effects(program: Program, part: Part, within: Function | None = None) -> Effects:
    """The effects of a piece of a program, through helpers."""
    return Facts(program).of(part, within)
