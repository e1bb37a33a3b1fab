# SPDX-License-Identifier: Apache-2.0
"""Answers about pairs on disk, by the content of the two programs, the settings and the version of the proofs.

A file holds answers alone, as JSON: a refusal keeps its reason and its table, not the stream, which is found again
when it is wanted.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from transect.base.cache import Folder, opened, place
from transect.base.unavailable import Unavailable
from transect.core.ir import Program
from transect.core.text import dump
from transect.rpc.equivalence.levels import LEVELS, Level
from transect.rpc.equivalence.pairs import Judgement, Pair, Settings, Verdict, decide

T = TypeVar("T")

log = logging.getLogger("transect.rpc")

VERSION = 6
"""To be raised whenever the same question may have another answer."""


@dataclass(frozen=True)
class Cache:
    folder: Path | None = None  # by default below the user's cache
    _texts: dict[int, tuple[Program, str]] = field(default_factory=dict, repr=False, compare=False)

    def pair(self, first: Program, second: Program, settings: Settings) -> Pair:
        """The answers, read or found."""
        name = f"{key(self.text(first), self.text(second), settings)}.json"
        known = self._with_folder(lambda held: _read(held.read(name), first, second))
        if known is None:
            known = decide(first, second, settings=settings)
            kept = _text(known)
            self._with_folder(lambda held: held.keep(name, kept))
        return known

    def _with_folder(self, do: Callable[[Folder], T]) -> T | None:
        """What comes of it; None, and a warning, where nothing can be kept, which costs time alone."""
        try:
            with opened(self.folder or place("pairs"), make=True) as held:
                return do(held)
        except Unavailable as lacking:
            log.warning("answers about pairs are not kept: %s", lacking)
            return None

    def text(self, program: Program) -> str:
        """Its dump, made once: a chain asks for each element again with each other."""
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
    """By what the programs (their dumps) say; where they were read from does not matter."""
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
        return None  # not ours: it is found again and written anew


def _judgement(level: Level, data: dict[str, str]) -> Judgement:
    return Judgement(level, Verdict(data["verdict"]), data["why"], None, data["table"])
