# SPDX-License-Identifier: Apache-2.0
"""Whose an HTTP request is, from what an ASGI server knows of it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from transect.llm.config import Config
from transect.llm.tenants import Client, Tenants


class Identifier:
    """By its key, or by the name that a trusted proxy gives it."""

    def __init__(self, tenants: Tenants, config: Config) -> None:
        self._tenants = tenants
        self.load(config)

    def load(self, config: Config) -> None:
        """Another configuration comes into force."""
        self.header = config.identity.header.lower().encode()

    def who(self, scope: MutableMapping[str, Any]) -> Client | None:
        """The tenant of an ASGI scope; None: nobody that is known."""
        shown: str | None = None
        other: str | None = None
        named: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"authorization":
                shown = _bearer(value) if shown is None else shown
            elif name == b"x-api-key":
                other = value.decode("latin-1").strip() if other is None else other
            elif name == self.header:
                named.append(value)
        peer = scope.get("client")
        return self._tenants.who(
            key=other if shown is None else shown,
            # One that comes twice is no name: who put the other one there?
            named=named[0].decode("latin-1") if len(named) == 1 else None,
            peer=peer[0] if peer else None,
        )


def _bearer(value: bytes) -> str:
    """The key of an Authorization header; what is none is a key that nobody has."""
    scheme, _, key = value.decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
