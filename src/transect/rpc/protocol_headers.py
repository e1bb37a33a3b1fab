# SPDX-License-Identifier: Apache-2.0
"""Headers and trailers that are HTTP/2's and gRPC's own.  Each carrier has others of them in its metadata, and does
something else when one is set; so no policy reads or writes them, in any.  `runtime/elements.h` says the same in C."""

from __future__ import annotations

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
"""Who calls may read it everywhere; gRPC's libraries write it themselves."""

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
    """Whether `get` of this name is None, whatever came: also of one with capitals, which some carriers would find in
    lower case."""
    return owned(name) or any("A" <= c <= "Z" for c in name)


def read_only(name: str) -> bool:
    """Whether policies may read what has this name, and not write it."""
    return name.lower() == READ_ONLY


def unwritable(name: str) -> bool:
    """Whether `set` and `remove` of this name do nothing."""
    return unreadable(name) or read_only(name)


def instead(name: str) -> str:
    """What a policy uses in place of such a name."""
    return INSTEAD.get(name.lower(), f'use a name of its own, such as "x-{name.lower().lstrip(":")}"')
