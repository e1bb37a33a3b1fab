# SPDX-License-Identifier: Apache-2.0
"""How one layer tells the next whose a request is: a header's text under a key that both have.

    1;alice;1765000030000;1765000002000;8f14e45fceea167a;9d5f…

The form, the tenant, when the word ends and when the request does (milliseconds of Unix time; 0: it has no deadline), a
random number by which a word that comes again is known, and HMAC-SHA-256 (RFC 2104) of all before, in hexadecimal.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from transect.base.weights import NAME

HEADER = "x-transect-tenant"
FORM = "1"
LONGEST = 256  # bytes of a word; none is as long
_TIME = re.compile(r"0|[1-9][0-9]{0,15}")  # of one text for each number, so that no word has a twin
_NONCE = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Word:
    """What is said of a request."""

    tenant: str
    ends: int
    """Unix time in milliseconds from which on nobody believes it."""
    deadline: int
    """Unix time in milliseconds when the request is over; 0: no one said."""
    nonce: str
    """16 hexadecimal digits."""

    def signed(self, key: bytes) -> str:
        """The header's text."""
        said = f"{FORM};{self.tenant};{self.ends};{self.deadline};{self.nonce}"
        return f"{said};{hmac.digest(key, said.encode(), 'sha256').hex()}"


def parsed(text: str) -> tuple[Word, str, str] | None:
    """What a header says, the part that is signed, and its signature; None where it is no such text."""
    if len(text) > LONGEST or not text.isascii():
        return None
    said, _, signature = text.rpartition(";")
    match said.split(";"):
        case [form, tenant, ends, deadline, nonce]:
            whole = (
                form == FORM
                and NAME.fullmatch(tenant)
                and _TIME.fullmatch(ends)
                and _TIME.fullmatch(deadline)
                and _NONCE.fullmatch(nonce)
            )
            return (Word(tenant, int(ends), int(deadline), nonce), said, signature) if whole else None
        case _:
            return None


def signed_by(key: bytes, said: str, signature: str) -> bool:
    """Whether who has the key signed it; how long that takes tells nothing of the signature."""
    return hmac.compare_digest(hmac.digest(key, said.encode(), "sha256").hex(), signature)
