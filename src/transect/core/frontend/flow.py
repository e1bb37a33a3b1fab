# SPDX-License-Identifier: Apache-2.0
"""Rules about whole functions which need the typed tree: a copy that is changed and lost."""

from __future__ import annotations

from dataclasses import dataclass

from transect.base.diagnostic import Diagnostics
from transect.base.span import Span
from transect.core import ir
from transect.core.types import StructType
from transect.core.walk import children


@dataclass(frozen=True, slots=True)
class _Event:
    """A change of a local struct's field, or a use of the whole value, in order of the text."""

    name: str
    changes: bool
    span: Span
    loops: tuple[int, ...]  # the loops around it


def check_flow(program: ir.Program, diagnostics: Diagnostics) -> None:
    """Add what is wrong with the flow of the program's functions."""
    for function in [*program.functions, *program.handlers]:
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
            for item in node:
                _collect(item, loops, events)
        case (
            ir.Store(place=ir.LocalPlace(name=name), value=value)
            | ir.Update(place=ir.LocalPlace(name=name), value=value)
        ):
            _collect(value, loops, events)
            events.append(_Event(name, True, node.span, loops))
        case ir.Attr(base=ir.Local()):
            pass  # reads a field, not the whole
        case ir.Local(name=name, type=StructType()):
            events.append(_Event(name, False, node.span, loops))
        case ir.For(source=source, body=body):
            _collect(source, loops, events)
            _collect(body, (*loops, id(node)), events)
        case ir.StatePlace() | ir.LocalPlace():
            pass
        case _:
            for child in children(node):  # type: ignore[arg-type]
                _collect(child, loops, events)
