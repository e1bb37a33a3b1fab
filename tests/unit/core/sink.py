# SPDX-License-Identifier: Apache-2.0
"""One program, in the text form of the tree, with every node in it; tests of facts about programs use and break it."""

from __future__ import annotations

from transect.base.shipped import paths
from transect.core.ir import Program
from transect.core.text import parse

EXAMPLES = paths()

SINK = """\
transect-ir 1
policy Sink stratum 'rpc' base 'rpc.Element' stage CHECKED
path 'sink.py' hash '0'
enum Code closed OK=0 ABORTED=10
struct Forward (after: Duration? = None)
struct Reject (code: Code, message: str = '')
struct Bucket (tokens: int = 0, seen: Instant = 0)
union Verdict (Forward, Reject)
structs (Forward, Reject, Bucket)
unions (Verdict)
view Rpc 'rpc.Rpc' [M]
  member msg: &M
  member peer: str
view Ask 'rpc.Message'
  member user: str writable
  member size: u32
  member tags: [str]
  member labels: {str: int}
  member inner: &Ask?
intrinsic %rpc.get(name: str) -> str? 'outside-read'
intrinsic %rpc.set(name: str, value: str) -> None 'outside-write'
intrinsic %say(name: str) -> None 'report' named
given waiting: [#Client]
state served: tally<#Client, int, 16>
state buckets: table<str[64], Bucket, 16>
state recent: lru<(str[8], u64), bool, 4>
state queue: ordered<int, int, 8>
state slots: array<int, 4>
state level: int = 0
state best: Bucket = Bucket{0, 0::Instant}
state ratio: float = 0.5
state calls: Counter
state took: Histogram
param limit: int = 8
local began: Instant = 0::Instant
helper _double(x: int) -> int
  return (x + x)
helper _count(who: str[64]) -> int
  store .buckets[who] = Bucket{@_double(1), %now()}
  return .buckets.len()
handler request(rpc: &Rpc[&Ask]) -> Verdict
  locals user: str, b: Bucket, n: int, i: int, c: #Client, k: str, v: int, t: str, s: {str}, m: int, e: Code, x: int
  let user = rpc->msg->user
  if (not .buckets.has(user)):
    store .buckets[user] = Bucket{.limit, %now()}
  let b = .buckets.at(user)
  let n = (b.tokens - (1 if (.level > 3) else %len(rpc->msg->tags)))
  update .buckets[user]!tokens - 1
  update .best!tokens max n
  update b!tokens + 1
  store .began = %now()
  let s = set{t for t in values(rpc->msg->tags) if (t != '')}
  for i in range(0, .limit, 1, 8):
    if ((i == n) or (user in s)):
      break
    if .recent.has([user, 1::u64]):
      continue
    update .slots[(i % 4)] + 1
  for k, v in items(rpc->msg->labels):
    let n = (n + v)
  for c in values(.waiting):
    update .served[c] + cast(rpc->msg->size)::int
    let m = max{.served.total(c) for c in values(.waiting) if (.served.total(c) < 9) else 0}
  let x = @_count(user)
  do %trace(format('seen ', n))
  do .queue.put(x, .queue.len())
  remove .buckets[user]
  update .calls + 1
  update .took + (%now() - .began)::Duration
  store (rpc->msg)->user = 'anonymous'
  match unwrap(some(n)):
    case =0:
      return cast(Forward{None::Duration?})::Verdict
    case m if any{(x > 0) for x in values@.slots}:
      let n = m
    case _:
      pass
  match %rpc.get('code'):
    case ?t:
      return cast(Reject{10::Code, t})::Verdict
    case =None::str?:
      let n = (with m = (n + 4) in (n min (8 if (m > 9) else m)))
  match .queue.pop_first():
    case ?[i, x]:
      return cast(Forward{some((i * 2::Duration))})::Verdict
    case _:
      let e = (0::Code if is_some(rpc->msg->inner) else 10::Code)
  match cast(Reject{e, 'x'})::Verdict:
    case Reject{code: (=0::Code | =10::Code), message: t}:
      return cast(Reject{e, t})::Verdict
    case Forward{}:
      return cast(Forward{None::Duration?})::Verdict
handler finish(rpc: &Rpc[&Ask]) -> None
  locals p: (int, float), q: int
  let p = [.level, (.ratio / 2.0)]
  let q = (- p#0)
  store .ratio = p#1
  do .recent.get(['a', (1::u64 << 3)])
  do %rand()
"""


def sink() -> Program:
    """The program."""
    return parse(SINK)


def changed(old: str, new: str) -> Program:
    """The program with one piece of its text replaced; it must be there once."""
    assert SINK.count(old) == 1, f"{SINK.count(old)} × {old!r}"
    return parse(SINK.replace(old, new))
