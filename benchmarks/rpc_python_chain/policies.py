# SPDX-License-Identifier: Apache-2.0
"""The measured chain: each element reads or rewrites body fields, and has all three hooks."""

from transect.lang import (
    Counter,
    Duration,
    Instant,
    Map,
    Param,
    counter,
    now,
    param,
    seconds,
    struct,
    table,
    text,
)
from transect.rpc import Cause, Code, Element, Forward, Message, Outcome, Reject, Rpc, Verdict


class Ask(Message):
    user: str
    text: str


class Answer(Message):
    text: str


class Acl(Element):
    """Known users pass; answers which they may not see do not."""

    allowed: Map[str, bool] = table(1024)
    secret: Map[str, bool] = table(64)
    refused: Counter = counter()

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if self.allowed.get(rpc.msg.user, False):
            return Forward()
        return Reject(Code.PERMISSION_DENIED, f"{rpc.msg.user} may not call")

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if self.secret.get(rpc.reply.text, False):
            return Reject(Code.PERMISSION_DENIED, "not for you")
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        if outcome.cause == Cause.REJECT:
            self.refused.add(1)


@struct
class Bucket:
    tokens: int
    filled: Instant


class RateLimit(Element):
    """A token bucket for every user."""

    per_second: Param[int] = param(1_000_000_000)
    burst: Param[int] = param(1_000_000)
    buckets: Map[str, Bucket] = table(1024)
    replied: Counter = counter()
    busy: Duration = 0

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        bucket = self.buckets.get(rpc.msg.user, Bucket(self.burst, now()))
        earned = (now() - bucket.filled) * self.per_second // seconds(1)
        if earned > 0:
            bucket = Bucket(min(bucket.tokens + earned, self.burst), now())
        if bucket.tokens <= 0:
            return Reject(Code.RESOURCE_EXHAUSTED, "too many calls")
        bucket.tokens -= 1
        if not self.buckets.put(rpc.msg.user, bucket):
            return Reject(Code.RESOURCE_EXHAUSTED, "too many users at once")
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.replied.add(len(rpc.reply.text))
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.busy += outcome.elapsed


class Mutation(Element):
    """Aliases become users on the way in, and answers get another text on the way out."""

    alias: Map[str, str] = table(1024)
    withheld: Map[str, str] = table(64, key=text(256), value=text(256))
    rewritten: Counter = counter()

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.msg.user = self.alias.get(rpc.msg.user, rpc.msg.user)
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.reply.text = self.withheld.get(rpc.reply.text, rpc.reply.text)
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.rewritten.add(1)
