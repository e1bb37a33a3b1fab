# SPDX-License-Identifier: Apache-2.0
"""The text format of Prometheus (0.0.4), and a small server of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from transect.base.unavailable import Unavailable

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def escaped(value: str) -> str:
    """The text of a label."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def labels(**of: str) -> str:
    """`a="x",b="y"`."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in of.items())


def metric(name: str, kind: str, help: str, samples: Sequence[tuple[str, float | str]]) -> Iterator[str]:
    """The lines of a metric.  `kind`: counter, gauge; `samples`: labels (`a="x",b="y"`), and a value."""
    if samples:
        yield f"# HELP {name} {help}"
        yield f"# TYPE {name} {kind}"
    for labelled, value in samples:
        yield f"{name}{{{labelled}}} {value}"


class Exporter:
    """Answers `GET /metrics` until it is closed."""

    def __init__(self, host: str, port: int, text: Callable[[], str]) -> None:
        """Raises `Unavailable` when somebody listens there."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    found = self.path.partition("?")[0] == "/metrics"
                    code, body = (200, text().encode()) if found else (404, b"GET /metrics\n")
                except Exception as wrong:  # what is told of may be about to go; who scrapes comes again
                    code, body = 503, f"{wrong}\n".encode()
                self.send_response(code)
                self.send_header("Content-Type", TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as wrong:
            why = f"nobody can listen there: {wrong.strerror}"
            raise Unavailable(f"{host}:{port} for metrics", why, "give another `--metrics`") from wrong
        self.address = f"{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="transect-metrics", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
