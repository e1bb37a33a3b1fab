# SPDX-License-Identifier: Apache-2.0
"""Elements that come from another processor of the same edge, with their state; what all carriers do with them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transect.core.schema import Schema
from transect.rpc.upgrade import Handover, Origin, Version


def packed(image: bytes) -> str:
    """As JSON takes it."""
    return base64.b64encode(image).decode()


def unpacked(text: str) -> bytes:
    return base64.b64decode(text)


def from_elsewhere(
    own: Sequence[Origin],
    version: Version,
    incoming: Sequence[Mapping[str, Any]],
    save: Callable[[int], bytes],
) -> tuple[Handover, Callable[[int], bytes]]:
    """How a new version goes on from elements that run here and, if it has them, from those that stand elsewhere; and
    the image of each.  Raises Refused."""
    foreign = [Origin(one["name"], Schema.from_json(one["schema"])) for one in incoming]
    handover = Handover.of([*own, *foreign], version)
    handover.check(automatic_return=False)

    def image(origin: int) -> bytes:
        return save(origin) if origin < len(own) else unpacked(incoming[origin - len(own)]["image"])

    return handover, image


def taken(handover: Handover, own: int) -> dict[str, int]:
    """Which new element continues which of those that stood elsewhere."""
    pairs = ((element, origin) for element, origin in enumerate(handover.origins) if origin is not None)
    return {str(element): origin - own for element, origin in pairs if origin >= own}
