# SPDX-License-Identifier: Apache-2.0
"""Policies that reach into all which a carrier offers."""

from transect.lang import (
    Counter,
    Duration,
    Instant,
    Local,
    Map,
    Param,
    Tally,
    blob,
    counter,
    local,
    lru,
    ms,
    now,
    param,
    rand,
    table,
    tally,
    text,
)
from transect.rpc import Cause, Code, Element, Forward, Message, Outcome, Reject, Respond, Retry, Rpc, Verdict


class Ask(Message):
    user: str
    text: str
    number: int


class Answer(Message):
    text: str
    number: int


class Guard(Element):
    """Known users pass, up to a number of calls each; finish tells how RPCs ended."""

    allowed: Map[str, bool] = table(64)
    limit: Param[int] = param(1000)
    calls: Tally[str, int] = tally(64)
    ends: Tally[Cause, int] = tally(8)
    codes: Tally[Code, int] = tally(32)

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if not self.allowed.get(rpc.msg.user, False):
            return Reject(Code.PERMISSION_DENIED, f"{rpc.msg.user} may not")
        if self.calls[rpc.msg.user] >= self.limit:
            return Reject(Code.RESOURCE_EXHAUSTED, "enough")
        self.calls[rpc.msg.user] += 1
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.ends[outcome.cause] += 1
        self.codes[outcome.code] += 1


class Rename(Element):
    """Rewrites fields in both directions, and counts messages of an RPC in its locals."""

    suffix: Param[int] = param(0)
    seen: Local[int] = local(0)
    longest: int = 0
    last: str = text(256)

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.seen += 1
        if rpc.msg.text == "secret":
            rpc.msg.text = "withheld"
        rpc.msg.number = rpc.msg.number + self.suffix
        self.last = rpc.msg.text
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.reply.number = rpc.reply.number * 2
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.longest = max(self.longest, self.seen)


class Chance(Element):
    """Takes time and randomness from outside."""

    drawn: Counter = counter()
    share: Param[float] = param(0.5)
    last: Instant = 0

    def request(self, rpc: Rpc) -> Verdict:
        self.last = now()
        if rand() < self.share:
            self.drawn.add(1)
        return Forward()


class Slow(Element):
    """Delays."""

    wait: Param[Duration] = param(ms(30))

    def request(self, rpc: Rpc) -> Verdict:
        return Forward(after=self.wait)


class Again(Element):
    """Sends what failed again."""

    def finish(self, rpc: Rpc, outcome: Outcome) -> Retry | None:
        if outcome.code == Code.UNAVAILABLE:
            return Retry(after=ms(2))
        return None


class Cache(Element):
    """Answers what it has seen."""

    kept: Map[str, bytes] = table(64, value=blob(256))
    key: Local[str] = local(text(256))

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.key = rpc.msg.text
        found = self.kept.get(rpc.msg.text)
        if found is not None:
            return Respond(found)
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.kept[self.key] = rpc.reply_body
        return Forward()


class Tags(Element):
    """Reads and sets headers and trailers."""

    peer: str = text(128)

    def request(self, rpc: Rpc) -> Verdict:
        who = rpc.headers.get("x-who")
        if who is None:
            return Reject(Code.UNAUTHENTICATED, "who?")
        self.peer = rpc.peer
        rpc.headers.set("x-who", "checked")
        return Forward()

    def response(self, rpc: Rpc) -> Verdict:
        rpc.headers.set("x-seen", "yes")
        rpc.trailers.set("x-late", "too")
        return Forward()


class Once(Element):
    """Each tenant has one call."""

    seen: Map[str, int] = lru(64)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        tenant = rpc.headers.get("x-transect-tenant")
        if tenant is None:
            return Reject(Code.INTERNAL, "nobody said whose it is")
        if self.seen.get(tenant, 0) > 0:
            return Reject(Code.RESOURCE_EXHAUSTED, tenant)
        self.seen[tenant] = 1
        return Forward()
