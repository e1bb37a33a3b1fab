# SPDX-License-Identifier: Apache-2.0
"""Who calls a server: `rpc.peer`, the same text as in Envoy (`runtime/envoy_module.c`)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from transect.rpc.headers import printable

Known = Mapping[str, Sequence[bytes]]
"""gRPC's `auth_context()`."""

URI, DNS = 0x86, 0x82  # tags of names in a certificate: RFC 5280, 4.2.1.6, GeneralName


def identity(context: Any) -> str:
    """The authenticated identity of the caller, else its address (the port changes with each connection).

    Of a certificate not the first of `peer_identities()`: a common name, which may look like anybody's URI.
    """
    identities = context.peer_identities()
    if identities:
        known = context.auth_context()
        if "x509_subject" not in known:  # proved by something else than a certificate
            return str(next(iter(identities)).decode(errors="replace"))
        found = certified(known)
        if found is not None:
            return found
    return address(context.peer())


def certified(known: Known) -> str | None:
    """The first URI of a certificate, else its first DNS name, else its subject; None: it has none of them.

    Empty, nobody's, when that name holds anything but printable ASCII.
    """
    for key, tag in (("peer_uri", URI), ("peer_dns", DNS)):
        name = _first(known, key)
        if name:
            return _text(name) if _holds(_first(known, "x509_pem_cert"), tag, name) else ""
    subject = _first(known, "x509_subject")
    return _text(subject) if subject else None


def _first(known: Known, key: str) -> bytes:
    return next(iter(known.get(key, ())), b"")


def _text(name: bytes) -> str:
    text = name.decode("latin-1")
    return text if printable(text) else ""


@lru_cache(1024)
def _holds(pem: bytes, tag: int, name: bytes) -> bool:
    """Whether that is a name in the certificate as it stands: gRPC ends one at a NUL, so that `spiffe://a\\0b` would be
    `spiffe://a`, and takes each byte for a letter of Latin-1."""
    der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    return bytes((tag, *_length(len(name)))) + name in der


def _length(size: int) -> bytes:
    """Of a value, as DER writes it."""
    if size < 128:
        return bytes((size,))
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((128 + len(digits),)) + digits


def address(peer: str) -> str:
    """`127.0.0.1` of `ipv4:127.0.0.1:4711`, `::1` of `ipv6:[::1]:4711` (also percent-encoded), `unix` of `unix:…`."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return kind
    return rest.rpartition(":")[0].strip("[]")
