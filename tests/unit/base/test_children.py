# SPDX-License-Identifier: Apache-2.0
"""A server that we start does not outlive us, however we end; it does outlive the thread that asked for it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from transect.base import children

STARTER = """
import sys, threading
from transect.base import children
made = []
thread = threading.Thread(target=lambda: made.append(children.start(sys.argv[1:], start_new_session=True)))
thread.start(), thread.join()
print(made[0].pid, flush=True)
sys.stdin.read()
"""


def state(pid: int) -> str:
    """As in /proc: Z is a process that has ended, empty one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def below(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while state(pid) not in ("", "Z"):
        assert time.monotonic() < end, f"{pid} runs on"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_when_its_parent_is_killed(number: signal.Signals) -> None:
    command = [sys.executable, "-c", STARTER, "sleep", "1000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "it is the command itself"
        parent.send_signal(number)
        parent.wait(10)
    until_gone(pid)


def test_a_grandchild_that_follows_ends_with_it() -> None:
    command = [sys.executable, "-c", STARTER, "timeout", "1000", *children.following(["sleep", "1000"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        end = time.monotonic() + 10
        while not (found := below(child)) or Path(f"/proc/{found[0]}/comm").read_text() != "sleep\n":
            assert time.monotonic() < end, "it does not start"
            time.sleep(0.01)
        parent.kill()
        parent.wait(10)
    until_gone(child)
    until_gone(found[0])


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    made: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: made.append(children.start(["sleep", "1000"])))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert made[0].poll() is None
    made[0].kill()
    assert made[0].wait(10) == -signal.SIGKILL


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-of-that-name"):
        children.start(["nothing-of-that-name"], stderr=subprocess.DEVNULL)
    (tmp_path / "broken").write_bytes(b"\x7fELF")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        children.start([str(tmp_path / "broken")], stderr=subprocess.DEVNULL)


def test_it_gets_the_descriptors_that_it_is_given_and_no_others() -> None:
    given, kept = os.pipe()
    try:
        with children.start(
            ["ls", "/proc/self/fd"], stdout=subprocess.PIPE, text=True, pass_fds=[given]
        ) as child:
            assert child.stdout is not None
            there = {int(word) for word in child.stdout.read().split()}
        assert given in there and len(there - {0, 1, 2, given}) == 1, "besides, the folder that it lists"
    finally:
        os.close(given), os.close(kept)


@pytest.mark.needs("root")
def test_a_child_is_in_the_network_of_the_thread_that_asks_for_it() -> None:
    """Though others were started from another one before."""
    networks: list[str] = []

    def see() -> None:
        networks.append(os.readlink("/proc/thread-self/ns/net"))
        with children.start(["readlink", "/proc/self/ns/net"], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            networks.append(child.stdout.read().strip())

    def see_apart() -> None:
        assert ctypes.CDLL(None).unshare(0x40000000) == 0, "CLONE_NEWNET"
        see()

    see()
    apart = threading.Thread(target=see_apart)
    apart.start()
    apart.join()
    here, child_here, there, child_there = networks
    assert here == child_here != there == child_there
