# SPDX-License-Identifier: Apache-2.0
"""Runs any `Arbiter` policy whose `pick` is the smallest entry of one tally, as a scheduler.

The waiting tasks are one queue of the kernel, ordered by that tally: its first task is the arg-min, the key of that
task the minimum.  This gives the policy's meaning only if the key of a waiting task never changes.  So the tally may be
written for the hook's own client in `arrive` (which comes before the task waits) and in `charge` (the adapter charges a
running task), and nowhere else; any other question to `waiting` is refused.  Costs are nanoseconds run × 100 / weight.

If the first task of the queue may not run on the CPU that asks, the kernel gives the first one that may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from transect.base.diagnostic import Diagnostic, Diagnostics
from transect.core import ir
from transect.core.effects import Facts
from transect.core.ir import Expr, FieldKind, Function, Program, ReduceOp, StateField
from transect.core.passes.flatten import flatten
from transect.core.types import INT, KeyType, TableKind, TableType, Type
from transect.core.walk import walk
from transect.cpu.platform import Kernel, queue_number
from transect.emit.bpf.lower import Lowering
from transect.emit.bpf.unit import OWN, Unit
from transect.emit.c import tree as c

BASE = "Arbiter"
WAITING = "waiting"
HOOKS = (
    "arrive",
    "pick",
    "charge",
)  # the hooks that the adapter calls; `leave` and `forget` only if they are written
OPS = ("select_cpu", "enqueue", "dispatch", "stopping", "enable", "init_task", "init")
QUEUE = c.call("TS_QUEUE", c.Integer(queue_number(WAITING), "u"), c.ZERO)
FIRST = "ts_first"


def legal(program: Program) -> Program:
    """The program in flat form, with every question about `waiting` in a `Let` of its own."""
    facts = Facts(program)
    return flatten(program, lambda e: isinstance(e, ir.LetIn | ir.Reduce) or facts.effectful(e))


def tally(program: Program) -> StateField | None:
    """The policy's only table that is kept by client; None if it does not have exactly one."""
    found = [
        f
        for f in program.state
        if isinstance(f.type, TableType)
        and isinstance(f.type.key, KeyType)
        and f.type.kind is TableKind.TALLY
    ]
    return found[0] if len(found) == 1 else None


# ---------------------------------------------------------------- what cannot be adapted


def refused(program: Program) -> list[Diagnostic]:
    """Why the policy cannot be a scheduler; empty if it can."""
    diagnostics = Diagnostics()
    flat = legal(program)
    key = tally(flat)
    if key is None:
        diagnostics.error(
            "C007",
            "a scheduler is ordered by one tally of its clients, and this policy does not have just one",
            program.handlers[0].span,
            label="of this policy",
            help="keep one `Tally[Client, int]`, and pick its smallest",
        )
        return list(diagnostics)
    for function in (*flat.functions, *flat.handlers):
        for node in _nodes(function):
            _node(function, node, key.name, diagnostics)
    return list(diagnostics)


def _node(function: Function, node: object, key: str, diagnostics: Diagnostics) -> None:
    match node:
        case ir.Reduce(source=ir.OverValue(value=ir.State(field="waiting"))) if not _asks_first(node, key):
            diagnostics.error(
                "C007",
                f"the kernel's queue tells the smallest of `{key}` and who has it, nothing else",
                node.span,
                label="asks something else of `waiting`",
                help=f"write `min(self.waiting, key=self.{key}.get)`, or the `min` of `self.{key}[c]`",
            )
        case (
            ir.Store(place=ir.EntryPlace(field=field, span=span))
            | ir.Update(place=ir.EntryPlace(field=field, span=span))
        ) if field == key and function.name not in ("arrive", "charge"):
            diagnostics.error(
                "C007",
                f"`{key}` may change while its client waits, and the kernel's queue would not notice",
                span,
                label=f"in `{function.name}`",
                help="change it in `arrive`, or in `charge`",
            )
        case (
            ir.For(source=ir.OverValue(value=ir.State(field="waiting")), span=span)
            | ir.Contains(container=ir.State(field="waiting"), span=span)
        ):
            diagnostics.error(
                "C007",
                "a scheduler cannot go through all tasks that wait",
                span,
                label="goes through `waiting`",
                help=f"ask for the smallest: `min(self.waiting, key=self.{key}.get)`",
            )
        case _:
            pass


def _nodes(function: Function) -> Iterator[object]:
    for s in function.body:
        yield from walk(s)


def _asks_first(e: ir.Reduce, key: str) -> bool:
    """Whether it asks for the smallest entry of the tally, or for its client."""
    match e:
        case ir.Reduce(
            op=ReduceOp.MIN | ReduceOp.ARGMIN,
            targets=(target,),
            cond=None,
            value=ir.Lookup(op=ir.TableRead.TOTAL, field=field, args=(ir.Local(name=name),)),
        ):
            return field == key and name == target
        case _:
            return False


# ---------------------------------------------------------------- as C


class ArbiterUnit(Unit):
    """The tally is a word of each task."""

    def __init__(self, program: Program, prefix: str) -> None:
        key = tally(program)
        assert key is not None, "`refused` let a policy without a tally through"
        self.key = key
        word = StateField(key.name, INT, FieldKind.LOCAL, ir.Const(0, type=INT, span=key.span), span=key.span)
        state = tuple(word if f is key else f for f in program.state if f.name != WAITING)
        super().__init__(replace(program, state=state), prefix)


class ArbiterLowering(Lowering):
    """The kernel's queue of waiting tasks answers for the tally."""

    def __init__(self, unit: ArbiterUnit, function: Function, platform: Kernel) -> None:
        super().__init__(unit, function, platform)
        self.tally = unit.key.name
        self.chosen = {
            s.name
            for s in _nodes(function)
            if isinstance(s, ir.Let) and isinstance(s.value, ir.Reduce) and s.value.op is ReduceOp.ARGMIN
        }

    def statement(self, s: ir.Stmt) -> list[c.Stmt]:
        match s:
            case ir.Let(name=name) if name in self.chosen:
                return []  # it is the first of the queue
            case ir.Return() if self.function.name == "pick":
                return [c.Return(c.ZERO)]
            case ir.Store(place=ir.EntryPlace(field=self.tally), value=value):
                return self.write(self.unit.place(self.tally), INT, self.expr(value))
            case ir.Update(place=ir.EntryPlace(field=self.tally), op=op, value=value):
                return [self.change(c.address(self.unit.place(self.tally)), INT, op, self.expr(value))]
            case ir.Remove(field=self.tally):
                return [self.bind_own()]
            case _:
                return super().statement(s)

    def bind_own(self) -> c.Stmt:
        return c.Do(c.call("TS_WRITE", self.unit.place(self.tally), c.ZERO))

    def type(self, t: Type) -> c.CType:
        return c.INT if self.function.name == "pick" and isinstance(t, KeyType) else super().type(t)

    def expr(self, e: Expr) -> c.Expr:
        match e:
            case ir.Reduce(op=ReduceOp.MIN, default=default):
                absent = c.ZERO if default is None else self.expr(default)
                return c.call(FIRST, QUEUE, absent)
            case ir.Lookup(field=self.tally, args=(ir.Local(name=name), *_)) if name in self.chosen:
                return c.call(FIRST, QUEUE, c.ZERO)
            case ir.Lookup(field=self.tally):
                return c.call("TS_READ", self.unit.place(self.tally))
            case _:
                return super().expr(e)


def declarations(program: Program, prefix: str) -> list[c.Decl]:
    """The handlers, and the functions that `arbiter.h` expects."""
    unit = ArbiterUnit(legal(program), prefix)
    result: list[c.Decl] = [*unit.structs(), c.Macro("TS_STATE", (c.Name(prefix),)), *unit.tables()]
    for f in (*unit.program.functions, *unit.program.handlers):
        if f.name in HOOKS or f in unit.program.functions:
            result += [
                c.At(f.span.path, f.span.line),
                ArbiterLowering(unit, f, Kernel(program, f)).definition(),
                c.Here(),
            ]
    key = c.Function(
        unit.name("key"),
        c.Named("s64"),
        (c.Var("own", c.pointer(unit.name("task"))),),
        c.Block((c.Return(c.Member(OWN, unit.member(unit.key.name), arrow=True)),)),
        prefix="TS_INLINE",
    )
    number = c.Var("queue", c.Named("u64"), QUEUE)
    queue = c.Function(
        unit.name("queue"), c.Named("u64"), (), c.Block((number, c.Return(c.Name("queue")))), "TS_INLINE"
    )
    return [*result, key, queue, c.Include("arbiter.h")]
