# SPDX-License-Identifier: Apache-2.0
"""Which version of a chain an RPC is for: that is looked up once, when the RPC begins, and holds until the RPC ends.

A chain that stands alone has one version for all RPCs that begin now.  Where several processors share the elements of
an edge, the first one says in a header which version an RPC is for, and those behind it (`follow`) have both versions
for as long as RPCs of the older one are under way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from transect.rpc.grpcio.handle import VERSION_HEADER, Carried


class Unknown(Exception):
    """An RPC is for a version which is not here, or for several; the text says so."""


class Versions:
    """The versions of one attached chain."""

    def __init__(self, first: Carried) -> None:
        self.current = first  # takes RPCs that name no version
        self._named: dict[str, Carried] = {}  # each takes the RPCs that name it
        self._watching: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()

    @classmethod
    def of(cls, given: Carried | Versions) -> Versions:
        return given if isinstance(given, Versions) else cls(given)

    def covers(self, method: str) -> bool:
        """All versions cover the same methods."""
        return self.current.covers(method)

    def chosen(self, metadata: Callable[[], Any]) -> Carried:
        """The version for an RPC whose request has that metadata.  Raises Unknown."""
        if not self._named:
            return self.current
        names = [value for key, value in metadata() or () if key == VERSION_HEADER]
        if not names:
            return self.current
        if len(names) > 1:  # carriers need not agree on which of them counts
            raise Unknown("the call names several versions")
        found = self._named.get(names[0])
        if found is None:
            raise Unknown(f"this chain has no version {names[0]}")
        return found

    # ------------------------------------------------------------ changing

    def put(self, version: Carried) -> None:
        """From now on, RPCs that name no version are for this one."""
        self.current = version
        for method, told in list(self._watching.items()):
            told(method)

    def follow(self, *versions: Carried) -> None:
        """From now on, RPCs may name one of these versions; where none are given, names mean nothing."""
        self._named = {version.version: version for version in versions}

    def watch(self, method: Any, told: Callable[[Any], object]) -> None:
        """Call `told` with the method whenever `current` changes, for as long as the method is in use."""
        self._watching[method] = told
