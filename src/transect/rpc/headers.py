# SPDX-License-Identifier: Apache-2.0
"""Which headers gRPC takes; `runtime/headers.h` is the twin."""

from __future__ import annotations

import base64
import re

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_BASE64 = re.compile("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}={0,2}|[A-Za-z0-9+/]{3}=?)?")
"""Python's own decoder takes padding where none belongs, too."""


def sendable(name: str, value: str) -> bool:
    """gRPC refuses a whole call for one header that is not, and a line break would end the connection elsewhere."""
    return takes_name(name) and printable(value) and (not binary(name) or decoded(value) is not None)


def takes_name(name: str) -> bool:
    """Whether gRPC takes a header of this name."""
    return bool(name) and _NAME.issuperset(name)


def binary(name: str) -> bool:
    """Whether the value of a header of this name is base64."""
    return name.endswith("-bin")


def printable(value: str) -> bool:
    """All that a header's text may hold is printable ASCII."""
    return all(" " <= c <= "~" for c in value)


def decoded(value: str) -> bytes | None:
    """The bytes of a `-bin` header, padded in full, in part or not at all; None: it is no base64."""
    if _BASE64.fullmatch(value) is None:
        return None
    return base64.b64decode(value + "=" * (-len(value) % 4))
