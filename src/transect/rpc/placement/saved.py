# SPDX-License-Identifier: Apache-2.0
"""A plan as a file: who carries what.  It is of one chain file, as that is now."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from transect.base.bounded import whole
from transect.rpc.chain.arrangement import Carrier, Group, Layout, Processor
from transect.rpc.chain.model import ChainFile

if TYPE_CHECKING:
    from transect.rpc.placement.planning import Plan

VERSION = 1


class PlanError(Exception):
    """A plan that cannot be followed; `hint` says what helps."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class SavedGroup:
    processor: Processor
    carrier: Carrier
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SavedEdge:
    service: str
    level: str
    processors: tuple[SavedGroup, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    version: int
    chain: str  # the file, as it is found from the plan's folder
    sha256: str  # of the chain file
    edges: tuple[SavedEdge, ...]


def save(plans: Sequence[Plan], chain: Path, output: Path) -> None:
    edges = tuple(
        SavedEdge(
            one.chain.service,
            one.level.value,
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
    output.write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n")


def load(path: Path) -> Saved:
    """Raises PlanError."""
    try:
        found = msgspec.json.decode(whole(path), type=Saved)
    except FileNotFoundError:
        raise PlanError(f"there is no {path}", "transect rpc plan CHAIN -o PLAN") from None
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as wrong:
        raise PlanError(f"{path} is no plan: {wrong}", "transect rpc plan CHAIN -o PLAN") from wrong
    if found.version != VERSION:
        raise PlanError(f"{path} is of another version", "transect rpc plan CHAIN -o PLAN")
    return found


def chain_of(saved: Saved, path: Path) -> Path:
    """The chain file of a plan; raises PlanError when it has changed."""
    chain = path.resolve().parent / saved.chain
    try:
        same = _digest(chain) == saved.sha256
    except (OSError, ValueError) as wrong:  # a name with a zero in it is a ValueError
        why = wrong.strerror if isinstance(wrong, OSError) else wrong
        raise PlanError(f"its chain file {chain} cannot be read: {why}", "plan again") from wrong
    if not same:
        raise PlanError(f"{chain} has changed since it was planned", f"transect rpc plan {chain} -o {path}")
    return chain


def layout(saved: Saved, chain: ChainFile) -> Layout:
    """The arrangement of one edge."""
    edge = next((e for e in saved.edges if e.service == chain.service), None)
    if edge is None:
        raise PlanError(f"the plan has no edge of {chain.service}", "plan again")
    number = {name: index for index, name in enumerate(chain.names)}
    return tuple(
        Group(g.processor, tuple(number[name] for name in g.elements), g.carrier) for g in edge.processors
    )


def _digest(chain: Path) -> str:
    """Raises OSError."""
    return hashlib.sha256(whole(chain)).hexdigest()
