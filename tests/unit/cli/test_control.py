# SPDX-License-Identifier: Apache-2.0
"""Verbs that reach a running instance: status, set, record."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run
from tests.unit.control.plain import Plain
from transect.base.unavailable import Unavailable
from transect.cli.control import lines
from transect.control import Client, Operated, Server, protocol
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
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == snapshot("""\
transect: 2 rpc instances are running
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


def test_record_for_a_share_of_the_time(
    start: Callable[[str], Plain], transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("shop")
    monkeypatch.setattr("transect.cli.live.sampled.BURST_S", 0.02)
    folder = tmp_path / "logs"
    began = time.monotonic()
    ended = transect("rpc", "record", "-o", folder, "--share", "0.1", "--for", "0.5")
    assert time.monotonic() - began >= 0.5
    logs = sorted(path.name for path in folder.iterdir())
    assert 2 <= len(logs) <= 3 and logs[0] == "000000.log"
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == f"{7 * len(logs)} calls recorded in {len(logs)} logs, 0 dropped"
    again = transect("rpc", "record", "-o", folder, "--share", "0.1")
    assert (again.code, "is not overwritten" in again.err) == (2, True)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
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


def begun(sockets: Path, log: Path) -> subprocess.Popen[str]:
    """The command in a process of its own, once it records."""
    command = [sys.executable, "-c", RECORD, str(sockets), "rpc", "record", "-o", str(log)]
    recording = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert recording.stdout
    assert recording.stdout.readline() == f"recording into {log}; Ctrl-C ends it\n"
    return recording


def test_a_command_that_is_killed_leaves_no_recording(
    start: Callable[[str], Plain], sockets: Path, tmp_path: Path
) -> None:
    host = start("shop")
    with begun(sockets, tmp_path / "log") as recording:
        assert host.recording == tmp_path / "log"
        recording.kill()
    end = time.monotonic() + 10
    while host.recording is not None:
        assert time.monotonic() < end, "it records for ever"
        time.sleep(0.01)


def test_a_recording_is_ended_from_elsewhere(
    start: Callable[[str], Plain], sockets: Path, transect: Run, tmp_path: Path
) -> None:
    host = start("shop")
    with begun(sockets, tmp_path / "log") as recording:
        again = transect("rpc", "record", "-o", tmp_path / "second")
        hint = "`transect rpc record shop --stop` ends the recording"
        assert again.err == f"transect: it records already, into {tmp_path / 'log'}\n  hint: {hint}\n"
        stopped = transect("rpc", "record", "shop", "--stop")
        assert (stopped.code, stopped.out) == (0, "7 calls recorded, 0 dropped\n")
        assert host.recording is None
        rest, errors = recording.communicate(timeout=20)
    assert (recording.returncode, rest) == (1, "")
    assert errors == f"transect: somebody else has ended the recording into {tmp_path / 'log'}\n"


def test_an_instance_that_ends_while_it_records(
    start: Callable[[str], Plain], sockets: Path, tmp_path: Path
) -> None:
    stand_in = socket.socket(socket.AF_UNIX)
    stand_in.bind(str(sockets / "rpc-shop.sock"))
    stand_in.listen()
    log = tmp_path / "log"
    command = [sys.executable, "-c", RECORD, str(sockets), "rpc", "record", "shop", "-o", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as recording:
        connection, _ = stand_in.accept()
        with connection:
            protocol.receive(connection, protocol.Request)
            protocol.send(connection, protocol.Answer(protocol.Kind.DONE, {"path": str(log), "under_way": 0}))
        rest, errors = recording.communicate(timeout=20)
    stand_in.close()
    assert (recording.returncode, rest) == (3, f"recording into {log}; Ctrl-C ends it\n")
    why = "ended while it recorded, so that the log may lack its end"
    assert errors == f"transect: rpc instance `shop` {why}\n"


@pytest.mark.parametrize("words", [[], ["shop"], ["-o", "log", "--stop"]])
def test_a_recording_either_begins_or_ends(words: list[str], transect: Run) -> None:
    ended = transect("rpc", "record", *words)
    assert ended.code == 2
    assert ended.err.startswith("transect: either `-o LOG` begins a recording, or `--stop` ends one\n")


def test_plain_values_as_text() -> None:
    assert list(lines({"a": 1, "bc": [], "d": {}, "e": {"f": [1, 2], "g": False}})) == [
        "a   1",
        "bc  -",
        "d   -",
        "e",
        "  f  1, 2",
        "  g  no",
    ]


def test_the_verbs_of_a_stack_have_no_word_of_a_stratum() -> None:
    with pytest.raises(Unavailable) as absent:
        Client.only("stack", "shop").status()
    assert absent.value.hint == "transect run …"
