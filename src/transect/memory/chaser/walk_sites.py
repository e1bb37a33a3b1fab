# SPDX-License-Identifier: Apache-2.0
"""Where a probe walks a container of the kernel, and which elements it needs: what a chain can do of this.

A walk runs in the network if `scan` always does it, once, and in a fixed order: it must be what a loop or a set is
over, at the top of the handler.  If everything in a loop stands under one condition, those parts of the condition that
can be tested in the network are tested there, and elements that fail are left out; the probe itself tests them again,
so it never reports anything else than it would have reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from transect.core import ir
from transect.core.types import IntType, SeqType, ViewType
from transect.core.walk import walk
from transect.memory.layout import Layout
from transect.memory.roots import layouts_of_roots

WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Compared:
    """That a field must lie between two numbers; or must not."""

    field: str
    low: int
    high: int
    inverted: bool = False
    mask: int = WORD


@dataclass(frozen=True)
class Filter:
    """The parts of a loop's condition that the network tests."""

    compared: tuple[Compared, ...] = ()
    # Field (or "address"), the set of this name that must not have it
    unlisted: tuple[str, str] | None = None
    rest: int = 0  # conditions that are left to the observer


@dataclass(frozen=True)
class Site:
    """A container that is walked once in each round."""

    name: str  # of the function
    number: int  # among the calls of that function
    layout: Layout
    type: SeqType
    line: int
    filter: Filter = Filter()
    fills: tuple[str, str] | None = None  # the set, and the field that goes into it

    @property
    def text(self) -> str:
        return f"{self.name.rpartition('.')[2]}()"


def sites(program: ir.Program) -> tuple[Site, ...]:
    """In the order in which they are walked."""
    scan = program.handler("scan")
    if scan is None:
        return ()
    roots, counts = layouts_of_roots(), dict[str, int]()
    repeated = _repeated(program)
    found: list[Site] = []
    sets: set[str] = set()
    for statement in scan.body:
        for call, filter_, fills in _calls(statement, frozenset(sets)):
            number = counts[call.name] = counts.get(call.name, 0) + 1
            if call.name not in roots or call.name in repeated or not isinstance(call.type, SeqType):
                continue
            if fills is not None:
                sets.add(fills[0])
            found.append(
                Site(call.name, number - 1, roots[call.name], call.type, call.span.line, filter_, fills)
            )
    return tuple(found)


def _repeated(program: ir.Program) -> set[str]:
    """Functions that are also called in places where the number of calls is unknown."""
    scan = program.handler("scan")
    counts: dict[str, int] = {}
    for function in (*program.functions, *program.handlers):
        for node in (n for s in function.body for n in walk(s)):
            if isinstance(node, ir.Intrinsic):
                counts[node.name] = counts.get(node.name, 0) + 1
    for statement in scan.body if scan is not None else ():
        for call, _, _ in _calls(statement, frozenset()):
            counts[call.name] -= 1
    return {name for name, count in counts.items() if count}


Call = tuple[ir.Intrinsic, Filter, tuple[str, str] | None]


def _calls(statement: ir.Stmt, sets: frozenset[str]) -> Iterator[Call]:
    """Calls without arguments that a statement of the handler makes exactly once."""
    match statement:
        case ir.For(targets=(one,), source=ir.OverValue(value=ir.Intrinsic(args=()) as call)):
            yield call, _filter(statement.body, one, sets), None
        case ir.Let(
            name=name, value=ir.MakeSet(source=ir.OverValue(value=ir.Intrinsic(args=()) as call)) as made
        ):
            filled = _field(made.item, made.targets[0]) if made.cond is None else None
            yield call, Filter(), (name, filled) if filled is not None else None


def _filter(body: ir.Block, name: str, sets: frozenset[str]) -> Filter:
    match body:
        case (ir.If(cond=cond, orelse=()),):
            compared: list[Compared] = []
            unlisted: tuple[str, str] | None = None
            rest = 0
            for part in _conjuncts(cond):
                test = _compared(part, name)
                missing = _unlisted(part, name, sets)
                if test is not None:
                    compared.append(test)
                elif missing is not None and unlisted is None:
                    unlisted = missing
                else:
                    rest += 1
            return Filter(tuple(compared), unlisted, rest)
        case _:
            return Filter()


def _conjuncts(cond: ir.Expr) -> Iterator[ir.Expr]:
    match cond:
        case ir.Logic(conjunction=True, left=left, right=right):
            yield from _conjuncts(left)
            yield from _conjuncts(right)
        case _:
            yield cond


def _plain(e: ir.Expr) -> ir.Expr:
    """The expression without widening of integers, which changes no value that is compared here."""
    while isinstance(e, ir.Cast) and isinstance(e.value.type, IntType) and isinstance(e.type, IntType):
        e = e.value
    return e


def _field(e: ir.Expr, name: str) -> str | None:
    """The field of the loop's element, or of what its pointer leads to if only that address is wanted."""
    match _plain(e):
        case ir.ViewField(base=ir.Local(name=local), name=field) if local == name:
            return field
        case ir.ViewField(base=base, name="address"):
            inner = base.value if isinstance(base, ir.Unwrap) else base
            if (
                isinstance(inner, ir.ViewField)
                and isinstance(inner.base, ir.Local)
                and inner.base.name == name
            ):
                return inner.name
    return None


def _unsigned(e: ir.Expr) -> bool:
    t = _plain(e).type
    return isinstance(t, IntType) and not t.signed


def _compared(e: ir.Expr, name: str) -> Compared | None:
    match e:
        case ir.IsSome(value=ir.ViewField(base=ir.Local(name=local), name=field)) if local == name:
            return Compared(field, 1, WORD)
        case ir.Compare(op=op, left=left, right=ir.Const(value=int(value))):
            mask, of = _masked(left)
            compared = _field(of, name)
            if compared is None or compared == "address" or isinstance(_plain(of).type, ViewType):
                return None
            if op not in (ir.CompareOp.EQ, ir.CompareOp.NE) and not (_unsigned(of) and value >= 0):
                return None
            return _range(compared, op, value, mask)
    return None


def _masked(e: ir.Expr) -> tuple[int, ir.Expr]:
    match e:
        case ir.Binary(op=ir.BinaryOp.AND, left=left, right=ir.Const(value=int(mask))):
            return mask & WORD, left
        case _:
            return WORD, e


def _range(field: str, op: ir.CompareOp, value: int, mask: int) -> Compared | None:
    match op:
        case ir.CompareOp.EQ | ir.CompareOp.NE:
            return Compared(field, value & WORD, value & WORD, op is ir.CompareOp.NE, mask)
        case ir.CompareOp.LT:
            return Compared(field, 0, value - 1, False, mask) if value else None
        case ir.CompareOp.LE:
            return Compared(field, 0, value, False, mask)
        case ir.CompareOp.GT:
            return Compared(field, value + 1, WORD, False, mask) if value < WORD else None
        case ir.CompareOp.GE:
            return Compared(field, value, WORD, False, mask)


def _unlisted(e: ir.Expr, name: str, sets: frozenset[str]) -> tuple[str, str] | None:
    match e:
        case ir.Unary(op=ir.UnaryOp.NOT, operand=ir.Contains(item=item, container=ir.Local(name=container))):
            field = _field(item, name)
            return (field, container) if field is not None and container in sets else None
    return None
