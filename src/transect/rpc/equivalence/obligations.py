# SPDX-License-Identifier: Apache-2.0
"""What has to hold if two neighbouring elements may change places: a condition for each pass through both."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from transect.analysis.terms import Term
from transect.core.ir import FieldKind, Program
from transect.rpc.equivalence.compare import Comparer
from transect.rpc.equivalence.levels import named
from transect.rpc.equivalence.passes import Chain, Side
from transect.rpc.equivalence.world import Oneofs

Obligation = Callable[[Comparer], Term]


class Obligations:
    """Two elements in both orders, and what has to hold of their passes."""

    def __init__(
        self, first: Program, second: Program, oneofs: Oneofs, limit: float, streaming: bool
    ) -> None:
        """`limit`: seconds for one question to the solver."""
        self.elements = named(first, second)
        self.chain = Chain(self.elements, oneofs)
        self.limit = limit
        self.streaming = streaming
        names = tuple(e.name for e in self.elements)
        self.orders = (names, names[::-1])
        self._obligations: list[tuple[str, Obligation]] | None = None

    def obligations(self) -> list[tuple[str, Obligation]]:
        """What has to hold; the passes are evaluated once for all levels."""
        if self._obligations is None:
            self._obligations = list(self._made())
        return self._obligations

    def _made(self) -> Iterable[tuple[str, Obligation]]:
        fresh = [self.chain.start(order) for order in self.orders]
        yield "the first request of an RPC", self._request(fresh)
        flying = [self.chain.in_flight(side, "r1") for side in fresh]
        if self.streaming and self._has_locals():
            yield "a later request of an RPC", self._request(flying)
        if any("response" in e.hooks for e in self.elements):
            yield "a reply", self._response(flying)
        if sum("finish" in e.hooks for e in self.elements) > 1:
            yield "the end of an RPC", self._finish(flying)

    def _request(self, sides: list[Side]) -> Obligation:
        passing = self.chain.message("r1")
        a, b = (self.chain.request(side, passing, "r1") for side in sides)
        return lambda comparer: comparer.pass_same("r1", a, b)

    def _response(self, sides: list[Side]) -> Obligation:
        passing = self.chain.message("r1")
        a, b = (self.chain.response(side, passing, "r1") for side in sides)
        return lambda comparer: comparer.pass_same("r1", a, b, reply=True)

    def _finish(self, sides: list[Side]) -> Obligation:
        passing = self.chain.message("r1")
        a, b = (self.chain.finish(side, passing, "r1") for side in sides)
        return lambda comparer: comparer.endings_same(a, b)

    def _has_locals(self) -> bool:
        return any(f.kind is FieldKind.LOCAL for e in self.elements for f in e.program.state)
