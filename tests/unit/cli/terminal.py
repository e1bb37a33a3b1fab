# SPDX-License-Identifier: Apache-2.0
"""Running the command line in tests: within this process, and as a user does."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from transect.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str | Path) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


def process(*words: str | Path, cwd: Path | None = None, stdin: bytes = b"", **env: str) -> Ended:
    """The same in a process of its own, with just these environment variables."""
    command = [sys.executable, "-m", "transect.cli", *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, input=stdin, env={"PATH": "/usr/bin:/bin"} | env, capture_output=True
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def in_terminal(
    *words: str | Path, cwd: Path | None = None, columns: int = 80, code: str = "", **env: str
) -> Ended:
    """In a real terminal of that width, a command line, or Python code: what it shows, both streams together."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [sys.executable, *(["-c", code] if code else ["-m", "transect.cli", *map(str, words)])]
    env = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color"} | env
    with subprocess.Popen(command, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    return Ended(child.returncode, shown.decode().replace("\r\n", "\n"), "")
