# SPDX-License-Identifier: Apache-2.0
"""The gateway's live page, in a real browser: what a person reads there, also when the gateway dies."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.parts import need
from tests.systems.llm.browser import Browser, Page, browser
from tests.systems.llm.running import Running, flood, free_port, gateway
from tests.systems.llm.upstream import engine

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[tuple[Running, Browser]]:
    """A gateway before one slow engine and one that is not there, and a browser."""
    program = need("chromium")
    assert isinstance(program, Path)
    with (
        engine(slots=4, token_s=0.01, capacity=640) as served,
        gateway(tmp_path, [served.url, f"http://127.0.0.1:{free_port()}"]) as running,
        browser(program, tmp_path / "profile") as window,
    ):
        yield running, window


def rows(page: Page, table: str) -> list[list[str]]:
    script = f"[...document.querySelectorAll('#{table} tr')].map(r => [...r.cells].map(c => c.innerText))"
    found: list[list[str]] = page.run(script)
    return found


def test_what_a_person_reads(seen: tuple[Running, Browser]) -> None:
    running, window = seen
    page = window.open(f"{running.admin}/")
    assert page.shows("document.querySelector('#policy')?.innerText === 'Vtc'")
    assert "Nobody has asked" in page.text("#tenants")
    asking = threading.Thread(target=lambda: asyncio.run(flood(running, [("ben", 60), ("ann", 20)])))
    asking.start()
    assert page.shows("/[1-9]\\d* waiting/.test(document.querySelector('#summary')?.innerText)")
    assert page.shows("document.querySelector('#line')?.points.length > 2"), "a line of the gap over time"
    asking.join()
    settled = "document.querySelector('#summary')?.innerText?.includes('· 0 waiting')"
    assert page.shows(
        f"{settled} && [...document.querySelectorAll('#tenants tr')].every(r => r.cells[6].innerText == '0')"
    )
    said = {row[0]: row for row in rows(page, "tenants")}
    assert said["ben"][2:4] == [f"{60 * 16:,}", f"{60 * 16:,}"], "what the metrics say, too"
    assert said["ann"][2:4] == ["320", "320"]
    widths = "b => [...b.children].map(i => i.offsetWidth / b.offsetWidth)"
    ben, ann = page.run(f"[...document.querySelectorAll('#tenants .bar')].map({widths})")
    assert ben == pytest.approx([1 / 3, 2 / 3], abs=0.02), "output counts twice"
    assert sum(ann) == pytest.approx(1 / 3, abs=0.02)
    up, down = rows(page, "replicas")
    assert up[4] == "0"
    assert down[4] == "does not answer"
    status = httpx.get(f"{running.admin}/status").json()
    assert f"at most {round(status['worst']):,} so far" in page.text("#gap-key")
    assert f"{round(status['bound']):,} weighted tokens" in page.text("#gap-key")
    assert page.run("document.querySelector('#bound').y1.baseVal.value < 20"), "the bound is in the picture"
    page.size(400, 900)
    assert page.run("document.documentElement.scrollWidth <= 400"), "it fits a telephone"
    assert window.complaints() == []


def test_a_gateway_that_dies_is_not_shown_as_alive(seen: tuple[Running, Browser]) -> None:
    running, window = seen
    running.ask("ann")
    page = window.open(f"{running.admin}/")
    assert page.shows("document.querySelectorAll('#tenants tr').length === 1")
    assert page.text("#lost") == ""
    running.stop(signal.SIGKILL)
    assert page.shows(
        "/does not answer; this is of \\d+ s ago/.test(document.querySelector('#lost')?.innerText)"
    )
    assert page.run("getComputedStyle(document.querySelector('section')).opacity") < "1", (
        "old figures look old"
    )


def test_names_of_tenants_are_text_and_nothing_else_is_fetched(seen: tuple[Running, Browser]) -> None:
    running, window = seen
    page = window.open(f"{running.admin}/")
    assert page.shows("document.querySelector('#policy')?.innerText === 'Vtc'")
    fetched = page.run("performance.getEntriesByType('resource').map(e => e.name)")
    assert {url.rpartition("/")[2] for url in fetched} == {"status"}
    assert page.run("cell('<img src=x onerror=alert(1)>').children.length") == 0
