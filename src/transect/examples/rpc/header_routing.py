# SPDX-License-Identifier: Apache-2.0
"""Routing by a header: who asks for a version gets it."""

from transect.lang import Map, table
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


class HeaderRouting(Element):
    """The header `x-version` chooses a route; without it, the usual one; a version that nobody serves is an error."""

    routes: Map[str, str] = table(64)

    def request(self, rpc: Rpc) -> Verdict:
        version = rpc.headers.get("x-version")
        if version is None:
            return Forward()
        route = self.routes.get(version)
        return Reject(Code.NOT_FOUND, f"no version {version}") if route is None else Forward(to=route)
