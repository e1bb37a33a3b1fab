# SPDX-License-Identifier: Apache-2.0
"""A cache that answers: a reply seen before is given again, without asking the service."""

from transect.lang import (
    Duration,
    Instant,
    Local,
    Map,
    Param,
    blob,
    local,
    lru,
    now,
    param,
    seconds,
    struct,
    text,
)
from transect.rpc import Element, Forward, Message, Respond, Rpc, Verdict


class Ask(Message):
    key: str


@struct
class Entry:
    body: bytes = blob(4096)
    until: Instant = 0


class Cache(Element):
    """Answer from memory for `keep` after a reply; errors are never kept."""

    keep: Param[Duration] = param(seconds(10))
    entries: Map[str, Entry] = lru(1024, key=text(128))
    key: Local[str] = local(text(128))

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        entry = self.entries.get(rpc.msg.key)
        if entry is not None and now() < entry.until:
            return Respond(entry.body)
        self.key = rpc.msg.key  # one that is too long is not kept, and stays empty
        return Forward()

    def response(self, rpc: Rpc[Ask]) -> Verdict:
        if self.key != "":
            self.entries[self.key] = Entry(rpc.reply_body, now() + self.keep)
        return Forward()
