# SPDX-License-Identifier: Apache-2.0
"""What an rpc policy defines and uses.  The compiler reads this file as text; type checkers and tests import it.

| hook       | runs                                                    | chain order | returns          |
|------------|---------------------------------------------------------|-------------|------------------|
| `request`  | for each request message                                | as written  | `Verdict`        |
| `response` | for each reply message (from the peer or a `Respond`)   | reverse     | `Verdict`        |
| `finish`   | once for each entered element, however the RPC ends     | reverse     | `Retry`, or None |
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from transect.lang import Duration, Policy, View, intrinsic, struct
from transect.rpc.chain.spec import Chain  # noqa: F401 - part of the interface
from transect.rpc.functions import (  # noqa: F401 - part of the interface
    compress,
    compress_text,
    digest,
    expand,
    expand_text,
    seal,
    seal_text,
    unseal,
    unseal_text,
)
from transect.rpc.headers import printable, sendable, unreadable, unwritable

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    M = TypeVar("M", default=Any)
    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    M = TypeVar("M")
    R = TypeVar("R")

LOCALS = "RPC"  # what a `Local` belongs to
SCOPES = ("instance", "worker", "edge", "server", "client", "global")


class Code(IntEnum):
    """Status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Cause(IntEnum):
    """Why an RPC ended."""

    REPLY = 0
    REJECT = 1
    CANCEL = 2
    DEADLINE = 3
    RESET = 4


class Message(View, writable=True):
    """The part of a protobuf message that a policy needs: a subclass names fields of the message.

    A sub-message is a field of another `Message` class; `T | None` has presence (optional, oneof); `Sequence[T]` is a
    repeated field, `Mapping[K, V]` a map field.
    """


class Headers(View):
    """Metadata of one direction; names in lower case.  In tests a dict: `Rpc(headers={"x-user": "bob"})`."""

    def __init__(self, fields: Mapping[str, str] | None = None, /) -> None:
        self._fields = dict(fields or {})

    @intrinsic(effect="outside-read")
    def get(self, name: str, /) -> str | None:
        """The value, or None; of several, all with commas between, as gRPC has it."""
        found = None if unreadable(name) else self._fields.get(name)
        return found if found is not None and printable(found) else None

    @intrinsic(effect="outside-write")
    def set(self, name: str, value: str, /) -> None:
        """Replace or add; a value that gRPC does not take takes the header out."""
        if unwritable(name):
            return
        if sendable(name, value):
            self._fields[name] = value
        else:
            self._fields.pop(name, None)

    @intrinsic(effect="outside-write")
    def remove(self, name: str, /) -> None:
        """Take out; an absent name changes nothing."""
        if not unwritable(name):
            self._fields.pop(name, None)


class Rpc(View, Generic[M, R]):
    """One RPC.  `Rpc[Ask, Answer]`: the views of its request and reply."""

    msg: M
    reply: R
    headers: Headers
    trailers: Headers
    method: str
    """`/package.Service/Method`."""
    peer: str
    """The authenticated identity of the caller, else its address."""
    body: bytes
    """The whole request message, serialised."""
    reply_body: bytes
    """The whole reply message, serialised."""

    if not TYPE_CHECKING:

        def __class_getitem__(cls, _: object) -> type:
            return cls


class Outcome(View):
    """How an RPC ended."""

    code: Code
    cause: Cause
    elapsed: Duration


@struct
class Forward:
    """Let the message pass; `after` a delay; `to` a named route."""

    after: Duration | None = None
    to: str | None = None


@struct
class Reject:
    """End the RPC with a status."""

    code: Code
    message: str = ""


@struct
class Respond:
    """Answer with a whole serialised message, without asking further."""

    body: bytes


@struct
class Retry:
    """Send the request again (unary, client side)."""

    after: Duration | None = None


Verdict: TypeAlias = Forward | Reject | Respond


class Element(Policy):
    """A policy which processes RPCs."""

    def request(self, rpc: Rpc[Any, Any], /) -> Verdict:
        """A request message passes by."""
        return Forward()

    def response(self, rpc: Rpc[Any, Any], /) -> Verdict:
        """A reply message passes by."""
        return Forward()

    def finish(self, rpc: Rpc[Any, Any], outcome: Outcome, /) -> Retry | None:
        """The RPC has ended."""
        return None
