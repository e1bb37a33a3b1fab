# SPDX-License-Identifier: Apache-2.0
"""The content of a chain file.  `transect rpc run FILE` parses the file and never imports it; this class is for editors
and type checkers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Elements in front of one service."""

    service: str
    """Full name, `package.Service`."""
    upstream: str
    """Where the service listens: `host:port` or `unix:PATH`."""
    elements: Sequence[object]
    """In the order in which a request passes them; keywords give parameters and first state."""
    listen: str = "127.0.0.1:0"
    """Where callers connect; port 0: any free one."""
    protos: Sequence[str] = ()
    """Files beside this one, .proto or .binpb; without them the upstream is asked by reflection."""
    proto_path: Sequence[str] = ()
    """Folders, beside this file, below which imports of `protos` are found; without any, the folder of each proto."""
    methods: Sequence[str] = ()
    """The methods that the chain covers; without any, all."""
    speaks_first: Sequence[str] = ()
    """Methods whose service may speak before its client does: it hears of an RPC at once, before any policy has run."""
    routes: Mapping[str, str] = field(default_factory=dict)
    """Where `Forward(to=name)` goes."""
    pass_by: Sequence[str] = ("health",)
    """Services of the same server that bypass the chain: "health" (grpc.health.v1), "reflection"; `[]`: none."""
    on_compressed: str = "reject"
    """Compressed messages cannot be looked into: "reject" (UNIMPLEMENTED) or "pass" them unseen."""
    max_message: int = 4 << 20
    """Bytes of a message at most; a larger one is rejected with RESOURCE_EXHAUSTED."""
    tls: Mapping[str, str] = field(default_factory=dict)
    """TLS towards callers: the files "certificate" and "key"; and "clients", the file of the authority that must have
    signed callers' certificates."""
    upstream_tls: Mapping[str, str] = field(default_factory=dict)
    """TLS towards the service: "authority", the file of the authority that signed its certificate; "name", the name in
    that certificate (default: the host); our own files "certificate" and "key", if the service wants them."""
    place: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """Where elements may stand: "client", "server", "client library", "client proxy", "server proxy", "server library",
    or a list of these.  An element has the name of its policy; the second element of one policy is `Acl.2`."""
    order: Sequence[tuple[str, str]] = ()
    """Pairs of elements: the first stays before the second, even where they could change places."""
    pairs: Sequence[tuple[str, str]] = ()
    """What the first does at the client's side, the second undoes at the server's: encrypt and decrypt."""
    guards: Sequence[str] = ()
    """Elements that a hostile client must not be able to pass by: they stand in a trusted place."""
    trusted: Sequence[str] = ("server",)
    """Places that a hostile client cannot leave out."""
    libraries: Sequence[str] = ()
    """Sides whose program can carry elements in its gRPC library: "client", "server"."""
    required: Sequence[str] = ()
    """Proxies that stay in the path, even with nothing to do: "client proxy", "server proxy"."""
    proxies: Sequence[str] = ("native", "wasm")
    """What proxies may load; "built-in" adds Envoy's own filters, for elements that provably do the same."""
