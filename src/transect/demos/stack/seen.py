# SPDX-License-Identifier: Apache-2.0
"""What was seen of the tenants under each way of sharing, and whether it is what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transect.demos.stack.load import Came
from transect.stack.top import Layer, View

HALF = 0.5  # of alice's wait where nothing shares: where all layers share, she has to wait less
LEAST = 0.67  # of each layer's service for alice where both flood: by weight 0.8, inexact in a few seconds


@dataclass(frozen=True, slots=True)
class Window:
    """So many seconds under one way of sharing."""

    sharing: str
    seconds: float
    came: Mapping[str, Came]
    """What came of the requests, by tenant."""
    layers: View
    """How both were served, as the layers themselves say."""

    @property
    def alice(self) -> Came:
        return self.came["alice"]

    @property
    def bobs_rate(self) -> float:
        """Bob's requests that were answered, per second."""
        return self.came["bob"].requests / self.seconds

    @property
    def shares(self) -> Mapping[str, float | None]:
        """Alice's share of what each layer with a queue served, in the order in which a request meets them; None for a
        layer that does not know whom it serves."""
        return {one.name: part(one) for one in reversed(self.layers.layers) if isinstance(one, Layer)}

    @property
    def failed(self) -> Sequence[str]:
        return [f"{name}: {why}" for name, came in self.came.items() for why in came.failed]


@dataclass(frozen=True, slots=True)
class Seen:
    """All windows."""

    alone: Window
    """Alice's trickle, and nobody else."""
    flooded: Sequence[Window]
    """Alice's trickle while bob floods: first where nothing shares, last where all layers do."""
    both: Sequence[Window]
    """Both flood; in the same order."""

    @property
    def right(self) -> bool:
        before, after = self.flooded[0].alice, self.flooded[-1].alice
        shares = self.both[-1].shares.values()
        shared = all(share is not None and share >= LEAST for share in shares)
        return after.p50_s < HALF * before.p50_s and shared and not self.failed

    @property
    def failed(self) -> Sequence[str]:
        return [why for window in (self.alone, *self.flooded, *self.both) for why in window.failed]


def part(layer: Layer) -> float | None:
    """Alice's share of what both got at the layer; None if it does not know them both."""
    got = {one.tenant: one.got for one in layer.tenants}
    return got["alice"] / (got["alice"] + got["bob"]) if {"alice", "bob"} <= got.keys() else None
