# SPDX-License-Identifier: Apache-2.0
"""Policies in C, compiled once and called; and the same calls on the interpreter."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.parts import need
from transect.core.codec import Reader
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.core.values import normal
from transect.emit.c.driver import MAIN, Answer, Requests, answer, driver
from transect.lang.tape import GivenTape

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
SANITIZED = (*STRICT, "-O0", "-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")


def build(programs: Sequence[Program], folder: Path, flags: Sequence[str] = SANITIZED) -> Path:
    """The driver of some programs, compiled."""
    driver(programs).write(folder)
    compile_c(folder, MAIN, "-o", "driver", flags=flags)
    return folder / "driver"


def compile_c(folder: Path, *arguments: str, flags: Sequence[str] = SANITIZED, compiler: str = "") -> None:
    """By gcc, which the test then needs, or by another compiler which is known to be there."""
    program = compiler or str(need("gcc"))
    done = subprocess.run([program, *flags, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


@dataclass
class Session:
    """Requests to a driver, answered all at once by `run`; each is remembered with how its answer is read."""

    binary: Path
    programs: Sequence[Program]
    requests: Requests = field(init=False)
    readers: list[Callable[[Reader], Any]] = field(default_factory=list)
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        self.requests = Requests(self.programs)

    def start(self, index: int = 0) -> None:
        self.program = self.programs[index]
        self.requests.start(index)

    def call(self, hook: str, *args: object, now: int = 0, seed: int = 0) -> None:
        self.requests.call(hook, args, now=now, seed=seed)
        self.readers.append(partial(answer, program=self.program, hook=hook))

    def call_with(self, hook: str, args: Sequence[object], *entries: bytes) -> None:
        self.requests.call_with(hook, args, entries)
        self.readers.append(partial(answer, program=self.program, hook=hook))

    def load(self, image: bytes) -> None:
        self.requests.load(image)
        self.readers.append(lambda reader: reader.integer(1) == 1)

    def show(self) -> None:
        self.requests.show()
        self.readers.append(Reader.sized)

    def run(self) -> list[Any]:
        """What the driver answers."""
        done = subprocess.run([self.binary], input=bytes(self.requests.data), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()[:4000]
        reader = Reader(done.stdout)
        found = [read(reader) for read in self.readers]
        reader.end()
        return found


def interpreted(instance: Instance, hook: str, *args: object, now: int = 0) -> tuple[Any, int]:
    """Result and checksum of the state, by the interpreter."""
    result = instance.call(hook, args, tape=GivenTape(now))
    return normal(result), zlib.crc32(instance.image())


def shown(found: Answer) -> tuple[Any, int]:
    """The same of an answer of C."""
    return normal(found.result), found.checksum
