# SPDX-License-Identifier: Apache-2.0
"""Counters of a watch in the text form of Prometheus, and a small server of them on one address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from transect.control import readings
from transect.control.prometheus import escaped
from transect.memory.watch import Watch, Watched

TYPE = "text/plain; version=0.0.4; charset=utf-8"
PER_PROBE: dict[str, tuple[str, str, Callable[[Watched], float]]] = {
    "rounds_total": ("counter", "Rounds of a probe.", lambda w: w.rounds),
    "unchecked_rounds_total": ("counter", "Rounds that could not look.", lambda w: w.unchecked),
    "seconds_total": ("counter", "Time spent in rounds.", lambda w: w.seconds),
    "findings": ("gauge", "What is found now.", lambda w: len(w.found)),
    "blind": ("gauge", "1 while the probe cannot look.", lambda w: int(bool(w.problem))),
}


def text(watches: Sequence[Watch]) -> str:
    """All counters."""
    return "\n".join(_lines(watches)) + "\n"


def _lines(watches: Sequence[Watch]) -> Iterator[str]:
    yield "# HELP transect_memory_reads_total Reads of the target's memory."
    yield "# TYPE transect_memory_reads_total counter"
    for watch in watches:
        yield f"transect_memory_reads_total{{{_target(watch)}}} {watch.machine.counts.reads}"
    yield "# HELP transect_memory_anchored 1 when symbols and types come from the kernel's package."
    yield "# TYPE transect_memory_anchored gauge"
    for watch in watches:
        yield f"transect_memory_anchored{{{_target(watch)}}} {int(watch.machine.known.anchored)}"
    for name, (kind, what, value) in PER_PROBE.items():
        yield f"# HELP transect_memory_{name} {what}"
        yield f"# TYPE transect_memory_{name} {kind}"
        for watch in watches:
            for probe, watched in list(watch.probes.items()):
                yield f'transect_memory_{name}{{{_target(watch)},probe="{probe}"}} {value(watched)}'

    held = [(f'{_target(watch)},probe="{row["element"]}"', row) for watch in watches for row in watch.held()]
    yield from readings.exposition("transect_memory_probe", held)


def _target(watch: Watch) -> str:
    """The label, its text as the format wants it."""
    return f'target="{escaped(watch.machine.name)}"'


def serve(watches: Sequence[Watch], host: str, port: int) -> ThreadingHTTPServer:
    """Serve `/metrics` until it is shut down.  Raises OSError when the address is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            body = text(watches).encode() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are not worth a line."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="transect-metrics", daemon=True).start()
    return server
