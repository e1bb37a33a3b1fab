# SPDX-License-Identifier: Apache-2.0
"""What a processor of an edge is asked when all change together, whatever its carrier; and elements that come to it
from another one, with their state."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from transect.control.protocol import Refused
from transect.core.schema import Schema
from transect.rpc.versions.upgrade import Handover, Origin, Version


class Part(Protocol):
    """One processor; its methods are the verbs that `rpc/versions/edge.py` asks, in this order."""

    def named(self) -> dict[str, Any]:
        """How RPCs call the version in force; "" when nobody has asked for a name."""
        ...

    def join(self, version: str, stamps: bool) -> None:
        """What runs has this name; `stamps`: RPCs tell it to the processors behind."""
        ...

    def state(self) -> list[dict[str, Any]]:
        """The elements that run, each with its schema and the image of this moment."""
        ...

    def stage(self, version: str, path: str, incoming: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make a new version ready; `incoming`: elements that stand elsewhere.  Which new element continues which of
        them, and what becomes of each field."""
        ...

    def drop(self) -> None:
        """What was staged will not be: another processor refuses."""
        ...

    def commit(self, version: str) -> None:
        """RPCs which begin now are for the staged version."""
        ...

    def images(self, version: str) -> dict[str, Any]:
        """The states of an older version at this moment, and whether RPCs are on it."""
        ...

    def merge(self, element: int, base: str, theirs: str) -> None:
        """What an old copy elsewhere has gone through meanwhile happens to the new one here."""
        ...

    def end(self, version: str) -> None:
        """No RPC names the older version any more."""
        ...


VERBS = tuple(name for name in vars(Part) if not name.startswith("_"))


def verbs_of_part(part: Part) -> dict[str, Callable[..., Any]]:
    """For `control.server.Server`."""
    return {f"edge-{name}": getattr(part, name) for name in VERBS}


def refused_to(who: str, hint: str) -> dict[str, Callable[..., Any]]:
    """The same of something that does not change together with others."""

    def refuse(**_: Any) -> Any:
        raise Refused(f"{who}, which is no one of several processors that change together", hint)

    return {f"edge-{name}": refuse for name in VERBS}


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
