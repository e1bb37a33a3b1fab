# SPDX-License-Identifier: Apache-2.0
"""Emitted Python means what the interpreter means: every call here is made on both, and results, state, traces and
what was written into views must be the same."""

from __future__ import annotations

import itertools
import math
import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.operators import infix
from tests.unit.emit.py.policies import EXAMPLES, Pair
from tests.unit.emit.py.texts import ACL, EVERYTHING, FAIR_SHARE, RPC

MAX, MIN = 2**63 - 1, -(2**63)


def policy(body: str, above: str = "") -> Pair:
    """A policy with these fields and hooks."""
    lines = [f"    {line}" for line in body.strip("\n").splitlines()]
    return Pair(RPC + above + "\nclass P(Element):\n" + "\n".join(lines) + "\n")


def request(body: str, fields: str = "", above: str = "") -> Pair:
    """A policy whose `request` is this body."""
    lines = [f"    {line}" for line in body.strip("\n").splitlines()]
    return policy(
        f"{fields.strip()}\ndef request(self, rpc: Rpc[Ask]) -> Verdict:\n" + "\n".join(lines), above
    )


def test_acl_lets_known_users_pass() -> None:
    acl = Pair(ACL, "Acl")
    acl.emitted.allowed["alice"] = True
    acl.defined.state["allowed"]["alice"] = True
    ask = acl.module.Ask
    assert acl.call("request", acl.module.Rpc(msg=ask(user="alice"))) == acl.module.Forward()
    refused = acl.call("request", acl.module.Rpc(msg=ask(user="bob")))
    assert refused == acl.module.Reject(acl.module.Code.PERMISSION_DENIED, "acl")


def test_fair_share_over_a_random_run() -> None:
    both = Pair(FAIR_SHARE, "FairShare")
    rng = random.Random(1)
    waiting: list[int] = []
    for _ in range(300):
        client = rng.randrange(8)
        if client not in waiting:
            both.call("arrive", client)
            waiting.append(client)
        else:
            chosen = both.call("pick")
            both.call("charge", chosen, rng.randrange(1000))
            if rng.random() < 0.5:
                waiting.remove(chosen)
                both.call("leave", chosen)
        both.defined.waiting[:] = waiting
        both.emitted.waiting = waiting


@pytest.mark.parametrize("op", infix("iii"))
def test_integers_wrap(op: str) -> None:
    both = request(
        f"self.a = rpc.msg.n {op} self.b\nself.b {op}= rpc.msg.n\nself.w = self.w {op} as_u64(rpc.msg.n)\n"
        f"self.n = (self.n {op} rpc.msg.n) {op} 3\nreturn Forward()",
        "a: int = 0\nb: int = 7\nw: u64 = 18446744073709551615\nn: u8 = 200",
    )
    for n in (0, 1, -1, 2, 63, 64, -64, MAX, MIN, MAX - 1, 10**12, 3, 5, -7):
        both.request(n=n)


def test_comparisons_see_wrapped_sums() -> None:
    both = request('return Forward() if rpc.msg.n + 1 < rpc.msg.n else Reject(Code.ABORTED, "no")')
    assert both.request(n=MAX) == both.module.Forward()
    assert both.request(n=3) == both.module.Reject(both.module.Code.ABORTED, "no")


def test_chained_comparisons_evaluate_once_and_in_order() -> None:
    both = policy(
        """
calls: int = 0
def _next(self, n: int) -> int:
    self.calls = self.calls * 10 + n
    return n
def request(self, rpc: Rpc[Ask]) -> Verdict:
    if self._next(1) < self._next(rpc.msg.n) <= self._next(3):
        return Forward()
    if rpc.msg.n in (self._next(7), self._next(8), 9):
        return Reject(Code.ABORTED, "listed")
    return Reject(Code.ABORTED, "out of order")
"""
    )
    assert [type(both.request(n=n)).__name__ for n in (0, 2, 3, 8, 9)] == [
        "Reject",
        "Forward",
        "Forward",
        "Reject",
        "Reject",
    ]


def test_floats_mind_nan_and_zero() -> None:
    both = request(
        """
self.least = min(self.least, rpc.msg.x)
self.most = max(rpc.msg.x, self.most)
self.ratio = rpc.msg.x / self.ratio
self.whole = as_int(rpc.msg.x * 1e300) + as_int(rpc.msg.x)
self.word = as_u64(rpc.msg.x)
self.pair = (rpc.msg.x, 1)
if self.pair == (rpc.msg.x, 1):
    self.same += 1
self.best = min((v for v in self.kept.values()), default=-1.0)
self.kept[rpc.msg.n] = rpc.msg.x
self.total = sum(v for v in self.kept.values())
chosen = max(self.kept.keys(), key=lambda k: self.kept.get(k, 0.0), default=-1)
return Reject(Code.ABORTED, f"{chosen}")
""",
        "least: float = 5.0\nmost: float = -5.0\nratio: float = 0.0\nwhole: int = 0\nword: u64 = 0\nsame: int = 0\n"
        "pair: tuple[float, int] = (0.0, 0)\nbest: float = 0.0\nkept: Map[int, float] = table(8)\ntotal: float = 0.0",
    )
    for n, x in enumerate(
        [1.5, math.nan, -0.0, 0.0, math.inf, -math.inf, 1e-320, math.nan, 0.1, 1e308, 2.0**63]
    ):
        both.request(n=n % 5, x=x)


def test_full_tables_texts_and_overflow() -> None:
    both = request(
        """
if not self.seen.put(rpc.msg.user, rpc.msg.n):
    return Reject(Code.RESOURCE_EXHAUSTED, f"full at {len(self.seen)}, {self.seen.overflow}")
self.counts[rpc.msg.user] += 1
self.recent[rpc.msg.n] = rpc.msg.user
self.last = rpc.msg.user
self.pair = (rpc.msg.user, rpc.msg.n)
self.queue[rpc.msg.n] = len(rpc.msg.user)
if len(self.queue) > 2:
    first = self.queue.pop_first()
    if first is not None:
        trace(f"{first[0]}: {first[1]}")
if rpc.msg.n in self.recent:
    del self.counts["e"]
return Forward() if fits(rpc.msg.user, 8) and self.recent.get(3) is None else Reject(Code.ABORTED, "x")
""",
        "seen: Map[str, int] = table(3, key=text(8))\ncounts: Tally[str, int] = tally(2)\nlast: str = text(6)\n"
        "recent: Map[int, str] = lru(2)\npair: tuple[str, int] = ('', 0)\nqueue: Ordered[int, int] = ordered(4)",
    )
    for n, user in enumerate(["a", "é" * 4, "é" * 5, "b", "a" * 65, "e", "a", "e", "x" * 7, "é" * 3]):
        both.request(user=user, n=n % 4)


def test_structs_are_values() -> None:
    both = request(
        """
b = self.one
b.k = 300
b.n += rpc.msg.n
self.copied = b
self.copied.k = b.k + 1
self.one.n -= 1
box = self.boxes.get(rpc.msg.user, Box(1, self.one))
box.inner.n += 1
self.one = box.inner
self.boxes[rpc.msg.user] = box
box.inner.n = 1000
self.boxes["zz"] = box
if rpc.msg.user in self.boxes:
    self.boxes[rpc.msg.user].inner.k = self.boxes[rpc.msg.user].inner.k + 250
    self.boxes[rpc.msg.user].n += 1
    self.one.n += self.boxes[rpc.msg.user].inner.n
self.row[rpc.msg.n % 4] = b
self.row[rpc.msg.n % 4].k = 77
for item in self.row:
    self.sum += item.n + item.k
self.copied = self._grown(self.one)
match self.copied:
    case Inner(k=k, n=n) if n > 3:
        self.sum += k
    case Inner(n=5):
        self.sum -= 1
if self.one == self.copied or (self.one, 1) == (b, 1):
    return Forward()
return Reject(Code.ABORTED, f"{self.sum} {b.n} {box.inner.n}")
""",
        """
one: Inner = Inner(k=2, n=3)
copied: Inner = Inner(k=4)
boxes: Map[str, Box] = table(2)
row: Array[Inner] = array(4)
sum: int = 0
def _grown(self, inner: Inner) -> Inner:
    larger = inner
    larger.k = larger.k + 1
    self.one.n += 1
    return larger
""",
        "\n@struct\nclass Inner:\n    k: u8\n    n: int = 9\n\n@struct\nclass Box:\n    n: int\n    inner: Inner\n",
    )
    for n, user in itertools.product(range(6), "abc"):
        both.request(user=user, n=n)


def test_options_matches_and_enums() -> None:
    both = request(
        """
match rpc.msg.level:
    case Level.LOW:
        self.n += 1
    case Level.HIGH if rpc.msg.n > 2:
        self.n += 10
    case _:
        self.n += 100
match rpc.msg.note:
    case None:
        self.n *= 2
    case "x" | "y":
        self.n += 3
    case note if len(note) > 3:
        self.n -= len(note)
    case _:
        pass
match (rpc.msg.n, rpc.msg.user):
    case (0, user):
        self.last = rpc.msg.n
    case (1 | 2, "bob"):
        self.last = None
    case (n, _):
        self.last = n
if self.last is not None and self.last > 1:
    return Reject(Code.ABORTED, f"{rpc.msg.level} {self.last}")
return Forward()
""",
        "n: int = 0\nlast: int | None = None",
    )
    for n, level, note in itertools.product(range(4), (0, 1, 5), (None, "x", "yes", "longer")):
        both.request(n=n, level=level, note=note, user="bob" if n % 2 else "al")


def test_sets_sequences_and_maps() -> None:
    both = request(
        """
known = {t for t in rpc.msg.tags if len(t) < 4}
other = {t for t in self.known.keys()}
both = (known & other) | (known - other)
for t in both:
    self.known[t] += 1
    if t == "stop":
        break
else_ = rpc.msg.sizes.get("a", 7)
if any(t == rpc.msg.user for t in rpc.msg.tags) or all(s > 1 for s in rpc.msg.sizes.values()):
    else_ += sum(s for k, s in rpc.msg.sizes.items() if k != "a")
for i in range(5):
    if i == 3:
        continue
    else_ += i
if rpc.msg.user in both and "a" in rpc.msg.sizes:
    else_ -= len(both)
return Reject(Code.ABORTED, f"{else_} {len(rpc.msg.tags)} {rpc.msg.user.startswith('a')}")
""",
        "known: Tally[str, int] = tally(8)",
    )
    for tags in (["a", "b"], ["a", "a", "longer"], [], ["b", "stop", "c"]):
        for user in ("a", "b", "zz"):
            both.request(tags=tags, user=user, sizes={"a": 2, "b": 5} if user != "zz" else {})


def test_outside_facts_come_from_the_tape() -> None:
    both = request(
        """
self.at = now() + ms(5)
self.again = now() + ms(5)
if rand() < 0.5:
    return Reject(Code.UNAVAILABLE, f"{rand_below(10)} {rand_below(0)}")
user = rpc.headers.get("x-user")
if user is not None:
    rpc.headers.set("x-seen", user)
    rpc.headers.remove("x-user")
rpc.msg.n += 1
rpc.msg.seen = rpc.msg.seen + 200
rpc.msg.user = rpc.method
return Forward(after=seconds(1))
""",
        "at: Instant = 0\nagain: Instant = 0",
    )
    both.request(now=5, rand=[0.25, 7, 9, 3])
    both.request(now=MAX, rand=[0.75], headers={"x-user": "bob"}, seen=100)


def test_operators_of_every_kind() -> None:
    both = request(
        """
n, x, word = rpc.msg.n, rpc.msg.x, as_u64(rpc.msg.n)
self.a = -n * 3 + -(n + 1) - ~n + abs(n)
self.word = ~word + abs(word) // (self.word | 1) + as_u64(x)
self.x = -x + max(x, 1.5, self.x) + abs(x) / 4.0
self.small = n * 5
self.signed = n * -5
self.signed = as_int(self.signed) + mul_div(n, 3, 2)
self.flag = self.flag & (n > 0) | (n % 2 == 0) ^ rpc.msg.user.endswith("b")
self.pair = (x, n) if n > 0 else self.pair
self.texts = min(self.texts, rpc.msg.user)
if (x, n) < self.pair or (x, 1) != (1.5, 1) and not x < 2.0:
    self.a += min(max(n, -5), 5) // 3 + n // -7 + n % -7 + (2 if n > 3 else -4) * 5
if "o" in rpc.msg.user and "b" in self._named(rpc.msg.user):
    self.a += as_int(self.flag) + as_int(rpc.msg.level)
if not (rpc.msg.user in self.known or n == 3 or rpc.msg.note is None):
    self.known[rpc.msg.user] = n // 2
here = {u for u in self.known.keys()}
there = {t for t in rpc.msg.tags}
self.a += len(here & there) * 100 + len(here | there) * 10 + len(there - here)
self.gap = self.gap * 3 + ms(n % 50) - (ms(7) % ms(3))
self.a += self.gap // ms(2) + (n >> 3) + (n << 2) + (n >> self.a)
return Reject(Code.ABORTED, f"{self.a} {self.word} {self.flag} {'{'}")
""",
        """
a: int = 0
word: u64 = 5
x: float = 0.5
small: u8 = 0
signed: i16 = 0
flag: bool = False
gap: Duration = 0
pair: tuple[float, int] = (0.0, 0)
texts: str = "m"
known: Map[str, int] = table(4)
def _named(self, user: str) -> str:
    return user if len(user) < 9 else "none"
""",
    )
    for n, user in itertools.product((0, 3, -8, 1000, MAX, MIN), ("bob", "o", "a" * 10)):
        for x in (1.5, math.nan, -3.25):
            both.request(n=n, user=user, x=x, level=1, tags=["o", "x"], note="n" if n else None)


def test_places_that_are_evaluated_once() -> None:
    both = policy(
        """
n: int = 0
boxes: Map[int, Box] = table(4)
best: Box | None = None
first: tuple[Box, int] = (Box(k=0), 0)
def _next(self) -> int:
    self.n += 1
    return self.n
def _made(self, k: int) -> Box:
    return Box(k, n=self.n)
def request(self, rpc: Rpc[Ask]) -> Verdict:
    rpc.msg.n += self._next()
    rpc.msg.n *= 3
    self.boxes[1] = self._made(250)
    if 1 in self.boxes:
        self.boxes[1].n += rpc.msg.n * 10
        self.boxes[1].k = rand_below(9) + rpc.msg.n
    box = self._made(3)
    box.n -= rpc.msg.n
    self.best = box if rpc.msg.n > 5 else self.best
    self.first = (box, self._next())
    match self.best:
        case Box(k=3 | 4, n=n) if n < 0:
            self.n += 100
        case None:
            self.n += 7
        case other:
            self.n += other.n
    match (rpc.msg.note, rpc.msg.n % 3):
        case ("a" | None, 0) | ("b", 1):
            self.n += 1
        case (note, _) if note is None or len(note) > 4:
            self.n += 2
        case _:
            self.n += 3
    total = sum(b.n for b in self.boxes.values() if 0 < rand_below(2000) < 1000)
    worst = max((k for k in self.boxes.keys() if k > 0), key=lambda k: -k, default=9)
    return Reject(Code.ABORTED, f"{total} {worst} {self.first[1]} {rpc.msg.n in (1, self.n, 12)}")
""",
        "\n@struct\nclass Box:\n    k: u8\n    n: int = 9\n",
    )
    for n, note in itertools.product((0, 1, 5, -9, MAX), (None, "a", "b", "longer", "xx")):
        both.request(n=n, note=note, rand=[5, 999, 1000, 3])


def test_order_of_evaluation() -> None:
    both = policy(
        """
n: int = 1
log: int = 0
t: Tally[int, int] = tally(16)
def _say(self, k: int) -> int:
    self.log = self.log * 7 + k
    self.n += k
    return k
def request(self, rpc: Rpc[Ask]) -> Verdict:
    self.n += self._say(1)
    self.t[self._say(2)] = self._say(3)
    self.t[self._say(4)] += self._say(5)
    self.t[rand_below(4)] += rand_below(16)
    a, b = self._say(6), self._say(1)
    if self._say(0) > 0 or self._say(2) > 0 and not self._say(0) > 0:
        self.log += max(a, self._say(3), b)
    if rpc.msg.n > self._say(1):
        return Forward()
    return Reject(Code.ABORTED, f"{self._say(1)}{self._say(2)}")
"""
    )
    for n in range(3):
        both.request(n=n, rand=[3, 9])


POLICY = re.compile(r"^class (\w+)\((?:Element|Arbiter)\)", flags=re.M)
OURS = [path for path in EXAMPLES if POLICY.search(path.read_text())]
"""The examples of rpc and of shapes; those of other strata are built with their strata."""


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.stem)
def test_every_example_can_be_built(path: Path) -> None:
    text = path.read_text()
    names = POLICY.findall(text)
    both = Pair(text, names[0])
    assert repr(both.emitted).startswith(names[0])


def test_breaker_opens_tries_and_closes() -> None:
    both = Pair(next(p for p in EXAMPLES if p.stem == "breaker").read_text(), "Breaker")
    m, second = both.module, 1_000_000_000

    def run(code: int, at: int) -> str:
        local: dict[str, Any] = {}
        rpc = m.Rpc()
        verdict = both.emitted_and_defined("request", [rpc], local, at)
        if isinstance(verdict, m.Reject):
            return "open"
        both.emitted_and_defined("finish", [rpc, m.Outcome(code=code, cause=m.Cause.REPLY)], local, at)
        return "passed"

    bad, good = m.Code.UNAVAILABLE, m.Code.OK
    assert [run(bad, i) for i in range(5)] == ["passed"] * 5
    assert run(good, 6) == "open"
    assert run(bad, 2 * second) == "passed"
    assert run(good, 2 * second + 1) == "open"
    assert run(good, 4 * second) == "passed"
    assert run(good, 4 * second + 1) == "passed"
    assert SimpleNamespace(**both.defined.state).failed == 0


def test_everything_over_random_rpcs() -> None:
    both, rng = Pair(EVERYTHING), random.Random(2)
    m = both.module
    for _ in range(400):
        fields = dict(
            user=rng.choice(["", "al", "bob", "xavier", "é" * 33]),
            n=rng.choice([0, 1, 2, 5, -3, rng.randrange(-100, 100), MAX, MIN]),
            x=rng.choice([0.0, -1.5, math.nan, math.inf, rng.random()]),
            raw=rng.choice([b"", b"\xff", b"z" * 65]),
            level=rng.choice([0, 1, 9]),
            note=rng.choice([None, "", "a", "b", "long"]),
            tags=[rng.choice(["a", "bb", "stop", "longer"]) for _ in range(rng.randrange(4))],
            sizes={k: rng.randrange(-2, 9) for k in rng.sample(["a", "bb", "stop", "q"], rng.randrange(4))},
        )
        local: dict[str, Any] = {}
        rpc = m.Rpc(msg=m.Ask(**fields), headers={"x-user": "eve"} if rng.random() < 0.5 else {})
        now, draws = rng.randrange(10**9), [rng.getrandbits(64) for _ in range(3)]
        both.emitted_and_defined("request", [rpc], local, now, draws)
        both.emitted_and_defined("response", [rpc], local, now, draws)
        outcome = m.Outcome(elapsed=rng.randrange(10**9))
        both.emitted_and_defined("finish", [rpc, outcome], local, now, draws)
    assert both.said[0] == both.said[1] != []
