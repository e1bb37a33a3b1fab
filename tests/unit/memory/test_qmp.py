# SPDX-License-Identifier: Apache-2.0
"""A monitor that is not there, or is none: said as such, never as a mistake of ours."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from transect.cli import main


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "qmp"


def scanned(place: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["memory", "scan", f"qmp:{place}"])
    return code, capsys.readouterr().err.replace(str(place), "…")


def test_nothing_is_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scanned(place, capsys) == (3, "transect: …: No such file or directory\n")


def test_nobody_listens(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(place))
    assert scanned(place, capsys) == (3, "transect: …: Connection refused\n")


def test_it_says_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transect.memory.qmp.LIMIT_S", 0.01)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(place))
        mute.listen()
        assert scanned(place, capsys) == (4, "transect: qmp:…: the QEMU monitor does not answer\n")


def test_it_tells_of_events_for_ever(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transect.memory.qmp.LIMIT_S", 0.5)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()

        def talk() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):  # until nobody listens any more
                connection.sendall(b'{"QMP": {}}\n')
                while True:
                    connection.sendall(b'{"event": "STOP"}\n')

        talking = threading.Thread(target=talk)
        talking.start()
        assert scanned(place, capsys) == (4, "transect: qmp:…: the QEMU monitor does not answer\n")
        talking.join()
