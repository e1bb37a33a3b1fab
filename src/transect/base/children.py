# SPDX-License-Identifier: Apache-2.0
"""Servers as child processes which do not outlive us: the kernel kills them when this process ends, however it ends.

The kernel watches the thread that started a child, so one thread starts all children and lives as long as this process.
There is one such thread for each network namespace, since a child inherits the namespace of its thread.
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
    """As `subprocess.Popen`, for a child that ends with this process; the command runs when this returns.  Raises
    OSError when it cannot be run.
    """
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
    """The command line that runs the command and has it killed when its parent ends.  `parent`: the process that must
    be the parent when the command begins; `tell`: a pipe that takes the error number when it cannot be run.
    """
    return [_python(), "-IS", str(FOLLOW), str(parent), str(tell), *command]


def _python() -> str:
    """The Python interpreter; as `/proc/self/exe` if this process has become another user who may not reach its
    path.
    """
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
    """The queue of the thread that starts children.  `network`: the caller's network namespace, in which the new thread
    is, too.
    """
    wanted: queue.SimpleQueue[_Start] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            wanted.get()()

    threading.Thread(target=serve, name="transect-starter", daemon=True).start()
    return wanted


os.register_at_fork(after_in_child=_starter.cache_clear)  # a forked child has no such thread
