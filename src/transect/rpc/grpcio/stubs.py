# SPDX-License-Identifier: Apache-2.0
"""What the synchronous and the asyncio channel have in common: which of a stub's methods go through the chain, with
which (de)serialisers, and what a call may be given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partialmethod
from typing import Any, ClassVar, NamedTuple

from transect.rpc.grpcio.ending import Ended
from transect.rpc.grpcio.handle import Carried
from transect.rpc.grpcio.versions import Versions

Transform = Callable[[Any], Any]
log = logging.getLogger(__name__)


class Given(NamedTuple):
    """What a call of a stub may be given beside the request, in gRPC's order."""

    timeout: Any = None
    metadata: Any = None
    credentials: Any = None
    wait_for_ready: Any = None
    compression: Any = None

    @property
    def rest(self) -> tuple[Any, Any, Any]:
        """What the chain has nothing to do with."""
        return self[2:]

    @property
    def named(self) -> dict[str, Any]:
        """The same by name."""
        return dict(zip(self._fields[2:], self[2:], strict=True))


def plain(message: Any) -> Any:
    """In place of a serialiser that is not given."""
    return message


def guarded(transform: Transform | None, text: str) -> Transform:
    """A (de)serialiser whose exceptions end the RPC the way gRPC's own do: logged, and INTERNAL."""
    if transform is None:
        return plain

    def run(message: Any) -> Any:
        try:
            return transform(message)
        except Exception:
            log.exception(text)
            raise Ended.internal(text) from None

    return run


class Method:
    """A stub's method that the chain covers; `inner` is gRPC's own, without serialisers."""

    def __init__(
        self,
        inner: Any,
        versions: Versions,
        method: str,
        serialize: Transform | None,
        deserialize: Transform | None,
    ) -> None:
        self._inner = inner
        self._versions = versions
        self._method = method
        self._serialize = guarded(serialize, "Exception serializing request!")
        self._deserialize = guarded(deserialize, "Exception deserializing response!")

    def stub(self, serialize: Transform | None, deserialize: Transform | None) -> Any:
        """What a stub calls."""
        return self


class Stubs:
    """The part of a channel that makes methods."""

    KINDS: ClassVar[Mapping[str, type[Method]]]

    def __init__(self, inner: Any, carried: Carried | Versions) -> None:
        self._inner = inner
        self._versions = Versions.of(carried)

    def _wrap(
        self,
        kind: str,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        """A stub's method of that kind, through the chain where it covers the method."""
        make = getattr(self._inner, kind)
        if not self._versions.covers(method):
            return make(method, request_serializer, response_deserializer, *more, **named)
        below = make(method, None, None, *more, **named)
        coding = (request_serializer, response_deserializer)
        return self.KINDS[kind](below, self._versions, method, *coding).stub(*coding)

    unary_unary: Any = partialmethod(_wrap, "unary_unary")
    unary_stream: Any = partialmethod(_wrap, "unary_stream")
    stream_unary: Any = partialmethod(_wrap, "stream_unary")
    stream_stream: Any = partialmethod(_wrap, "stream_stream")
