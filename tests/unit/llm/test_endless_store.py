# SPDX-License-Identifier: Apache-2.0
"""A store of shared counters whose answer does not end: the gateway goes on alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest

from transect.llm.config import Config
from transect.llm.gateway import share
from transect.llm.gateway.share import Shared, Valkey
from transect.llm.service import Service

ANSWERS: dict[str, tuple[Iterator[bytes], float]] = {  # and the pause between two pieces, in seconds
    "an array without an end": (chain([b"*2147483647\r\n"], repeat(b"$1\r\na\r\n" * 1000)), 0),
    "arrays in arrays": (repeat(b"*1\r\n" * 1000), 0),
    "a text without an end": (chain([b"$2147483647\r\n"], repeat(bytes(1 << 16))), 0.001),
    "a line byte by byte": (chain([b"+"], repeat(b"O")), 0.05),
    "a line without an end": (repeat(b"+" * (1 << 16)), 0.001),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_store_whose_answer_does_not_end_is_lost_for_now(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "PATIENCE_S", 0.3)
    shared = Shared(Service(Config(), Path(), bound=1 << 60, running=lambda: (), known=[]))
    pieces, pause_s = ANSWERS[answer]

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except OSError:
            return  # who asked has enough
        finally:
            writer.close()

    async def main() -> float:
        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = Valkey(f"redis://127.0.0.1:{port}", "default", "one", shared, 1.0)
        began = time.monotonic()
        await store.begin()
        took = time.monotonic() - began
        await store._store.aclose()
        server.close()
        return took

    assert asyncio.run(main()) < 20
    assert shared.lost_since is not None and shared.lost_because
