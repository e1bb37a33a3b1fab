# SPDX-License-Identifier: Apache-2.0
"""Pages for operators: who may read them, and what is said where they cannot be had."""

from __future__ import annotations

import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from transect.base.unavailable import Unavailable
from transect.control.pages import HTML, PLAIN, Pages, by_address, html
from transect.control.prometheus import Exporter


def broken() -> str:
    raise LookupError("it has just gone")


@pytest.fixture
def pages() -> Iterator[Pages]:
    known = {"/": (HTML, lambda: "<title>ünder</title>"), "/broken": (PLAIN, broken)}
    made = Pages("127.0.0.1", 0, known, "--page")
    yield made
    made.close()


def asked(
    address: str, path: str = "/", method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(f"http://{address}{path}", method=method, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=5)
    except urllib.error.HTTPError as no:
        answer = no
    with answer:
        return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.headers.items()}


def test_a_page_is_shown_nowhere_else_and_takes_nothing_from_elsewhere(pages: Pages) -> None:
    code, text, headers = asked(pages.address)
    assert (code, text, headers["content-type"]) == (200, "<title>ünder</title>", HTML)
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


def test_pages_are_read_and_never_posted_to(pages: Pages) -> None:
    assert asked(pages.address, method="POST")[0] == 501


def test_what_is_not_there_is_said_with_what_is(pages: Pages) -> None:
    assert asked(pages.address, "/other")[:2] == (404, "there are: /, /broken\n")
    assert asked(pages.address, "/broken?x")[:2] == (503, "it has just gone\n")


def test_a_name_that_a_stranger_may_have_given_this_machine_is_refused(pages: Pages) -> None:
    assert asked(pages.address, host="stranger.test")[0] == 421
    for named in (pages.address, "localhost:1", "stack.localhost", "[::1]:80"):
        assert asked(pages.address, host=named)[0] == 200, named


def test_the_same_holds_for_metrics() -> None:
    exporter = Exporter("127.0.0.1", 0, lambda: "served 1\n")
    try:
        assert asked(exporter.address, "/metrics", host="stranger.test")[0] == 421
        assert asked(exporter.address, "/metrics")[:2] == (200, "served 1\n")
    finally:
        exporter.close()


@pytest.mark.parametrize(
    ("served_at", "named", "taken"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.1", "127.0.0.1:80", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "localhost.stranger.test", False),
        ("127.0.0.1", "127.0.0.1.stranger.test:80", False),
        ("::1", "stranger.test", False),
        ("192.0.2.1", "metrics.example", True),  # others see it anyway
    ],
)
def test_by_address(served_at: str, named: str | None, taken: bool) -> None:
    assert by_address(served_at, named) is taken


def test_an_address_of_ipv6() -> None:
    try:
        made = Pages("::1", 0, {"/": (HTML, lambda: "six")}, "--page")
    except Unavailable as lacking:
        assert "[::1]:0" in lacking.what  # a machine without it
        return
    try:
        assert made.address.startswith("[::1]:")
        assert asked(made.address)[:2] == (200, "six")
    finally:
        made.close()


def test_where_somebody_listens_another_place_is_asked_for(pages: Pages) -> None:
    with pytest.raises(Unavailable, match="nobody can listen there") as lacking:
        Pages("127.0.0.1", int(pages.address.rpartition(":")[2]), {}, "--page")
    assert lacking.value.hint == "give another `--page`"


def test_who_goes_before_the_answer_is_no_mistake_of_ours(
    pages: Pages, capfd: pytest.CaptureFixture[str]
) -> None:
    host, _, port = pages.address.rpartition(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
            gone.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert asked(pages.address)[0] == 200
    assert capfd.readouterr().err == ""


def test_all_pages_look_alike() -> None:
    ours = html("transect.stack", "page.html")
    assert "color-scheme: light dark" in ours
    assert "color-scheme: light dark" in html("transect.llm.gateway", "page.html")
