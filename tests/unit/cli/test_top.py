# SPDX-License-Identifier: Apache-2.0
"""`transect top` of a stack that is told of and does not run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.terminal import Run
from tests.unit.stack.test_top import PARTS, share, status
from transect.cli.paged import Latest, Silent
from transect.control import Server, sockets
from transect.stack.top import view


class Told:
    """Answers `status`: at each look alice has been served a second more, and bob three."""

    def __init__(self) -> None:
        self.looks = 0

    def status(self) -> Mapping[str, Any]:
        self.looks += 1
        rows = (
            share("shop", who, weight, self.looks * each, 100.0 * self.looks)
            for who, weight, each in (("alice", 400, 1.0), ("bob", 100, 3.0))
        )
        head = {"stratum": "stack", "since": 0.0, "version": 1, "recording": None}
        plain = {"carrier": "", "settled": True, "policies": [], "state": [], "counters": {}}
        return {**head, **plain, **status(PARTS, *rows)}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets of this test alone (its path must be short)."""
    with tempfile.TemporaryDirectory(prefix="ts-") as path:
        monkeypatch.setattr(sockets, "folder", lambda: Path(path))
        yield Path(path)


@pytest.fixture
def told(folder: Path) -> Iterator[Told]:
    host = Told()
    with Server("stack", "shop", {"status": host.status}):
        yield host


def test_once_looks_twice_and_ends(told: Told, transect: Run) -> None:
    ended = transect("top", "--once", "--every", "0.1")
    assert (ended.code, ended.err, told.looks) == (0, "", 2)
    shown = [line.split() for line in ended.out.splitlines()]
    assert [row[-1] for row in shown if "alice" in row[:2]] == ["bob"]


def test_json_is_an_object_a_line(told: Told, transect: Run) -> None:
    ended = transect("top", "shop", "--once", "--json", "--every", "0.1")
    (line,) = ended.out.splitlines()
    alice, bob = json.loads(line)["layers"][1]["tenants"]
    assert (alice["got"], alice["due"], alice["held_up_by"], bob["got"]) == (0.25, 0.8, "bob", 0.75)


def test_without_a_stack_it_says_how_to_run_one(folder: Path, transect: Run) -> None:
    ended = transect("top", "--once")
    assert ended.code == 3
    assert "nothing is running" in ended.err and "transect run" in ended.err


def test_an_interrupt_ends_it_and_is_no_failure(told: Told, folder: Path) -> None:
    code = (
        "import pathlib; from transect.control import sockets; from transect.cli import main\n"
        f"sockets.folder = lambda: pathlib.Path({str(folder)!r})\n"
        "raise SystemExit(main(['top', '--json', '--every', '0.1']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        assert json.loads(child.stdout.readline())["stack"] == "shop"
        os.kill(child.pid, signal.SIGINT)
        assert (child.wait(10), child.stderr.read()) == (0, b"")


def test_a_page_is_for_people_who_keep_looking(told: Told, transect: Run) -> None:
    for other in ("--once", "--json"):
        ended = transect("top", "--page", "127.0.0.1:0", other)
        assert (ended.code, told.looks) == (2, 0)
        assert "--page goes with neither --once nor --json" in ended.err


@pytest.mark.parametrize("wrong", ["unix:/tmp/x", "8080", "127.0.0.1:70000"])
def test_a_page_is_at_a_host_and_a_port(wrong: str, told: Told, transect: Run) -> None:
    ended = transect("top", "--page", wrong)
    assert (ended.code, told.looks) == (2, 0)
    assert f"invalid value for --page: `{wrong}` is no address; write HOST:PORT" in ended.err


def test_where_somebody_listens_no_page_is_served(told: Told, transect: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = transect("top", "--page", place)
    assert ended.code == 3
    assert f"{place}: nobody can listen there" in ended.err and "another `--page`" in ended.err


def test_a_page_has_the_last_view_and_says_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    latest = Latest(every=1.0)
    assert latest.text() == "null", "nothing is known before the second look"
    latest.put(view(status(PARTS), status(PARTS, share("shop", "alice", 400, 1.0, 0.0)), 1.0))
    now += 3.5
    assert json.loads(latest.text())["layers"][1]["tenants"][0]["tenant"] == "alice"
    now += 1.0
    with pytest.raises(Silent, match=r"^the stack has not answered for 4 s$"):
        latest.text()
