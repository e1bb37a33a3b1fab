# SPDX-License-Identifier: Apache-2.0
"""An Envoy whose log never ends, and one whose answers do not."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transect.control.protocol import Refused
from transect.rpc.chain.address import Endpoint
from transect.rpc.envoy import trial
from transect.rpc.envoy.control import Control, EnvoyCopy, NotDone
from transect.rpc.envoy.following import Following
from transect.rpc.envoy.process import Envoy
from transect.rpc.wasm.metrics import Silent, Told

NOISE = 40 << 20  # bytes
HELD = 10 << 20  # bytes of memory at most, while as many of a log as NOISE are read
TRACE = "[2026-01-01 10:00:00.000][12][info][wasm] [source/ext.cc:1] wasm log: transect-trace Acl hello\n"


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[Envoy]:
    with subprocess.Popen(["true"]) as ended:
        yield Envoy(ended, tmp_path, Endpoint("127.0.0.1", 8080))


def large(log: Path, *said: str, newlines: bool = False) -> None:
    """Noise, as a file of holes or one of lines, and then that."""
    with log.open("wb") as file:
        if newlines:
            for _ in range(NOISE >> 20):
                file.write((b"noise" * 3276 + b"\n") * 64)
        else:
            file.truncate(NOISE)
            file.seek(NOISE)
        file.write(("\n" + "".join(said)).encode())


def held(act: Callable[[], object]) -> int:
    """Bytes of memory at most while it does that."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_last_word_is_found_at_the_end_of_however_long_a_log(envoy: Envoy) -> None:
    large(envoy.log, "[t][1][error][main] cannot bind: in use\n", "[t][1][info][main] exiting\n")
    assert held(lambda: envoy.last_word) < HELD
    assert envoy.last_word == "cannot bind: in use"


def test_what_is_traced_is_found_behind_a_line_of_any_length(envoy: Envoy) -> None:
    large(envoy.log, TRACE)
    found: list[str] = []
    assert held(lambda: found.extend(said.text for said in Following(envoy.log).lines())) < HELD
    assert found == ["hello"]


def test_a_line_that_is_being_written_is_told_once_it_is_whole(envoy: Envoy) -> None:
    following = Following(envoy.log)
    for written, told in ((TRACE[:50], []), (TRACE[50:-1], []), (TRACE[-1], ["hello"]), (TRACE, ["hello"])):
        with envoy.log.open("a") as log:
            log.write(written)
        assert [said.text for said in following.lines()] == told


def test_a_trial_finds_a_crash_in_however_long_a_log(envoy: Envoy) -> None:
    def lives() -> None:
        with pytest.raises(Refused, match="crashed in its first calls: Function: proxy_on_request"):
            trial._lives(envoy)

    large(envoy.log, "[t][1][critical][wasm] Function: proxy_on_request failed\n", newlines=True)
    assert held(lives) < HELD


def test_records_are_read_one_by_one(envoy: Envoy) -> None:
    record = "transect-record 0 {number} 1 0 0 eA== eQ== eg==\n"
    large(envoy.log, *(record.format(number=n) for n in range(3)), newlines=True)
    found: list[int] = []
    assert held(lambda: found.extend(r.sequence for r in Told(envoy, 1).records())) < HELD
    assert found == [0, 1, 2]


def test_a_record_that_is_too_long_is_said_to_be_so(envoy: Envoy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transect.rpc.wasm.metrics.LONGEST", 100)
    envoy.log.write_text(f"transect-record 0 1 1 0 0 {'A' * 100} - -\n")
    with pytest.raises(Silent, match="a line of its log has more than 100 bytes"):
        list(Told(envoy, 1).records())


@contextmanager
def admin(
    envoy: Envoy, pieces: Iterator[bytes], pause_s: float, head: bytes = b"connection: close"
) -> Iterator[None]:
    """An admin interface that answers one request so."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(envoy.folder / "admin.sock"))
        listening.listen(1)
        listening.settimeout(30)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause_s)
                except OSError:
                    return  # who asked has enough

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_an_answer_that_never_ends_is_refused(envoy: Envoy) -> None:
    with (
        admin(envoy, iter(lambda: bytes(1 << 20), b""), 0),
        pytest.raises(OSError, match="more than 16,777,216 bytes"),
    ):
        envoy.admin("/stats", timeout_s=60)


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(envoy: Envoy) -> None:
    began = time.monotonic()
    with admin(envoy, iter(lambda: b"x", b""), 0.05), pytest.raises(TimeoutError):
        envoy.admin("/stats", timeout_s=0.5)
    assert time.monotonic() - began < 20


def test_an_answer_that_ends_is_given(envoy: Envoy) -> None:
    with admin(envoy, iter([b"LI", b"VE"]), 0.01):
        assert envoy.admin("/ready") == b"LIVE"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"content-length: 10", b"LIVE"),
        (b"transfer-encoding: chunked", b"4\r\nLIVE\r\n"),
        (b"transfer-encoding: chunked", b"9\r\nLIVE"),
        (b"transfer-encoding: chunked", b"xyz\r\nLIVE"),
        (b"x" * 100_000, b""),
    ],
)
def test_an_answer_that_is_cut_off_or_none_is_an_error_of_the_system(
    head: bytes, body: bytes, envoy: Envoy
) -> None:
    with admin(envoy, iter([body]), 0, head), pytest.raises(OSError, match="the answer"):
        envoy.admin("/ready")


def test_a_version_whose_last_answer_is_lost_has_ended_when_its_door_is_gone(tmp_path: Path) -> None:
    copy = EnvoyCopy(Control(tmp_path / "module.sock"))
    copy.end()  # nobody answers there any more
    (tmp_path / "module.sock").touch()
    with pytest.raises(NotDone, match="has not ended"):
        copy.end()
