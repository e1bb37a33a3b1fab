# SPDX-License-Identifier: Apache-2.0
"""The verbs of a processor of an edge where all change together, whatever its carrier; and elements that come to it
from another processor, with their state."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypedDict, TypeVar

from transect.control.protocol import Refused
from transect.core.schema import Schema
from transect.core.type_json import SchemaError
from transect.rpc.versions.upgrade import Copy, Handover, Origin, Version

T = TypeVar("T")

_NAME = re.compile(
    r"[0-9A-Za-z._]{1,31}", re.ASCII
)  # a header and VERSION_NAME in envoy_module.h have room for it


class Element(TypedDict):
    """An element with its state, as one processor tells it and another one takes it."""

    name: str
    schema: dict[str, Any]
    image: str  # base64


class Incoming(Element):
    """An element that stands at another processor, and may come to this one."""

    at: str  # where it stands, as whoever asks calls that


class Came(TypedDict):
    """An element that has come from another processor; RPCs of the old version may still go to its old place."""

    element: int  # in the version that it has come with
    at: str  # as in `Incoming`
    image: str  # at its old place, up to which changes there have gone over


class InForce(TypedDict):
    """The versions that one processor has, as RPCs call them."""

    version: str  # in force; "": nobody has asked for a name
    stamps: bool  # it is the first processor, which names the version
    staged: str  # made ready; "": none
    kept: list[str]  # older ones, whose RPCs may not have ended
    came: list[Came]  # with the version in force, while the one before is kept


class Staged(TypedDict):
    """What a processor has made ready."""

    taken: dict[str, int]  # by new element: which of the incoming ones it continues
    fields: dict[str, str]  # what becomes of each
    elements: list[str]


class Images(TypedDict):
    """An older version at this moment."""

    images: list[str]
    open: int  # RPCs on it
    settled: bool  # what RPCs did to still older versions has gone over


class Part(Protocol):
    """One processor; its methods are the verbs that `rpc/versions/edge.py` calls, in this order."""

    def named(self) -> InForce:
        """Which versions are here."""
        ...

    def join(self, version: str, stamps: bool) -> None:
        """Give the running version this name; `stamps`: RPCs tell the name to the processors behind."""
        ...

    def state(self) -> list[Element]:
        """The elements that run, each with its schema and the image of this moment."""
        ...

    def stage(self, version: str, path: str, incoming: Sequence[Incoming]) -> Staged:
        """Make a new version ready; `incoming`: elements that stand elsewhere."""
        ...

    def drop(self) -> None:
        """Drop what was staged: another processor refuses."""
        ...

    def commit(self, version: str) -> None:
        """Put the staged version in force for RPCs that begin from now on."""
        ...

    def images(self, version: str) -> Images:
        """The states of an older version at this moment, and whether RPCs are on it."""
        ...

    def merge(self, element: int, base: str, theirs: str) -> None:
        """Apply to the new copy here what has happened to an old copy elsewhere, between these images."""
        ...

    def end(self, version: str) -> None:
        """End an older version: no RPC names it any more."""
        ...


VERBS = tuple(name for name in vars(Part) if not name.startswith("_"))


def verbs_of_part(part: Part) -> dict[str, Callable[..., Any]]:
    """For `control.server.Server`."""
    return {f"edge-{name}": getattr(part, name) for name in VERBS}


def refused_to(who: str, hint: str) -> dict[str, Callable[..., Any]]:
    """The same verbs for something that does not change together with others: each raises Refused."""

    def refuse(**_: Any) -> Any:
        raise Refused(f"{who}, which is no one of several processors that change together", hint)

    return {f"edge-{name}": refuse for name in VERBS}


def packed(image: bytes) -> str:
    """An image as JSON takes it."""
    return base64.b64encode(image).decode()


def unpacked(text: str) -> bytes:
    """Raises Refused."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as wrong:
        raise Refused(f"an image is not base64: {wrong}", "give it as `edge-state` tells it") from wrong


def check_name(version: str, there: Collection[str] = ()) -> None:
    """Check that RPCs can use this name for a version, and that no version here has it.  Raises Refused."""
    if not _NAME.fullmatch(version):
        raise Refused(
            f"{version!r:.60} is no name of a version", "take at most 31 letters, digits, `.` and `_`"
        )
    if version in there:
        raise Refused(f"version {version} is there already", "give the new one another name")


def older(kept: Mapping[str, T], version: str) -> T:
    """Raises Refused."""
    if version not in kept:
        raise Refused(f"no older version {version!r:.60} stands here", "name one whose RPCs have not ended")
    return kept[version]


def from_elsewhere(
    own: Sequence[Origin],
    version: Version,
    incoming: Sequence[Incoming],
    save: Callable[[int], bytes],
) -> tuple[Handover, Callable[[int], bytes]]:
    """How a new version goes on from elements that run here and from those that stand elsewhere, and a function that
    gives the image of each.  Raises Refused."""
    foreign = [Origin(one["name"], _schema(one)) for one in incoming]
    images = [unpacked(one["image"]) for one in incoming]
    handover = Handover.of([*own, *foreign], version)
    handover.check(automatic_return=False)

    def image(origin: int) -> bytes:
        return save(origin) if origin < len(own) else images[origin - len(own)]

    return handover, image


def _schema(one: Element) -> Schema:
    try:
        return Schema.from_json(one["schema"])
    except SchemaError as wrong:
        hint = "give it as `edge-state` tells it"
        raise Refused(f"the schema of {one['name']:.60} cannot be read: {wrong}", hint) from wrong


def merge(
    handover: Handover | None, came: Sequence[Came], element: int, new: Copy, base: str, theirs: str
) -> None:
    """Apply to an element of the version in force what has happened to an old copy elsewhere between these images.

    `handover`: the one by which that version came; None: it is the first version.  Raises Refused."""
    if handover is None:
        raise Refused("no version was put in force before", "commit one first")
    if not 0 <= element < len(handover.origins) or handover.origins[element] is None:
        raise Refused(f"element {element} continues none of the version before", "merge into one that does")
    handover.merge(element, new, unpacked(base), unpacked(theirs))
    for one in came:
        if one["element"] == element:
            one["image"] = theirs


def _foreign(handover: Handover, own: int) -> list[tuple[int, int]]:
    """Elements that came from elsewhere, each with its index among the incoming; `own`: how many elements ran here."""
    pairs = enumerate(handover.origins)
    return [(element, origin - own) for element, origin in pairs if origin is not None and origin >= own]


def came(handover: Handover, own: int, incoming: Sequence[Incoming]) -> list[Came]:
    """Which elements of a version came from elsewhere."""
    pairs = ((element, incoming[origin]) for element, origin in _foreign(handover, own))
    return [{"element": element, "at": one["at"], "image": one["image"]} for element, one in pairs]


def staged(handover: Handover, own: int) -> Staged:
    """The answer for a version that was staged with that handover."""
    taken = {str(element): origin for element, origin in _foreign(handover, own)}
    elements = [program.name for program in handover.new.programs]
    return {"taken": taken, "fields": handover.fields(), "elements": elements}
