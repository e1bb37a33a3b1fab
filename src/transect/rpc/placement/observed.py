# SPDX-License-Identifier: Apache-2.0
"""How many of the calls each element lets through, from the counters of chains that run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transect.base.bounded import whole
from transect.rpc.chain.arrangement import names


class NotUnderstood(Exception):
    """A file that is not the status of a chain."""


def shares(path: Path) -> dict[str, float]:
    """Of each element: the share of calls that go on behind it.  Raises NotUnderstood."""
    try:
        told = json.loads(whole(path))
        return {
            name: share
            for status in (told if isinstance(told, list) else [told])
            for name, share in _of(status)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise NotUnderstood(f"{path} is not the status of a chain: {wrong!r}") from wrong


def _of(status: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    policies = status["policies"]
    for name, row in zip(names([p["name"] for p in policies]), policies, strict=True):
        did = row["counts"]
        came, ended = did["calls"], did["rejected"] + did["responded"]
        if came:
            yield name, (came - ended) / came
