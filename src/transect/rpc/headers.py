# SPDX-License-Identifier: Apache-2.0
"""Which headers gRPC accepts, and which belong to HTTP/2 and to gRPC itself.

In C, `runtime/headers.h` says the first, and `runtime/elements.h` the second.
"""

from __future__ import annotations

import base64
import re

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_BASE64 = re.compile("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}={0,2}|[A-Za-z0-9+/]{3}=?)?")
"""Needed since Python's own decoder also accepts padding where none belongs."""


def sendable(name: str, value: str) -> bool:
    """Whether a header can be sent.  gRPC refuses a whole call for one that cannot; in other carriers, a line break
    would end the connection."""
    return takes_name(name) and printable(value) and (not binary(name) or decoded(value) is not None)


def takes_name(name: str) -> bool:
    """Whether gRPC takes a header of this name."""
    return bool(name) and _NAME.issuperset(name)


def binary(name: str) -> bool:
    """Whether the value of a header of this name is base64."""
    return name.endswith("-bin")


def printable(value: str) -> bool:
    """Whether a text is printable ASCII, which is all that a header's text may hold."""
    return all(" " <= c <= "~" for c in value)


def decoded(value: str) -> bytes | None:
    """The bytes of a `-bin` header, padded in full, in part or not at all; None: it is no base64."""
    if _BASE64.fullmatch(value) is None:
        return None
    return base64.b64decode(value + "=" * (-len(value) % 4))


# ---------------------------------------------------------------- the protocol's own

# Carriers differ in which of these are in their metadata, and in what they do when one is set; so policies neither read
# nor write them in any carrier.
PREFIXES = (":", "grpc-")
NAMES = frozenset(
    {
        "te",
        "content-type",
        "content-length",
        "content-encoding",
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "trailer",
        "proxy-connection",
    }
)
READ_ONLY = "user-agent"
"""Policies may read it in every carrier, but not write it: gRPC's libraries do that."""

INSTEAD = {
    ":path": "use `rpc.method`",
    ":authority": "use `rpc.peer` for who calls",
    "host": "use `rpc.peer` for who calls, or a name of its own",
    "grpc-timeout": "delay a call with `Forward(after=…)`, and end it with `Reject(code, message)`",
    "grpc-status": "end the call with `Reject(code, message)`; `outcome.code` in `finish` is how it ended",
    "grpc-message": "end the call with `Reject(code, message)`",
    ":status": "end the call with `Reject(code, message)`; `outcome.code` in `finish` is how it ended",
}


def owned(name: str) -> bool:
    """Whether the name, however it is written, belongs to the protocol."""
    return (lower := name.lower()) in NAMES or lower.startswith(PREFIXES)


def unreadable(name: str) -> bool:
    """Whether `get` of this name is always None: also of a name with capitals, which some carriers would find in
    lower case."""
    return owned(name) or any("A" <= c <= "Z" for c in name)


def read_only(name: str) -> bool:
    """Whether policies may read a header of this name, but not write it."""
    return name.lower() == READ_ONLY


def unwritable(name: str) -> bool:
    """Whether `set` and `remove` of this name do nothing."""
    return unreadable(name) or read_only(name)


def instead(name: str) -> str:
    """What a policy uses in place of such a name."""
    return INSTEAD.get(name.lower(), f'use a name of its own, such as "x-{name.lower().lstrip(":")}"')
