# SPDX-License-Identifier: Apache-2.0
"""A gateway from start to end: listeners, the operator's socket, signals.

SIGTERM and Ctrl-C drain: no new request is let in, waiting ones are turned away, and running ones may end.  SIGHUP
reads the configuration again; a file with errors changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from transect.base.bounded import is_folder
from transect.base.followed import Changes
from transect.base.unavailable import Unavailable
from transect.base.weights import NoWeights
from transect.control import Operated, Server
from transect.control.protocol import Refused as NotDone
from transect.core.upgrade import Refused
from transect.identity import NoKeys
from transect.llm import saved_state
from transect.llm.adapter import MICRO
from transect.llm.bound import engine_bound
from transect.llm.config import ConfigError
from transect.llm.gateway.admin import Admin, Waits
from transect.llm.gateway.app import GOING, App
from transect.llm.gateway.background import cancelled, regularly
from transect.llm.gateway.bodies import Bodies
from transect.llm.gateway.budget import OPERATORS, claimed
from transect.llm.gateway.connections import Unreachable
from transect.llm.gateway.dispatch import Dispatcher
from transect.llm.gateway.guard import Guard, Patience
from transect.llm.gateway.http import Heads
from transect.llm.gateway.listener import Server as Listening
from transect.llm.gateway.listener import listening
from transect.llm.gateway.relay import Relay
from transect.llm.gateway.replica import Replica, understand
from transect.llm.gateway.settings import GatewayConfig, Share, read_gateway
from transect.llm.gateway.share import Shared, Valkey
from transect.llm.host import LlmHost, Sharing, Upstream, UpstreamDetails
from transect.llm.identity import Identifier
from transect.llm.metrics import exposition
from transect.llm.service import PolicyError, Service

logger = logging.getLogger("transect.gateway")

FIRST_LOOK_S = 2.0  # for an engine to report its memory, before the gateway starts without that figure
LOOK_S = 1.0  # between looks at the engines' metrics
KEEP_S = 5.0  # between writes of the state
_WRONG = (ConfigError, NoKeys, NoWeights, PolicyError, Refused, Unavailable, OSError, ValueError)
METRICS = 16 << 20  # bytes of an engine's metrics


class Gateway:
    """One gateway."""

    def __init__(
        self,
        config: GatewayConfig,
        path: Path,
        say: Callable[[str], None],
        read: Callable[[], GatewayConfig] | None = None,
        weights: Changes | None = None,
    ) -> None:
        """`path`: the configuration's file; `read`: the same settings, read anew; `weights`: their file, followed.

        Raises `PolicyError`, `NoKeys`, `saved_state.NotKept`, `Unavailable` without upstreams, the key of one, or
        descriptors.
        """
        _check_upstreams(config)
        self.config = config
        self._read = read or partial(read_gateway, path)
        self._weights = weights
        self._ended, self._hurried = asyncio.Event(), asyncio.Event()
        self._interrupts = 0
        self.say = say
        self.folder = path.parent
        self._share = (
            config.share
        )  # fixed at the start: a configuration that is read later does not change it
        self.shared: Shared | None = None
        self.state = None if config.state is None else self.folder / config.state
        if self.state is not None and not is_folder(self.state.parent):
            raise saved_state.NotKept(f"the state cannot be written to {self.state}: there is no such folder")
        self._let_go = None if self.state is None else saved_state.claim(self, self.state)
        limits = config.limits
        self.budget = claimed(limits)
        each = max(1, self.budget.engines // len(config.upstreams))
        self.replicas = [Replica(upstream, limits, each) for upstream in config.upstreams]
        known = saved_state.names_in(self.state) if self.state else ()
        self.service = Service(
            config,
            self.folder,
            bound=self._bound(),
            running=self._running,
            known=known,
            shared=config.share is not None,
        )
        if self.state and saved_state.load(self.service, self.state):
            say(f"counters go on as {self.state} keeps them")
        if config.share is not None:
            self.shared = Shared(self.service)
            self.shared.attach(self.service.queues.chooser)
            self.service.noticing = self.shared.attach
        self.waits = Waits()
        self.dispatcher = Dispatcher(self.service, self.replicas, limits)
        self.dispatcher.waits = self.waits.take
        self.identifier = Identifier(self.service.tenants, config, self.folder)
        patience = Patience(limits.head_s, limits.idle_s, limits.unread_s)
        self.guard = Guard(self.budget.clients, limits.connections_each, patience)
        least = limits.body_bytes  # the largest body is always let in
        self.bodies = Bodies(max(limits.held_bytes, least), max(limits.held_bytes_each, least))
        open_each = self.budget.clients // 2 if limits.open_each == "auto" else limits.open_each
        self.app = App(Relay(self.dispatcher), self.identifier, limits, self.bodies, open_each)
        self.admin = Admin(
            self.service, self.replicas, self.app, self.waits, self.guard, self.bodies, self.shared
        )
        self._refused = ""  # why the configuration changed nothing when it was read last

    def _running(self) -> Iterator[Any]:
        return iter(self.dispatcher.running)

    def _bound(self) -> int:
        """The bound U of one dispatcher over all windows, each at most one engine's memory."""
        capacity = sum(max(replica.window, replica.capacity or 0) for replica in self.replicas)
        lightest = min((t.weight for t in self.config.tenants.values()), default=100)
        alone = engine_bound(capacity=capacity, longest_input=0, step_tokens=0, lightest=lightest)
        return alone + (self.shared.lag if self.shared else 0)

    # ---------------------------------------------------------------- while it runs

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT."""
        self._heed_signals()
        async with contextlib.AsyncExitStack() as ends:  # in reverse order, even if one fails
            listen = [ends.enter_context(listening(at)) for at in (self.config.listen, self.config.admin)]
            for replica in self.replicas:
                ends.push_async_callback(replica.http.close)
            await self._first_look()
            store = await self._store()
            if store is not None:
                ends.push_async_callback(store.close)
            control = ends.enter_context(self._control())
            if self._let_go is not None:
                ends.callback(self._let_go)
            ends.callback(self._save)
            ends.push_async_callback(cancelled, [asyncio.ensure_future(w) for w in self._works(store)])
            servers = self._servers()
            serving = [asyncio.ensure_future(s.serve([at])) for s, at in zip(servers, listen, strict=True)]
            for task in serving:
                task.add_done_callback(lambda _: self._ended.set())  # without a listener there is no gateway
            ends.push_async_callback(_down, servers, serving)
            self._introduce(control.name, *listen)
            ready()
            await self._ended.wait()
            await self._drain()

    def _servers(self) -> list[uvicorn.Server]:
        """The servers for clients and for operators, the latter without keys."""
        heads = Heads(self.config.limits.head_bytes, self.config.limits.head_lines)
        operators = Guard(OPERATORS, OPERATORS, self.guard.patience)
        return [Listening(self.app, self.guard, heads), Listening(self.admin, operators, heads)]

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_end, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _told_to_end(self, number: int) -> None:
        """End on a signal.  Some tools send SIGTERM twice, but a second Ctrl-C means not to wait."""
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            self._hurried.set()
        self._ended.set()

    def _works(self, store: Valkey | None) -> Iterator[Coroutine[Any, Any, None]]:
        """What is done beside serving."""
        for replica in self.replicas:
            yield regularly(f"looks at {replica.name}", partial(self._look, replica), LOOK_S)
        if self.state is not None:
            yield regularly("keeping the state", self._keep, KEEP_S)
        if self._weights is not None:
            yield regularly("following the weights", self._follow, LOOK_S)
        if store is not None:
            yield regularly("sharing counters", store.round, store.every_s)

    def _control(self) -> Server:
        host = LlmHost(self.service, "gateway", self._details)
        operated = Operated("llm", self.config.name or "gateway", host)
        return operated.serve({"metrics": lambda: exposition(self.service), "reload": self.told_to_reload})

    def _details(self) -> UpstreamDetails:
        """The part of `status` that only a gateway has."""
        rows: list[Upstream] = [
            {
                "upstream": replica.name,
                "answers": replica.healthy,
                "running": replica.running,
                "in_flight": replica.in_flight,
                "window": replica.window,
                "usage": replica.counting.value,
                "odd_usage": replica.odd_usage,
            }
            for replica in self.replicas
        ]
        details: UpstreamDetails = {"upstreams": rows, "connections": self.guard.status()}
        if self._share is not None and self.shared is not None:
            details["sharing"] = _sharing(self._share, self.shared)
        if (words := self.identifier.status()) is not None:
            details["identity"] = dict(words)
        if self._refused:
            details["configuration_refused"] = self._refused
        return details

    async def _store(self) -> Valkey | None:
        share = self._share
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
        with contextlib.suppress(OSError):  # the reader of its output may be gone already
            self.say(f"draining: {running} running, {len(self.service.queues)} waiting")
        self.dispatcher.turn_away_all(GOING)
        now = asyncio.get_running_loop().time
        until = now() + self.config.limits.drain_s
        while self.app.open and not self._hurried.is_set() and now() < until:
            await asyncio.sleep(0.05)
        await self.app.cut_off()

    # ---------------------------------------------------------------- looking after things

    async def _first_look(self) -> None:
        """Know the engines' memory before anybody is served: windows and bound are right from the beginning."""
        await asyncio.gather(*(_look_at(replica, FIRST_LOOK_S) for replica in self.replicas))
        self.service.watcher.bound = self._bound()

    async def _look(self, replica: Replica) -> None:
        """Ask an engine for its metrics, and tune its window by them."""
        if await _look_at(replica, 5.0):
            self.service.watcher.bound = max(self.service.watcher.bound, self._bound())
        self.dispatcher.pump()

    async def _follow(self) -> None:
        if self._weights is not None and self._weights.come():
            self.reload()

    async def _keep(self) -> None:
        self._save()

    def _save(self) -> None:
        if self.state is None:
            return
        try:
            saved_state.save(self.service, self.state)
        except OSError as wrong:
            logger.error("the state cannot be written to %s: %s", self.state, wrong)

    def reload(self) -> None:
        """Read the configuration again after a signal; errors go to the log."""
        try:
            self._read_anew()
        except _WRONG as wrong:
            logger.error("the configuration is kept as it was: %s", wrong)
            self._refused = " ".join(
                str(wrong).partition("\n  |")[0].split()
            )  # and where; the log shows the line

    def told_to_reload(self) -> None:
        """The same for an operator's command, which is told of errors."""
        try:
            self._read_anew()
        except _WRONG as wrong:
            why = f"the configuration is kept as it was: {str(wrong).strip()}"
            raise NotDone(why, "mend it, and ask again") from wrong

    def _read_anew(self) -> None:
        """Read tenants, weights, keys, identity and policy again.  An error in any of them changes nothing.  Raises the
        exceptions of `_WRONG`.
        """
        config = self._read()
        _check_upstreams(
            config
        )  # the upstreams stay those of the start; a file without any is empty or cut off
        verifier = self.identifier.verifier_of(config)
        if (config.policy, config.params) != (self.config.policy, self.config.params):
            self.service.upgrade(self.service.place_of(config.policy), config.params)
        with self.service.lock:
            self.service.tenants.load(config)
            self.identifier.load(config, verifier)
        self.config, self._refused = config, ""
        self.service.watcher.bound = max(self.service.watcher.bound, self._bound())
        logger.warning("the configuration has been read anew: %d tenants", len(config.tenants))


def _check_upstreams(config: GatewayConfig) -> None:
    """Raises `Unavailable` where there are none."""
    if not config.upstreams:
        hint = "--upstream URL, or [[upstreams]] url = …"
        raise Unavailable("an upstream", "the configuration names none", hint)


def _sharing(share: Share, shared: Shared) -> Sharing:
    said: Sharing = {"group": share.group, "name": share.name, "shared": True, "lag": shared.lag / MICRO}
    if shared.lost_since is not None:
        said["shared"] = False
        said["for_s"] = round(time.monotonic() - shared.lost_since, 1)
        said["why"] = shared.lost_because
    return said


async def _look_at(replica: Replica, patience_s: float) -> bool:
    """Whether the engine reported its figures."""
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


async def _down(servers: Iterable[uvicorn.Server], serving: Iterable[asyncio.Task[None]]) -> None:
    """Raises the error that ended a server, if it did not end on request."""
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)


def _named(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{host}:{port}"
