# SPDX-License-Identifier: Apache-2.0
"""Calls without end: `load.py ADDRESS bare|chain|leaking`.  Some are cancelled, some are late, some are streams.

Says "ready", goes on until its standard input ends, and says how many calls it made.  `leaking` keeps every reply.
"""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "rpc_python_chain"))

import grpc
from peers import generated

from transect.rpc import attach

USERS = 4_000  # as many as the tables of the chain hold
PAUSE_S = 0.004  # between calls
LONGEST = 2000


def asked(echo: Any, rng: random.Random) -> Any:
    return echo.Ask(
        user=f"u{rng.randrange(USERS)}", text="x" * rng.randrange(LONGEST), number=rng.randrange(1 << 40)
    )


def call(stub: Any, echo: Any, rng: random.Random) -> Any:
    """One call of some kind; its reply, if there is one."""
    kind = rng.random()
    try:
        if kind < 0.05:
            future = stub.Say.future(asked(echo, rng))
            future.cancel()
            return None
        if kind < 0.10:
            return stub.Say(asked(echo, rng), timeout=0.0005)
        if kind < 0.15:
            return list(stub.Chat(iter([asked(echo, rng) for _ in range(4)])))
        return stub.Say(asked(echo, rng), timeout=10)
    except grpc.RpcError:
        return None


def main() -> None:
    address, how = sys.argv[1:]
    echo, echo_grpc = generated()
    channel: Any = grpc.insecure_channel(address)
    if how == "chain":
        from front import chain

        channel = attach(channel, chain.elements, service=echo, native=True)
    stub, rng = echo_grpc.EchoStub(channel), random.Random(1)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    kept, calls = [], 0
    print("ready", flush=True)
    while not ended.wait(PAUSE_S):
        reply = call(stub, echo, rng)
        if how == "leaking":
            kept.append(reply)
        calls += 1
    print(calls, flush=True)


if __name__ == "__main__":
    main()
