# SPDX-License-Identifier: Apache-2.0
"""Many policies in one C program that takes calls on its standard input: for fuzzing, tests and replay.

`driver` gives the program's files; `Requests` writes what it reads, and `answer` reads what it writes.  The protocol is
at the head of runtime/driver.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transect.core.codec import Make, Reader, encode, record
from transect.core.ir import FieldKind, Function, Program
from transect.core.rules import Scope
from transect.core.types import DictType, OptionType, SeqType, Type, UnitType, ViewType
from transect.emit.artifact import Artifact
from transect.emit.c import tree as c
from transect.emit.c.codec import read, write
from transect.emit.c.emitter import Lowered, includes, lower, one_unit, runtime
from transect.emit.c.layout import value_type
from transect.emit.c.printer import render
from transect.emit.c.waiting import waiting_struct

MAIN = "driver.c"
STATE, LOCAL, CALL, OUT = c.Name("state"), c.Name("local"), c.Name("call"), c.Name("out")
_ANY = c.Pointer(c.VOID)


def driver(programs: Sequence[Program], *, prefixes: Sequence[str] | None = None) -> Artifact:
    """`driver.c`, with everything that it includes; policies are numbered as given.

    Build it with any of `-std=c11 -O1 -ffp-contract=off -fsanitize=undefined,address`.
    """
    names = prefixes or [f"p{i}" for i in range(len(programs))]
    lowered = [lower(p, prefix=name) for p, name in zip(programs, names, strict=True)]
    # Reading and writing arguments may need declarations that the policy did not.
    wrapped = [wrappers(each) for each in lowered]
    declarations = [
        *includes("driver.h"),
        *one_unit(lowered),
        *(d for each in wrapped for d in each),
        _main(lowered),
    ]
    return Artifact(
        {MAIN: render(MAIN, declarations, marks=False).encode()} | runtime() | runtime("driver.h")
    )


# ---------------------------------------------------------------- the emitted ends


def wrappers(lowered: Lowered) -> list[c.Decl]:
    unit = lowered.unit
    made = {
        "make": _function(unit.name("d_make"), _ANY, (), c.Return(c.call(unit.name("new"), c.ZERO))),
        "drop": _function(
            unit.name("d_drop"), c.VOID, (c.Var("state", _ANY),), c.Do(c.call(unit.name("free"), STATE))
        ),
        "call": _call(lowered),
        "save": _function(
            unit.name("d_save"),
            c.SIZE,
            (c.Var("state", _ANY), c.Var("image", c.Pointer(c.U8)), c.Var("room", c.SIZE)),
            c.Return(c.call(unit.name("save"), STATE, c.Name("image"), c.Name("room"))),
        ),
        "load": _function(
            unit.name("d_load"),
            c.INT,
            (
                c.Var("state", _ANY),
                c.Var("image", c.Pointer(c.Named("uint8_t", const=True))),
                c.Var("size", c.SIZE),
            ),
            c.Return(c.call(unit.name("load"), STATE, c.Name("image"), c.Name("size"))),
        ),
        "set": _set(lowered),
        "wait": _wait(lowered),
    }
    if unit.has_locals:
        made["local"] = _function(
            unit.name("d_local"),
            c.VOID,
            (c.Var("local", _ANY),),
            c.Do(c.call(unit.name("local_init"), LOCAL)),
        )
    size: c.Expr = c.SizeOf(c.StructType(unit.name("local"))) if unit.has_locals else c.ZERO
    items = {"name": c.String(unit.program.name.encode()), "local_size": size}
    items |= {member: c.Name(f.name) for member, f in made.items()}
    table = c.Var(
        unit.name("policy"), c.StructType("ts_policy", const=True), c.designated(**items), static=True
    )
    return [*made.values(), table]


def _function(name: str, returns: c.CType, params: tuple[c.Var, ...], *body: c.Stmt) -> c.Function:
    return c.Function(name, returns, params, c.Block(body), prefix="static")


def _call(lowered: Lowered) -> c.Function:
    unit = lowered.unit
    params = (
        c.Var("state", _ANY),
        c.Var("local", _ANY),
        c.Var("hook", c.U32),
        c.Var("call", c.pointer("ts_call")),
        c.Var("from", c.pointer("ts_reader")),
        c.Var("out", c.pointer("ts_writer")),
    )
    arms = [
        c.Arm(c.Integer(i), (c.Block((*_hook(lowered, h), c.Break())),))
        for i, h in enumerate(unit.program.handlers)
    ]
    unused = [c.Do(c.Cast(c.VOID, c.Name(n))) for n in ("state", "local", "call", "out")]
    return _function(
        unit.name("d_call"),
        c.VOID,
        params,
        *unused,
        c.Var("in", c.StructType("ts_reader"), c.deref(c.Name("from"))),
        c.Switch(
            c.Name("hook"), (*arms, c.Arm(None, (c.assign(c.dot(c.Name("in"), "bad"), c.TRUE), c.Break())))
        ),
        c.assign(c.deref(c.Name("from")), c.Name("in")),
    )


def _hook(lowered: Lowered, handler: Function) -> list[c.Stmt]:
    """Read the arguments, call, write the result and the views."""
    unit = lowered.unit
    names = [f"argument{i}" for i in range(len(handler.params))]
    body: list[c.Stmt] = [
        c.Var(name, value_type(unit, p.type), read(unit, p.type))
        for name, p in zip(names, handler.params, strict=True)
    ]
    context = [STATE, *((LOCAL,) if unit.has_locals else ()), CALL]
    done = c.call(unit.function(handler.name), *context, *map(c.Name, names))
    if isinstance(handler.returns, UnitType):
        body.append(c.Do(done))
    else:
        body.append(c.Var("result", value_type(unit, handler.returns), done))
        body += write(unit, handler.returns, OUT, c.Name("result"))
    for name, p in zip(names, handler.params, strict=True):
        if isinstance(p.type, ViewType):
            body += write(unit, p.type, OUT, c.Name(name))
    bad = c.dot(c.Name("in"), "bad")
    reading, rest = body[: len(names)], body[len(names) :]
    return [*reading, c.If(c.negated(bad), c.Block(tuple(rest)))]


def _set(lowered: Lowered) -> c.Function:
    unit = lowered.unit
    arms = []
    for index, f in enumerate(unit.fields(FieldKind.PARAM)):
        value = c.Var("value", value_type(unit, f.type), read(unit, f.type))
        done = c.call(unit.name(f"set_{f.name}"), STATE, c.Name("value"))
        arms.append(c.Arm(c.Integer(index), (c.Block((value, c.Return(done))),)))
    params = (c.Var("state", _ANY), c.Var("parameter", c.U32), c.Var("from", c.pointer("ts_reader")))
    body: list[c.Stmt] = [c.Do(c.Cast(c.VOID, STATE)), c.Do(c.Cast(c.VOID, c.Name("parameter")))]
    if arms:
        body.append(c.Var("in", c.StructType("ts_reader"), c.deref(c.Name("from"))))
        body.append(c.Switch(c.Name("parameter"), (*arms, c.Arm(None, (c.Break(),)))))
    else:
        body.append(c.Do(c.Cast(c.VOID, c.Name("from"))))
    return _function(unit.name("d_set"), c.INT, params, *body, c.Return(c.ZERO))


def _wait(lowered: Lowered) -> c.Function:
    unit = lowered.unit
    clients, count, i = c.Name("clients"), c.Name("count"), c.Name("i")
    params = (
        c.Var("state", _ANY),
        c.Var("clients", c.Pointer(c.Named("uint64_t", const=True))),
        c.Var("count", c.U32),
    )
    if not unit.waits:
        unused = [c.Do(c.Cast(c.VOID, c.Name(v.name))) for v in params]
        return _function(unit.name("d_wait"), c.VOID, params, *unused)
    self = c.Name("self")
    table = c.arrow(self, unit.member("waiting"))
    order = c.dot(table, "order")
    first = c.Binary("-", c.dot(order, "first"), c.ONE)
    oldest = c.arrow(c.call(f"{waiting_struct(unit)}_at", c.Unary("&", table), first), "key")
    leave = c.While(
        c.Binary(">", c.dot(order, "count"), c.ZERO),
        c.Block((c.Do(c.call(unit.name("waiting_remove"), self, oldest)),)),
    )
    enter = c.Do(c.call(unit.name("waiting_add"), self, c.Index(clients, i)))
    loop = c.For(c.Var("i", c.U32, c.ZERO), c.Binary("<", i, count), c.Postfix("++", i), c.Block((enter,)))
    return _function(unit.name("d_wait"), c.VOID, params, c.Var("self", unit.state_type, STATE), leave, loop)


def _main(lowered: Sequence[Lowered]) -> c.Function:
    tables = [c.Unary("&", c.Name(each.unit.name("policy"))) for each in lowered]
    kind = c.ArrayOf(c.Pointer(c.StructType("ts_policy", const=True), const=True), None)
    policies = c.Var("policies", kind, c.braces(*tables), static=True)
    run = c.call("ts_drive", c.Name("policies"), c.Integer(len(tables)))
    return c.Function("main", c.INT, (), c.Block((policies, c.Return(run))))


# ---------------------------------------------------------------- the other end


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of a hook showed."""

    result: Any  # in plain form, as core/codec.py reads it
    views: tuple[bytes, ...]  # what follows the result: the views among the arguments, encoded
    traces: tuple[str, ...]
    checksum: int  # CRC-32 of the state image


class Requests:
    """Writes requests for a driver."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs
        self._program: Program | None = None
        self.data = bytearray()

    def start(self, index: int) -> None:
        """A new state of a policy."""
        self._program = self._programs[index]
        self.data += b"p" + _u32(index)

    def begin_rpc(self) -> None:
        self.data += b"l"

    def waiting(self, clients: Sequence[int]) -> None:
        """Who waits, oldest first."""
        self.data += b"w" + _u32(len(clients)) + b"".join(x.to_bytes(8, "little") for x in clients)

    def load(self, image: bytes) -> None:
        self.data += b"i" + _sized(image)

    def set(self, parameter: int, value: bytes) -> None:
        """Set a parameter, by its place among the program's, to an encoded value."""
        self.data += b"s" + _u32(parameter) + _sized(value)

    def show(self) -> None:
        """Ask for the state's image."""
        self.data += b"g"

    def call(self, hook: str, args: Sequence[object], *, now: int = 0, seed: int = 0) -> None:
        """Call a hook; draws follow from the seed."""
        tape = b"r" + now.to_bytes(8, "little", signed=True) + seed.to_bytes(8, "little")
        self._call(hook, args, tape)

    def call_with(self, hook: str, args: Sequence[object], entries: Iterable[bytes]) -> None:
        """Call a hook with a tape of entries, each as `clock`, `drawn` or `answered` makes it."""
        self._call(hook, args, b"t" + _sized(b"".join(entries)))

    def _call(self, hook: str, args: Sequence[object], tape: bytes) -> None:
        assert self._program is not None, "start a policy first"
        index, handler = next((i, h) for i, h in enumerate(self._program.handlers) if h.name == hook)
        given = b"".join(
            argument(self._program, p.type, a) for p, a in zip(handler.params, args, strict=True)
        )
        self.data += b"c" + _u32(index) + _sized(given) + tape


def clock(now: int) -> bytes:
    return b"n" + now.to_bytes(8, "little", signed=True)


def drawn(bits: int) -> bytes:
    return b"d" + bits.to_bytes(8, "little")


def answered(data: bytes) -> bytes:
    return b"a" + _sized(data)


def argument(program: Program, t: Type, value: Any) -> bytes:
    """An argument's bytes; of a view, its fields in order."""

    def each(item: Type, values: Iterable[Any]) -> bytes:
        return b"".join(argument(program, item, x) for x in values)

    scope = Scope(program)
    match t:
        case ViewType(name=name) if name not in scope.views:
            return b""
        case ViewType(name=name):
            fields = [(scope.member_type(t, m.name), m.name) for m in scope.views[name].members]
            return b"".join(argument(program, f, getattr(value, m)) for f, m in fields if f is not None)
        case OptionType(item=item):
            return b"\0" if value is None else b"\1" + argument(program, item, value)
        case SeqType(item=item):
            return _u32(len(value)) + each(item, value)
        case DictType(key=key, value=held):
            pairs = [each(key, (k,)) + each(held, (v,)) for k, v in value.items()]
            return _u32(len(pairs)) + b"".join(pairs)
        case _:
            return encode(t, value)


def _u32(x: int) -> bytes:
    return x.to_bytes(4, "little")


def _sized(data: bytes) -> bytes:
    return _u32(len(data)) + data


def answer(reader: Reader, program: Program, hook: str, make: Make = record) -> Answer:
    """The answer to a call, off the front of what the driver wrote."""
    handler = program.handler(hook)
    assert handler is not None, f"no hook {hook}"
    inner = Reader(reader.sized(), make)
    result = inner.value(handler.returns)
    rest = inner.take(inner.left)
    traces = tuple(reader.sized().decode() for _ in range(reader.integer(4)))
    return Answer(result, (rest,) if rest else (), traces, reader.integer(4))


__all__ = ["MAIN", "Answer", "Requests", "answer", "answered", "clock", "drawn", "driver"]
