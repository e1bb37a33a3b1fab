# SPDX-License-Identifier: Apache-2.0
"""Servers as child processes which do not outlive us: the kernel kills them when this process ends, however it ends.

The kernel watches the thread that started a child, so one thread starts them all, and lives as long as we do: one for
each network in which children are wanted, since a thread has its network, and its children have it from it.
"""

from __future__ import annotations

import functools
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

FOLLOW = Path(__file__).with_name("follow.py")
ERRNO = 4  # bytes

_Start = Callable[[], None]


def start(command: Sequence[str], *, pass_fds: Iterable[int] = (), **options: Any) -> subprocess.Popen[Any]:
    """As `subprocess.Popen`, of a child that follows us; the command runs when this returns.  Raises OSError when it
    cannot be run."""
    told, tell = os.pipe()
    try:
        argv = following(command, os.getpid(), tell)
        process = _by_the_starter(
            lambda: subprocess.Popen(
                argv, pass_fds=(*pass_fds, tell), **options
            )  # closed when it becomes the command
        )
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(tell)
    with open(told, "rb") as pipe:
        failed = pipe.read(ERRNO)
    if failed:
        number = int.from_bytes(failed, "little")
        with process:
            pass
        raise OSError(number, os.strerror(number), command[0])
    return process


def following(command: Sequence[str], parent: int = 0, tell: int = -1) -> list[str]:
    """The command, killed when its parent ends.  `parent`: which must be that process, or it does not begin;
    `tell`: a pipe for the number of the error when it cannot be run."""
    return [_python(), "-IS", str(FOLLOW), str(parent), str(tell), *command]


def _python() -> str:
    """What runs us; by our own process when its path is closed to us, who became another user."""
    return sys.executable if os.access(sys.executable, os.X_OK) else f"/proc/{os.getpid()}/exe"


def _by_the_starter(make: Callable[[], subprocess.Popen[Any]]) -> subprocess.Popen[Any]:
    made: Future[subprocess.Popen[Any]] = Future()

    def begin() -> None:
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)

    _starter(os.stat("/proc/thread-self/ns/net").st_ino).put(begin)
    return made.result()


@functools.cache
def _starter(network: int) -> queue.SimpleQueue[_Start]:
    """What the thread that starts children is given.  `network`: the caller's, which a thread that it makes is in."""
    wanted: queue.SimpleQueue[_Start] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            wanted.get()()

    threading.Thread(target=serve, name="transect-starter", daemon=True).start()
    return wanted


os.register_at_fork(after_in_child=_starter.cache_clear)  # there is no such thread in a child
