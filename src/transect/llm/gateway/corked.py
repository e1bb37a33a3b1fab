# SPDX-License-Identifier: Apache-2.0
"""A transport of answers: answers leave in one piece, and also reach a client that is still sending its request.

uvicorn writes the head of an answer and its body one after the other, each in a call of the system of its own, which is
a good part of what a short answer costs.  A connection that is closed while its client sends is reset by the kernel,
and the answer with it: so this side ends its direction first, and reads what still comes until the client notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Corked:
    """A transport that sends at once what is written in one turn of the loop."""

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        closes: Callable[[], bool] = lambda: False,
    ) -> None:
        """`closes`: called before closing; it returns whether the client is still sending."""
        self._transport = transport
        self._loop = loop
        self._closes = closes
        self._pieces: list[bytes] = []
        self._closing = False

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    @property
    def unwritten(self) -> int:
        """Bytes that the client has not taken yet, but for those in the kernel's hands."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._pieces))

    def close(self) -> None:
        """After what was written, and for a client that is still sending, only our side of it."""
        if self.is_closing():
            return
        self._flush()
        self._closing = True
        if not (self._closes() and self._transport.can_write_eof()):
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # asyncio lets it through where the client is gone already
            self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
