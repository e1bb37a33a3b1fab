# SPDX-License-Identifier: Apache-2.0
"""Finds out once whose a call is, where its caller shows it, and tells the layers behind (docs/stack.md)."""

from transect.lang import Map, table, text
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict, digest


class Identify(Element):
    """By an API key, by the name that a trusted peer gives in `x-tenant`, or by who the peer is: in this order."""

    keys: Map[str, str] = table(4096)  # tenant by `digest` of the key
    trusted: Map[str, bool] = table(
        64, key=text(256)
    )  # peers that speak for others: names of certificates, or addresses
    peers: Map[str, str] = table(1024, key=text(256))  # tenant by peer

    def request(self, rpc: Rpc) -> Verdict:
        key = rpc.headers.get("x-api-key")
        named = rpc.headers.get("x-tenant")
        tenant = self.peers.get(rpc.peer)
        if not self.trusted.get(rpc.peer, False):
            named = None
        if named is not None:
            tenant = named
        if key is not None:
            tenant = self.keys.get(digest(key))
            if tenant is None:
                return Reject(Code.UNAUTHENTICATED, "this API key is nobody's")
            if named is not None and named != tenant:
                return Reject(Code.UNAUTHENTICATED, "x-tenant names another than the owner of this API key")
        if tenant is not None:
            rpc.headers.set("x-transect-tenant", tenant)
        rpc.headers.remove("x-api-key")
        rpc.headers.remove("x-tenant")
        return Forward()
