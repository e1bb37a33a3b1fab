# SPDX-License-Identifier: Apache-2.0
"""An attached chain as its user sees it: its state, its parameters, its recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.core.ir import Program
from transect.emit.py.image import image, restore
from transect.rpc.binding import Binding
from transect.rpc.grpcio.handle import Handle

if TYPE_CHECKING:
    from transect.control.server import Server
    from transect.replay.log import Trailer
    from transect.rpc.grpcio.recording import Recording

TRIES = 3  # of a change without holding RPCs back


class Attached:
    """One chain in front of one channel or server: its `.chain`."""

    def __init__(
        self, binding: Binding, handle: Handle, policies: Sequence[Any], carrier: str, reason: str
    ) -> None:
        self.binding = binding
        self.handle = handle
        self.carrier = carrier  # such as `grpcio client`
        self.native = not reason
        self.reason = reason  # why the chain is not native; empty: it is
        self.name = "+".join(element.name for element in binding.elements)
        self.recording: Recording | None = None
        self._server: Server | None = None
        self._classes = [type(policy) for policy in policies]

    def __repr__(self) -> str:
        how = "native" if self.native else f"emitted Python ({self.reason})"
        return f"<chain {', '.join(self.elements)}: {how}>"

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(element.name for element in self.binding.elements)

    @property
    def programs(self) -> tuple[Program, ...]:
        return tuple(element.program for element in self.binding.elements)

    # ------------------------------------------------------------ state

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
        index = self.index(element)

        def change(data: bytes) -> bytes:
            policy = self._object(index, data)
            for name, value in fields.items():
                setattr(policy, name, value)
            return image(policy)

        self.swap(index, change)

    def swap(self, index: int, change: Callable[[bytes], bytes]) -> None:
        """Put what `change` makes of the state's image in force, as one step.

        RPCs go on meanwhile; only where they change the state faster than `change` works, they wait for it.
        """
        for _ in range(TRIES):
            if self._swapped(index, change):
                return
        self.handle.hold()
        try:
            done = self._swapped(index, change)
        finally:
            self.handle.release()
        assert done, f"{self.elements[index]} takes no image of its own state"

    def _swapped(self, index: int, change: Callable[[bytes], bytes]) -> bool:
        old = self.handle.save(index)
        return self.handle.replace(index, old, change(old))

    # ------------------------------------------------------------ recording, control

    def record(self, path: Path) -> Recording:
        """Write every handler call into a new log, for `transect replay`.  Raises FileExistsError, OSError."""
        from transect.rpc.grpcio.recording import Recording

        assert self.recording is None, "one recording at a time"
        self.recording = Recording(path, self.name, self.binding, self.handle, self.carrier)
        return self.recording

    def end_record(self) -> Trailer:
        """Close the log."""
        assert self.recording is not None, "nothing is recorded"
        recording, self.recording = self.recording, None
        return recording.end()

    def listen(self, name: str) -> None:
        """Be reachable by `transect rpc status`, `set` and `record` under a name, until `close`.

        Raises `control.server.Taken` when another instance has that name.
        """
        from transect.control.host import verbs_of
        from transect.control.server import Server
        from transect.rpc.grpcio.host import GrpcioHost

        self.name = name
        self._server = Server("rpc", name, verbs_of(GrpcioHost(self)))

    def close(self) -> None:
        """End the recording, and be reachable no longer; the chain itself goes on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self.recording is not None:
            self.end_record()
