# SPDX-License-Identifier: Apache-2.0
"""Messages and RPCs as policies see them in Python: the interpreter and emitted Python read and assign attributes.

A view class is made per (view, message); its objects stand over a scanned `Node`.  Integers are cut to their fields'
width when assigned, exactly as emitted C does.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any, Protocol

from transect.core.types import OptionType
from transect.rpc.chain.binding import BoundElement, BoundMember, BoundView
from transect.rpc.functions.meanings import Redacted
from transect.rpc.headers import printable, sendable, unreadable, unwritable
from transect.rpc.messages.plan import Plans, Slot
from transect.rpc.messages.redaction import Field
from transect.rpc.messages.rewriter import assign
from transect.rpc.messages.scanner import Node
from transect.rpc.messages.wire import Presence


class MessageView:
    """A message, or a sub-message, through one view class."""

    __slots__ = ("_node", "_outer", "_slot")
    _of: str = ""  # view class and message

    def __init__(self, node: Node, outer: MessageView | None = None, slot: Slot | None = None) -> None:
        self._node = node
        self._outer = outer
        self._slot = slot

    def _appear(self) -> None:
        """Make an absent sub-message exist, since one of its fields is assigned."""
        if self._outer is None or self._slot is None:
            return
        self._outer._appear()
        if not self._outer._node.present(self._slot):
            assign(self._outer._node, self._slot, self._node)

    def __repr__(self) -> str:
        return f"<{self._of}>"


class ViewClasses:
    """The view classes of one element."""

    def __init__(self, element: BoundElement, plans: Plans, redacted: Container[Field] = ()) -> None:
        """`redacted`: fields in whose place the messages have digests, as those of a log do."""
        self._element = element
        self._plans = plans
        self._redacted = redacted
        self._made: dict[tuple[str, str], type[MessageView]] = {}

    def of(self, view: str, message: str) -> type[MessageView]:
        key = (view, message)
        if key not in self._made:
            self._made[key] = type(view, (MessageView,), {"__slots__": (), "_of": f"{view} of {message}"})
            self._fill(self._made[key], self._element.views[key])
        return self._made[key]

    def _fill(self, cls: type[MessageView], bound: BoundView) -> None:
        slots = self._plans[bound.message].by_name
        for member in bound.members:
            slot = slots.get(member.field.name)
            if slot is not None and not slot.hidden:
                read = self._getter(member, slot)
                if (bound.message, member.field.number) in self._redacted:
                    read = _digest_held(slot)
                setattr(cls, member.member.name, property(read, _setter(slot)))

    def _getter(self, member: BoundMember, slot: Slot) -> Callable[[MessageView], Any]:
        index, option = slot.index, isinstance(member.member.type, OptionType)
        item = self._item(member, slot)
        match slot.field.presence:
            case Presence.REPEATED:
                return lambda view: (
                    tuple(map(item, view._node.values[index])) if item else tuple(view._node.values[index])
                )
            case Presence.MAP:
                return lambda view: (
                    {k: item(v) for k, v in view._node.values[index].items()}
                    if item
                    else dict(view._node.values[index])
                )
            case _ if item is None:
                if option:
                    return lambda view: view._node.values[index] if view._node.present(slot) else None
                return lambda view: view._node.values[index]
            case _:
                return self._sub_message(member, slot, option)

    def _item(self, member: BoundMember, slot: Slot) -> Callable[[Node], MessageView] | None:
        return self.of(member.view, slot.inner) if member.view else None

    def _sub_message(self, member: BoundMember, slot: Slot, option: bool) -> Callable[[MessageView], Any]:
        cls, plan = self.of(member.view, slot.inner), self._plans[slot.inner]

        def read(view: MessageView) -> MessageView | None:
            node = view._node
            if option and not node.present(slot):
                return None
            if node.values[slot.index] is None:
                node.values[slot.index] = Node(
                    plan
                )  # reads as empty, and does not exist before it is assigned
            return cls(node.values[slot.index], view, slot)

        return read


def _digest_held(slot: Slot) -> Callable[[MessageView], str]:
    """A field which the message holds the digest of; where it is absent, its default."""

    def read(view: MessageView) -> str:
        value: str = view._node.values[slot.index]
        return Redacted(value) if value and view._node.present(slot) else value

    return read


def _setter(slot: Slot) -> Callable[[MessageView, Any], None]:
    def write(view: MessageView, value: Any) -> None:
        if value is not None:
            view._appear()
        assign(view._node, slot, value)

    return write


# ---------------------------------------------------------------- the RPC


class HeaderStore(Protocol):
    """Metadata as a carrier keeps it.  `side`: 0 request headers, 1 response headers, 2 response trailers."""

    def get(self, side: int, name: str) -> str | None: ...
    def set(self, side: int, name: str, value: str) -> None: ...
    def remove(self, side: int, name: str) -> None: ...


@dataclass
class PlainHeaders:
    """Metadata in memory: for tests and replay."""

    sides: tuple[dict[str, str], dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}, {}))

    def get(self, side: int, name: str) -> str | None:
        return self.sides[side].get(name)

    def set(self, side: int, name: str, value: str) -> None:
        self.sides[side][name] = value

    def remove(self, side: int, name: str) -> None:
        self.sides[side].pop(name, None)


class HeadersView:
    """`rpc.headers` or `rpc.trailers`.  Entries that belong to the protocol are in neither, whatever the
    carrier has.
    """

    __slots__ = ("_side", "_store")

    def __init__(self, store: HeaderStore, side: int) -> None:
        self._store = store
        self._side = side

    def __repr__(self) -> str:
        return ("headers", "headers", "trailers")[self._side]

    def get(self, name: str, /) -> str | None:
        found = None if unreadable(name) else self._store.get(self._side, name)
        return found if found is not None and printable(found) else None

    def set(self, name: str, value: str, /) -> None:
        if unwritable(name):
            return
        if sendable(name, value):
            self._store.set(self._side, name, value)
        else:
            self._store.remove(self._side, name)  # else the server would read the client's value

    def remove(self, name: str, /) -> None:
        if not unwritable(name):
            self._store.remove(self._side, name)


class RpcView:
    """`rpc` in a handler."""

    def __init__(self, method: str, peer: str, headers: HeaderStore, hook: str) -> None:
        self.method = method
        self.peer = peer
        self.headers = HeadersView(headers, 0 if hook == "request" else 1)
        self.trailers = HeadersView(headers, 2)
        self.msg: MessageView | None = None
        self.reply: MessageView | None = None
        self.body = b""
        self.reply_body = b""
        self.__locals__: dict[Any, Any] = {}  # of emitted Python, by policy


@dataclass(frozen=True, slots=True)
class OutcomeView:
    code: int
    cause: int
    elapsed: int  # ns
