# SPDX-License-Identifier: Apache-2.0
"""What a chain takes out of each message: the fields that some element reads or writes, the union over all elements.

The scanners, native and Python, follow the same plans; so do both rewriters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from transect.rpc.chain.binding import Binding
from transect.rpc.messages.wire import Presence, ProtoField, ProtoMessage


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of a message that the chain looks at."""

    field: ProtoField
    index: int  # its bit and position; -1: hidden, a member of a oneof which nobody reads, but which ends the others
    written: bool = False  # some element assigns it
    entered: bool = (
        False  # some element assigns a field within this sub-message: its pieces are kept for rewriting
    )
    key: ProtoField | None = None  # of a map
    value: ProtoField | None = None

    @property
    def hidden(self) -> bool:
        return self.index < 0

    @property
    def inner(self) -> str:
        """Full name of the message within: sub-message, item, map value; "" when there is none."""
        found = self.field if self.value is None else self.value
        return found.message if found.kind.nested else ""

    @property
    def single(self) -> bool:
        return self.field.presence in (Presence.IMPLICIT, Presence.EXPLICIT)

    @property
    def nested(self) -> bool:
        """A sub-message which stands once (its occurrences are merged)."""
        return self.single and self.field.kind.nested


@dataclass(frozen=True)
class Plan:
    """The slots of one message type, by field number."""

    message: str
    slots: tuple[Slot, ...]
    changes: bool = False  # some element assigns a field here or in a sub-message

    @cached_property
    def visible(self) -> tuple[Slot, ...]:
        return tuple(s for s in self.slots if not s.hidden)

    @cached_property
    def by_name(self) -> dict[str, Slot]:
        return {s.field.name: s for s in self.slots}

    @cached_property
    def by_tag(self) -> dict[int, Slot]:
        """Slots by the tags under which they are recognised; another wire type makes an unknown field."""
        tags = {s.field.tag: s for s in self.slots}
        packed = {
            s.field.packed_tag: s
            for s in self.slots
            if s.field.presence is Presence.REPEATED and s.field.kind.packable
        }
        return tags | packed

    def rivals(self, slot: Slot) -> tuple[Slot, ...]:
        """The visible other members of its oneof."""
        return tuple(
            s
            for s in self.visible
            if slot.field.oneof and s is not slot and s.field.oneof == slot.field.oneof
        )


Plans = dict[str, Plan]


def plans(binding: Binding) -> Plans:
    """A plan for each message which the covered methods can reach and some element looks into (roots always)."""
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
    """Names of the fields of a message that some element touches, and of those that some element assigns."""
    read, written = set[str](), set[str]()
    for element in binding.elements:
        for (view, of), bound in element.views.items():
            if of == message:
                used, assigned = element.needs.fields(view), element.needs.written(view)
                read |= {m.field.name for m in bound.members if m.member.name in used}
                written |= {m.field.name for m in bound.members if m.member.name in assigned}
    return frozenset(read), frozenset(written)


def _changing(binding: Binding) -> frozenset[str]:
    """Messages in which something is assigned, or in a sub-message that stands once in them."""
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


def plan_of(message: ProtoMessage, messages: dict[str, ProtoMessage], names: set[str] | None = None) -> Plans:
    """Plans which take every field (of `message`: those named), each of them writable: for tests and tools."""
    found: Plans = {}
    waiting = [message.name]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            wanted = names if name == message.name else None
            found[name] = _plan_whole(messages[name], messages, wanted)
            waiting += [slot.inner for slot in found[name].visible if slot.inner]
    return found


def _plan_whole(message: ProtoMessage, messages: dict[str, ProtoMessage], names: set[str] | None) -> Plan:
    chosen = [f for f in message.fields if names is None or f.name in names]
    groups = {f.oneof for f in chosen if f.oneof}
    hidden = [Slot(f, -1) for f in message.fields if f not in chosen and f.oneof in groups]
    numbered = enumerate(sorted(chosen, key=lambda f: f.number))
    return Plan(message.name, (*(_whole(f, messages, i) for i, f in numbered), *hidden), True)


def _whole(f: ProtoField, messages: dict[str, ProtoMessage], index: int) -> Slot:
    if f.presence is Presence.MAP:
        return Slot(f, index, key=messages[f.message].field("key"), value=messages[f.message].field("value"))
    single = f.presence is not Presence.REPEATED
    return Slot(f, index, written=single, entered=single and f.kind.nested)
