# SPDX-License-Identifier: Apache-2.0
"""Which elements of a chain Envoy's own filters can replace, and what that costs.

A proxy has either a module (or plugin) with all its elements, or filters alone: once a module is loaded, one more
element in it costs less than any filter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from transect.rpc.builtin import Filter, NotAFilter, filters_of
from transect.rpc.chain.arrangement import PROXIES, Carrier, Processor, Wishes
from transect.rpc.chain.constraints import Piece
from transect.rpc.chain.model import ElementUse
from transect.rpc.placement.profile import Cost, Profile


@dataclass(frozen=True)
class BuiltIn:
    """The answers for a chain, by element."""

    filters: Mapping[int, tuple[Filter, ...]] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)

    def cost(self, element: int, profile: Profile) -> Cost:
        """The cost of an element's filters.  Raises Unavailable when they were not measured."""
        return sum((profile.filter(one.kind) for one in self.filters[element]), Cost())

    def said(self, element: int) -> str:
        kinds = " and ".join(f"`{one.kind}`" for one in self.filters[element])
        return f"as Envoy's own {kinds}" if kinds else "without a filter: it does nothing"


NONE = BuiltIn()


def built_in(found: Sequence[Piece], uses: Sequence[ElementUse], wishes: Wishes, limit: float) -> BuiltIn:
    """Asked only where the chain file says `proxies=[…, "built-in"]`."""
    if Carrier.BUILT_IN not in wishes.carriers:
        return NONE
    filters, refused = dict[int, tuple[Filter, ...]](), dict[int, str]()
    for index, (piece, use) in enumerate(zip(found, uses, strict=True)):
        if any(at.proxy for at in piece.allowed):
            try:
                filters[index] = filters_of(piece.name, piece.program, use.values, limit)
            except NotAFilter as why:
                refused[index] = str(why)
    return BuiltIn(filters, refused)


Carriers = Mapping[Processor, Carrier]
"""For each proxy: how its elements run, whichever these are."""


def usual(wishes: Wishes) -> Carrier:
    """How a proxy runs elements that are none of Envoy's own filters."""
    return Carrier.NATIVE if Carrier.NATIVE in wishes.carriers else Carrier.WASM


def carriers(wishes: Wishes, known: BuiltIn) -> Iterator[Carriers]:
    """All choices; the first has a module (or plugin) everywhere."""
    choices = (usual(wishes), Carrier.BUILT_IN) if known.filters else (usual(wishes),)
    for chosen in product(choices, repeat=len(PROXIES)):
        yield dict(zip(PROXIES, chosen, strict=True))
