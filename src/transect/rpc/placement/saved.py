# SPDX-License-Identifier: Apache-2.0
"""A plan as a file: which processor carries which elements, for one chain file and its policies as they were then.

Before a plan is put in force, `checked` compares it with the chain file and the policies as they are now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from transect.base.bounded import whole
from transect.base.room import put
from transect.rpc.chain.arrangement import Carrier, Processor
from transect.rpc.equivalence.levels import Level

if TYPE_CHECKING:
    from transect.rpc.placement.planning import Plan

VERSION = 2


class PlanError(Exception):
    """A plan that cannot be followed; `hint` says what helps."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint
        self.add_note(f"hint: {hint}")  # a traceback shows it


def anew(chain: Path | str = "CHAIN", plan: Path | str = "PLAN") -> str:
    """The hint for a plan that cannot be followed."""
    return f"make it anew: transect rpc plan {chain} -o {plan}"


@dataclass(frozen=True, slots=True)
class SavedGroup:
    processor: Processor
    carrier: Carrier
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SavedEdge:
    service: str
    level: Level
    policies: Mapping[str, str]  # each element of the chain: the sha256 of its policy's sources
    processors: tuple[SavedGroup, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    version: int
    chain: str  # path of the chain file, absolute or from the plan's folder
    sha256: str  # of the chain file
    edges: tuple[SavedEdge, ...]


@dataclass(frozen=True, slots=True)
class _Versioned:
    """What plans of all versions have."""

    version: int


def save(plans: Sequence[Plan], chain: Path, output: Path) -> None:
    edges = tuple(
        SavedEdge(
            one.chain.service,
            one.level,
            {piece.name: piece.program.source_hash for piece in one.pieces},
            tuple(
                SavedGroup(g.processor, g.carrier, tuple(one.pieces[i].name for i in g.elements))
                for g in one.after
            ),
        )
        for one in plans
    )
    beside = chain.resolve()
    if beside.is_relative_to(output.resolve().parent):
        beside = beside.relative_to(output.resolve().parent)
    saved = Saved(VERSION, str(beside), _digest(chain), edges)
    put(output, msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n")


def load(path: Path) -> Saved:
    """Raises PlanError."""
    try:
        text = whole(path)
        if msgspec.json.decode(text, type=_Versioned).version != VERSION:
            raise PlanError(f"{path} is of another version of transect", anew(plan=path))
        found = msgspec.json.decode(text, type=Saved)
    except FileNotFoundError:
        raise PlanError(f"there is no {path}", anew(plan=path)) from None
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as wrong:
        raise PlanError(f"{path} is no plan: {wrong}", anew(plan=path)) from wrong
    return found


def chain_of(saved: Saved, path: Path) -> Path:
    """The chain file of a plan; raises PlanError when it has changed."""
    chain = path.resolve().parent / saved.chain
    try:
        same = _digest(chain) == saved.sha256
    except (OSError, ValueError) as wrong:  # a NUL in the name is a ValueError
        why = wrong.strerror if isinstance(wrong, OSError) else wrong
        raise PlanError(f"its chain file {chain} cannot be read: {why}", anew(plan=path)) from wrong
    if not same:
        raise PlanError(f"{chain} has changed since it was planned", anew(chain, path))
    return chain


def _digest(chain: Path) -> str:
    """Raises OSError."""
    return hashlib.sha256(whole(chain)).hexdigest()
