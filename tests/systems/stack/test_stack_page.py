# SPDX-License-Identifier: Apache-2.0
"""`transect top --page` of a real stack, in a real browser: what a person reads there, also when a part dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.parts import need
from tests.systems.llm.browser import Browser, Page, browser
from tests.systems.stack.test_stack import Whole, flooded, whole
from tests.unit.stack.test_top import part, share, status
from transect.control import Server

pytestmark = pytest.mark.needs("chromium", "envoy", "gcc", "grpcio")

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("stack")) as it:
        yield it


@contextmanager
def paged(name: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`transect top --page`, and where its page is."""
    words = ("top", name, "--page", "127.0.0.1:0", "--every", "0.5")
    command = [sys.executable, "-m", "transect.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as top:
        try:
            assert top.stdout is not None
            (url,) = re.findall(r"http://[\d.:]+/", top.stdout.readline())
            yield url, top
        finally:
            top.kill()


@pytest.fixture
def url(running: Whole) -> Iterator[str]:
    with paged(running.name) as (at, _):
        yield at


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Browser]:
    program = need("chromium")
    assert isinstance(program, Path)
    elsewhere = "--host-resolver-rules=MAP stranger.test 127.0.0.1"
    with browser(program, tmp_path / "profile", elsewhere) as it:
        yield it


def layer(page: Page, name: str) -> Mapping[str, Mapping[str, str]]:
    """What a layer's table shows, by tenant and column."""
    script = f"""(() => {{
      const section = [...document.querySelectorAll("section")].find(s => s.firstChild.textContent === "{name}");
      const names = [...section.querySelectorAll("th")].map(h => h.textContent);
      const cells = r => [...r.cells].map((c, n) => [names[n], c.innerText]);
      const rows = [...section.querySelectorAll("tbody tr")].map(cells);
      return rows.map(one => Object.fromEntries(one));
    }})()"""
    return {row["tenant"]: row for row in page.run(script)}


def says(name: str, pattern: str) -> str:
    """A condition: a layer's section reads so."""
    section = f"[...document.querySelectorAll('section')].find(s => s.firstChild.textContent === '{name}')"
    return f"/{pattern}/.test({section}?.innerText)"


def waiting(name: str) -> str:
    """A condition: someone waits at a layer."""
    return f"""(() => {{
      const section = [...document.querySelectorAll("section")].find(s => s.firstChild.textContent === "{name}");
      const at = [...section.querySelectorAll("th")].findIndex(h => h.textContent === "waiting");
      return [...section.querySelectorAll("tbody tr")].some(r => Number(r.cells[at].innerText) > 0);
    }})()"""


def test_what_a_person_reads_of_two_tenants_who_flood_two_layers(
    running: Whole, url: str, window: Browser
) -> None:
    page = window.open(url)
    with flooded(running):
        for name in ("shop", "gateway"):
            assert page.shows(says(name, "alice[^]*bob")), page.text("main")
        due = "[...document.querySelectorAll('.bar')].filter(b => /due 80 %/.test(b.ariaLabel)).length === 2"
        assert page.shows(due), "both want more, at both layers"
        shop = layer(page, "shop")
        assert (shop["alice"]["weight"], shop["bob"]["weight"]) == ("400 %", "100 %")
        assert page.shows(waiting("shop")), "a queue is empty at some moments, not at all of them"
        assert shop["alice"]["served"].endswith("s/s")
        assert layer(page, "gateway")["bob"]["served"].endswith("tokens/s")
    assert page.text("#stack") == running.name
    assert "a chain has no queue" in page.text("main")
    assert page.text("#lost") == ""
    for width in (400, 320):
        page.size(width, 900)
        assert page.run("document.documentElement.scrollWidth") == width, "it fits a telephone"
    papers = []
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        papers.append(page.run("getComputedStyle(document.body).backgroundColor"))
    assert papers == ["rgb(251, 251, 249)", "rgb(20, 23, 28)"]
    fetched = page.run("performance.getEntriesByType('resource').map(e => e.name)")
    assert {name.removeprefix(url) for name in fetched} == {"view"}, "nothing comes from elsewhere"
    assert window.complaints() == []


LOOKS = count(1)


def told() -> Mapping[str, Any]:
    """A stack's `status`, in which a name is HTML: a service keeps clients by whatever they call themselves."""
    look = next(LOOKS)
    rows = (
        share("shop", who, 100, look * each, 100.0 * look) for who, each in ((HOSTILE, 3.0), ("bob", 1.0))
    )
    head = {"stratum": "stack", "since": 0.0, "version": 1, "recording": None}
    plain = {"carrier": "", "settled": True, "policies": [], "state": [], "counters": {}}
    parts = [part("shop", "Program", "shop"), part("gateway", "Gateway", state=HOSTILE)]
    return {**head, **plain, **status(parts, *rows)}


def test_the_name_of_a_tenant_is_text(window: Browser) -> None:
    name = f"told{os.getpid()}"
    with Server("stack", name, {"status": told}), paged(name) as (url, _):
        page = window.open(url)
        assert page.shows("document.querySelector('tr.held') !== null")
        shown = layer(page, "shop")
        assert shown[HOSTILE]["got"] == "75 %"
        assert shown["bob"]["held up by"] == HOSTILE
        assert page.text("section.down").endswith(f"it is not ready: {HOSTILE}")
        assert page.run("document.querySelector('main img') === null")
        assert window.complaints() == []


def test_no_other_site_reads_it(url: str, window: Browser, tmp_path: Path) -> None:
    """Neither one whose name means this machine all at once, nor one whose script asks."""
    port = url.rstrip("/").rpartition(":")[2]
    foreign = window.open(f"http://stranger.test:{port}/")
    assert foreign.shows("document.body?.innerText.includes('reached by its address')")
    for path in ("", "view"):
        answer = httpx.get(f"{url}{path}", headers={"host": f"stranger.test:{port}"})
        assert answer.status_code == 421
    site = tmp_path / "site"
    site.mkdir()
    script = f"fetch('{url}view').then(a => a.text()).then(call, () => call('not for us'))"
    (site / "index.html").write_text(
        f"<title>asks</title><script>const call = t => document.title = t; {script}</script>"
    )
    serve = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asking = window.open(f"http://127.0.0.1:{server.server_address[1]}/")
        assert asking.shows("document.title !== 'asks' && document.title !== ''")
        assert asking.run("document.title") == "not for us"
        server.shutdown()


def test_a_part_that_dies_is_said_on_the_page_and_comes_back(
    running: Whole, url: str, window: Browser
) -> None:
    assert running.ask("alice").status_code == 200
    page = window.open(url)
    assert page.shows(says("gateway", "alice"))
    config = running.folder / "gateway.toml"
    whole_text = config.read_text()
    config.write_text("damaged")
    try:
        os.kill(running.parts()["gateway"]["pid"], signal.SIGKILL)
        assert page.shows(says("gateway", "it is not ready")), page.text("main")
        assert page.shows("document.querySelector('section.down h2')?.innerText === 'gateway'")
        assert "gateway: no answer" in page.text("#summary")
        assert page.run(says("front", "no queue")), "the others are as they were"
        assert page.text("#lost") == ""
    finally:
        config.write_text(whole_text)
    assert page.shows(says("gateway", "Nobody has asked|alice"), 30), page.text("main")
    assert page.run("document.querySelector('.down') === null")


def test_old_figures_look_old(running: Whole, window: Browser) -> None:
    """A stack that hangs, and then a page that nobody keeps up to date."""
    with paged(running.name) as (url, top):
        page = window.open(url)
        assert page.shows(says("front", "no queue"))
        running.process.send_signal(signal.SIGSTOP)
        try:
            old = r"/the stack has not answered for \d+ s; this is of \d+ s ago/"
            assert page.shows(f"{old}.test(document.querySelector('#lost')?.innerText)")
            assert page.run("getComputedStyle(document.querySelector('section')).opacity") < "1"
        finally:
            running.process.send_signal(signal.SIGCONT)
        assert page.shows("document.querySelector('#lost')?.innerText === ''")
        top.kill()
        gone = r"/transect top does not answer; this is of \d+ s ago/"
        assert page.shows(f"{gone}.test(document.querySelector('#lost')?.innerText)")
