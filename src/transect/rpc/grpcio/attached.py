# SPDX-License-Identifier: Apache-2.0
"""An attached chain as its user sees it: its state, its parameters, its recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transect.emit.py.image import image, restore
from transect.rpc.grpcio.handle import Handle, Record

TRIES = 1000  # of a change against a chain under load


class Attached:
    """One chain in front of one channel or server: `channel.chain`."""

    def __init__(
        self, handle: Handle, names: Sequence[str], policies: Sequence[Any], native: bool, reason: str
    ) -> None:
        self.handle = handle
        self.elements = tuple(names)
        self.native = native
        self.reason = reason  # why the chain is not native; empty: it is
        self._classes = [type(policy) for policy in policies]

    def __repr__(self) -> str:
        how = "native" if self.native else f"emitted Python ({self.reason})"
        return f"<chain {', '.join(self.elements)}: {how}>"

    def index(self, element: str | int) -> int:
        """Position of an element; KeyError when there is none of that name."""
        if isinstance(element, int):
            return range(len(self.elements))[element]
        if element not in self.elements:
            raise KeyError(f"no element {element!r}; there are {', '.join(self.elements)}")
        return self.elements.index(element)

    def state(self, element: str | int) -> Any:
        """A policy object with the element's state of this moment; changing it changes nothing else."""
        index = self.index(element)
        return self._object(index, self.handle.save(index))

    def _object(self, index: int, data: bytes) -> Any:
        policy = self._classes[index]()
        restore(policy, data)
        return policy

    def set(self, element: str | int, **fields: Any) -> None:
        """Change parameters, or other state, of the running element as one step: `set("RateLimit", per_second=50)`.

        Raises AttributeError, TypeError or ValueError as assigning to the policy object would.
        """
        self.change(element, lambda policy: [setattr(policy, name, value) for name, value in fields.items()])

    def change(self, element: str | int, change: Callable[[Any], object]) -> None:
        """Let `change` alter a copy of the element's state, and put it in force unless RPCs altered it meanwhile; then
        again.  RuntimeError when that does not succeed in 1,000 tries."""
        index = self.index(element)
        for _ in range(TRIES):
            old = self.handle.save(index)
            policy = self._object(index, old)
            change(policy)
            if self.handle.replace(index, old, image(policy)):
                return
        raise RuntimeError(f"{self.elements[index]}: its state changes too fast")

    def record(self, sink: Callable[[Record], object] | None) -> None:
        """Give every handler call to `sink`, as `handle.Record`; None ends it."""
        self.handle.record(sink)

    def status(self) -> dict[str, Any]:
        """What `transect rpc status` shows."""
        return {
            "elements": list(self.elements),
            "native": self.native,
            "reason": self.reason,
            "state": {name: repr(self.state(i)) for i, name in enumerate(self.elements)},
        }

    def listen(self, name: str) -> None:
        """Be reachable by `status`, `set` and `record` under a name."""
        raise NotImplementedError
