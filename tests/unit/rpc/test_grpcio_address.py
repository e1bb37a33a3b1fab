# SPDX-License-Identifier: Apache-2.0
"""`rpc.peer` of a caller without a certificate is the same text on every carrier."""

from __future__ import annotations

import pytest

from transect.rpc.grpcio.peer import address


@pytest.mark.parametrize(
    ("peer", "is_address"),
    [
        ("ipv4:127.0.0.1:4711", "127.0.0.1"),
        ("ipv6:[::1]:4711", "::1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("unix:/run/x.sock", "unix"),
        ("unix:", "unix"),
    ],
)
def test_an_address_has_no_port(peer: str, is_address: str) -> None:
    assert address(peer) == is_address
