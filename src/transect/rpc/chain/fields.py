# SPDX-License-Identifier: Apache-2.0
"""What a chain reads from each message: all fields that some element reads or writes."""

from __future__ import annotations

from transect.rpc.chain.binding import Binding
from transect.rpc.messages.plan import Plan, Plans, Slot
from transect.rpc.messages.wire import Presence, ProtoField, ProtoMessage


def plans(binding: Binding) -> Plans:
    """A plan for each message that the covered methods can reach and of which some element uses fields; requests and
    replies always have one.
    """
    found: Plans = {}
    changing = _changing(binding)
    waiting = [name for method in binding.methods for name in (method.request, method.reply)]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = _plan(binding, binding.service.messages[name], changing)
            waiting += [slot.inner for slot in found[name].visible if slot.inner]
    return found


def _plan(binding: Binding, message: ProtoMessage, changing: frozenset[str]) -> Plan:
    read, written = _touched(binding, message.name)
    groups = {f.oneof for f in message.fields if f.name in read and f.oneof}
    slots: list[Slot] = []
    index = 0
    for f in sorted(message.fields, key=lambda f: f.number):
        if f.name in read:
            slots.append(_slot(binding, f, index, f.name in written, changing))
            index += 1
        elif f.oneof in groups:
            slots.append(Slot(f, -1))
    return Plan(message.name, tuple(slots), message.name in changing)


def _slot(binding: Binding, f: ProtoField, index: int, written: bool, changing: frozenset[str]) -> Slot:
    if f.presence is Presence.MAP:
        entry = binding.service.messages[f.message]
        return Slot(f, index, key=entry.field("key"), value=entry.field("value"))
    nested = f.kind.nested and f.presence is Presence.EXPLICIT
    return Slot(f, index, written, nested and f.message in changing)


def _touched(binding: Binding, message: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the fields of a message that some element uses, and of those that some element assigns."""
    read, written = set[str](), set[str]()
    for element in binding.elements:
        for (view, of), bound in element.views.items():
            if of == message:
                used, assigned = element.needs.fields(view), element.needs.written(view)
                read |= {m.field.name for m in bound.members if m.member.name in used}
                written |= {m.field.name for m in bound.members if m.member.name in assigned}
    return frozenset(read), frozenset(written)


def _changing(binding: Binding) -> frozenset[str]:
    """Messages in which some element assigns a field, directly or in a sub-message that is not repeated."""
    found = {name for name in binding.service.messages if _touched(binding, name)[1]}
    while True:
        above = {
            m.name
            for m in binding.service.messages.values()
            for f in m.fields
            if f.message in found
            and f.presence is Presence.EXPLICIT
            and f.name in _touched(binding, m.name)[0]
        }
        if above <= found:
            return frozenset(found)
        found |= above
