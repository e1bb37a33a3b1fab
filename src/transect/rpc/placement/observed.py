# SPDX-License-Identifier: Apache-2.0
"""How many of the calls each element lets through, from the counters of chains that run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from transect.base.bounded import whole
from transect.rpc.chain.arrangement import names

Count = Annotated[int, msgspec.Meta(ge=0)]


class NotUnderstood(Exception):
    """A file that is not the status of a chain."""


class _Counts(msgspec.Struct):
    calls: Count
    rejected: Count
    responded: Count


class _Policy(msgspec.Struct):
    name: str
    counts: _Counts


class _Status(msgspec.Struct):
    """What is needed of `control.answers.Status`."""

    policies: list[_Policy]


def shares(path: Path) -> dict[str, float]:
    """For each element: the share of its calls that go on.  Raises NotUnderstood."""
    try:
        told = msgspec.json.decode(whole(path), type=_Status | list[_Status])
    except (OSError, ValueError, RecursionError) as wrong:
        raise NotUnderstood(f"{path} is not the status of a chain: {wrong}") from wrong
    statuses = told if isinstance(told, list) else [told]
    return {name: share for status in statuses for name, share in _of(status.policies)}


def _of(policies: list[_Policy]) -> Iterator[tuple[str, float]]:
    for name, policy in zip(names([p.name for p in policies]), policies, strict=True):
        did = policy.counts
        if did.calls:
            # The counters of a running chain are read one after the other: they may show more ends than calls.
            yield name, max(did.calls - did.rejected - did.responded, 0) / did.calls
