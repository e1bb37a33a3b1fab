# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.rpc.chain.address import Endpoint
from transect.rpc.envoy.deploy import must_be_free


def test_a_port_is_not_shared_with_another_proxy() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as Envoy opens its own
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = Endpoint("127.0.0.1", other.getsockname()[1])
        with pytest.raises(Unavailable, match=f"the address {listen}: somebody listens there"):
            must_be_free(listen)
    must_be_free(listen)


def test_any_port_and_a_unix_socket_are_left_to_envoy(tmp_path: Path) -> None:
    must_be_free(Endpoint())
    must_be_free(Endpoint(path=str(tmp_path / "x.sock")))
    must_be_free(Endpoint(path="@x"))


def test_what_no_envoy_could_listen_at_is_told_before_one_starts(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no folder"):
        must_be_free(Endpoint(path=str(tmp_path / "none/x.sock")))
    with pytest.raises(Unavailable, match=r"the address 203\.0\.113\.5:0: cannot assign requested address"):
        must_be_free(Endpoint("203.0.113.5", 0))
