# SPDX-License-Identifier: Apache-2.0
"""Rewriting messages: who is behind an alias, and what may not be said."""

from transect.lang import Map, table
from transect.rpc import Element, Forward, Message, Rpc, Verdict


class Ask(Message):
    user: str
    text: str


class Mutation(Element):
    """Replace fields whose value is listed; all else, unknown fields too, passes as it came."""

    changes: Map[tuple[str, str], str] = table(1024)  # (field, value): another value

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        rpc.msg.user = self.changes.get(("user", rpc.msg.user), rpc.msg.user)
        rpc.msg.text = self.changes.get(("text", rpc.msg.text), rpc.msg.text)
        return Forward()
