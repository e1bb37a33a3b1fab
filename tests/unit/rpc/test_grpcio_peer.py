# SPDX-License-Identifier: Apache-2.0
"""Names of a certificate: as it has them, whatever gRPC makes of them; one that cannot be read is nobody's."""

from __future__ import annotations

import ssl

import pytest

from transect.rpc.grpcio.peer import certified, identity

NAMES = b"\x06\x03\x55\x1d\x11"  # subjectAltName


def value(tag: int, *inner: bytes) -> bytes:
    content = b"".join(inner)
    length = len(content).to_bytes(2)
    return bytes((tag,)) + (length[1:] if len(content) < 128 else b"\x82" + length) + content


def certificate(*names: bytes, critical: bytes = b"", kind: bytes = NAMES) -> bytes:
    """With a serial number, and extensions: these names, after one of another kind."""
    listed = value(0x30, *names)
    other = value(0x30, b"\x06\x03\x55\x1d\x0f", value(0x04, value(0x30, value(0x86, b"spiffe://other"))))
    extension = value(0x30, kind, critical, value(0x04, listed))
    return value(
        0x30, value(0x30, value(0x02, b"\x01"), value(0xA3, value(0x30, other, extension))), value(0x30)
    )


def peer(der: bytes, subject: bytes = b"CN=x") -> str | None:
    pem = ssl.DER_cert_to_PEM_cert(der).encode()
    return certified(
        {"x509_pem_cert": [pem], "x509_subject": [subject], "peer_uri": [b"spiffe://as-grpc-says"]}
    )


@pytest.mark.parametrize(
    ("der", "known"),
    [
        (certificate(value(0x86, b"spiffe://a"), value(0x86, b"spiffe://b")), "spiffe://a"),
        (certificate(value(0x82, b"d.example"), value(0x86, b"spiffe://a")), "spiffe://a"),
        (certificate(value(0x86, b"spiffe://a"), critical=b"\x01\x01\xff"), "spiffe://a"),
        (certificate(value(0x86, b"x" * 300)), "x" * 300),
        (certificate(value(0x86, b"spiffe://a\0" + value(0x86, b"spiffe://b"))), ""),
        (certificate(value(0x86, b""), value(0x82, b"d.example")), "d.example"),
        (certificate(value(0x86, b""), value(0x86, b"spiffe://b"), value(0x82, b"d.example")), "d.example"),
        (certificate(value(0x86, b""), value(0x86, b"spiffe://b")), "CN=x"),
        (certificate(), "CN=x"),
        (certificate(value(0x86, b"spiffe://a"), kind=b"\x06\x03\x55\x1d\x12"), "CN=x"),
        (certificate(b"\x86\x7fspiffe://a"), ""),
        (certificate(b"\x86"), ""),
        (certificate(value(0x86, b"spiffe://a"))[:-20], ""),
        (b"\x30\x84\xff\xff\xff\xff", ""),
        (b"\x02\x01\x01", ""),
        (b"", ""),
    ],
)
def test_the_first_name_of_the_best_kind(der: bytes, known: str) -> None:
    assert peer(der) == known


def test_one_without_any_name_has_none() -> None:
    assert peer(certificate(), subject=b"") is None


class Proved:
    """A client whose transport knows it by something else than a certificate."""

    def __init__(self, *names: bytes) -> None:
        self.names = names

    def peer_identities(self) -> list[bytes]:
        return list(self.names)

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"transport_security_type": [b"alts"]}

    def peer(self) -> str:
        return "ipv4:10.0.0.1:4711"


@pytest.mark.parametrize(
    ("names", "known"),
    [((b"a@b", b"c@d"), "a@b"), ((b"a\0b",), ""), ((b"\xff",), ""), ((), "10.0.0.1")],
)
def test_one_who_is_known_in_another_way_is_the_first_that_it_proves(
    names: tuple[bytes, ...], known: str
) -> None:
    assert identity(Proved(*names)) == known
