# SPDX-License-Identifier: Apache-2.0
"""Both tenants' clients, and what came of their requests.

A tenant has *buyers*, each of whom calls again as soon as the last call is answered, and *askers*, who send prompts to
the gateway itself in the same way; or the tenant sends a *trickle*: a call every so many seconds, whether or not the
calls before it are answered.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc

from transect.demos.stack.files import Files
from transect.demos.stack.shop import PROMPT, item
from transect.identity import HEADER, Keys

TOKENS = 64  # of an answer; in a flood, on average
ODD = 32  # tokens more or fewer in a flood, at most: as with people, the answers of a batch do not end all at once
PATIENCE_S = 30.0  # of a client
PIECE = 1 << 16  # bytes of an answer that are read together
SETTLE_S = 1.0  # for queues to fill, before anything counts

Work = Coroutine[Any, Any, None]
Once = Callable[[], Work]


@dataclass(frozen=True, slots=True)
class Load:
    """What one tenant sends."""

    buyers: int = 0
    askers: int = 0
    every_s: float | None = None
    """Seconds between two calls of a trickle; None: there is no trickle."""


TRICKLE = Load(every_s=0.1)
FLOOD = Load(buyers=64, askers=16)
CALLS = Load(buyers=60)  # a flood of calls alone, each of which takes as much of a layer as the others
QUIET = Load()


@dataclass(slots=True)
class Came:
    """What came of one tenant's requests, as far as they count."""

    calls_s: list[float] = field(default_factory=list)
    """How long each call took, as its client saw it."""
    prompts: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def p50_s(self) -> float:
        """The time that half of the calls took at most; infinite where none was answered."""
        return statistics.median(self.calls_s or [math.inf])

    @property
    def p99_s(self) -> float:
        """The time that 99 of 100 calls took at most."""
        ordered = sorted(self.calls_s or [math.inf])
        return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]

    @property
    def requests(self) -> int:
        return len(self.calls_s) + self.prompts


def odd() -> int:
    return random.randint(TOKENS - ODD, TOKENS + ODD)


def session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


class Clients:
    """The clients of all tenants, in one event loop."""

    def __init__(self, files: Files, heard: Callable[[bytes], None] = lambda _: None) -> None:
        """`heard` is told each answer of the shop's."""
        self._files, self._heard = files, heard
        self._keys = Keys(files.identity)
        self._buy: Any
        self._http: aiohttp.ClientSession
        self._counts = False
        self._over = False
        self.came = {name: Came() for name in files.keys}

    async def run(self, loads: Mapping[str, Load], meanwhile: Callable[[], None]) -> Mapping[str, Came]:
        """Run the clients.  What happens counts while `meanwhile` runs, in a thread of its own."""
        place = self._files.address("front" if self._files.envoy else "shop")
        async with grpc.aio.insecure_channel(place) as channel, session() as http:
            self._buy, self._http = channel.unary_unary("/shop.Shop/Buy"), http
            clients = [one for name, load in loads.items() for one in self._of(name, load)]
            random.shuffle(
                clients
            )  # else all of one tenant's would come before all of another's, again and again
            work = [asyncio.create_task(one) for one in clients]
            await asyncio.sleep(SETTLE_S)
            self._counts = True
            await asyncio.to_thread(meanwhile)
            self._over = True
            await asyncio.gather(*work)  # what is under way is answered, and a trickle's calls count
        return self.came

    def _of(self, name: str, load: Load) -> Sequence[Work]:
        calls = [self._again(lambda: self._call(name, odd())) for _ in range(load.buyers)]
        prompts = [self._again(lambda: self._prompt(name, odd())) for _ in range(load.askers)]
        trickle = []
        if load.every_s is not None:
            trickle = [self._each(lambda: self._call(name, TOKENS, True), load.every_s)]
        return calls + prompts + trickle

    async def _again(self, once: Once) -> None:
        while not self._over:
            await once()

    async def _each(self, once: Once, every_s: float) -> None:
        under_way = set()
        due = time.monotonic()
        while not self._over:
            under_way.add(asyncio.ensure_future(once()))
            due += every_s
            await asyncio.sleep(due - time.monotonic())
        await asyncio.gather(*under_way)

    async def _call(self, name: str, tokens: int, late: bool = False) -> None:
        """Make a call.  It counts if it ended in time; with `late`, if it began in time."""
        counts, began = self._counts, time.perf_counter()
        try:
            answer = await self._buy(item(tokens), timeout=PATIENCE_S, metadata=self._shows(name))
        except grpc.aio.AioRpcError as error:
            self.came[name].failed.append(f"{error.code().name}: {error.details()}")
            return
        self._heard(answer)
        if counts if late else self._counts and not self._over:
            self.came[name].calls_s.append(time.perf_counter() - began)

    def _shows(self, name: str) -> tuple[tuple[str, str], ...]:
        """What says who calls: for Envoy the tenant's key; without Envoy a word with which we vouch for the tenant."""
        if self._files.envoy:
            return (("x-api-key", self._files.keys[name]),)
        return ((HEADER, self._keys.vouch(name)),)

    async def _prompt(self, name: str, tokens: int) -> None:
        url = f"http://{self._files.address('gateway')}/v1/completions"
        body = {"prompt": [1] * PROMPT, "max_tokens": tokens}
        shows = {"authorization": f"Bearer {self._files.keys[name]}"}
        async with self._http.post(url, json=body, headers=shows) as answer:
            async for _ in answer.content.iter_chunked(PIECE):
                pass
        if answer.status != 200:
            self.came[name].failed.append(f"the gateway answers {answer.status}")
        elif self._counts and not self._over:
            self.came[name].prompts += 1
