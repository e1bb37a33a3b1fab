# SPDX-License-Identifier: Apache-2.0
"""Which outside data an element uses: every field of a message that a handler reads or writes, and through which root
(`rpc.msg`, `rpc.reply`, or an item of a repeated or map field).  Derived from the tree alone, flow-insensitively.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from transect.base.span import Span
from transect.core.ir import (
    Call,
    Case,
    Choose,
    Const,
    Expr,
    For,
    Function,
    Let,
    LetIn,
    MakeSet,
    MakeStruct,
    MatchAny,
    MatchOr,
    MatchSome,
    OverValue,
    Pattern,
    Program,
    Reduce,
    ReduceOp,
    Return,
    Some,
    Source,
    Store,
    Switch,
    Unwrap,
    Update,
    ViewField,
    ViewPlace,
)
from transect.core.ir import Intrinsic as IntrinsicNode
from transect.core.ir import Local as LocalNode
from transect.core.types import StructType, ViewType
from transect.core.walk import Node, walk

HOOKS = ("request", "response", "finish")


@dataclass(frozen=True, slots=True)
class Root:
    """Where a reference to a message comes from: `msg` or `reply`; `item`: it stands in a repeated or map field."""

    name: str
    item: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """One field of one view, used in a hook (or in a helper that the hook calls)."""

    hook: str
    view: str  # name of the view class
    field: str
    roots: frozenset[Root]
    write: bool
    span: Span
    clears: bool = False  # the write stores `None`


@dataclass(frozen=True, slots=True)
class RpcUse:
    """A field of `Rpc` itself: `msg`, `body`, `headers` …"""

    hook: str
    field: str
    span: Span


def plain(name: str) -> str:
    """`Rpc` for `rpc.Rpc`."""
    return name.rpartition(".")[2]


def is_rpc(t: object) -> bool:
    return isinstance(t, ViewType) and plain(t.name) == "Rpc"


@dataclass(frozen=True)
class Needs:
    """What one element uses."""

    program: Program
    accesses: tuple[Access, ...]
    uses: tuple[RpcUse, ...]

    @cached_property
    def hooks(self) -> frozenset[str]:
        """The hooks that the policy itself defines."""
        return frozenset(h.name for h in self.program.handlers if not h.default)

    def uses_of(self, hook: str, *fields: str) -> tuple[RpcUse, ...]:
        return tuple(u for u in self.uses if u.hook == hook and u.field in fields)

    def fields(self, view: str, hooks: Iterable[str] = HOOKS, root: str = "") -> tuple[str, ...]:
        """Fields of a view that these hooks read or write, through this root; in order of first appearance."""
        wanted = frozenset(hooks)
        found = (
            a.field
            for a in self.accesses
            if a.view == view and a.hook in wanted and (not root or any(r.name == root for r in a.roots))
        )
        return tuple(dict.fromkeys(found))

    def written(self, view: str) -> frozenset[str]:
        return frozenset(a.field for a in self.accesses if a.view == view and a.write)


def needs(program: Program) -> Needs:
    """The accesses of a checked (or flat) program."""
    roots = _Roots(program)
    accesses: dict[Access, None] = {}
    uses: dict[RpcUse, None] = {}
    for handler in program.handlers:
        if handler.default:
            continue
        for function in _reached(program, handler):
            for node in _nodes(function):
                _touch(handler.name, function, node, roots, accesses, uses)
    return Needs(program, tuple(accesses), tuple(uses))


def _touch(
    hook: str,
    function: Function,
    node: Node,
    roots: _Roots,
    accesses: dict[Access, None],
    uses: dict[RpcUse, None],
) -> None:
    match node:
        case ViewField(base=base, name=name, span=span) if is_rpc(base.type):
            uses[RpcUse(hook, name, span)] = None
            return
        case ViewField(base=base, name=name, span=span):
            write = clears = False
        case Store(place=ViewPlace(base=base, name=name, span=span), value=value):
            write, clears = True, isinstance(value, Const) and value.value is None
        case Update(place=ViewPlace(base=base, name=name, span=span)):
            write, clears = True, False
        case _:
            return
    view = base.type
    assert isinstance(view, ViewType), f"a field of {view}"
    access = Access(hook, view.name, name, roots.of(function, base), write, span, clears)
    if access.roots:  # else the view is Headers or Outcome: no message
        accesses[access] = None


def _reached(program: Program, function: Function) -> Iterator[Function]:
    """The function, and each helper that it calls, directly or not; each once."""
    seen: dict[str, Function] = {}
    waiting = [function]
    while waiting:
        one = waiting.pop(0)
        if one.name not in seen:
            seen[one.name] = one
            waiting += [program.function(n.function) for n in _nodes(one) if isinstance(n, Call)]
    yield from seen.values()


def _nodes(function: Function) -> Iterator[Node]:
    for statement in function.body:
        yield from walk(statement)


class _Roots:
    """The roots from which references to messages in locals and parameters may come."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.locals: dict[tuple[str, str], frozenset[Root]] = {}  # (function, local)
        self.returns: dict[str, frozenset[Root]] = {}
        functions = (*program.functions, *program.handlers)
        while self._round(functions):
            pass

    def _round(self, functions: Iterable[Function]) -> bool:
        before = (dict(self.locals), dict(self.returns))
        for function in functions:
            for node in _nodes(function):
                self._bind(function, node)
        return before != (self.locals, self.returns)

    def _bind(self, function: Function, node: Node) -> None:
        match node:
            case Let(name=name, value=value) | LetIn(name=name, value=value):
                self._add(function.name, name, self.of(function, value))
            case (
                For(targets=targets, source=source)
                | Reduce(targets=targets, source=source)
                | MakeSet(targets=targets, source=source)
            ):
                for target in targets:
                    self._add(function.name, target, self._items(function, source))
            case Switch(subject=subject, cases=cases):
                self._cases(function, self.of(function, subject), cases)
            case Call(function=callee, args=args):
                for param, arg in zip(self.program.function(callee).params, args, strict=True):
                    self._add(callee, param.name, self.of(function, arg))
            case Return(value=value) if value is not None:
                self.returns[function.name] = self.returns.get(function.name, frozenset()) | self.of(
                    function, value
                )
            case _:
                pass

    def _add(self, function: str, name: str, found: frozenset[Root]) -> None:
        if found:
            self.locals[function, name] = self.locals.get((function, name), frozenset()) | found

    def _cases(self, function: Function, found: frozenset[Root], cases: tuple[Case, ...]) -> None:
        for case in cases:
            for name in _bound(case.pattern):
                self._add(function.name, name, found)

    def _items(self, function: Function, source: Source) -> frozenset[Root]:
        match source:
            case OverValue(value=value):
                return frozenset(Root(r.name, item=True) for r in self.of(function, value))
            case _:
                return frozenset()

    def of(self, function: Function, value: Expr) -> frozenset[Root]:
        """The roots of a message, option, sequence or map of messages."""
        match value:
            case ViewField(base=base, name=name):
                return (
                    frozenset({Root(name)})
                    if is_rpc(base.type) and name in ("msg", "reply")
                    else self.of(function, base)
                )
            case LocalNode(name=name):
                return self.locals.get((function.name, name), frozenset())
            case Unwrap(value=inner) | Some(value=inner):
                return self.of(function, inner)
            case LetIn(body=body):
                return self.of(function, body)
            case Choose(then=then, orelse=orelse):
                return self.of(function, then) | self.of(function, orelse)
            case Reduce(op=ReduceOp.ARGMIN | ReduceOp.ARGMAX, source=source, default=default):
                found = self._items(function, source)
                return found | self.of(function, default) if default is not None else found
            case Call(function=name):
                return self.returns.get(name, frozenset())
            case IntrinsicNode(args=args) if args:  # dict.get, dict.get_or: an entry's value
                return frozenset(Root(r.name, item=True) for arg in args for r in self.of(function, arg))
            case _:
                return frozenset()


def _bound(pattern: Pattern) -> Iterator[str]:
    match pattern:
        case MatchAny(name=name) if name is not None:
            yield name
        case MatchSome(inner=inner):
            yield from _bound(inner)
        case MatchOr(options=options):
            for option in options:
                yield from _bound(option)
        case _:
            return


@dataclass(frozen=True, slots=True)
class Made:
    """A verdict that some handler may give."""

    name: str  # Forward, Reject, Respond, Retry
    hook: str
    given: tuple[str, ...]  # its fields that are not the constant None
    span: Span
    route: str | None = None  # if the policy spells it out


def structs_made(program: Program) -> Iterator[Made]:
    """Every struct that the policy's own handlers, or helpers which they call, build."""
    for handler in program.handlers:
        for function in () if handler.default else _reached(program, handler):
            for node in _nodes(function):
                if isinstance(node, MakeStruct) and isinstance(node.type, StructType):
                    fields = zip(node.type.fields, node.values, strict=True)
                    given = tuple(f.name for f, v in fields if not (isinstance(v, Const) and v.value is None))
                    to = next(
                        (v for f, v in zip(node.type.fields, node.values, strict=True) if f.name == "to"),
                        None,
                    )
                    yield Made(node.type.name, handler.name, given, node.span, _spelled(to))


def _spelled(value: Expr | None) -> str | None:
    """The text, if the policy spells it out."""
    match value:
        case Some(value=inner):
            return _spelled(inner)
        case Const(value=str(text)):
            return text
        case _:
            return None


@dataclass(frozen=True, slots=True)
class HeaderNamed:
    """The name of a header or trailer, spelled out in a policy."""

    name: str
    written: bool  # set or removed; otherwise read
    span: Span


def headers_named(program: Program) -> Iterator[HeaderNamed]:
    """The names that the policy's own handlers, or helpers which they call, spell out; each place once."""
    found: dict[HeaderNamed, None] = {}
    for handler in program.handlers:
        for function in () if handler.default else _reached(program, handler):
            for node in _nodes(function):
                if isinstance(node, IntrinsicNode) and node.name.startswith("rpc.Headers."):
                    name, written = node.args[1], node.name != "rpc.Headers.get"
                    if isinstance(name, Const):
                        assert isinstance(name.value, str), "a header's name is text"
                        found[HeaderNamed(name.value, written, name.span)] = None
    yield from found


def headers_changed(program: Program, hook: str, field: str) -> Iterator[Span]:
    """Where a hook sets or removes, or may do so, an entry of `rpc.headers` or `rpc.trailers` (`field` says which)."""
    handler = program.handler(hook)
    for function in () if handler is None or handler.default else _reached(program, handler):
        for node in _nodes(function):
            if isinstance(node, IntrinsicNode) and node.name in ("rpc.Headers.set", "rpc.Headers.remove"):
                of = node.args[0]
                named = of.name if isinstance(of, ViewField) and is_rpc(of.base.type) else field
                if named == field:
                    yield node.span
