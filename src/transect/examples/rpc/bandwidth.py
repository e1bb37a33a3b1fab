# SPDX-License-Identifier: Apache-2.0
"""A limit on bytes: messages of a caller who sends or gets too many wait, and are refused when that takes too long."""

from transect.lang import Duration, Instant, Map, Param, lru, now, param, seconds
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


class Bandwidth(Element):
    """`rate` bytes a second for each caller, both ways together; no message waits longer than `patience`."""

    rate: Param[int] = param(1_000_000)
    patience: Param[Duration] = param(seconds(1))
    free: Map[str, Instant] = lru(4096)  # when the caller's line is free again

    def _send(self, peer: str, size: int) -> Verdict:
        begin = max(self.free.get(peer, now()), now())
        if begin - now() > self.patience:
            return Reject(Code.RESOURCE_EXHAUSTED, f"more than {self.rate} bytes a second")
        self.free[peer] = begin + seconds(1) * size // max(self.rate, 1)
        return Forward(after=begin - now())

    def request(self, rpc: Rpc) -> Verdict:
        return self._send(rpc.peer, len(rpc.body))

    def response(self, rpc: Rpc) -> Verdict:
        return self._send(rpc.peer, len(rpc.reply_body))
