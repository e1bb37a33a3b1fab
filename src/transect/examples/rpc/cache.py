# SPDX-License-Identifier: Apache-2.0
"""A cache that answers: a reply seen before is given again, without asking the service."""

from transect.lang import Duration, Instant, Map, Param, blob, lru, now, param, seconds, struct
from transect.rpc import Element, Forward, Message, Respond, Rpc, Verdict


class Ask(Message):
    key: str


@struct
class Entry:
    body: bytes = blob(4096)
    until: Instant = 0


class Cache(Element):
    """Answer from memory for `keep` after a reply; errors, long keys and large replies are never kept."""

    keep: Param[Duration] = param(seconds(10))
    entries: Map[tuple[str, str], Entry] = lru(1024)  # by method and key

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        entry = self.entries.get((rpc.method, rpc.msg.key))
        if entry is not None and now() < entry.until:
            return Respond(entry.body)
        return Forward()

    def response(self, rpc: Rpc[Ask]) -> Verdict:
        if len(rpc.reply_body) <= 4096:
            self.entries[rpc.method, rpc.msg.key] = Entry(rpc.reply_body, now() + self.keep)
        return Forward()
