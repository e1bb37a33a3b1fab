# SPDX-License-Identifier: Apache-2.0
"""An access list on a field of the request."""

from transect.lang import Map, table
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict


class Ask(Message):
    user: str


class Acl(Element):
    """Let known users through."""

    allowed: Map[str, bool] = table(1024)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if self.allowed.get(rpc.msg.user, False):
            return Forward()
        return Reject(Code.PERMISSION_DENIED, f"{rpc.msg.user} may not call {rpc.method}")
