# SPDX-License-Identifier: Apache-2.0
"""One version of an attached chain: its code and its copy of the state."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from transect.base.traced import Traced
from transect.emit.py.image import image, restore
from transect.rpc.chain.binding import Binding
from transect.rpc.grpcio.handle import Carried, Handle
from transect.rpc.versions.upgrade import Version

TRIES = 3  # of a change without holding RPCs back
OURS = 3  # references to a handle that nobody else holds: ours, and two that counting takes


@dataclass(frozen=True, eq=False)
class Standing:
    """A version that takes RPCs, or has taken them; an `upgrade.Copy`."""

    version: Version
    binding: Binding
    classes: tuple[type[Any], ...]  # of policy objects
    handle: Handle
    reason: str  # why the chain is not native; empty: it is
    traced: Traced  # what its elements have traced
    carried: Callable[[], Carried | None]  # None: no RPC can begin on it any more

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(element.name for element in self.binding.elements)

    def object(self, element: int, data: bytes) -> Any:
        """A policy object with the state of an image."""
        policy = self.classes[element]()
        restore(policy, data)
        return policy

    def save(self, element: int) -> bytes:
        return self.handle.save(element)

    def swap(self, element: int, change: Callable[[bytes], bytes]) -> None:
        """Put what `change` makes of the state's image in force, as one step.

        RPCs go on meanwhile; they wait only where they change the state faster than `change` works.
        """
        for _ in range(TRIES):
            if self._swapped(element, change):
                return
        self.handle.hold()
        try:
            done = self._swapped(element, change)
        finally:
            self.handle.release()
        assert done, f"{self.elements[element]} takes no image of its own state"

    def _swapped(self, element: int, change: Callable[[bytes], bytes]) -> bool:
        old = self.handle.save(element)
        return self.handle.replace(element, old, change(old))

    def set(self, element: int, fields: dict[str, Any]) -> None:
        """Raises AttributeError, TypeError or ValueError as assigning to the policy object would."""

        def change(data: bytes) -> bytes:
            policy = self.object(element, data)
            for name, value in fields.items():
                setattr(policy, name, value)
            return image(policy)

        self.swap(element, change)

    def retired(self) -> Standing:
        """The same, kept for what its RPCs still do, without keeping it open to new ones."""
        held = self.carried()
        assert held is not None, "it takes RPCs"
        return replace(self, carried=weakref.ref(held))

    def open(self) -> int:
        return self.handle.open

    def over(self) -> bool:
        """Whether no RPC is on it, and none can come: nobody else holds it."""
        return self.carried() is None and self.handle.open == 0 and sys.getrefcount(self.handle) <= OURS

    def end(self) -> None:
        """Nothing to do: it goes with the last reference."""
