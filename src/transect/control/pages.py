# SPDX-License-Identifier: Apache-2.0
"""Pages for operators over HTTP: read, never posted to, and by no site that a browser happens to visit."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from ipaddress import ip_address
from typing import Any

from transect.base.unavailable import Unavailable

HTML = "text/html; charset=utf-8"
JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"
GUARDING = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'self' 'unsafe-inline' data:; base-uri 'none'; form-action 'none'",
}  # headers of each page: a browser takes nothing of it from elsewhere, and shows it nowhere else
BY_ADDRESS = "this is reached by its address, or as localhost"
_STYLE = "/* page.css */"

Page = tuple[str, Callable[[], str]]
"""Its type, and what makes its text."""


def by_address(served_at: str, named: str | None) -> bool:
    """Whether a page that only this machine may see is asked for by an address of it.

    A web page of a stranger can let its own name mean the address of this machine (DNS rebinding): to the operator's
    browser our pages are then the stranger's own, to be read by its scripts.

    `named`: the header `host`; None: there is none, and browsers always say where they believe to be.
    """
    if named is None or not (_is_address(served_at) and ip_address(served_at).is_loopback):
        return True
    host = _without_port(named.lower())
    return host == "localhost" or host.endswith(".localhost") or _is_address(host)


def _without_port(named: str) -> str:
    return named[1:].partition("]")[0] if named.startswith("[") else named.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def html(package: str, name: str) -> str:
    """A page that lies in `package`, with the style that all pages have."""
    page = resources.files(package).joinpath(name).read_text("utf-8")
    assert _STYLE in page
    return page.replace(_STYLE, resources.files("transect.control").joinpath("page.css").read_text("utf-8"))


class _Server(ThreadingHTTPServer):
    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # such is who goes before the answer has come
            super().handle_error(request, client_address)


class Pages:
    """Answers GET for some paths until it is closed."""

    def __init__(self, host: str, port: int, pages: Mapping[str, Page], option: str) -> None:
        """`option`: of the command line, that says where.  Raises `Unavailable` when somebody listens there."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # seconds for a request to come

            def do_GET(self) -> None:
                code, kind, text = self._answer()
                body = text.encode(errors="replace")
                self.send_response(code)
                described = {"Content-Type": kind, "Content-Length": str(len(body))}
                for name, value in (described | GUARDING).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def _answer(self) -> tuple[int, str, str]:
                page = pages.get(self.path.partition("?")[0])
                if not by_address(self.connection.getsockname()[0], self.headers.get("host")):
                    return 421, PLAIN, f"{BY_ADDRESS}\n"
                if page is None:
                    return 404, PLAIN, f"there are: {', '.join(pages)}\n"
                try:
                    return 200, page[0], page[1]()
                except Exception as wrong:  # what is told of may be about to go; who asks comes again
                    return 503, PLAIN, f"{wrong}\n"

            def log_message(self, format: str, *args: object) -> None:
                pass

        shown = f"[{host}]" if ":" in host else host
        try:
            self._server = _Server(host, port, Handler)
        except OSError as wrong:
            why = f"nobody can listen there: {wrong.strerror}"
            raise Unavailable(f"{shown}:{port}", why, f"give another `{option}`") from wrong
        self.address = f"{shown}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="transect-pages", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
