# SPDX-License-Identifier: Apache-2.0
"""What the elements and processors of one chain cost, by the machine's profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from transect.core.ir import Program
from transect.core.text import dump
from transect.rpc.chain.arrangement import Carrier, Group, Layout, Processor
from transect.rpc.chain.constraints import Piece
from transect.rpc.placement.built_in import BuiltIn
from transect.rpc.placement.profile import Cost, Profile, content


@dataclass(frozen=True)
class Costs:
    profile: Profile
    pieces: Sequence[Piece]
    codes: Sequence[float]  # µs of each element's code
    built_in: BuiltIn
    passes: Mapping[str, float]  # the share of calls that an element lets through, where it was observed

    @classmethod
    def of(
        cls,
        pieces: Sequence[Piece],
        profile: Profile,
        built_in: BuiltIn,
        passes: Mapping[str, float],
        text: Callable[[Program], str] = dump,
    ) -> Costs:
        """Raises Unavailable when an element was not measured."""
        codes = [profile.native(piece.program, content(text(piece.program))) for piece in pieces]
        return cls(profile, pieces, codes, built_in, passes)

    def share(self, element: int) -> float:
        """Of the calls that reach an element, the share that goes on."""
        return self.passes.get(self.pieces[element].name, 1.0)

    def element(self, element: int, carrier: Carrier) -> Cost:
        """What an element costs by itself: its code, or Envoy's filters in its place."""
        if carrier is Carrier.BUILT_IN:
            return self.built_in.cost(element, self.profile)
        own = self.codes[element] * (self.profile.wasm if carrier is Carrier.WASM else 1.0)
        return Cost(own, own)

    def processor(self, at: Processor, carrier: Carrier) -> Cost:
        """What a processor costs without its elements."""
        if not at.proxy:
            return self.profile.library[at.side]
        return self.profile.proxy["bare" if carrier is Carrier.BUILT_IN else carrier.value]

    def of_layout(self, layout: Layout) -> Cost:
        """What an arrangement adds to a call, on average over the calls."""
        total, reach, proxies = Cost(), 1.0, 0
        for group in layout:
            total += self._group(group).times(reach)
            proxies += group.processor.proxy
            if group.processor.proxy and proxies == 2:
                total += self.profile.second.times(reach)
            for element in group.elements:
                total += self.element(element, group.carrier).times(reach)
                reach *= self.share(element)
        return total

    def _group(self, group: Group) -> Cost:
        if group.processor.proxy and not group.elements:
            return self.profile.proxy["bare"]
        base = self.processor(group.processor, group.carrier)
        return base if group.fused else base + self.profile.plugin.times(len(group.elements) - 1)
