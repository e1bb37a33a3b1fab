# SPDX-License-Identifier: Apache-2.0
"""Runs the blocks of a document as a reader would: each `##` section in an empty folder of its own.

A python or TOML block that begins with `# name.py` (`# name.toml`) is a file.  In a console block, `$ ` begins a
command and the lines below are what it prints; `…` stands for anything, and a time (`530 µs`) for any time.  A command
that ends in ` &` goes on in the background; what it prints at once is compared.  Other blocks are not run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 90.0


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    text: str
    expected: str
    line: int


def sections(document: Path) -> list[list[Block]]:
    """The fenced blocks of each section."""
    found: list[list[Block]] = [[]]
    kind, start = "", 0
    lines: list[str] = []
    for number, line in enumerate(document.read_text().splitlines(), 1):
        fence = re.match(r"^```(\S*)$", line)
        if fence and not kind:
            kind, lines, start = fence.group(1) or "text", [], number
        elif fence:
            found[-1].append(Block(kind, "\n".join(lines), start))
            kind = ""
        elif kind:
            lines.append(line)
        elif line.startswith("## "):
            found.append([])
    return [blocks for blocks in found if blocks]


def commands(block: Block) -> Iterator[Command]:
    pieces = re.split(r"^\$ ", block.text, flags=re.M)
    line = block.line + 1 + pieces[0].count("\n")
    for piece in pieces[1:]:
        text, _, expected = piece.partition("\n")
        yield Command(text, expected.rstrip("\n"), line)
        line += piece.count("\n")


@contextmanager
def running() -> Iterator[list[subprocess.Popen[str]]]:
    """Background commands, ended with the section."""
    started: list[subprocess.Popen[str]] = []
    try:
        yield started
    finally:
        for process in reversed(started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def run_section(blocks: list[Block], folder: Path) -> int:
    """Run a section's blocks; how many commands there were.  AssertionError names the document's line."""
    count = 0
    with running() as background:
        for block in blocks:
            name = re.match(r"# (\S+\.(py|toml))\n", block.text)
            if block.kind in ("python", "toml") and name:
                (folder / name.group(1)).write_text(block.text + "\n")
            for command in commands(block) if block.kind == "console" else ():
                run_command(command, folder, background)
                count += 1
    return count


def _alone(folder: Path) -> list[str]:
    """What begins a command that sees no instance but those of its section: a reader has no others.

    Root's sockets are in one folder of the machine, whatever the environment says; here the section's stands there.
    """
    if os.geteuid() != 0:
        return []
    own = folder / ".run"
    own.mkdir(mode=0o700, exist_ok=True)
    script = 'mkdir -p -m 700 /run/transect && mount --bind "$0" /run/transect && exec "$@"'
    return ["unshare", "--mount", "bash", "-c", script, str(own)]


def run_command(command: Command, folder: Path, background: list[subprocess.Popen[str]]) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    output = folder / f".output-{command.line}"
    with output.open("w") as sink:
        process = subprocess.Popen(
            [*_alone(folder), "bash", "-c", command.text.removesuffix(" &")],
            cwd=folder,
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": path, "COLUMNS": "100", "XDG_RUNTIME_DIR": str(folder)},
            start_new_session=True,
            text=True,
        )
    if command.text.endswith(" &"):
        background.append(process)
        wait_until(lambda: matches(output.read_text(), command.expected) or process.poll() is not None)
    else:
        process.wait(LIMIT_S)
    said = output.read_text()
    assert matches(said, command.expected), f"line {command.line}: $ {command.text}\n{said}"


TIME = re.compile(r"\b\d+(?:\.\d+)? (?:µs|ms|s)\b(?: p50, directly \d+)?")


def matches(said: str, expected: str) -> bool:
    pattern = ".*".join(map(re.escape, _plain(expected).split("…")))
    return re.fullmatch(pattern, _plain(said.strip("\n")), re.S) is not None


def _plain(text: str) -> str:
    """Without what differs from run to run: times, and how wide they are."""
    return re.sub(" +", " ", TIME.sub("a time", text))


def wait_until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
