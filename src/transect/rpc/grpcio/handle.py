# SPDX-License-Identifier: Apache-2.0
"""How the carrier calls a chain, native or emitted Python: hooks which take and return the bytes of messages.

A hook returns `bytes` when the message passes on and nothing else is to be done; a `Decision` otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

from transect.rpc.grpcio.metadata import Pairs, pairs

VERSION_HEADER = "x-transect-version"


class Side(IntEnum):
    """Which metadata of an RPC are meant; as `ts_side`."""

    REQUEST = 0
    RESPONSE = 1
    TRAILERS = 2


class Action(IntEnum):
    """As `ts_action`, and `OVER`."""

    FORWARD = 0
    REJECT = 1
    RESPOND = 2
    OVER = 3  # the RPC has ended: nothing passes any more


class Cause(IntEnum):
    """As `hooks.Cause` and `ts_cause`."""

    REPLY = 0
    REJECT = 1
    CANCEL = 2
    DEADLINE = 3
    RESET = 4


Decision: TypeAlias = tuple[int, int, Any, int, str | None, int]
"""(action, code, data, after, to, element).  `data`: the message (FORWARD), the text (REJECT) or the reply (RESPOND);
`after`: in ns."""


class Rpc(Protocol):
    """One RPC in a chain.  Its hooks are called by one thread at a time."""

    def request(self, message: bytes, /) -> bytes | Decision: ...

    def response(self, message: bytes, /) -> bytes | Decision: ...

    def finish(self, code: int, cause: int, /) -> int | None:
        """End the RPC; a second call does nothing.  Returns the ns after which to send the request once more, or None.

        An object that is dropped without this call ends its RPC with CANCEL."""
        ...

    def receive(self, side: int, metadata: Pairs, /) -> None:
        """Headers or trailers which the peer, or at a server the handler, has sent."""
        ...

    def changes(self, side: int, /) -> list[tuple[str, str | None]]:
        """Headers that elements have set, or removed (None), on that side since the last call."""
        ...

    @property
    def entered(self) -> bool:
        """A request message has been seen."""
        ...

    @property
    def finished(self) -> bool: ...

    @property
    def elapsed(self) -> int:
        """ns since the RPC began."""
        ...


Record: TypeAlias = tuple[int, int, int, int, bytes, bytes, bytes, bytes, bytes]
"""(sequence, rpc, element, hook, arguments, tape, result), as `ts_record`; then a request's `x-request-id` and
`traceparent`, each empty where there is none or nobody has looked."""


Trace: TypeAlias = tuple[int, str, int]
"""(element, text, how many further texts of the same call are left out)."""


class Handle(Protocol):
    """One copy of a chain's state, and its code."""

    def begin(self, method: str, peer: str, metadata: Pairs | None, /) -> Rpc: ...

    def save(self, element: int, /) -> bytes:
        """The element's state as an image of core/codec.py."""
        ...

    def load(self, element: int, image: bytes, /) -> bool:
        """Load an image of the element's state; returns whether it fits.  If not, nothing is changed."""
        ...

    def replace(self, element: int, old: bytes, new: bytes, /) -> bool:
        """Load `new` if the state still is `old`, as one step."""
        ...

    def hold(self) -> None:
        """Until `release`, hooks of other threads wait."""
        ...

    def release(self) -> None: ...

    def record(self, sink: Callable[[Record], object] | None, elements: int, /) -> tuple[bytes, ...]:
        """Begin recording, or end it (None); returns the elements' states at that very moment."""
        ...

    @property
    def recording(self) -> bool:
        """Whether there is a sink.  RPCs must then begin with their headers, which hold the ids a log names them by."""
        ...

    @property
    def busy(self) -> int:
        """Threads which are handing records to the sink."""
        ...

    @property
    def counts(self) -> Mapping[str, Any]:
        """Since the chain was made, as docs/rpc.md says: `rpcs`, `requests`, `responses`, `rewritten`, `delayed`,
        `malformed`, `refused`, how RPCs ended (`causes`, as `Cause`), `times`, which `latencies` of `chain/times.py`
        reads, and lists by element: `rejected`, `responded`, `withheld`."""
        ...

    @property
    def open(self) -> int:
        """RPCs under way: begun, not finished."""
        ...

    def trace(self, sink: Callable[[Trace], object] | None, /) -> None:
        """Set the sink for what hooks trace; it is called when they have returned and hold no lock."""
        ...


@dataclass(frozen=True, slots=True)
class Touches:
    """Which data of an RPC, beside its messages, the chain reads or writes; what it does not touch costs nothing."""

    headers: bool = True  # of the request
    replies: bool = True  # headers and trailers of the response
    peer: bool = True


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Carried:
    """One version of a chain as the wrappers see it.  Whoever may still begin an RPC on it keeps a reference to it."""

    handle: Handle
    touches: Touches = field(default_factory=Touches)
    methods: frozenset[str] | None = None  # paths which it covers; None: all
    peer: str = ""  # `rpc.peer` in a client's chain
    attempts: int = 5  # of one unary RPC at most, the first included
    early: frozenset[str] = frozenset()  # paths of methods whose handlers begin before a request has passed
    version: str = ""  # in characters that a header can hold
    stamps: bool = False  # RPCs carry their version, for the processors behind

    def covers(self, method: str) -> bool:
        return self.methods is None or method in self.methods

    def holds(self, method: str) -> bool:
        """Whether the handler begins only when a first message has passed, and there must be one."""
        return method not in self.early

    def begin(self, method: str, metadata: Any) -> Rpc:
        """Begin an RPC on the client's side."""
        return self.handle.begin(method, self.peer, self.seen(metadata))

    def seen(self, metadata: Any) -> Pairs | None:
        """Headers as the chain is shown them; None: it needs none."""
        return pairs(metadata) if self.touches.headers or self.handle.recording else None

    def stamped(self, metadata: Any) -> Any:
        """The request's metadata, with the version where RPCs carry it."""
        if not self.stamps:
            return metadata
        others = (pair for pair in metadata or () if pair[0] != VERSION_HEADER)
        return (*others, (VERSION_HEADER, self.version))
