# SPDX-License-Identifier: Apache-2.0
"""Traces of elements in an Envoy, native or as a plugin: the lines of its log that runtime/envoy_trace.c
has written.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from transect.base.bounded import lines

LONGEST = 1 << 16  # bytes of a line; traces are shorter
LARGEST = 64 << 20  # bytes of a log, after which it is emptied

_LINE = re.compile(
    r"\[(?P<time>[^]]*)\]\[\d+\]\[info\]\[(?:dynamic_modules|wasm)\] \[[^]]*\] (?:wasm log[^:]*: )?"
    r"transect-trace (?P<element>\S+) (?P<text>.*)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One line."""

    time: str  # as Envoy writes it
    element: str
    text: str


class Following:
    """Reads a log that grows, from its beginning on."""

    def __init__(self, log: Path, largest: int | None = None) -> None:
        """`largest`: a log of that many bytes is emptied when all of it has been read; None: it is left as it is."""
        self._log = log
        self._largest = largest
        self._at = 0

    def lines(self) -> Iterator[Said]:
        """The traces since this was last called."""
        for line in lines(self._log, LONGEST, self._at):
            self._at += len(line)
            if found := _LINE.fullmatch(line.decode(errors="replace").removesuffix("\n")):
                yield Said(**found.groupdict())
        if self._largest is not None and self._at > self._largest:
            os.truncate(self._log, 0)  # Envoy appends; a line that it writes at this very moment is lost
            self._at = 0


Tell = Callable[[], None]


def telling(name: str, log: Path, largest: int | None = LARGEST) -> Tell:
    """A function that writes to stderr what a chain has traced since its last call; `name`: of the chain."""
    following = Following(log, largest)

    def tell() -> None:
        for said in following.lines():
            print(f"{said.time} {name} {said.element}: {said.text}", file=sys.stderr, flush=True)

    return tell
