# SPDX-License-Identifier: Apache-2.0
"""The places in which elements of an edge can stand, what a chain file says about them, and arrangements.

client library → client proxy  ~ network ~  server proxy → server library
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from transect.base.span import NOWHERE, Span


class Processor(StrEnum):
    """The places of elements, in the order in which a request passes them."""

    CLIENT_LIBRARY = "client library"
    CLIENT_PROXY = "client proxy"
    SERVER_PROXY = "server proxy"
    SERVER_LIBRARY = "server library"

    @property
    def rank(self) -> int:
        return PROCESSORS.index(self)

    @property
    def at_client(self) -> bool:
        return self in (Processor.CLIENT_LIBRARY, Processor.CLIENT_PROXY)

    @property
    def proxy(self) -> bool:
        return self in (Processor.CLIENT_PROXY, Processor.SERVER_PROXY)

    @property
    def side(self) -> str:
        return "client" if self.at_client else "server"


PROCESSORS = tuple(Processor)
PROXIES = (Processor.CLIENT_PROXY, Processor.SERVER_PROXY)
SIDES = {
    "client": (Processor.CLIENT_LIBRARY, Processor.CLIENT_PROXY),
    "server": (Processor.SERVER_PROXY, Processor.SERVER_LIBRARY),
}
PLACES: Mapping[str, tuple[Processor, ...]] = {**SIDES, **{p.value: (p,) for p in PROCESSORS}}
"""The names of places in a chain file, each with the processors that it stands for."""


class Carrier(StrEnum):
    """How the elements of a proxy are compiled; in libraries they are native."""

    NATIVE = "native"
    WASM = "wasm"
    BUILT_IN = "built-in"  # each is replaced by one of Envoy's own filters


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element may stand."""

    processors: tuple[Processor, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Order:
    """`first` stays before `second`, even if exchanging them would change nothing."""

    first: str
    second: str
    span: Span


@dataclass(frozen=True, slots=True)
class Pairing:
    """`outer` does something at the client's side that `inner` undoes at the server's."""

    outer: str
    inner: str
    span: Span


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a chain file says about places.  Elements are named by `names`."""

    place: Mapping[str, Place] = field(default_factory=dict)
    order: Sequence[Order] = ()
    pairs: Sequence[Pairing] = ()
    guards: Mapping[str, Span] = field(default_factory=dict)
    trusted: tuple[Processor, ...] = SIDES["server"]
    libraries: tuple[str, ...] = ()  # sides
    libraries_span: Span = NOWHERE
    required: tuple[Processor, ...] = ()  # proxies that stay in the path
    carriers: tuple[Carrier, ...] = (Carrier.NATIVE, Carrier.WASM)  # that proxies may load
    said: bool = False  # whether the file says anything about places at all


NOTHING_SAID = Wishes()


def names(classes: Sequence[str]) -> tuple[str, ...]:
    """A name for each element of a chain: that of its policy; the second element of one policy is `Acl.2`."""
    found: list[str] = []
    for index, name in enumerate(classes):
        again = list(classes[:index]).count(name)
        found.append(f"{name}.{again + 1}" if again else name)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Group:
    """One processor in the path, and its elements in the order in which a request passes them."""

    processor: Processor
    elements: tuple[int, ...]  # numbers in the chain file's order
    carrier: Carrier = Carrier.NATIVE
    fused: bool = True  # in one plugin; False: a plugin for each

    def __str__(self) -> str:
        return self.processor.value


Layout = tuple[Group, ...]
"""An arrangement: the processors that are there, in the order in which a request passes them."""


def order_of(layout: Layout) -> tuple[int, ...]:
    return tuple(element for group in layout for element in group.elements)


def places_of(layout: Layout) -> dict[int, Processor]:
    return {element: group.processor for group in layout for element in group.elements}
