# SPDX-License-Identifier: Apache-2.0
"""Headers that no gRPC client sends, before a chain in a grpcio server: bytes beyond ASCII read as no header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.systems.rpc.carriers.carriers import _attached, _served
from tests.systems.rpc.carriers.service import Kit, generated
from tests.systems.rpc.envoy.http2 import END_HEADERS, HEADERS, connect, encode_headers, frame, message

pytestmark = pytest.mark.needs("gcc", "grpcio", "python-headers")


@pytest.fixture(scope="module", params=[True, False], ids=["native", "emitted Python"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Kit, int]]:
    kit = Kit()
    with _served(kit, lambda server: _attached(server, native=request.param)) as (port, _):
        yield kit, port


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (("a",), "a"),
        (("a~ b",), "a~ b"),
        (("\udcff",), "absent"),
        (("mall\udcff",), "absent"),
        (("é",), "absent"),
        (("a", "\udcff"), "absent"),
    ],
)
def test_a_header_that_is_no_printable_ascii_is_none(
    served: tuple[Kit, int], values: tuple[str, ...], read: str
) -> None:
    kit, port = served
    name = f"raw {values!a}"
    head = [(":method", "POST"), (":scheme", "http"), (":path", "/kit.Kit/Say"), (":authority", "test")]
    head += [("content-type", "application/grpc"), ("te", "trailers"), ("x-call", name)]
    with closing(connect(port)) as c:
        sent = encode_headers([*head, *(("x-in", value) for value in values)])
        c.send(frame(HEADERS, END_HEADERS, 1, sent))
        c.data(1, message(generated()[0].Ask(text="qread").SerializeToString()))
        c.until_over(1)
    assert kit.seen[name].read == [f"qread/{read}/0"]
