# SPDX-License-Identifier: Apache-2.0
"""The target `hints-c`: a C header with which applications talk with a scheduler, and the fixed one that it includes.

For a policy `Arachne` that takes `Cores(count, priority)` and tells `granted(core)`:

    int arachne_attach(struct transect *, char *why, size_t size);
    int arachne_say_cores(struct transect *, uint32_t thread, int64_t count, int64_t priority);
    int arachne_is_granted(const struct transect_message *, int64_t *core);
"""

from __future__ import annotations

import json
from importlib.resources import files

from transect.base.diagnostic import Diagnostic
from transect.core.ir import Program
from transect.cpu.hints.schema import Message, heard, silent, told
from transect.emit.artifact import Artifact
from transect.emit.c import tree as c
from transect.emit.c.names import Names, snake
from transect.emit.c.printer import render

FIXED = "transect_hints.h"
CONNECTION = c.Var("application", c.pointer("transect"))
MESSAGE = c.Var("message", c.Pointer(c.StructType("transect_message", const=True)))


class HintsC:
    """The C side of applications."""

    passes = ()

    def refuses(self, program: Program) -> list[Diagnostic]:
        return silent(program)

    def emit(self, program: Program) -> Artifact:
        name = f"{snake(program.name)}_hints.h"
        fixed = (files("transect.cpu.hints") / "runtime" / FIXED).read_bytes()
        return Artifact({name: render(name, declarations(program), False).encode(), FIXED: fixed})


def declarations(program: Program) -> list[c.Decl]:
    """The emitted header."""
    prefix = snake(program.name)
    says = heard(program)
    body = (
        _attach(prefix, says, told(program)),
        *([_say(prefix, says)] if says else []),
        *(_is(prefix, message) for message in told(program)),
    )
    text = f"Hints of {program.name}, emitted by transect from {program.path}\nsource sha256 {program.source_hash}"
    guard = c.Guard(f"{prefix.upper()}_HINTS_H", (c.Include(FIXED), *body))
    return [c.Comment(text), guard]


def _function(name: str, params: tuple[c.Var, ...], *body: c.Stmt) -> c.Function:
    return c.Function(name, c.INT, params, c.Block(body), prefix="static inline")


def _attach(prefix: str, says: Message | None, hears: tuple[Message, ...]) -> c.Function:
    why, size = c.Var("why", c.Pointer(c.Named("char"))), c.Var("size", c.SIZE)
    forms = json.dumps(
        {
            "version": 1,
            "says": [(m.name, m.numbers) for m in ([says] if says else [])],
            "hears": [(m.name, m.numbers) for m in hears],
        }
    )
    call = c.call(
        "transect_attach", c.Name("application"), c.String(forms.encode()), c.Name("why"), c.Name("size")
    )
    return _function(f"{prefix}_attach", (CONNECTION, why, size), c.Return(call))


def _say(prefix: str, hint: Message) -> c.Function:
    names = Names(("application", "thread", "numbers"))
    values = [c.Var(names.of(number), c.I64) for number in hint.numbers]
    count = c.Integer(len(values))
    numbers = c.Var("numbers", c.ArrayOf(c.I64, count), c.braces(*(c.Name(v.name) for v in values)))
    call = c.call(
        "transect_say",
        c.Name("application"),
        c.Integer(hint.kind, "u"),
        c.Name("thread"),
        count,
        c.Name("numbers"),
    )
    params = (CONNECTION, c.Var("thread", c.U32), *values)
    return _function(f"{prefix}_say_{snake(hint.name)}", params, numbers, c.Return(call))


def _is(prefix: str, message: Message) -> c.Function:
    """A function that tells whether a message is this one, and reads its numbers."""
    names = Names(("message",))
    outs = [c.Var(names.of(number), c.Pointer(c.I64)) for number in message.numbers]
    other = c.Binary("!=", c.arrow("message", "kind"), c.Integer(message.kind, "u"))
    taken: list[c.Stmt] = [
        c.assign(c.deref(c.Name(out.name)), c.Index(c.arrow("message", "numbers"), c.Integer(n)))
        for n, out in enumerate(outs)
    ]
    no = c.If(other, c.Block((c.Return(c.ZERO),)))
    return _function(f"{prefix}_is_{snake(message.name)}", (MESSAGE, *outs), no, *taken, c.Return(c.ONE))


emitter = HintsC()
