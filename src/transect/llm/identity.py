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
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        keys = [v for k, v in headers if k == b"authorization"]
        keys += [b"Bearer " + v for k, v in headers if k == b"x-api-key"]
        named = [v for k, v in headers if k == self.header]
        peer = scope.get("client")
        return self._tenants.who(
            key=_bearer(keys[0]) if keys else None,
            # One that comes twice is no name: who put the other one there?
            named=named[0].decode("latin-1") if len(named) == 1 else None,
            peer=peer[0] if peer else None,
        )


def _bearer(value: bytes) -> str:
    """The key of an Authorization header; what is none is a key that nobody has."""
    scheme, _, key = value.decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
