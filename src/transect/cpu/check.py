# SPDX-License-Identifier: Apache-2.0
"""Why a checked policy cannot be a scheduler for the kernel: tasks lost or queued twice, and what BPF has
no form for.
"""

from __future__ import annotations

from collections.abc import Iterator

from transect.base.diagnostic import Diagnostic, Diagnostics, Label
from transect.base.span import Span
from transect.core import ir
from transect.core.ir import FieldKind, Function, Program
from transect.core.types import (
    DEFAULT_OPTIONS,
    ArrayType,
    BytesType,
    TableKind,
    TableType,
    TextType,
    ViewType,
    an,
)
from transect.core.walk import walk
from transect.cpu import arbiter
from transect.cpu.check_queues import custody
from transect.cpu.hints import schema
from transect.cpu.hints.schema import TELL
from transect.cpu.platform import PLAIN, SCOPES, WITH_CALL, queue_number
from transect.cpu.steps import too_long
from transect.emit.bpf.values import is_local, is_stored, is_word

# Options of a field that BPF does not keep, and what to do instead.
OPTIONS = {
    "exclusive": "no lock is taken in the kernel; let each update be one step: `+=`, `max(…)`, `min(…)`",
    "persist": "leave it out; a scheduler's state lasts as long as it is in force",
    "sync": "leave it out; all CPUs have the same state",
}


def check(program: Program) -> list[Diagnostic]:
    """Diagnostics of a checked policy of this stratum; with an error among them it cannot be put in force."""
    from transect.cpu.scheduler import legal

    if long := list(too_long(program)):
        return long  # to follow all paths through it would take as long
    if program.base == arbiter.BASE:
        return arbiter.refused(program)
    found = Diagnostics()
    for diagnostic in (*refused(program), *custody(legal(program))):
        found.add(diagnostic)
    return list(found)


def refused(program: Program) -> Iterator[Diagnostic]:
    """What BPF could do only approximately, or not at all."""
    diagnostics = Diagnostics()
    for f in program.state:
        _field(f, diagnostics)
    for name in ("migrate", "migrate_back"):
        if (hook := program.handler(name)) is not None and not hook.default:
            help = "give the field another name: then it starts anew"
            what = f"a scheduler has no `{name}`"
            diagnostics.error("C005", what, hook.span, label="not in a scheduler", help=help)
    _queues(program, diagnostics)
    tables = {f.name for f in program.state if isinstance(f.type, TableType)}
    for function in (*program.functions, *program.handlers):
        _function(function, tables, diagnostics)
    schema.refused(program, diagnostics)
    yield from diagnostics


def _queues(program: Program, diagnostics: Diagnostics) -> None:
    """A queue's number is made from its name, so that a later version finds it again; but two names may give one
    number.
    """
    queues = [f for f in program.state if f.kind is FieldKind.GIVEN]
    first: dict[int, ir.StateField] = {}
    for f in queues:
        other = first.setdefault(queue_number(f.name), f)
        if other is not f:
            diagnostics.error(
                "C013",
                f"the queues `{other.name}` and `{f.name}` would be one queue in the kernel",
                f.span,
                label=f"has the number of `{other.name}`",
                others=(Label(other.span, "this one"),),
                help="give one of them another name: a queue's number there is a checksum of its name",
            )


def _field(f: ir.StateField, diagnostics: Diagnostics) -> None:
    def bad(what: str, help: str) -> None:
        diagnostics.error("C005", what, f.span, label="not in a scheduler", help=help)

    for option, help in OPTIONS.items():
        if getattr(f.options, option) != getattr(DEFAULT_OPTIONS, option):
            bad(f"a scheduler has no `{option}` state", help)
    match f.type:
        case ViewType(name=name) if f.kind is FieldKind.GIVEN and name in SCOPES:
            pass
        case TableType(kind=TableKind.TABLE | TableKind.TALLY, key=key, value=value):
            if not is_word(key):
                bad(
                    f"a scheduler's table is kept by a number, not by {an(key)}",
                    "use `Local` for what belongs to a task",
                )
            elif not is_word(value):
                bad(f"a scheduler's table holds numbers, not {an(value)}", "use a table for each field")
        case TableType():
            bad("BPF's own table of this kind keeps another order", "use `Map[…] = table(…)`")
        case ArrayType(item=item) if is_word(item):
            pass
        case t if is_stored(t):
            pass
        case t:
            bad(
                f"a scheduler's state cannot hold {an(t)}",
                "it holds numbers, `bool`, times, enums and options of these",
            )


def _function(function: Function, tables: set[str], diagnostics: Diagnostics) -> None:
    for name, t in function.locals:
        if not is_local(t):
            diagnostics.error(
                "C005",
                f"a scheduler cannot work with {an(t)} (`{name}`)",
                function.span,
                label="in this function",
                help="it works with numbers, `bool`, times, enums and options of these",
            )
    for s in function.body:
        for node in walk(s):
            _node(node, tables, diagnostics)


def _node(node: object, tables: set[str], diagnostics: Diagnostics) -> None:
    def bad(what: str, span: Span, help: str) -> None:
        diagnostics.error("C005", what, span, label="not in a scheduler", help=help)

    match node:
        case ir.Intrinsic(name="mul_div" as name, span=span) | ir.Intrinsic(name="rand" as name, span=span):
            bad(f"BPF has no `{name}`", span, "it has no numbers of 128 bits, and none with a point")
        case ir.Intrinsic(name="parse_int" | "hash64" as name, args=args, span=span) if any(
            isinstance(a.type, TextType | BytesType) for a in args
        ):
            bad(f"a scheduler has no texts, and so no `{name}` of one", span, "give numbers")
        case ir.Intrinsic(name="trace", span=span):
            bad("a scheduler has no `trace` yet", span, "record it instead: `transect cpu record`")
        case ir.Intrinsic(name=name, span=span) if name.startswith("cpu.") and name not in _KNOWN:
            bad(f"`{name}` is not there yet", span, "see `transect.cpu`")
        case ir.OverState(part=ir.Part.VALUES | ir.Part.ITEMS, span=span) | ir.OverValue(span=span):
            bad("a scheduler cannot loop over this", span, "loop over a `range` with a constant bound")
        case ir.OverState(field=field, span=span) if field in tables:
            bad(
                "BPF does not go through a table",
                span,
                "loop over a `range`, or keep what you need in a field",
            )
        case ir.Lookup(op=ir.TableRead.LEN, span=span):
            bad("BPF does not count the entries of a table", span, "count them in a field of your own")
        case (
            ir.MakeStruct(span=span, type=t) | ir.MakeTuple(span=span, type=t) | ir.Format(span=span, type=t)
        ):
            bad(f"a scheduler cannot make {an(t)}", span, "use a local for each part")
        case ir.MatchStruct() | ir.MatchTuple():
            pass  # their subject has its own diagnostic
        case _:
            pass


_KNOWN = frozenset({*WITH_CALL, *PLAIN, "cpu.Task.used", TELL})
