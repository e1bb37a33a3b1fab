# SPDX-License-Identifier: Apache-2.0
"""Every way through the extension, on the probe chain.  Run as a program it does so under sanitizers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PROBE = Path(__file__).parents[2] / "systems" / "rpc" / "envoy" / "probe_chain.c"


def ways(chain: Any) -> None:
    """One RPC by its hooks, a few calls of a stub's method, the state."""
    rpc = chain.begin("/t.Echo/Say", "peer", (("x-a", "1"), ("x-ü", "2")))
    for message in (
        b"x",
        b"",
        b"q0 rewrite y",
        b"q0 after 1",
        b"q1 to east",
        b"q1 reject 7 no",
        b"q0 respond r",
        b"q0 set q x-a 2\nq0 get q x-a\nq1 get q x-b\nq1 remove q x-a\nq1 get q x-a",
    ):
        rpc.request(message)
    rpc.changes(0)
    rpc.receive(1, (("x-b", "2"),))
    rpc.response(b"p0 get p x-b\np0 rewrite z")
    rpc.finish(0, 0)
    rpc.request(b"late")
    chain.begin("/t.Echo/Say", "", None).request(b"dropped")
    calls(chain)
    chain.save(0)
    chain.replace(1, chain.save(1), bytes(8))
    chain.load(1, b"short")


def calls(chain: Any) -> None:
    def inner(data: bytes, *more: Any, **named: Any) -> bytes:
        if data == b"fail":
            raise ValueError(data)
        return data

    def refuse(data: bytes) -> bytes:
        raise ValueError(data)

    def otherwise(stage: int, *_: Any) -> int:
        return stage

    for deserialize in (None, bytes, refuse):
        made = chain.unary(inner, None, deserialize, "/t.Echo/Say", "", otherwise, None, None)
        stages = [
            made(b"x", 5, metadata=()),
            made(b"q0 reject 7 no"),
            made(b"p0 reject 7 no"),
            made(b"fail"),
            made("no"),
        ]
        assert stages[1:] == [1, 3, 2, 0], stages
        if chain.recording:  # Python reads what the metadata call the request
            assert stages[0] == 0, stages
        else:
            assert stages[0] == (5 if deserialize is refuse else b"x"), stages
        assert made(*[b"x"] * 20) == 0
        assert made(request=b"x") == 0


def run(module: Any, times: int) -> None:
    for _ in range(times):
        chain = module.Chain()
        chain.record(lambda record: None, 0)
        ways(chain)
        ways(chain)
        chain.record(None, 0)
        calls(chain)


if __name__ == "__main__":
    from transect.rpc.grpcio import native
    from transect.rpc.native import build

    build.FLAGS = (*build.FLAGS, "-Wall", "-Wextra", "-Werror", *sys.argv[2:])
    run(native.load(native.compiled({"chain.c": PROBE.read_bytes()}, Path(sys.argv[1]))), 20)
