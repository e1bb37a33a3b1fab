# SPDX-License-Identifier: Apache-2.0
"""A handler's context that wraps another one, and delegates to it whatever it does not change."""

from __future__ import annotations

from typing import Any

import grpc


class Delegating:
    """What is the same in the contexts of threaded and of asyncio servers; `_inner` is the wrapped one.

    In a list of bases it comes before gRPC's class, whose methods are abstract.
    """

    _inner: Any

    def invocation_metadata(self) -> Any:
        return self._inner.invocation_metadata()

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._inner.set_trailing_metadata(trailing_metadata)

    def trailing_metadata(self) -> Any:
        return self._inner.trailing_metadata()

    def time_remaining(self) -> Any:
        return self._inner.time_remaining()

    def peer(self) -> str:
        return self._inner.peer()  # type: ignore[no-any-return]

    def peer_identities(self) -> Any:
        return self._inner.peer_identities()

    def peer_identity_key(self) -> Any:
        return self._inner.peer_identity_key()

    def auth_context(self) -> Any:
        return self._inner.auth_context()

    def set_compression(self, compression: Any) -> None:
        self._inner.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        self._inner.disable_next_message_compression()

    def set_code(self, code: Any) -> None:
        self._inner.set_code(code)

    def set_details(self, details: str) -> None:
        self._inner.set_details(details)

    def code(self) -> Any:
        return self._inner.code()

    def details(self) -> Any:
        return self._inner.details()


class Passing(Delegating, grpc.ServicerContext):
    """Delegates to `inner`, the context of a threaded server."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    # Abstract in the base class, so `__getattr__` does not see them.

    def is_active(self) -> bool:
        return self._inner.is_active()  # type: ignore[no-any-return]

    def cancel(self) -> Any:
        return self._inner.cancel()

    def add_callback(self, callback: Any) -> bool:
        return self._inner.add_callback(callback)  # type: ignore[no-any-return]

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        self._inner.send_initial_metadata(initial_metadata)

    def abort(self, code: Any, details: str = "") -> Any:
        self._inner.abort(code, details)

    def abort_with_status(self, status: Any) -> Any:
        self._inner.abort_with_status(status)
