# SPDX-License-Identifier: Apache-2.0
"""Processes that a benchmark starts, `transect rpc run` among them; they end when the benchmark does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def child(*command: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process which ends when its standard input does, or at SIGINT."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd, start_new_session=True
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.send_signal(2)
            process.wait(20)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = process.stdout.readline().strip()
    assert found, f"{process.args} has ended"
    return found


@contextmanager
def running(folder: Path, file: str | Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`transect rpc run` of a chain file before bench.Echo: the process, and where it listens."""
    command = [sys.executable, "-m", "transect.cli", "rpc", "run", str(file), *options]
    with child(*command, cwd=folder) as process:
        said = line(process)
        while "bench.Echo: " not in said:
            said = line(process)
        yield process, said.split("bench.Echo: ")[1].split(" ")[0]
