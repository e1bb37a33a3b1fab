# SPDX-License-Identifier: Apache-2.0
"""API keys.  A key is shown once, when it is made; configuration and memory hold its hash only.

A key is 32 random bytes, so its plain SHA-256 cannot be searched for; a slow hash would only help against guessable
secrets, and would cost every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

PREFIX = "tsk-"
_KIND = "sha256:"
_FIRST = 4  # bytes of a hash by which candidates are found


def new() -> tuple[str, str]:
    """A new key, and its hash for the configuration."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, hash_of(key)


def hash_of(key: str) -> str:
    """What the configuration holds of a key."""
    return _KIND + hashlib.sha256(key.encode()).hexdigest()


class Keyring:
    """Whose key is it?"""

    def __init__(self, owners: Mapping[str, str]) -> None:
        """`owners`: hash of a key -> its tenant."""
        self._owners: dict[bytes, list[tuple[bytes, str]]] = {}
        for known, owner in owners.items():
            hashed = bytes.fromhex(known.removeprefix(_KIND))
            self._owners.setdefault(hashed[:_FIRST], []).append((hashed, owner))

    def owner(self, key: str) -> str | None:
        """The tenant whose key this is.

        The hash is compared in constant time.  Its first bytes find whom to compare with, and how long that takes tells
        nothing: nobody can choose a key by the bytes of its hash and come nearer to another.
        """
        asked = hashlib.sha256(key.encode()).digest()
        for known, owner in self._owners.get(asked[:_FIRST], ()):
            if hmac.compare_digest(known, asked):
                return owner
        return None
