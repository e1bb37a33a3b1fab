# SPDX-License-Identifier: Apache-2.0
"""The results of a scan: findings with their evidence, and what could not be checked.  An empty answer is
never silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Key: TypeAlias = tuple[Any, ...]
"""What a report says, and its evidence."""


class Verdict(StrEnum):
    """The result of a probe."""

    CLEAN = "clean"
    FOUND = "found"
    UNSTABLE = "unstable"  # said by one round and not by the next, again and again
    UNCONFIRMED = "unconfirmed"  # said by every round, of a target that stands still
    UNCHECKED = "unchecked"  # something could not be read or resolved


@dataclass(frozen=True)
class Said:
    """One `report` or `show` of a probe."""

    what: str
    evidence: tuple[tuple[str, Any], ...]
    caught: bool = False  # by `caught`: the next round confirms it

    @property
    def key(self) -> Key:
        """Two reports are the same if they say the same."""
        return self.what, *self.evidence


@dataclass(frozen=True)
class Result:
    """The result of one probe on a target."""

    probe: str
    path: str
    verdict: Verdict
    findings: tuple[Said, ...] = ()
    shown: tuple[Said, ...] = ()
    unstable: tuple[Said, ...] = ()
    problem: str = ""  # why it was not checked
    rounds: int = 0
    reads: int = 0
    seconds: float = 0.0
    line: int = 0  # where the probe stands in its file


@dataclass(frozen=True)
class Scan:
    """The results of all probes on one target."""

    target: str
    release: str
    anchored: bool
    results: tuple[Result, ...]

    @property
    def findings(self) -> Sequence[tuple[Result, Said]]:
        return [(r, f) for r in self.results for f in r.findings]

    @property
    def unchecked(self) -> Sequence[Result]:
        return [r for r in self.results if r.verdict not in (Verdict.CLEAN, Verdict.FOUND)]


def printable(value: Any) -> Any:
    """Evidence in a form that JSON has: bytes as text if they are text, else in hex."""
    match value:
        case bytes():
            try:
                text = value.decode()
            except UnicodeDecodeError:
                return value.hex()
            return (
                text if text.isprintable() else value.hex()
            )  # the target's words never reach a terminal unescaped
        case str():
            return value if value.isprintable() else ascii(value)
        case tuple():
            return [printable(v) for v in value]
        case _:
            return value


def shown(name: str, value: Any) -> str:
    """Evidence for people: addresses and masks in hex."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and (value >= 1 << 32 or name.endswith("flags"))
    ):
        return f"{value:#x}"
    return str(printable(value))
