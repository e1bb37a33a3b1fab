# SPDX-License-Identifier: Apache-2.0
"""A token bucket for every user."""

from transect.lang import Instant, Map, Param, now, param, seconds, struct, table
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict


class Ask(Message):
    user: str


@struct
class Bucket:
    tokens: int
    filled: Instant


class RateLimit(Element):
    """At most `per_second` calls a second for each user, with bursts of `burst`."""

    per_second: Param[int] = param(100)
    burst: Param[int] = param(20)
    buckets: Map[str, Bucket] = table(4096)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        bucket = self.buckets.get(rpc.msg.user, Bucket(self.burst, now()))
        earned = (now() - bucket.filled) * self.per_second // seconds(1)
        if earned > 0:
            bucket = Bucket(min(bucket.tokens + earned, self.burst), now())
        if bucket.tokens <= 0:
            return Reject(Code.RESOURCE_EXHAUSTED, f"more than {self.per_second} calls a second")
        bucket.tokens -= 1
        stored = self.buckets.put(rpc.msg.user, bucket)
        return Forward() if stored else Reject(Code.RESOURCE_EXHAUSTED, "too many users at once")
