# SPDX-License-Identifier: Apache-2.0
"""What a scan takes out of a message: a slot for each field that the chain looks at.

The scanners, native and Python, follow the same plans; so do both rewriters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from transect.rpc.messages.wire import Presence, ProtoField, ProtoMessage


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of a message that the chain looks at."""

    field: ProtoField
    # Its bit and position; -1: hidden: nobody reads the field, but it ends the other members of its oneof
    index: int
    written: bool = False  # some element assigns it
    # Some element assigns a field within this sub-message: its pieces are kept for rewriting
    entered: bool = False
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
        """Whether it is a single sub-message, whose occurrences are merged."""
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
        """Slots by the tags under which they are recognised; with another wire type, a field is unknown."""
        tags = {s.field.tag: s for s in self.slots}
        packed = {
            s.field.packed_tag: s
            for s in self.slots
            if s.field.presence is Presence.REPEATED and s.field.kind.packable
        }
        return tags | packed

    def rivals(self, slot: Slot) -> tuple[Slot, ...]:
        """The other visible members of the slot's oneof."""
        return tuple(
            s
            for s in self.visible
            if slot.field.oneof and s is not slot and s.field.oneof == slot.field.oneof
        )


Plans = dict[str, Plan]


def plan_of(message: ProtoMessage, messages: dict[str, ProtoMessage], names: set[str] | None = None) -> Plans:
    """Plans which take every field (of `message` itself, only those in `names`), all writable; for tests and tools."""
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
