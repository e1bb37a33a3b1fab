# SPDX-License-Identifier: Apache-2.0
"""Answers about pairs on disk, by the content of the two programs, the settings and the version of the proofs.

A file holds answers alone, as JSON: a refusal keeps its reason and its table, not the stream, which is found again
when it is wanted.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from transect.core.ir import Program
from transect.core.text import dump
from transect.rpc.equivalence.levels import LEVELS, Level
from transect.rpc.equivalence.pairs import Judgement, Pair, Settings, Verdict, decide

VERSION = 4
"""To be raised whenever the same question may have another answer."""


def default_folder() -> Path:
    """Below the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "transect" / "pairs"


@dataclass(frozen=True)
class Cache:
    folder: Path
    _texts: dict[int, tuple[Program, str]] = field(default_factory=dict, repr=False, compare=False)

    def pair(self, first: Program, second: Program, settings: Settings) -> Pair:
        """The answers, read or found."""
        path = self.folder / f"{key(self.text(first), self.text(second), settings)}.json"
        known = _read(path, first, second)
        if known is None:
            known = decide(first, second, settings=settings)
            self._write(path, known)
        return known

    def text(self, program: Program) -> str:
        """Its dump, made once: a chain asks for each element again with each other."""
        if id(program) not in self._texts:
            self._texts[id(program)] = program, dump(program)
        return self._texts[id(program)][1]

    def _write(self, path: Path, pair: Pair) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        levels = {
            level.value: {
                "verdict": j.verdict.value,
                "why": j.why,
                "table": j.witness.table() if j.witness else "",
            }
            for level, j in pair.levels.items()
        }
        half = path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps({"seconds": pair.seconds, "levels": levels}))
        half.replace(path)  # whole, or not there


def key(first: str, second: str, settings: Settings) -> str:
    """By what the programs (their dumps) say; where they were read from does not matter."""
    parts = [str(VERSION), first, second, json.dumps(asdict(settings), sort_keys=True)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(path: Path, first: Program, second: Program) -> Pair | None:
    try:
        data = json.loads(path.read_text())
        levels = {level: _judgement(level, data["levels"][level.value]) for level in LEVELS}
        return Pair(first, second, levels, float(data["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or not ours: it is found again and written anew


def _judgement(level: Level, data: dict[str, str]) -> Judgement:
    return Judgement(level, Verdict(data["verdict"]), data["why"], None, data["table"])
