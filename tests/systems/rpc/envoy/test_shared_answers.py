# SPDX-License-Identifier: Apache-2.0
"""What the page of R036 says happens: a cache that does not look at what the route is chosen by shares its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from transect.base.unavailable import Unavailable
from transect.errors import page
from transect.rpc import echo
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.run import run

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")


def written(mark: str, port: int, folder: Path) -> Path:
    """The page's example, before the echo service."""
    found = page("R036")
    assert found is not None
    (example,) = found.examples(mark)
    text = example.replace("shop.Shop", "echo.Echo").replace("elements=", 'methods=["Say"],\n    elements=')
    for shop in ("50051", "50052"):
        text = text.replace(f"127.0.0.1:{shop}", f"127.0.0.1:{port}")
    path = folder / "chain.py"
    path.write_text(text)
    return path


def asked(address: object) -> list[str]:
    """What callers of one key get who send other texts: of version 2, of 2 once more, of none."""
    with grpc.insecure_channel(str(address)) as channel:
        say: Any = echo.Stub(channel).Say
        return [
            say(
                echo.Ask(key="k", text=text),
                metadata=(("x-version", version),) if version else (),
                timeout=10,
            ).text
            for version, text in (("2", "first"), ("2", "second"), ("", "third"))
        ]


@pytest.mark.parametrize(
    ("mark", "got"),
    [("bad", ["first", "first", "first"]), ("good", ["first", "first", "third"])],
)
def test_a_route_gets_the_answers_of_another_unless_the_key_tells_them_apart(
    tmp_path: Path, mark: str, got: list[str]
) -> None:
    server, port = echo.serve()
    try:
        read = read_chain(written(mark, port, tmp_path))
        assert read.chain is not None, [d.message for d in read.diagnostics]
        binding = bound(read.chain, read.diagnostics)
        assert binding is not None
        assert [d.code for d in read.diagnostics] == (["R036"] if mark == "bad" else [])
        with deploy(read.chain, binding, tmp_path / "envoy") as it:
            assert asked(it.envoy.address) == got
    finally:
        server.stop(None)


def test_run_says_what_check_warns_of(tmp_path: Path) -> None:
    said: list[str] = []
    server, port = echo.serve()
    try:
        with pytest.raises(Unavailable):
            run(written("bad", port, tmp_path), envoy=str(tmp_path / "none"), say=said.append)
    finally:
        server.stop(None)
    assert [text.splitlines()[0] for text in said] == [
        "warning[R036]: `Cache` answers calls of one route with replies of another"
    ]
