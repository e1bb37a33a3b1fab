# SPDX-License-Identifier: Apache-2.0
"""Counters that several gateways share over Valkey, eventually.

Each gateway runs the policy on its own instance.  What a tenant's counter is made of is shared, not the counter:

    charges   what each gateway charged the tenant in all      merged by sum
    lift      how far the tenant was ever lifted above that    merged by maximum
    counter = sum of charges + largest lift

so a tenant that two gateways lift at once is lifted once.  A lift is to a level, not by an amount: what others charged
before it, and the lifting gateway had not read yet, is taken off the lift when it is read.  A gateway writes its own
two numbers, whole, and never those of another: writing them again changes nothing, and a store that was lost is full
again after one round.  There is no policy logic in the store.  How far the instances may disagree enters the bound
(`docs/fairness.md`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias

from transect.base.unavailable import Unavailable
from transect.llm.adapter import Chooser
from transect.llm.request import Held

if TYPE_CHECKING:
    from transect.llm.service import Service

logger = logging.getLogger("transect.gateway")

PREFIX = "transect:llm:"
ALIVE_S = 10  # a gateway's name stays taken for so long after its last round, or for three rounds
PATIENCE_S = 2.0  # with a store that does not answer
LARGEST = 1 << 60  # micro-tokens of one tenant at one gateway: thirteen days of a million tokens a second
BAD_ANSWERS = (OSError, ValueError, RecursionError)
"""What reading a store's answer raises, beside the client library's own errors; the last where it nests without end."""
MOVING = ("admit", "charge", "retract", "head", "finish")  # hooks whose changes to a counter are charges


Numbers: TypeAlias = dict[str, dict[str, int]]
"""What a gateway writes: `charged` and `lift`, each by the tenant's name, in micro-tokens."""


@dataclass(slots=True)
class Parts:
    """What a gateway knows of one tenant's counter, in micro-tokens."""

    charged: int = 0  # by this gateway
    lift: int = 0  # by this gateway
    elsewhere: int = 0  # charged by the others, as read last
    lifted: int = 0  # the largest lift of the others
    recent: int = 0  # how much this gateway lifted it since it last read what the others charged

    @property
    def counter(self) -> int:
        return self.charged + self.elsewhere + max(self.lift, self.lifted)


@dataclass(slots=True)
class Shared:
    """The tenants' counters of one gateway, between its policy and the store."""

    service: Service
    parts: dict[int, Parts] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    known: dict[str, Numbers] = field(default_factory=dict)  # what each other gateway wrote last
    lag: int = 0  # the most that the others charged between two rounds, in micro-tokens
    lost_since: float | None = None  # monotonic; None: the last round went well
    lost_because: str = ""

    # ---------------------------------------------------------------- from the policy

    def attach(self, chooser: Chooser) -> None:
        """Observe what the chooser's hooks do to counters."""
        for hook in ("arrive", *MOVING):
            inner = getattr(chooser, hook)
            if inner is not None:
                setattr(chooser, hook, self._noticed(chooser, inner, hook == "arrive"))

    def _noticed(self, chooser: Chooser, inner: Callable[..., Any], lifts: bool) -> Callable[..., Any]:
        def call(request: Held, *rest: Any) -> Any:
            client = request.client
            assert isinstance(client, int), f"{client!r} is no tenant's number"
            before = chooser.counter(client)
            value = inner(request, *rest)
            change = chooser.counter(client) - before
            if change:
                parts = self.parts.setdefault(client, Parts())
                if lifts:
                    # The change is measured from where the counter stood before, even if others had lifted it there.
                    parts.lift = max(parts.lift, parts.lifted) + change
                    parts.recent += change
                else:
                    parts.charged += change
                self.dirty.add(client)
            return value

        return call

    # ---------------------------------------------------------------- with the store

    def own(self) -> Numbers:
        """This gateway's numbers for the tenants whose counters moved, by name."""
        name = self.service.tenants.name_of
        moved, self.dirty = self.dirty, set()
        return {
            "charged": {name(client): self.parts[client].charged for client in moved},
            "lift": {name(client): self.parts[client].lift for client in moved},
        }

    def merge(self, others: Mapping[str, Numbers]) -> None:
        """Take in the numbers of all other gateways, by the gateways' names; the policy's counters change by what is
        new.

        If the store has lost what a gateway wrote before, it is kept here.
        """
        charged: dict[str, int] = {}
        lifted: dict[str, int] = {}
        for gateway, numbers in others.items():
            known = self.known.setdefault(gateway, {"charged": {}, "lift": {}})
            for part, values in numbers.items():
                known[part].update(values)
            for name, value in known["charged"].items():
                charged[name] = charged.get(name, 0) + value
            for name, value in known["lift"].items():
                lifted[name] = max(lifted.get(name, 0), value)
        more = 0
        with self.service.lock:
            for name in charged.keys() | lifted.keys():
                more += self._moved(name, charged.get(name, 0), lifted.get(name, 0))
        self.lag = max(self.lag, more)

    def _moved(self, name: str, charged: int, lifted: int) -> int:
        """Bring one tenant's counter up to date; return how much the others charged it since the last round."""
        client = self.service.tenants.number_of(name)
        parts = self.parts.setdefault(client, Parts())
        before, more = parts.counter, max(0, charged - parts.elsewhere)
        parts.elsewhere, parts.lifted = charged, lifted
        if parts.recent and more:
            parts.lift -= min(parts.recent, more)
            self.dirty.add(client)
        parts.recent = 0
        change = parts.counter - before
        if change:
            self.service.move_counter(client, change)
        return more

    def take_up(self, own: Numbers) -> None:
        """Go on from what this gateway wrote before it was restarted, wherever that is more than it knows itself."""
        with self.service.lock:
            for name, charged in own["charged"].items():
                client = self.service.tenants.number_of(name)
                parts = self.parts.setdefault(client, Parts())
                before = parts.counter
                parts.charged = max(parts.charged, charged)
                parts.lift = max(parts.lift, own["lift"].get(name, 0))
                held = self.service.counter_of(client)
                # The state file may have kept the counter already.
                self.service.move_counter(client, max(0, parts.counter - max(before, held)))


def _number(text: str) -> int:
    """A number that a gateway wrote.  Raises ValueError for one that no gateway writes, such as one that no counter
    holds.
    """
    number = int(text)
    if abs(number) > LARGEST:
        raise ValueError(f"{text[:40]} is no count of micro-tokens")
    return number


class Valkey:
    """One gateway's side of the store."""

    def __init__(self, url: str, group: str, name: str, shared: Shared, every_s: float) -> None:
        """`group`: the name of the group of gateways; `name`: this gateway's name in it."""
        import redis.asyncio

        self._store: Any = redis.asyncio.from_url(
            url, decode_responses=True, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
        )
        self._at = f"{PREFIX}{group}:"
        self._name = name
        self._shared = shared
        self.every_s = every_s
        self._alive_s = max(ALIVE_S, ceil(3 * every_s))
        self._mine = (
            f"{name}:{time.time_ns()}"  # this process, as distinct from others that had the name before
        )

    async def begin(self) -> None:
        """Take the name, and what was written under it.  Raises `Unavailable` if a living gateway has it.

        If the store cannot be reached, the gateway serves all the same: the rounds go on trying.
        """
        from redis.exceptions import RedisError

        try:
            alive = await self._store.set(
                f"{self._at}alive:{self._name}", self._mine, nx=True, ex=self._alive_s
            )
            if not alive:
                raise Unavailable(
                    f"the name {self._name} among the gateways that share",
                    "another gateway has it, or had it in the last seconds",
                    f"give each its own `share.name`, or wait {self._alive_s} s after one was killed",
                )
            self._shared.take_up(await self._read(self._name))
        except (RedisError, *BAD_ANSWERS) as wrong:
            self._lost(wrong)

    async def round(self) -> None:
        """Write and read.  A store that cannot be reached, or contains something that is not a number, counts as lost
        for now.
        """
        from redis.exceptions import RedisError

        try:
            await self._round()
        except (RedisError, *BAD_ANSWERS) as wrong:
            self._lost(wrong)
        else:
            if self._shared.lost_since is not None:
                logger.warning("counters are shared again")
                self._shared.lost_since = None

    async def _round(self) -> None:
        """One pipelined round trip to write, one to read."""
        own = self._shared.own()
        pipe = self._store.pipeline(transaction=False)
        for part, values in own.items():
            if values:
                pipe.hset(f"{self._at}{part}:{self._name}", mapping=values)
        pipe.sadd(f"{self._at}gateways", self._name)
        pipe.set(f"{self._at}alive:{self._name}", self._mine, ex=self._alive_s)
        pipe.smembers(f"{self._at}gateways")
        try:
            *_, names = await pipe.execute()
        except BaseException:
            self._shared.dirty |= {self._shared.service.tenants.number_of(n) for n in own["charged"]}
            raise
        others = [name for name in names if name != self._name]
        self._shared.merge({name: await self._read(name) for name in others})

    async def _read(self, name: str) -> Numbers:
        pipe = self._store.pipeline(transaction=False)
        for part in ("charged", "lift"):
            pipe.hgetall(f"{self._at}{part}:{name}")
        charged, lift = await pipe.execute()
        return {
            "charged": {tenant: _number(value) for tenant, value in charged.items()},
            "lift": {tenant: _number(value) for tenant, value in lift.items()},
        }

    def _lost(self, wrong: Exception) -> None:
        """Each gateway goes on alone, and writes everything once the store is back."""
        self._shared.dirty |= set(self._shared.parts)
        if self._shared.lost_since is None:
            self._shared.lost_since = time.monotonic()
            self._shared.lost_because = str(wrong) or type(wrong).__name__
            logger.error("counters are not shared at the moment: %s", self._shared.lost_because)

    async def close(self) -> None:
        """Do a last round, and release the name."""
        from redis.exceptions import RedisError

        try:
            await self._round()
            await self._store.delete(f"{self._at}alive:{self._name}")
        except (RedisError, *BAD_ANSWERS) as wrong:
            logger.warning("the last counters could not be shared: %s", wrong)
        await self._store.aclose()
