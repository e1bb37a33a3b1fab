# SPDX-License-Identifier: Apache-2.0
"""Answers about pairs, kept on disk by the content of the two programs, the settings and the version of the proofs.

A file holds only answers, as JSON: a refusal keeps its reason and its table, but not the stream, which is found again
when it is needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from transect.base.cache import Folder, opened
from transect.base.places import place
from transect.base.unavailable import Unavailable
from transect.core.ir import Program
from transect.core.text import dump
from transect.rpc.equivalence.levels import LEVELS, Level
from transect.rpc.equivalence.pairs import Judgement, Pair, Settings, Verdict, decide

T = TypeVar("T")

log = logging.getLogger("transect.rpc")

VERSION = 6
"""To be raised whenever the same question may get another answer."""


@dataclass(frozen=True)
class Cache:
    folder: Path | None = None  # by default below the user's cache
    _texts: dict[int, tuple[Program, str]] = field(default_factory=dict, repr=False, compare=False)

    def pair(self, first: Program, second: Program, settings: Settings) -> Pair:
        """The answers, from the disk or found now."""
        name = f"{key(self.text(first), self.text(second), settings)}.json"
        known = self._with_folder(lambda held: _read(held.read(name), first, second))
        if known is None:
            known = decide(first, second, settings=settings)
            kept = _text(known)
            self._with_folder(lambda held: held.keep(name, kept))
        return known

    def _with_folder(self, do: Callable[[Folder], T]) -> T | None:
        """Do it with the folder; None, with a warning, if nothing can be stored, which only costs time."""
        try:
            with opened(self.folder or place("pairs"), make=True) as held:
                return do(held)
        except Unavailable as lacking:
            log.warning("answers about pairs are not kept: %s", lacking)
            return None

    def text(self, program: Program) -> str:
        """The dump of a program, made once: a chain needs it for each pair of the element with another."""
        if id(program) not in self._texts:
            self._texts[id(program)] = program, dump(program)
        return self._texts[id(program)][1]


def _text(pair: Pair) -> bytes:
    levels = {
        level.value: {
            "verdict": j.verdict.value,
            "why": j.why,
            "table": j.witness.table() if j.witness else "",
        }
        for level, j in pair.levels.items()
    }
    return json.dumps({"seconds": pair.seconds, "levels": levels}).encode()


def key(first: str, second: str, settings: Settings) -> str:
    """A key made of the programs (their dumps); where they were read from does not matter."""
    parts = [str(VERSION), first, second, json.dumps(asdict(settings), sort_keys=True)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(kept: bytes | None, first: Program, second: Program) -> Pair | None:
    if kept is None:
        return None
    try:
        data = json.loads(kept)
        levels = {level: _judgement(level, data["levels"][level.value]) for level in LEVELS}
        return Pair(first, second, levels, float(data["seconds"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # not written by us: it is found again and replaced


def _judgement(level: Level, data: dict[str, str]) -> Judgement:
    return Judgement(level, Verdict(data["verdict"]), data["why"], None, data["table"])
