# SPDX-License-Identifier: Apache-2.0
"""Listeners go on whatever happens to one connection, and the operators' pages are for who asks for them by address."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.http_heads import Bench
from transect.llm.gateway.admin import Admin
from transect.llm.gateway.budget import OPERATORS
from transect.llm.gateway.guard import Guard, Patience
from transect.llm.gateway.listener import Listener, listening


class Plain(asyncio.Protocol):
    """A connection that says hello."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, None])
def test_a_fault_of_one_accept_does_not_end_the_listener(
    number: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> bytes:
        loop = asyncio.get_running_loop()
        real, faults = loop.sock_accept, [0, 1]

        async def sock_accept(at: socket.socket) -> Any:
            if faults:
                faults.pop()
                raise RuntimeError("odd") if number is None else OSError(number, "short")
            return await real(at)

        loop.sock_accept = sock_accept  # type: ignore[method-assign,assignment]
        with listening("127.0.0.1:0") as at:
            guard = Guard(10, 10, Patience(10, 10, 10))
            listener = Listener(at, guard, Plain)
            reader, writer = await asyncio.open_connection(*at.getsockname())
            found = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            await writer.wait_closed()
            listener.close()
            await listener.wait_closed()
        return found

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(go()) == b"hello"
    said = {errno.ECONNABORTED: 0}.get(number or 0, 2)
    assert len(caplog.records) == said


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    bench = Bench(tmp_path)
    yield bench.admin
    bench.close()


def looked_at(
    admin: Admin, path: str, host: str | None, server: str = "127.0.0.1"
) -> tuple[int, bytes, dict[bytes, bytes]]:
    said: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("operators send no bodies")

    async def send(message: Any) -> None:
        said.append(message)

    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    scope = {"type": "http", "path": path, "method": "GET", "server": (server, 8001), "headers": headers}
    asyncio.run(admin(scope, receive, send))
    return said[0]["status"], said[1]["body"], dict(said[0]["headers"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", "X.localhost", "10.0.0.7", None]
)
def test_a_page_is_shown_to_who_asks_for_an_address(admin: Admin, host: str | None) -> None:
    status, body, headers = looked_at(admin, "/status", host)
    assert status == 200 and b'"replicas"' in body
    assert b"default-src 'self'" in headers[b"content-security-policy"]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8001", "localhost.evil.example", "", "[", "a@127.0.0.1", "\xff", "::1"],
)
def test_a_page_on_the_loopback_is_not_shown_under_another_name(admin: Admin, host: str) -> None:
    status, body, _ = looked_at(admin, "/status", host)
    assert status == 421 and b"replicas" not in body


def test_a_page_that_others_may_reach_has_any_name(admin: Admin) -> None:
    assert looked_at(admin, "/metrics", "gateway.example", server="10.0.0.7")[0] == 200
    assert looked_at(admin, "/metrics", "gateway.example", server="::1")[0] == 421


def test_metrics_say_what_connections_do(admin: Admin) -> None:
    text = looked_at(admin, "/metrics", None)[1].decode()
    assert 'transect_llm_connections{phase="strange"} 0\n' in text
    assert 'transect_llm_connections_closed_total{why="no room"} 0\n' in text
    assert "transect_llm_connections_most 1000\n" in text and "transect_llm_held_bytes 0\n" in text
    assert OPERATORS < 1000


def test_a_label_is_text_whatever_a_tenant_is_called() -> None:
    from transect.llm.metrics import Metric

    odd = 'a"} 1\nfake{x="\\'
    (line,) = list(Metric("m", "gauge", "h", ((odd, 2.0),)).lines())[2:]
    assert line == 'm{tenant="a\\"} 1\\nfake{x=\\"\\\\"} 2'
