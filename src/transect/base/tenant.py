# SPDX-License-Identifier: Apache-2.0
"""A tenant as a number: what travels where only numbers do, from an application to the kernel's scheduler."""

from __future__ import annotations

import hashlib
from functools import lru_cache

ANONYMOUS = "anonymous"
"""The tenant of callers that are not known."""


@lru_cache(4096)
def number_of(tenant: str) -> int:
    """The first eight bytes of the name's SHA-256, big-endian, without the sign; 0 for `anonymous` and for an empty
    name.  Finding a second name with the same number is infeasible.
    """
    if tenant in ("", ANONYMOUS):
        return 0
    return int.from_bytes(hashlib.sha256(tenant.encode()).digest()[:8]) & (1 << 63) - 1
