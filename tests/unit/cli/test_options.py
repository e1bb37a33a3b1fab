# SPDX-License-Identifier: Apache-2.0
"""Where servers of pages and metrics are told to listen."""

from __future__ import annotations

import pytest
import typer

from transect.cli.options import place_of
from transect.rpc.chain.address import Endpoint


def test_a_host_and_a_port_or_a_port_of_this_machine() -> None:
    assert place_of("--metrics", ":9110") == Endpoint("127.0.0.1", 9110)
    assert place_of("--metrics", "[::1]:9110") == Endpoint("::1", 9110)
    assert place_of("--metrics", None) is None


@pytest.mark.parametrize("wrong", ["localhost", "unix:/run/x.sock", "127.0.0.1:65536", ""])
def test_anything_else_is_a_mistake_of_the_command_line(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"`{wrong}` is no address; write HOST:PORT"):
        place_of("--metrics", wrong)
