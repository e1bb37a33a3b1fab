# SPDX-License-Identifier: Apache-2.0
"""Which messages a policy hears from applications and sends to them: each has a name and up to six numbers.

A message's `kind` is computed from its name and the names of its numbers, so an application and a policy that use the
same kind mean the same message, whichever versions they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from transect.base.diagnostic import Diagnostic, Diagnostics, Label
from transect.base.span import Span
from transect.core import ir
from transect.core.ir import Program
from transect.core.types import IntType, ViewType, an
from transect.core.walk import walk

BASE = "cpu.Hint"
SCHEDULER = "cpu.Scheduler"
TELL = "cpu.Scheduler.tell"
HOOK = "hint"
NUMBERS = 6  # in one message: TS_NUMBERS


@dataclass(frozen=True, slots=True)
class Message:
    """`Cores(count, priority)`."""

    name: str
    numbers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.numbers)})"

    @property
    def kind(self) -> int:
        """A number of 32 bits, never 0."""
        return zlib.crc32(str(self).encode()) or 1


def heard(program: Program) -> Message | None:
    """The hint that the policy takes; None: it takes none."""
    handler = program.handler(HOOK)
    if handler is None or handler.default:
        return None
    view = _view(program, handler)
    return None if view is None else Message(view.name, tuple(m.name for m in view.members))


def told(program: Program) -> tuple[Message, ...]:
    """The messages that it sends to applications, in the order of its lines."""
    return tuple(dict.fromkeys(message_of(call) for call in tells(program)))


def tells(program: Program) -> Iterator[ir.Intrinsic]:
    for function in (*program.functions, *program.handlers):
        for s in function.body:
            for part in walk(s):
                if isinstance(part, ir.Intrinsic) and part.name == TELL:
                    yield part


def message_of(call: ir.Intrinsic) -> Message:
    """The message that a call of `tell` sends."""
    _, what, *named = call.args
    assert isinstance(what, ir.Const) and isinstance(what.value, str), "`refused` let a text through"
    names = [n.value for n in named[::2] if isinstance(n, ir.Const)]
    return Message(what.value, tuple(str(name) for name in names))


def refused(program: Program, diagnostics: Diagnostics) -> None:
    """Errors for what a hint cannot carry."""
    handler = program.handler(HOOK)
    if handler is not None and not handler.default:
        _hears(program, handler, diagnostics)
    before: dict[str, tuple[Message, Span]] = {}
    for call in sorted(tells(program), key=lambda c: (c.span.line, c.span.column)):
        _tells(call, before, diagnostics)


def silent(program: Program) -> list[Diagnostic]:
    """Why there is no side for applications: the policy neither hears nor tells anything."""
    diagnostics = Diagnostics()
    if program.base != SCHEDULER:
        _no_side(program, "only schedulers talk with applications", diagnostics)
    elif heard(program) is None and not told(program):
        _no_side(program, "this scheduler hears no hints and tells nothing", diagnostics)
    return list(diagnostics)


def _no_side(program: Program, why: str, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "C009",
        why,
        next((h for h in program.handlers if not h.default), program.handlers[0]).span,
        label="of this policy",
        help="write `def hint(self, task: Task, said: Said[Group]) -> None:`, or `self.tell(…)`",
    )


def _hears(program: Program, handler: ir.Function, diagnostics: Diagnostics) -> None:
    view = _view(program, handler)
    if view is None or view.base != BASE:
        diagnostics.error(
            "C009",
            "this hint has no declared form",
            handler.span,
            label="takes any",
            help="write `said: Said[Group]`, and `class Group(Hint): number: int`",
        )
        return
    for member in view.members:
        if not isinstance(member.type, IntType):
            diagnostics.error(
                "C009",
                f"a hint holds numbers, not {an(member.type)}",
                member.span,
                label=f"`{member.name}`",
                help="write `int`; an application can number what it means",
            )
    if not 0 < len(view.members) <= NUMBERS:
        diagnostics.error(
            "C009",
            f"a hint holds one to {NUMBERS} numbers",
            view.span,
            label=f"{len(view.members)} here",
            help="send the others in another message of the same hint",
        )


def _tells(call: ir.Intrinsic, before: dict[str, tuple[Message, Span]], diagnostics: Diagnostics) -> None:
    what = call.args[1]
    if not isinstance(what, ir.Const) or not str(what.value).isidentifier():
        diagnostics.error(
            "C009",
            "what is told has a constant name",
            what.span,
            label="not a plain word",
            help='write for example `self.tell(process, "granted", core=2)`',
        )
        return
    message = message_of(call)
    for value in call.args[3::2]:
        if not isinstance(value.type, IntType):
            diagnostics.error(
                "C009", f"numbers are told, not {an(value.type)}", value.span, help="write `as_int(…)`"
            )
    if len(message.numbers) > NUMBERS:
        diagnostics.error("C009", f"at most {NUMBERS} numbers are told at once", call.span, help="tell twice")
    first, where = before.setdefault(message.name, (message, call.span))
    if first != message:
        diagnostics.error(
            "C009",
            f"`{message.name}` is told in two forms",
            call.span,
            label=f"here as `{message}`",
            others=(Label(where, f"here as `{first}`"),),
            help="name the numbers alike, in the same order, or give one of them another name",
        )


def _view(program: Program, handler: ir.Function) -> ir.View | None:
    match handler.params[1].type:
        case ViewType(arguments=(ViewType(name=name),)):
            return next((v for v in program.views if v.name == name and v.base == BASE), None)
        case _:
            return None
