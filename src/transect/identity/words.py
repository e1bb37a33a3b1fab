# SPDX-License-Identifier: Apache-2.0
"""How one layer tells the next the tenant of a request: a header's text, signed with a key that both have.

    1;alice;1765000030000;1765000002000;8f14e45fceea167a;9d5f…

The form, the tenant, when the word expires and when the request does (milliseconds of Unix time; 0: no deadline), a
random number by which a repeated word is recognised, and the HMAC-SHA-256 (RFC 2104) of everything before it, in
hexadecimal.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from transect.base.weights import NAME

HEADER = "x-transect-tenant"
FORM = "1"
LONGEST = 256  # bytes of a header; every word is shorter
_TIME = re.compile(r"0|[1-9][0-9]{0,15}")  # one spelling for each number, so that no word has two texts
_NONCE = re.compile(r"[0-9a-f]{16}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Word:
    """What a layer says of a request."""

    tenant: str
    ends: int
    """The Unix time in milliseconds from which on the word is not believed."""
    deadline: int
    """The deadline of the request: Unix time in milliseconds; 0 if there is none."""
    nonce: str
    """16 hexadecimal digits."""

    def signed(self, key: bytes) -> str:
        """The header's text."""
        said = f"{FORM};{self.tenant};{self.ends};{self.deadline};{self.nonce}"
        return f"{said};{hmac.digest(key, said.encode(), 'sha256').hex()}"


def parsed(text: str) -> tuple[Word, str, str] | None:
    """The word in a header, the part that is signed, and its signature; None if the text has another form."""
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
                and _SIGNATURE.fullmatch(signature)
            )
            return (Word(tenant, int(ends), int(deadline), nonce), said, signature) if whole else None
        case _:
            return None


def signed_by(key: bytes, said: str, signature: str) -> bool:
    """Whether the text was signed with the key; the time that this takes reveals nothing about the signature."""
    return hmac.compare_digest(hmac.digest(key, said.encode(), "sha256").hex(), signature)
