# SPDX-License-Identifier: Apache-2.0
"""A policy that refuses one tenant, and counts."""

from __future__ import annotations

ACL = """from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

class Ask(Message):
    text: str

class Acl(Element):
    calls: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.calls += 1
        tenant = rpc.headers.get("x-tenant")
        if tenant is not None and tenant == "bob":
            return Reject(Code.PERMISSION_DENIED, "no")
        return Forward()
"""
