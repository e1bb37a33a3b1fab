# SPDX-License-Identifier: Apache-2.0
"""Elements that between them use everything a chain offers: for tests of chains."""

HEAD = """
from enum import IntEnum
from transect.lang import (
    Counter, Duration, Instant, Local, Map, Mapping, Param, Sequence, Tally, as_float, as_int, blob, counter, local,
    lru, ms, now, ns, param, rand, rand_below, table, tally, text, trace, u64,
)
from transect.rpc import Cause, Code, Element, Forward, Message, Outcome, Reject, Respond, Retry, Rpc, Verdict


class Colour(IntEnum):
    COLOUR_NONE = 0
    RED = 1
    GREEN = 2


class User(Message):
    name: str
    age: int
    mail: str | None
    boss: "User | None"


class Item(Message):
    sku: str
    price: int
    owner: User


class Ask(Message):
    user: str
    i32: int
    i64: int
    u32: int
    u64: u64
    flt: float
    dbl: float
    flag: bool
    blob: bytes
    colour: Colour
    who: User
    deputy: User | None
    maybe: int | None
    nick: str | None
    tint: Colour | None
    tags: Sequence[str]
    numbers: Sequence[int]
    colours: Sequence[Colour]
    items: Sequence[Item]
    prices: Mapping[str, int]
    names: Mapping[int, str]
    stock: Mapping[str, Item]
    word: str | None
    count: int | None
    person: User | None


class Answer(Message):
    text: str
    cost: int
"""

ELEMENTS = {
    "Acl": '''
class Acl(Element):
    """Known users pass."""
    allowed: Map[str, bool] = table(4)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.msg.flag:
            self.allowed[rpc.msg.user] = True
        if self.allowed.get(rpc.msg.user, False):
            return Forward()
        return Reject(Code.PERMISSION_DENIED, f"no {rpc.msg.user}")
''',
    "Limit": '''
class Limit(Element):
    """A bucket a user."""
    rate: Param[int] = param(3)
    used: Tally[str, int] = tally(8)
    last: Instant = 0
    passed: Counter = counter()

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if now() - self.last > ms(50):
            self.last = now()
            for user in self.used:
                del self.used[user]
        if self.used[rpc.msg.user] >= self.rate:
            return Reject(Code.RESOURCE_EXHAUSTED, "too many")
        self.used[rpc.msg.user] += 1
        self.passed.add()
        return Forward(after=ms(self.used[rpc.msg.user]))
''',
    "Mutate": '''
class Mutate(Element):
    """Assigns everything that can be assigned."""
    n: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.n += 1
        ask = rpc.msg
        if self.n % 5 == 0:
            return Forward()
        if ask.i64 > 3:
            ask.user = ask.who.name
        ask.i32 = ask.i64 * 3
        ask.u32 = ask.i32 - 1
        ask.flt = ask.dbl
        ask.flag = not ask.flag
        ask.colour = Colour.GREEN
        if self.n % 3 == 0:
            ask.who.name = "new"
            ask.who.age += 1
        if self.n % 7 == 0:
            ask.who.mail = None
        if self.n % 4 == 0:
            ask.maybe = None
        if self.n % 4 == 1:
            ask.maybe = ask.i32
        if self.n % 6 == 2:
            ask.word = "word"
        if self.n % 6 == 3:
            ask.count = self.n
        if self.n % 6 == 4:
            ask.word = None
        ask.nick = ask.user
        ask.tint = None
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.reply.text = rpc.msg.user
        rpc.reply.cost += rpc.msg.i64
        return Forward(after=ms(1))
''',
    "Cache": '''
class Cache(Element):
    """Answers what it has seen."""
    stored: Map[bytes, bytes] = lru(4, key=blob(200), value=blob(300))
    hits: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        found = self.stored.get(rpc.body)
        if found is not None:
            self.hits += 1
            return Respond(found)
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if rpc.reply.cost >= 0:
            self.stored[rpc.body] = rpc.reply_body
        return Forward()
''',
    "Fault": '''
class Fault(Element):
    """Delays and aborts at random."""
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rand() < 0.2:
            return Reject(Code.UNAVAILABLE, "fault")
        if rand_below(4) == 1:
            return Forward(after=ms(rand_below(100)), to="slow")
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if rand() < 0.1:
            return Reject(Code.INTERNAL, "bad luck")
        return Forward()
''',
    "Route": '''
class Route(Element):
    """Names a route now and then."""
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.msg.i64 > 2:
            return Forward(to=rpc.msg.user, after=ms(-5))
        return Forward()
''',
    "Tags": '''
class Tags(Element):
    """Reads what repeats."""
    seen: Tally[str, int] = tally(16)
    total: int = 0
    largest: int = 0
    reds: int = 0

    def _weight(self, item: Item) -> int:
        return item.price + len(item.owner.name)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        ask = rpc.msg
        for tag in ask.tags:
            self.seen[tag] += 1
        self.total += sum(ask.numbers)
        self.largest = max((self._weight(item) for item in ask.items), default=self.largest)
        for item in ask.items:
            boss = item.owner.boss
            if boss is not None:
                self.seen[boss.name] += 1
        for colour in ask.colours:
            if colour == Colour.RED:
                self.reds += 1
        if "stop" in ask.tags or 7 in ask.numbers:
            return Reject(Code.ABORTED, f"{len(ask.tags)} tags")
        return Forward()
''',
    "Prices": '''
class Prices(Element):
    """Reads maps."""
    sums: Map[str, int] = table(8)
    misses: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        ask = rpc.msg
        for key, price in ask.prices.items():
            self.sums[key] = self.sums.get(key, 0) + price
        known = ask.prices.get(ask.user)
        if known is None:
            self.misses += 1
        elif known < 0:
            return Reject(Code.INVALID_ARGUMENT, "negative")
        if ask.i32 in ask.names:
            trace(f"named {ask.names.get(ask.i32, '')}")
        item = ask.stock.get(ask.user)
        if item is not None:
            self.misses += item.price + len(item.owner.name)
        return Forward()
''',
    "Log": '''
class Log(Element):
    """Counts how RPCs end."""
    ends: Tally[tuple[str, Code], int] = tally(32)
    words: int = 0
    started: Local[Instant] = local(0)
    messages: Local[int] = local(0)
    slow: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if self.messages == 0:
            self.started = now()
        self.messages += 1
        if rpc.headers.get("x-user") is None:
            rpc.headers.set("x-user", rpc.msg.user)
        rpc.headers.remove("x-drop")
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.headers.set("x-cost", "much" if rpc.reply.cost > 5 else rpc.reply.text)
        state = rpc.trailers.get("x-state")
        if state is not None:
            self.words += len(state)
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> Retry | None:
        self.ends[(rpc.method, outcome.code)] += 1
        if now() - self.started > ms(20):
            self.slow += 1
        if outcome.cause == Cause.CANCEL and self.messages == 1:
            return Retry(after=outcome.elapsed)
        return None
''',
    "Remember": '''
class Remember(Element):
    """Reads in `finish` what passed before."""
    peers: Tally[str, int] = tally(4)
    costs: int = 0
    bosses: int = 0

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> Retry | None:
        self.peers[rpc.peer] += 1
        self.costs += rpc.reply.cost + rpc.msg.i64 + len(rpc.msg.tags)
        self.costs += rpc.msg.prices.get("a", 5) + len(rpc.reply_body) + len(rpc.body)
        deputy = rpc.msg.deputy
        if deputy is not None and deputy.boss is not None:
            self.bosses += 1
        if outcome.code == Code.UNAVAILABLE:
            return Retry()
        return None
''',
    "Oneof": '''
class Oneof(Element):
    """One of several."""
    words: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        ask = rpc.msg
        match ask.word:
            case None:
                person = ask.person
                if person is not None:
                    self.words += len(person.name)
                    ask.count = person.age
                elif ask.count is None:
                    ask.word = "none"
            case "no":
                return Reject(Code.ABORTED, "no")
            case word:
                self.words += len(word)
                ask.word = "next" if len(word) > 3 else word
        return Forward()
''',
    "Ends": '''
class Ends(Element):
    """Messages of a stream, and how it ended."""
    messages: Local[int] = local(0)
    replies: Local[int] = local(0)
    most: int = 0
    ends: Tally[Code, int] = tally(4)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.messages += 1
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.replies += 1
        if rpc.reply.cost > 0:
            rpc.reply.cost = self.replies
        return Forward(after=ms(self.messages))

    def finish(self, rpc: Rpc, outcome: Outcome) -> Retry | None:
        self.most = max(self.most, self.messages * 100 + self.replies)
        self.ends[outcome.code] += 1
        return None
''',
    "Odd": '''
class Odd(Element):
    """What the others leave out."""
    last: bytes = blob(32)
    best: str = text(16)
    pairs: Map[tuple[str, int], float] = table(6)
    kinds: Tally[Colour, int] = tally(4)
    stamp: u64 = 0
    mean: float = 0.0

    def _priced(self, item: Item, least: int) -> bool:
        return item.price >= least and not item.sku.startswith("x")

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        ask = rpc.msg
        lowest = min((item.price for item in ask.items), default=0)
        for item in ask.items:
            if item.price == lowest:
                self.best = item.sku
                break
        for key in ask.prices:
            self.pairs[(key, len(key))] = 0.5
        for price in ask.prices.values():
            self.mean = (self.mean + as_float(price)) / 2.0
        for item in ask.stock.values():
            if self._priced(item, 10):
                self.mean += 1.0
        short = {tag for tag in ask.tags if len(tag) < 3}
        if "a" in short and ask.user in ask.prices:
            self.kinds[Colour.RED] += len(short)
        match ask.colour:
            case Colour.RED:
                self.kinds[ask.colour] += 1
            case Colour.GREEN:
                ask.colour = Colour.RED
            case _:
                self.kinds[Colour.COLOUR_NONE] += 1
        self.stamp = self.stamp + ask.u64
        ask.u64 = self.stamp
        kept = self.last
        self.last = ask.blob
        ask.blob = kept
        ask.dbl = self.mean
        ask.flt = ask.flt * 1.5
        deputy = ask.deputy
        if deputy is not None:
            deputy.age = deputy.age + 1
            boss = deputy.boss
            if boss is not None and boss.mail is not None:
                boss.name = "boss"
        if any(number < 0 for number in ask.numbers):
            ask.i64 = sum(1 for number in ask.numbers if number < 0)
        tint = ask.tint
        if tint is not None and tint != Colour.RED and ask.names.get(3) is not None:
            return Reject(Code.OUT_OF_RANGE, f"{ask.i64} {ask.flag} {ask.colour}")
        return Forward()
''',
    "Floats": '''
class Floats(Element):
    """NaN of every origin: from outside, of zeros, of infinities; kept, changed in sign, in the smaller width."""
    n: int = 0
    kept: float = 0.0
    by_user: Map[str, float] = table(8)

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        ask = rpc.msg
        self.n += 1
        zero = as_float(self.n - self.n)
        huge = as_float(self.n) / zero
        match self.n % 7:
            case 0:
                ask.dbl = zero / zero
            case 1:
                ask.dbl = -(zero / zero)
            case 2:
                ask.flt = huge - huge
            case 3:
                ask.flt = ask.dbl
            case 4:
                ask.dbl = self.kept
            case 5:
                ask.dbl = max(ask.dbl, ask.flt)
            case _:
                ask.dbl = self.by_user.get(ask.user, ask.flt * 0.5)
        if ask.dbl < self.kept:
            ask.i64 = as_int(ask.dbl)
        self.kept = min(ask.flt, self.kept + ask.dbl)
        self.by_user[ask.user] = ask.dbl
        return Forward()
''',
    "Header": '''
class Header(Element):
    """Metadata only."""
    n: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        self.n += 1
        token = rpc.headers.get("x-token")
        if token is None:
            return Forward() if rpc.peer.startswith("10.") else Reject(Code.UNAUTHENTICATED, rpc.peer)
        return Forward()
''',
}

STREAMING = ("Acl", "Limit", "Tags", "Ends", "Prices", "Oneof", "Fault")


def source(names: tuple[str, ...]) -> str:
    return HEAD + "".join(ELEMENTS[name] for name in dict.fromkeys(names))
