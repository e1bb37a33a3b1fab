# SPDX-License-Identifier: Apache-2.0
"""The kit's calls through each carrier, the chain in each the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc import aio

import transect.rpc
from tests.systems.rpc.carriers.calls import Call
from tests.systems.rpc.carriers.client import Got, all_awaited, all_blocking, settle
from tests.systems.rpc.carriers.judge import Judge, Setter
from tests.systems.rpc.carriers.service import HERE, AioKit, Kit, Seen, generated
from transect.emit.py.image import restore
from transect.lang.functions import PolicyError
from transect.rpc import Cause, Code
from transect.rpc.chain.carrier import ENVOY, Can
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.envoy.upgrading import Running
from transect.rpc.wasm.carrier import WASM
from transect.rpc.wasm.deploy import deploy_plugin

LARGE = [("grpc.max_receive_message_length", 8 << 20), ("grpc.so_reuseport", 0)]
CHAIN = """
from judge import Judge, Setter
from transect.examples.rpc.breaker import Breaker
from transect.rpc import Chain

chain = Chain(service="kit.Kit", upstream="127.0.0.1:{port}", protos=["kit.proto"], {chain})
"""
HOLDS = "elements=[Setter(), Judge()]"
AT_ONCE = 'elements=[Judge()], speaks_first=["Collect", "Chat"]'  # the service hears of streams at once


@dataclass(frozen=True)
class Saw:
    """What both ends, and the element, saw of one call."""

    client: Got
    server: Seen
    finish: str  # the code and the cause that the element's `finish` heard; "" it was not called


@dataclass(frozen=True)
class Ran:
    """What became of some calls: by their names, and in the counters of the chain."""

    saws: dict[str, Saw]
    counted: dict[str, int]


PLAIN = ("open", "rpcs", "requests", "responses", "rewritten", "delayed", "malformed", "refused")
ELEMENTS = ("Setter", "Judge")  # of the chain


def counters(found: Mapping[str, Any], elements: tuple[str, ...] = ELEMENTS) -> Counter[str]:
    """What a chain counts, by name."""
    counted = Counter({name: found[name] for name in PLAIN})
    counted.update({f"ended by {cause.name}": found["causes"][cause] for cause in Cause})
    counted["timed"] = sum(found["times"][0][1][1::2])
    for what in ("rejected", "responded", "withheld"):
        counted.update({f"{what} by {name}": found[what][place] for place, name in enumerate(elements)})
    return counted


def _of(chain: Any) -> Counter[str]:
    handle = chain.now.handle
    return counters({**handle.counts, "open": handle.open}, chain.now.elements)


def _results(got: dict[str, Got], kit: Kit, judge: Any, counted: Counter[str]) -> Ran:
    def heard(name: str) -> str:
        code = judge.codes.get(name)
        return "" if code is None else f"{Code(code).name} by {Cause(judge.causes[name]).name}"

    return Ran({name: Saw(found, kit.seen[name], heard(name)) for name, found in got.items()}, dict(counted))


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(40)


@contextmanager
def _served(kit: Kit, wrap: Callable[[Any], Any] = lambda server: server) -> Iterator[tuple[int, Any]]:
    pool = _pool()
    server = wrap(grpc.server(pool, options=LARGE))
    generated()[1].add_KitServicer_to_server(kit, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, server
    finally:
        server.stop(0).wait()


def _channel(address: object) -> Any:
    return grpc.insecure_channel(str(address), options=LARGE)


def _attached(target: Any, **more: Any) -> Any:
    return transect.rpc.attach(target, [Setter(), Judge()], service=generated()[0], **more)


def _client(plain: Any, **more: Any) -> Any:
    """A client sends the headers of a stream before its first request: what sets them is refused there (R021)."""
    with pytest.raises(PolicyError, match=r"R021(.|\n)*set\(\"x-who\""):
        _attached(plain, **more)
    one = _attached(plain, methods=["Say", "Many"], **more)
    return transect.rpc.attach(one, [Judge()], service=generated()[0], methods=["Collect", "Chat"], **more)


def _both(channel: Any) -> tuple[Any, Counter[str]]:
    """What the element heard, and what was counted, of both chains of a client."""
    both = channel._inner.chain.state(1), channel.chain.state(0)
    heard = SimpleNamespace(
        **{name: dict(getattr(both[0], name)) | dict(getattr(both[1], name)) for name in ("codes", "causes")}
    )
    counted = _of(channel._inner.chain)
    counted.update(_of(channel.chain))
    return heard, counted


def grpcio_client(folder: Path, calls: tuple[Call, ...], native: bool = True) -> Ran:
    kit = Kit()
    with _served(kit) as (port, _), _channel(f"127.0.0.1:{port}") as plain:
        channel = _client(plain, native=native)
        got = all_blocking(channel, calls)
        settle()
        return _results(got, kit, *_both(channel))


def grpcio_aio_client(folder: Path, calls: tuple[Call, ...]) -> Ran:
    async def all_calls(port: int) -> tuple[dict[str, Got], tuple[Any, Counter[str]]]:
        async with aio.insecure_channel(f"127.0.0.1:{port}", options=LARGE) as plain:
            channel = _client(plain, native=True)
            got = await all_awaited(channel, calls)
            await asyncio.sleep(0.3)
            return got, _both(channel)

    kit = Kit()
    with _served(kit) as (port, _):
        got, both = asyncio.run(all_calls(port))
        return _results(got, kit, *both)


def grpcio_server(folder: Path, calls: tuple[Call, ...], native: bool = True) -> Ran:
    kit = Kit()
    with _served(kit, lambda s: _attached(s, native=native)) as (port, server):
        with _channel(f"127.0.0.1:{port}") as channel:
            got = all_blocking(channel, calls)
        settle()
        return _results(got, kit, server.chain.state(1), _of(server.chain))


def grpcio_aio_server(folder: Path, calls: tuple[Call, ...]) -> Ran:
    kit, ready, over = AioKit(), threading.Event(), threading.Event()
    known: list[Any] = []

    async def serve() -> None:
        server = _attached(aio.server(options=LARGE), native=True)
        generated()[1].add_KitServicer_to_server(kit, server)
        known.extend((server.add_insecure_port("127.0.0.1:0"), server))
        await server.start()
        ready.set()
        while not over.is_set():
            await asyncio.sleep(0.02)
        await server.stop(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(60), "the server did not start"
        with _channel(f"127.0.0.1:{known[0]}") as channel:
            got = all_blocking(channel, calls)
        settle()
        return _results(got, kit, known[1].chain.state(1), _of(known[1].chain))
    finally:
        over.set()
        thread.join(20)


@contextmanager
def in_envoy(folder: Path, kit: Kit, chain: str, can: Can = ENVOY) -> Iterator[tuple[Running[Any], Any]]:
    """A chain in front of the kit's service, as a native module or a plugin, and a channel to it."""
    folder.mkdir()
    for name in ("judge.py", "kit.proto"):
        (folder / name).write_text((HERE / name).read_text())
    path = folder / "chain.py"
    with _served(kit) as (port, _):
        path.write_text(CHAIN.format(port=port, chain=chain))
        read = read_chain(path)
        assert read.chain is not None, read.diagnostics
        binding = bound(read.chain, read.diagnostics, can)
        assert binding is not None, [d.message for d in read.diagnostics]
        started: Any = deploy if can is ENVOY else deploy_plugin
        with started(read.chain, binding, folder / "run", workers=1) as running:
            with _channel(running.envoy.address) as channel:
                yield running, channel


def status(running: Running[Any]) -> Any:
    """The counters of a chain in Envoy.  A plugin says them once a second."""
    told = getattr(running, "told", None)
    if told is None:
        return running.control.status()  # type: ignore[attr-defined]
    found = told.counters()
    for _ in range(10):
        time.sleep(1.2)
        before, found = found, told.counters()
        if before == found:
            break
    return found


def _all_in_envoy(folder: Path, calls: tuple[Call, ...], chain: str, can: Can) -> Ran:
    kit, judge = Kit(), Judge()
    with in_envoy(folder, kit, chain, can) as (running, channel):
        got = all_blocking(channel, calls)
        settle()
        restore(judge, running.kind.loaded(running.module).save(len(running.binding.elements) - 1))
        counted = counters(status(running), tuple(e.program.name for e in running.binding.elements))
    return _results(got, kit, judge, counted)


def envoy(folder: Path, calls: tuple[Call, ...], chain: str = HOLDS) -> Ran:
    return _all_in_envoy(folder, calls, chain, ENVOY)


def wasm(folder: Path, calls: tuple[Call, ...], chain: str = HOLDS) -> Ran:
    return _all_in_envoy(folder, calls, chain, WASM)


CARRIERS = {
    "grpcio client": grpcio_client,
    "grpcio aio client": grpcio_aio_client,
    "grpcio server": grpcio_server,
    "grpcio aio server": grpcio_aio_server,
    "Envoy": envoy,
    "WASM plugin": wasm,
}
