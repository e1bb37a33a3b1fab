# SPDX-License-Identifier: Apache-2.0
"""Metadata, converted between gRPC's forms and a chain's: names and texts as they are on the wire."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from transect.rpc.headers import decoded

Pair: TypeAlias = tuple[str, str]
Pairs: TypeAlias = tuple[Pair, ...]
Changes = Sequence[tuple[str, str | None]]


def pairs(metadata: Any) -> Pairs:
    """Metadata as a chain reads them.  Binary values (`…-bin`) are base64, as every other carrier sees them."""
    return tuple((name, _text(value)) for name, value in metadata) if metadata else ()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")


def changed(metadata: Any, changes: Changes) -> tuple[tuple[str, str | bytes], ...]:
    """`metadata` with what the chain has set and removed; setting a name replaces all its values."""
    names = {name for name, _ in changes}
    kept = tuple((name, value) for name, value in metadata or () if name not in names)
    return kept + sent(changes)


def sent(changes: Changes) -> tuple[tuple[str, str | bytes], ...]:
    """What was set, as gRPC takes it."""
    return tuple(_sent(name, value) for name, value in changes if value is not None)


def _sent(name: str, value: str) -> tuple[str, str | bytes]:
    if not name.endswith("-bin"):
        return name, value
    binary = decoded(value)
    assert binary is not None, f"{name} was checked when it was set"
    return name, binary


def names(changes: Iterable[tuple[str, str | None]]) -> frozenset[str]:
    return frozenset(name for name, _ in changes)
