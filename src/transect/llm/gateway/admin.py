# SPDX-License-Identifier: Apache-2.0
"""What operators see, on a listener of its own: metrics, health, and a live page."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

from transect.control.pages import BY_ADDRESS, GUARDING, HTML, by_address, html
from transect.llm.adapter import MICRO
from transect.llm.gateway.answers import JSON, error_answer, plain_answer
from transect.llm.gateway.app import App
from transect.llm.gateway.bodies import Bodies
from transect.llm.gateway.guard import Guard, Phase, Why
from transect.llm.gateway.http import KEY
from transect.llm.gateway.replica import Replica
from transect.llm.gateway.share import Shared
from transect.llm.metrics import Metric, exposition, render
from transect.llm.service import Service

Message = MutableMapping[str, Any]

SHOWN = 100  # tenants on the live page, those served most
_GUARDING = tuple((name.encode(), value.encode()) for name, value in GUARDING.items())
BUCKETS_S = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)  # of waiting times


class Waits:
    """A histogram of how long requests waited, in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum = 0.0

    def take(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sum += seconds

    def text(self) -> str:
        name = "transect_llm_wait_seconds"
        lines = [f"# HELP {name} How long requests waited for their turn.", f"# TYPE {name} histogram"]
        total = 0
        for most, count in zip([*map(str, BUCKETS_S), "+Inf"], self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{most}"}} {total}')
        lines += [f"{name}_sum {self._sum:g}", f"{name}_count {total}"]
        return "\n".join(lines) + "\n"


def _by_address(scope: MutableMapping[str, Any]) -> bool:
    server = scope.get("server")
    named = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), None)
    return server is None or by_address(server[0], named)


class Admin:
    """An ASGI application.  It asks for no key: whoever reaches it may see everything, but change nothing."""

    def __init__(
        self,
        service: Service,
        replicas: Sequence[Replica],
        app: App,
        waits: Waits,
        guard: Guard,
        bodies: Bodies,
        shared: Shared | None = None,
    ) -> None:
        """`guard`: of the clients' connections; `shared`: the counters shared with other gateways, if any."""
        self._service = service
        self._replicas = replicas
        self._app = app
        self._waits = waits
        self._guard = guard
        self._bodies = bodies
        self._shared = shared
        self._pages: dict[str, Callable[[], tuple[int, bytes, bytes]]] = {
            "/": self._page,
            "/status": self._status,
            "/metrics": self._metrics,
            "/healthz": lambda: (200, b"text/plain", b"ok\n"),
            "/readyz": self._ready,
        }

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        if (connection := scope.get(KEY)) is not None:
            connection.known()
        page = self._pages.get(scope["path"])
        if not _by_address(scope):
            await error_answer(send, 421, BY_ADDRESS)
        elif page is None:
            await error_answer(send, 404, f"there are: {', '.join(self._pages)}")
        elif scope["method"] not in ("GET", "HEAD"):
            await error_answer(send, 405, "look, don't touch")
        else:
            status, kind, body = page()
            await plain_answer(send, status, body, [(b"content-type", kind), *_GUARDING])

    # ---------------------------------------------------------------- pages

    def _page(self) -> tuple[int, bytes, bytes]:
        return 200, HTML.encode(), html("transect.llm.gateway", "page.html").encode()

    def _ready(self) -> tuple[int, bytes, bytes]:
        if self._app.draining:
            return 503, b"text/plain", b"going down\n"
        if not any(replica.reachable for replica in self._replicas):
            return 503, b"text/plain", b"no upstream answers\n"
        if self._shared is not None and self._shared.lost_since is not None:
            # All gateways lose a store at the same time; if they then said that they are not ready, no client would be
            # served.
            return 200, b"text/plain", b"ready; counters are not shared at the moment\n"
        return 200, b"text/plain", b"ready\n"

    def _metrics(self) -> tuple[int, bytes, bytes]:
        found = [*self._of_replicas(), *self._of_clients(), *self._app.metrics(), *self._of_sharing()]
        text = exposition(self._service) + render(found) + self._waits.text()
        return 200, b"text/plain; version=0.0.4", text.encode()

    def _of_clients(self) -> Iterator[Metric]:
        guard = self._guard
        phases = tuple((str(phase), float(guard.count(phase))) for phase in Phase)
        help = "Connections of clients, by what they do."
        yield Metric("transect_llm_connections", "gauge", help, phases, label="phase")
        most = (("", float(guard.most)),)
        yield Metric("transect_llm_connections_most", "gauge", "Connections of clients at most.", most)
        ended = tuple((str(why), float(guard.closed[why])) for why in Why)
        help = "Connections of clients that the gateway closed, by why."
        yield Metric("transect_llm_connections_closed_total", "counter", help, ended, label="why")
        held = (("", float(self._bodies.total)),)
        yield Metric("transect_llm_held_bytes", "gauge", "Bodies of requests that are here.", held)

    def _of_sharing(self) -> Iterator[Metric]:
        if self._shared is not None:
            help = "Whether the last round with the store that gateways share went well."
            well = (("", float(self._shared.lost_since is None)),)
            yield Metric("transect_llm_counters_shared", "gauge", help, well)

    def _of_replicas(self) -> list[Metric]:
        odd = "Answers of an upstream whose usage was no count, or more than was asked for."
        found: dict[str, tuple[str, Callable[[Replica], float]]] = {
            "window_tokens": ("Tokens that an upstream may have in flight.", lambda r: r.window),
            "in_flight_tokens": ("Tokens in flight at an upstream, as reserved.", lambda r: r.in_flight),
            "upstream_requests": ("Requests that an upstream works on.", lambda r: r.running),
            "upstream_up": ("Whether an upstream is asked at all.", lambda r: int(r.healthy)),
            "odd_usage_total": (odd, lambda r: r.odd_usage),
        }
        return [
            Metric(
                f"transect_llm_{name}",
                "counter" if name.endswith("_total") else "gauge",
                help,
                tuple((r.name, float(of(r))) for r in self._replicas),
                label="upstream",
            )
            for name, (help, of) in found.items()
        ]

    def _status(self) -> tuple[int, bytes, bytes]:
        """What the live page draws."""
        service = self._service
        queues = service.queues
        with service.lock:
            counter = queues.chooser.counter if service.bounded else None
            most = [(number, queues.accounts[number]) for number in queues.most_served()[:SHOWN]]
            tenants = [
                {
                    "name": service.tenants.name_of(number),
                    "prompt": account.prompt,
                    "output": account.output,
                    "waiting": queues.waiting_of(number),
                    "running": queues.running_of(number),
                    "counter": None if counter is None else counter(number) / MICRO,
                }
                for number, account in most
                if isinstance(number, int)
            ]
            watcher = service.watcher
            said = {
                "policy": service.program.name,
                "version": service.program.source_hash[:12],
                "draining": self._app.draining,
                "waiting": len(queues),
                "bounded": service.bounded,
                "gap": watcher.gap / MICRO,
                "worst": watcher.worst / MICRO,
                "bound": watcher.bound / MICRO,
                "tenants": tenants,
                "replicas": [
                    {
                        "name": r.name,
                        "window": r.window,
                        "in_flight": r.in_flight,
                        "running": r.running,
                        "healthy": r.healthy,
                        "usage": r.counting.value,
                    }
                    for r in self._replicas
                ],
            }
        return 200, JSON[1], json.dumps(said).encode()
