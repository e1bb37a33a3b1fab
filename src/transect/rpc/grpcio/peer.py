# SPDX-License-Identifier: Apache-2.0
"""Who calls a server: `rpc.peer`, the same text as in Envoy (`runtime/envoy_module.c`)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from transect.rpc.headers import printable

Known = Mapping[str, Sequence[bytes]]
"""gRPC's `auth_context()`."""

URI, DNS = 0x86, 0x82  # tags of names in a certificate: RFC 5280, 4.2.1.6, GeneralName
EXTENSIONS = 0xA3  # the tag of a certificate's extensions: RFC 5280, 4.1
ALTERNATIVE_NAMES = b"\x55\x1d\x11"  # 2.5.29.17
LONG = 0x80  # a length that takes several bytes


def identity(context: Any) -> str:
    """The authenticated identity of the caller, else its address (the port changes with each connection).

    For a certificate, this is not the first of `peer_identities()`: a common name, which may look like anybody's URI.
    """
    identities = context.peer_identities()
    if identities:
        known = context.auth_context()
        if "x509_subject" not in known:  # proved by something else than a certificate
            return _text(next(iter(identities)))
        found = certified(known)
        if found is not None:
            return found
    return address(context.peer())


def certified(known: Known) -> str | None:
    """The first URI of a certificate, else its first DNS name, else its subject; None: it has none of them.

    Empty, which is nobody's name, when that name holds anything but printable ASCII, or the names cannot be read.
    """
    try:
        names = alternative_names(_first(known, "x509_pem_cert"))
    except ValueError:
        return ""
    found = names.get(URI) or names.get(DNS) or _first(known, "x509_subject")
    return _text(found) if found else None


def _first(known: Known, key: str) -> bytes:
    return next(iter(known.get(key, ())), b"")


def _text(name: bytes) -> str:
    text = name.decode("latin-1")
    return text if printable(text) else ""


@lru_cache(1024)
def alternative_names(pem: bytes) -> Mapping[int, bytes]:
    """The first subject alternative name of each kind, by its tag, as the certificate has it.

    gRPC cuts each at a NUL, so that `spiffe://a\\0b` would be `spiffe://a`.  Raises ValueError for what is no DER.
    """
    certificate = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    ((_, signed),) = _values(certificate)
    (_, content), *_ = _values(signed)
    names: dict[int, bytes] = {}
    for tag, extensions in _values(content):
        if tag != EXTENSIONS:
            continue
        ((_, listed),) = _values(extensions)
        for _, extension in _values(listed):
            (_, kind), *_, (_, value) = _values(extension)  # `critical` may stand between them
            if kind == ALTERNATIVE_NAMES:
                ((_, found),) = _values(value)
                for of, name in _values(found):
                    names.setdefault(of, name)
    return names


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER value in `data`, in order (X.690, 8.1).  Raises ValueError."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], int.from_bytes(data[at + 1 : at + 2]), at + 2
        if size >= LONG:
            digits = size - LONG
            size, at = int.from_bytes(data[at : at + digits]), at + digits
        if at + size > len(data):
            raise ValueError("a value ends beyond what it stands in")
        yield tag, data[at : at + size]
        at += size


def address(peer: str) -> str:
    """`127.0.0.1` of `ipv4:127.0.0.1:4711`, `::1` of `ipv6:[::1]:4711` (also percent-encoded), `unix` of `unix:…`."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return kind
    return rest.rpartition(":")[0].strip("[]")
