# SPDX-License-Identifier: Apache-2.0
"""Rewriting messages: who is behind an alias, and what callers may not see."""

from transect.lang import Map, table, text
from transect.rpc import Element, Forward, Message, Rpc, Verdict


class Ask(Message):
    user: str


class Answer(Message):
    text: str


class Mutation(Element):
    """Replace aliases by users on the way in, and withheld answers on the way out."""

    alias: Map[str, str] = table(1024)
    withheld: Map[str, str] = table(64, key=text(256), value=text(256))

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.msg.user = self.alias.get(rpc.msg.user, rpc.msg.user)
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.reply.text = self.withheld.get(rpc.reply.text, rpc.reply.text)
        return Forward()
