# SPDX-License-Identifier: Apache-2.0
"""Rules about whole functions which need the typed tree: copies that are changed and lost, stretches under a lock."""

from __future__ import annotations

from collections.abc import Iterator

from transect.base.diagnostic import Diagnostics, Label
from transect.base.record import record
from transect.base.span import Span
from transect.core import ir
from transect.core.types import OptionType, StructType
from transect.core.walk import children, walk


@record
class _Event:
    """A change of a local struct's field, or a use of the whole value, in order of the text."""

    name: str
    changes: bool
    span: Span
    loops: tuple[int, ...]  # the loops around it


def check_flow(program: ir.Program, diagnostics: Diagnostics) -> None:
    """Add what is wrong with the flow of the program's functions."""
    for function in [*program.functions, *program.handlers]:
        for node in walk_block(function.body):
            _check_loop(node, program, diagnostics)
    exclusive = {f.name: f for f in program.state if f.options.exclusive}
    for function in [*program.functions, *program.handlers]:
        for field in exclusive.values():
            _check_locked(function, field, diagnostics)
        events: list[_Event] = []
        _collect(function.body, (), events)
        for index, event in enumerate(events):
            if event.changes and not _used_later(events, index):
                diagnostics.error(
                    "P025",
                    "a copy is changed and lost",
                    event.span,
                    label=f"`{event.name}` is a copy, and it is never stored afterwards",
                    help=f"store it: `self.…[key] = {event.name}`, or change the entry itself: `self.…[key].field = …`",
                )


def _used_later(events: list[_Event], index: int) -> bool:
    change = events[index]
    for later, event in enumerate(events):
        around_both = any(loop in event.loops for loop in change.loops)
        if not event.changes and event.name == change.name and (later > index or around_both):
            return True
    return False


def _collect(node: object, loops: tuple[int, ...], events: list[_Event]) -> None:
    match node:
        case tuple():
            at = 0
            while at < len(node):
                changed = _changed_option(node[at : at + 3])
                if changed is None:
                    _collect(node[at], loops, events)
                else:
                    _collect(node[at + 1].value, loops, events)
                    events.append(_Event(changed, True, node[at + 1].span, loops))
                at += 1 if changed is None else 3
        case (
            ir.Store(place=ir.LocalPlace(name=name), value=value)
            | ir.Update(place=ir.LocalPlace(name=name), value=value)
        ):
            _collect(value, loops, events)
            events.append(_Event(name, True, node.span, loops))
        case ir.Attr(base=ir.Local() | ir.Unwrap(value=ir.Local())) | ir.IsSome(value=ir.Local()):
            pass  # reads a field, not the whole
        case ir.Local(name=name, type=StructType() | OptionType(item=StructType())):
            events.append(_Event(name, False, node.span, loops))
        case ir.For(source=source, body=body):
            _collect(source, loops, events)
            _collect(body, (*loops, id(node)), events)
        case ir.If(cond=cond, then=then, orelse=orelse):
            for part in (cond, then, orelse):
                _collect(part, loops, events)
        case ir.Switch(subject=subject, cases=cases):
            _collect(subject, loops, events)
            for inner in (p for case in cases for p in (case.pattern, case.guard, case.body)):
                _collect(inner, loops, events)
        case ir.StatePlace() | ir.LocalPlace() | None:
            pass
        case _:
            for child in children(node):  # type: ignore[arg-type]
                _collect(child, loops, events)


def _changed_option(statements: tuple[object, ...]) -> str | None:
    """The name of `x`, if these statements are `x.field = …` of an option `x`: take its value out, change it, put it
    back.
    """
    match statements:
        case (
            ir.Let(name=inner, value=ir.Unwrap(value=ir.Local(name=option))),
            ir.Store(place=ir.LocalPlace(name=changed)) | ir.Update(place=ir.LocalPlace(name=changed)),
            ir.Let(name=again, value=ir.Some(value=ir.Local(name=stored))),
        ) if inner == changed == stored and option == again:
            return option
        case _:
            return None


# ---------------------------------------------------------------- loops over tables


def _check_loop(node: object, program: ir.Program, diagnostics: Diagnostics) -> None:
    """A helper called in a loop over a table may not write that table."""
    if not isinstance(node, ir.For | ir.Reduce | ir.MakeSet) or not isinstance(node.source, ir.OverState):
        return
    calls = [inner for inner in walk(node) if isinstance(inner, ir.Call)]
    if not calls:
        return
    from transect.core.effects import Facts  # imported here, since most policies have no such call

    facts = Facts(program)
    field = node.source.field
    for inner in calls:
        if field in facts.helper(inner.function).written_fields:
            diagnostics.error(
                "P026",
                f"`{inner.function}` changes `{field}` while a loop goes over it",
                inner.span,
                label=f"writes `{field}`",
                others=(Label(node.span, "the loop"),),
                help="only the entry of the loop's own key may be stored or deleted, in the loop itself",
            )


def walk_block(body: ir.Block) -> Iterator[object]:
    for statement in body:
        yield from walk(statement)


# ---------------------------------------------------------------- exclusive fields

_SLOW = (ir.Lookup, ir.EntryPlace, ir.Remove, ir.Intrinsic, ir.Call, ir.Reduce, ir.MakeSet, ir.For)


def _check_locked(function: ir.Function, field: ir.StateField, diagnostics: Diagnostics) -> None:
    """From first to last use of an exclusive field nothing may take long or call outside, since all of it runs under a
    lock.
    """
    events = list(_locked_events(function.body, field.name))
    uses = [i for i, e in enumerate(events) if e is None]
    if not uses:
        return
    for event in events[uses[0] : uses[-1]]:
        if event is not None:
            diagnostics.error(
                "P049",
                f"`{field.name}` is locked here, and this may take long",
                event,
                label="a look-up, loop, intrinsic or call under the lock",
                others=(Label(field.span, "declared exclusive here"),),
                help=f"move it before the first or after the last use of `self.{field.name}`",
            )


def _locked_events(node: object, field: str) -> Iterator[Span | None]:
    """In order: None for a use of the field, the place of whatever must not stand between two uses."""
    match node:
        case tuple():
            for item in node:
                yield from _locked_events(item, field)
        case ir.State(field=name) | ir.StatePlace(field=name):
            if name == field:
                yield None
        case ir.Update(place=place, value=value) | ir.Store(place=place, value=value):
            yield from _locked_events(value, field)
            yield from _locked_events(place, field)
        case ir.For(body=body) if any(e is None for e in _locked_events(body, field)):
            yield None
            yield node.span
            yield None
        case _:
            for child in children(node):  # type: ignore[arg-type]
                yield from _locked_events(child, field)
            array = isinstance(node, ir.Lookup | ir.EntryPlace) and node.field == field
            if array:
                yield None
            elif isinstance(node, _SLOW):
                yield node.span
