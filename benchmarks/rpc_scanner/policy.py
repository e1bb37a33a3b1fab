# SPDX-License-Identifier: Apache-2.0
"""An element which reads all four fields of each request, and decides."""

from transect.lang import Map, table
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict


class Ask(Message):
    user: str
    key: str
    cost: int
    body: bytes


class Gate(Element):
    """Known users pass, with a key, at a bounded cost, with a bounded body."""

    allowed: Map[str, bool] = table(1024)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        ask = rpc.msg
        if not self.allowed.get(ask.user, False):
            return Reject(Code.PERMISSION_DENIED, "unknown user")
        if not ask.key.startswith("k-") or ask.cost > 1000 or len(ask.body) > 4096:
            return Reject(Code.INVALID_ARGUMENT, "not like this")
        return Forward()
