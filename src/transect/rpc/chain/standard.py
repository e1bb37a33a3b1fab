# SPDX-License-Identifier: Apache-2.0
"""Services that stand beside others on a server's port and concern the server itself: health and reflection.

Methods are named one by one: a proxy that passes everything with a prefix would also pass a path with `..`, which a
server behind it may resolve to something else.  Sources: grpc/health/v1/health.proto,
grpc/reflection/v1/reflection.proto and its v1alpha.
"""

from __future__ import annotations

from collections.abc import Sequence

STANDARD: dict[str, dict[str, tuple[str, ...]]] = {
    "health": {"grpc.health.v1.Health": ("Check", "List", "Watch")},
    "reflection": {
        "grpc.reflection.v1.ServerReflection": ("ServerReflectionInfo",),
        "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo",),
    },
}


def standard_paths(what: str, service: str) -> Sequence[str]:
    """The methods of health or reflection; empty if the chain itself is in front of that service."""
    return [
        f"/{name}/{method}"
        for name, methods in STANDARD[what].items()
        if name != service
        for method in methods
    ]
