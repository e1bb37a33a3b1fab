# SPDX-License-Identifier: Apache-2.0
"""A gateway from start to end: listeners, the operator's socket, signals.

SIGTERM and Ctrl-C drain: nobody new is let in, who waits is turned away, what runs may end.  SIGHUP reads the
configuration anew; a file that is not understood changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from transect.base.unavailable import Unavailable
from transect.control import Server, verbs_of
from transect.core.upgrade import Refused
from transect.llm import kept
from transect.llm.bound import engine_bound
from transect.llm.config import ConfigError
from transect.llm.gateway.admin import Admin, Waits
from transect.llm.gateway.app import App
from transect.llm.gateway.connections import Unreachable
from transect.llm.gateway.corked import Protocol
from transect.llm.gateway.dispatch import Dispatcher
from transect.llm.gateway.relay import Relay
from transect.llm.gateway.replica import Replica, understand
from transect.llm.gateway.settings import GatewayConfig, host_and_port, read_gateway
from transect.llm.gateway.share import Shared, Valkey
from transect.llm.host import LlmHost
from transect.llm.identity import Identifier
from transect.llm.metrics import exposition
from transect.llm.service import PolicyError, Service

logger = logging.getLogger("transect.gateway")

FIRST_LOOK_S = 2.0  # that an engine has to say what memory it has, before the gateway begins without knowing
LOOK_S = 1.0  # between looks at the engines' metrics
KEEP_S = 5.0  # between writes of the state
CANCEL_S = 0.5  # between two cancellations of a task that goes on
METRICS = 16 << 20  # bytes of an engine's metrics


class Gateway:
    """One gateway."""

    def __init__(self, config: GatewayConfig, path: Path, say: Callable[[str], None]) -> None:
        """Raises `PolicyError`, `kept.NotKept`, `Unavailable` without upstreams, or without the key of one."""
        if not config.upstreams:
            raise Unavailable(
                "an upstream", "the configuration names none", "--upstream URL, or [[upstreams]] url = …"
            )
        self.config = config
        self.path = path
        self.say = say
        self.folder = path.parent
        self.shared: Shared | None = None
        self.state = None if config.state is None else self.folder / config.state
        if self.state is not None and not self.state.parent.is_dir():
            raise kept.NotKept(f"the state cannot be written to {self.state}: there is no such folder")
        self.replicas = [Replica(upstream, config.limits) for upstream in config.upstreams]
        known = kept.names_in(self.state) if self.state else ()
        self.service = Service(
            config,
            self.folder,
            bound=self._bound(),
            running=self._running,
            known=known,
            shared=config.share is not None,
        )
        if self.state and kept.load(self.service, self.state):
            say(f"counters go on as {self.state} keeps them")
        if config.share is not None:
            self.shared = Shared(self.service)
            self.shared.attach(self.service.queues.chooser)
            self.service.noticing = self.shared.attach
        self.waits = Waits()
        self.dispatcher = Dispatcher(self.service, self.replicas, config.limits)
        self.dispatcher.waits = self.waits.take
        self.identifier = Identifier(self.service.tenants, config)
        self.app = App(Relay(self.dispatcher), self.identifier, config.limits.body_bytes)
        self.admin = Admin(self.service, self.replicas, self.app, self.waits)

    def _running(self) -> Iterator[Any]:
        return iter(self.dispatcher.running)

    def _bound(self) -> int:
        """U of one dispatcher over all windows, each of which is one engine's memory at most."""
        capacity = sum(max(replica.window, replica.capacity or 0) for replica in self.replicas)
        lightest = min((t.weight for t in self.config.tenants.values()), default=100)
        alone = engine_bound(capacity=capacity, longest_input=0, step_tokens=0, lightest=lightest)
        return alone + (self.shared.lag if self.shared else 0)

    # ---------------------------------------------------------------- while it runs

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self._first_look()
        store = await self._store()
        sockets = [_listening(self.config.listen), _listening(self.config.admin)]
        servers = [_server(self.app), _server(self.admin)]
        tasks = [asyncio.ensure_future(s.serve([at])) for s, at in zip(servers, sockets, strict=True)]
        tasks += [asyncio.ensure_future(self._looks(replica)) for replica in self.replicas]
        tasks.append(asyncio.ensure_future(self._keep()))
        if store is not None:
            tasks.append(asyncio.ensure_future(store.rounds()))
        host = LlmHost(self.service, "gateway", self.config.name or "gateway")
        verbs = {**verbs_of(host), "metrics": lambda: exposition(self.service)}
        control = Server("llm", self.config.name or "gateway", verbs)
        try:
            self._introduce(control.name, *sockets)
            ready()
            await ended.wait()
            await self._drain()
        finally:
            control.close()
            for server in servers:
                server.should_exit = True
            await cancelled(tasks[2:])
            await asyncio.gather(*tasks, return_exceptions=True)
            for replica in self.replicas:
                await replica.http.close()
            if store is not None:
                await store.close()
            self._save()

    async def _store(self) -> Valkey | None:
        share = self.config.share
        if share is None or self.shared is None:
            return None
        url = share.url.replace("valkey://", "redis://", 1)
        store = Valkey(url, share.group, share.name, self.shared, share.every_s)
        await store.begin()
        return store

    def _introduce(self, name: str, api: socket.socket, admin: socket.socket) -> None:
        self.say(
            f"{self.service.program.name} decides whose request is next, before {len(self.replicas)} upstream(s)"
        )
        self.say(f"clients   http://{_named(api)}/v1")
        self.say(f"live page http://{_named(admin)}/   metrics http://{_named(admin)}/metrics")
        self.say(f"transect llm status {name}   Ctrl-C drains and stops")

    async def _drain(self) -> None:
        self.app.draining = True
        running = len(self.dispatcher.running)
        self.say(f"draining: {running} running, {len(self.service.queues)} waiting")
        self.dispatcher.turn_away_all("the gateway is going down")
        until = asyncio.get_running_loop().time() + self.config.limits.drain_s
        while self.app.open and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.05)

    # ---------------------------------------------------------------- looking after things

    async def _first_look(self) -> None:
        """Know the engines' memory before anybody is served: windows and bound are right from the beginning."""
        await asyncio.gather(*(_look_at(replica, FIRST_LOOK_S) for replica in self.replicas))
        self.service.watcher.bound = self._bound()

    async def _looks(self, replica: Replica) -> None:
        """Ask an engine for its metrics now and then, and tune its window by them."""
        while True:
            await asyncio.sleep(LOOK_S)
            if await _look_at(replica, 5.0):
                self.service.watcher.bound = max(self.service.watcher.bound, self._bound())
            self.dispatcher.pump()

    async def _keep(self) -> None:
        while self.state is not None:
            await asyncio.sleep(KEEP_S)
            self._save()

    def _save(self) -> None:
        if self.state is None:
            return
        try:
            kept.save(self.service, self.state)
        except OSError as wrong:
            logger.error("the state cannot be written to %s: %s", self.state, wrong)

    def reload(self) -> None:
        """Read the configuration anew: tenants, weights, keys, identity, policy.  A bad one changes nothing."""
        try:
            config = read_gateway(self.path)
            if (config.policy, config.params) != (self.config.policy, self.config.params):
                self.service.upgrade(self.service.place_of(config.policy), config.params)
        except (ConfigError, PolicyError, Refused, OSError, ValueError) as wrong:
            logger.error("the configuration is kept as it was: %s", wrong)
            return
        with self.service.lock:
            self.service.tenants.load(config)
            self.identifier.load(config)
        self.config = config
        self.service.watcher.bound = max(self.service.watcher.bound, self._bound())
        logger.warning("the configuration has been read anew: %d tenants", len(config.tenants))


async def _look_at(replica: Replica, patience_s: float) -> bool:
    """Whether the engine had something to say of itself."""
    try:
        async with (
            asyncio.timeout(patience_s),
            replica.http.ask("GET", "/metrics") as answer,
        ):
            text = await answer.read(METRICS)
    except (TimeoutError, Unreachable) as wrong:
        logger.debug("%s: no metrics: %r", replica.name, wrong)
        return False
    said = understand(text.decode(errors="replace")) if answer.status == 200 else None
    if said is not None:
        replica.learn(said)
    return said is not None


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """End them: one whose library lost the first cancellation is cancelled again.

    `asyncio.wait_for`, which redis uses, loses it before Python 3.12 where what it waits for is done by then.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_S)


class _Server(uvicorn.Server):
    """Signals are the gateway's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: Any) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=Protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        proxy_headers=False,
    )
    return _Server(config)


def _listening(address: str) -> socket.socket:
    """Raises `Unavailable` when somebody else listens there."""
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay (TCP_NODELAY) only on sockets that say that they are TCP: else an answer's first token
    # waits 40 ms for the client's acknowledgement of its headers.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), port))
    except OSError as wrong:
        made.close()
        raise Unavailable(
            f"the address {address}", str(wrong.strerror), "give another one in the configuration"
        ) from wrong
    made.listen(2048)
    made.setblocking(False)
    return made


def _named(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{host}:{port}"
