# SPDX-License-Identifier: Apache-2.0
"""Verbs that reach a running instance: status, set, record."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run
from tests.unit.control.plain import Plain
from transect.cli.control import lines
from transect.control import Client, Operated, Server
from transect.control import sockets as control_sockets


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets of this test alone (its path must be short)."""
    with tempfile.TemporaryDirectory(prefix="ts-") as folder:
        monkeypatch.setattr(control_sockets, "folder", lambda: Path(folder))
        yield Path(folder)


@pytest.fixture
def start(sockets: Path) -> Iterator[Callable[[str], Plain]]:
    """Starts an instance of that name."""
    servers: list[Server] = []

    def begin(name: str) -> Plain:
        host = Plain()
        servers.append(Operated("rpc", name, host).serve())
        return host

    yield begin
    for server in servers:
        server.close()


def test_status_of_the_only_instance(start: Callable[[str], Plain], transect: Run) -> None:
    start("shop")
    ended = transect("rpc", "status")
    assert (ended.code, ended.err) == (0, "")
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", ended.out) == snapshot("""\
stratum    rpc
name       shop
since      DATE
version    1
carrier    Envoy 1.40.0
settled    yes
policies
  name  version       schema                            runs_as       calls
  Acl   004df1ff90d0  d7ac183ddd105cae4085212cef7eb594  machine code  12
state      -
counters
  rpcs      12
  rejected  3
recording  -
limit      3
latency    -
""")


def test_status_as_json(start: Callable[[str], Plain], transect: Run) -> None:
    start("shop")
    assert json.loads(transect("rpc", "status", "shop", "--json").out) == Client("rpc", "shop").status()


def test_several_instances_have_to_be_told_apart(start: Callable[[str], Plain], transect: Run) -> None:
    start("shop")
    start("bank")
    ended = transect("rpc", "status")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == snapshot("""\
transect: one rpc instance: 2 are running
  hint: say which: bank, shop
""")
    assert transect("rpc", "status", "bank").code == 0


@pytest.mark.usefixtures("sockets")
@pytest.mark.parametrize("words", [["status"], ["set", "rate=1"], ["record", "-o", "log"]], ids=" ".join)
def test_nothing_runs(
    words: list[str], transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = transect("rpc", *words)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "transect: rpc instance: nothing is running\n  hint: transect rpc run …\n"


def test_a_wrong_name_lists_those_found(start: Callable[[str], Plain], transect: Run) -> None:
    start("shop")
    ended = transect("rpc", "status", "shap")
    assert (ended.code, ended.err) == (
        3,
        "transect: rpc instance `shap`: none is running; there is rpc `shop`\n  hint: did you mean `shop`?\n",
    )


def test_set_shows_what_was_and_what_is(start: Callable[[str], Plain], transect: Run) -> None:
    host = start("shop")
    ended = transect("rpc", "set", "limit=200")
    assert (ended.code, ended.out) == (0, "limit: 3 → 200\n")
    assert transect("rpc", "set", "shop", "limit=300").out == "limit: 200 → 300\n"
    assert host.limit == 300


def test_a_value_that_is_refused(start: Callable[[str], Plain], transect: Run) -> None:
    start("shop")
    ended = transect("rpc", "set", "limits=200")
    assert (ended.code, ended.out, ended.err) == (
        1,
        "",
        "transect: no parameter `limits`\n  hint: did you mean limit?\n",
    )


@pytest.mark.parametrize("words", [["shop"], ["shop", "rate"], ["rate=1", "other"]])
def test_set_without_a_value(words: list[str], transect: Run) -> None:
    ended = transect("rpc", "set", *words)
    assert (ended.code, ended.err.split("\n")[1]) == (2, "  hint: write PARAM=VALUE")


def test_record_for_some_seconds(start: Callable[[str], Plain], transect: Run, tmp_path: Path) -> None:
    start("shop")
    log = tmp_path / "shop.log"
    ended = transect("rpc", "record", "-o", log, "--for", "0.01")
    assert (ended.code, ended.out) == (0, f"recording into {log}\n7 calls recorded, 0 dropped\n")
    again = transect("rpc", "record", "-o", log)
    assert (again.code, again.err) == (
        2,
        f"transect: {log} exists, and is not overwritten\n  hint: give another path\n",
    )


def test_a_log_with_dropped_calls_is_inconclusive(
    start: Callable[[str], Plain], transect: Run, tmp_path: Path
) -> None:
    start("shop").dropped = 2
    ended = transect("rpc", "record", "-o", tmp_path / "shop.log", "--for", "0.01")
    assert (ended.code, ended.out.splitlines()[-1]) == (4, "7 calls recorded, 2 dropped")


RECORD = """
import sys
from pathlib import Path
from transect.control import sockets
sockets.folder = lambda: Path(sys.argv[1])
from transect.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_recording_well(
    number: signal.Signals, start: Callable[[str], Plain], sockets: Path, tmp_path: Path
) -> None:
    start("shop")
    command = [sys.executable, "-c", RECORD, str(sockets), "rpc", "record", "-o", str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as recording:
        assert recording.stdout and recording.stderr
        assert recording.stdout.readline().endswith("; Ctrl-C ends it\n")
        recording.send_signal(number)
        rest, errors = recording.communicate(timeout=20)
    assert (recording.returncode, rest, errors) == (0, "7 calls recorded, 0 dropped\n", "")


def test_plain_values_as_text() -> None:
    assert list(lines({"a": 1, "bc": [], "d": {}, "e": {"f": [1, 2], "g": False}})) == [
        "a   1",
        "bc  -",
        "d   -",
        "e",
        "  f  1, 2",
        "  g  no",
    ]
