# SPDX-License-Identifier: Apache-2.0
"""Metadata between gRPC's forms and a chain's: names and texts, as they stand on the wire."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transect.rpc.grpcio.handle import Pairs

Changes = Sequence[tuple[str, str | None]]


def pairs(metadata: Any) -> Pairs:
    """As a chain reads it.  Binary values (`…-bin`) are base64, as every other carrier sees them."""
    return tuple((name, _text(value)) for name, value in metadata) if metadata else ()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")


def changed(metadata: Any, changes: Changes) -> tuple[tuple[str, str | bytes], ...]:
    """`metadata` with what the chain has set and removed; a set name replaces all its values."""
    names = {name for name, _ in changes}
    kept = tuple((name, value) for name, value in metadata or () if name not in names)
    return kept + sent(changes)


def sent(changes: Changes) -> tuple[tuple[str, str | bytes], ...]:
    """What was set, as gRPC takes it."""
    return tuple(_sent(name, value) for name, value in changes if value is not None and legal(name, value))


def legal(name: str, value: str) -> bool:
    """gRPC refuses a whole call for one bad header, and a line break would end the connection elsewhere."""
    return (
        bool(name)
        and all(c in "abcdefghijklmnopqrstuvwxyz0123456789-_." for c in name)
        and all(" " <= c <= "~" for c in value)
        and (not name.endswith("-bin") or _bytes(value) is not None)
    )


def _sent(name: str, value: str) -> tuple[str, str | bytes]:
    if not name.endswith("-bin"):
        return name, value
    binary = _bytes(value)
    assert binary is not None, f"{name} was checked"
    return name, binary


def _bytes(value: str) -> bytes | None:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return None


def names(changes: Iterable[tuple[str, str | None]]) -> frozenset[str]:
    return frozenset(name for name, _ in changes)
