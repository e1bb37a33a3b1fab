# SPDX-License-Identifier: Apache-2.0
"""What a scan says: findings with their evidence, and what could not be checked.  An empty answer is never silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Key: TypeAlias = tuple[Any, ...]
"""What a report says, with its evidence."""


class Verdict(StrEnum):
    """What a probe found out."""

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
        """Two rounds mean the same when they say the same."""
        return self.what, *self.evidence


@dataclass(frozen=True)
class Result:
    """A probe on a target."""

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
    line: int = 0  # of the probe in its file


@dataclass(frozen=True)
class Scan:
    """All probes on one target."""

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
    """Evidence as JSON has it: bytes as text where they are text, else hex."""
    match value:
        case bytes():
            try:
                text = value.decode()
            except UnicodeDecodeError:
                return value.hex()
            return (
                text if text.isprintable() else value.hex()
            )  # the target's words never reach a terminal as they are
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
