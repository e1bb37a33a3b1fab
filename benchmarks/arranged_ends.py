# SPDX-License-Identifier: Apache-2.0
"""Client and server in Python for `arranged.py`, each in a process of its own.

    arranged_ends.py serve CHAIN INDICES…      a port for each list of the chain's elements; prints the ports
    arranged_ends.py call CHAIN PORT:INDICES…  reads lines `WHICH CALLS`, makes so many calls, says the µs of each

INDICES are numbers with commas between, or `-` for none: those elements stand in this end's library.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import grpc

from transect.control.stopping import stopping
from transect.emit.py.build import build
from transect.emit.py.image import restore
from transect.rpc import echo
from transect.rpc.chain.file import first_state, read_chain
from transect.rpc.chain.model import ChainFile
from transect.rpc.grpcio import carrier
from transect.rpc.grpcio.attach import put_before, service_of
from transect.rpc.grpcio.making import Maker

OWN = (("grpc.use_local_subchannel_pool", 1),)


def chain_at(path: str) -> ChainFile:
    read = read_chain(Path(path))
    assert read.chain is not None, list(read.diagnostics)
    return read.chain


def attached(target: Any, chain: ChainFile, indices: str) -> Any:
    if indices == "-":
        return target
    uses = [chain.elements[int(index)] for index in indices.split(",")]
    policies = [build(use.program)() for use in uses]
    for policy, use in zip(policies, uses, strict=True):
        restore(policy, first_state(use.program, use.values))
    maker = Maker(service_of(echo.DESCRIPTOR), chain.methods or None, carrier.of(target), True, None, "", 5)
    return put_before(target, maker, [use.program for use in uses], policies, None)


def serve(chain: ChainFile, parts: list[str]) -> None:
    with stopping() as stop:
        made = [echo.serve(around=lambda it, part=part: attached(it, chain, part)) for part in parts]
        print(*(port for _, port in made), flush=True)
        stop.wait()
        for server, _ in made:
            server.stop(0)


def call(chain: ChainFile, parts: list[str]) -> None:
    stubs = []
    for part in parts:
        port, _, indices = part.partition(":")
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", OWN)
        stubs.append(echo.Stub(attached(channel, chain, indices)))
    body = echo.Ask(user="alice", key="k", text="x" * 50)
    for line in sys.stdin:
        which, calls = map(int, line.split())
        say, took = stubs[which].Say, []
        try:
            for _ in range(calls):
                start = time.perf_counter_ns()
                say(body)
                took.append(time.perf_counter_ns() - start)
            print(*(one / 1000 for one in took), flush=True)
        except grpc.RpcError as wrong:
            print(f"status {wrong.code()} {wrong.details()}", flush=True)


def main() -> None:
    verb, path, *parts = sys.argv[1:]
    (serve if verb == "serve" else call)(chain_at(path), parts)


if __name__ == "__main__":
    main()
