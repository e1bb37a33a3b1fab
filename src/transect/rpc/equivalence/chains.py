# SPDX-License-Identifier: Apache-2.0
"""Two versions of a chain: which elements came, went, are configured differently or moved, and what that changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from transect.core.ir import Program
from transect.core.values import normal
from transect.rpc.equivalence.arrangement import Judge, Stand
from transect.rpc.equivalence.levels import LEVELS, Level, named
from transect.rpc.equivalence.pairs import Judgement, Settings, Verdict


@dataclass(frozen=True)
class Use:
    """An element of a chain, and what its file gives to its state."""

    program: Program
    values: Mapping[str, object]


@dataclass(frozen=True)
class Order:
    """Two elements that have changed places, and the strongest level at which that means the same."""

    first: str
    second: str
    level: Level | None  # None: at none
    judgement: Judgement  # at the next stronger level; at `level` itself if that is the strongest


@dataclass(frozen=True)
class ChainDifference:
    """How the new version of a chain differs from the old one, apart from the policies themselves."""

    alone: list[str]
    configured: list[str]
    order: list[Order]

    @property
    def same(self) -> bool:
        moved = any(o.level is not Level.IDENTICAL for o in self.order)
        return not (self.alone or self.configured or moved)

    @property
    def open(self) -> list[str]:
        return [
            f"{o.first} and {o.second}: {o.judgement.why}"
            for o in self.order
            if o.judgement.verdict is Verdict.UNKNOWN
        ]


def difference(old: Sequence[Use], new: Sequence[Use], settings: Settings) -> ChainDifference:
    """The order is judged for the old versions of the policies: what changed in a policy is shown separately."""
    before = {e.name: use for e, use in zip(named(*(u.program for u in old)), old, strict=True)}
    after = {e.name: use for e, use in zip(named(*(u.program for u in new)), new, strict=True)}
    alone = [f"{name} is gone" for name in before if name not in after]
    alone += [f"{name} is new" for name in after if name not in before]
    configured = [
        f"{name}.{field}: {_shown(before[name], field)} becomes {_shown(after[name], field)}"
        for name in before
        if name in after
        for field in {**before[name].values, **after[name].values}
        if normal(before[name].values.get(field)) != normal(after[name].values.get(field))
    ]
    return ChainDifference(alone, configured, list(_orders(before, list(after), settings)))


def _shown(use: Use, field: str) -> str:
    return repr(use.values[field]) if field in use.values else "as declared"


def _orders(before: Mapping[str, Use], after: Sequence[str], settings: Settings) -> Iterator[Order]:
    common = [name for name in before if name in after]
    stands = {name: Stand(name, before[name].program) for name in common}
    judge = Judge(settings)
    for i, first in enumerate(common):
        for second in common[i + 1 :]:
            if after.index(first) > after.index(second):
                others = [s for s in stands.values() if s.name not in (first, second)]
                found = {level: judge.swap(stands[first], stands[second], others, level) for level in LEVELS}
                holding = [level for level in LEVELS if found[level].holds]
                level = holding[-1] if holding else None
                broken = [found[one] for one in LEVELS if not found[one].holds]
                yield Order(first, second, level, broken[0] if broken else found[Level.IDENTICAL])
