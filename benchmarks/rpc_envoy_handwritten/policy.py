# SPDX-License-Identifier: Apache-2.0
"""The access list of `acl_module.c`, as a policy."""

from transect.lang import Map, table
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict


class Ask(Message):
    user: str


class Acl(Element):
    allowed: Map[str, bool] = table(1024)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Forward() if self.allowed.get(rpc.msg.user, False) else Reject(Code.PERMISSION_DENIED, "acl")
