# SPDX-License-Identifier: Apache-2.0
"""The policy under attack, the service behind it, and both in each carrier."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

import transect
import transect.rpc
from tests.systems.rpc.grpcio import generated
from transect.base.diagnostic import Diagnostics
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import deploy
from transect.rpc.wasm.deploy import deploy_plugin

GUARD = """\
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict


class Ask(Message):
    user: str


class Guard(Element):
    \"\"\"Whoever has the token may call, but for mallory.\"\"\"

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        token = rpc.headers.get("x-token")
        if token is None or token != "right":
            return Reject(Code.UNAUTHENTICATED, "the token is wrong")
        if rpc.msg.user == "mallory":
            return Reject(Code.PERMISSION_DENIED, "not you")
        return Forward()
"""
CHAIN = """\
from guard import Guard
from transect.rpc import Chain

chain = Chain(service="demo.Echo", protos=["echo.proto"], upstream="127.0.0.1:{port}", elements=[Guard()])
"""
PROTO = Path(generated.HERE) / "echo.proto"


@dataclass
class Seen:
    """What reached the service."""

    messages: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # user, tokens

    def forbidden(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(user, tokens) for user, tokens in self.messages if user == "mallory" or tokens != ("right",)]


def servicer(seen: Seen) -> Any:
    pb2, pb2_grpc = generated.modules()

    def came(ask: Any, context: Any) -> Any:
        tokens = tuple(str(v) for k, v in context.invocation_metadata() if k == "x-token")
        seen.messages.append((ask.user, tokens))
        return pb2.Answer(text=ask.text)

    class Echo(pb2_grpc.EchoServicer):  # type: ignore[misc,name-defined]
        def Say(self, request: Any, context: Any) -> Any:
            return came(request, context)

        def Chat(self, request_iterator: Any, context: Any) -> Iterator[Any]:
            for request in request_iterator:
                yield came(request, context)

    return Echo()


@contextmanager
def serving(seen: Seen, attach: Callable[[Any], Any] = lambda server: server) -> Iterator[int]:
    """A real service; `attach` puts a chain into it."""
    server = attach(grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)]))
    generated.modules()[1].add_EchoServicer_to_server(servicer(seen), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


def guard(folder: Path) -> Any:
    """The element, as emitted."""
    (folder / "guard.py").write_text(GUARD)
    return transect.load(GUARD).Guard()


def _attached(native: bool, folder: Path) -> Callable[[Any], Any]:
    service = generated.modules()[0].DESCRIPTOR.services_by_name["Echo"]
    return lambda server: transect.rpc.attach(server, [guard(folder)], service=service, native=native)


@contextmanager
def in_library(seen: Seen, folder: Path, *, native: bool) -> Iterator[int]:
    with serving(seen, _attached(native, folder)) as port:
        yield port


@contextmanager
def in_asyncio(seen: Seen, folder: Path) -> Iterator[int]:
    """In an asyncio server, on a loop of its own."""
    loop, ready, told = asyncio.new_event_loop(), threading.Event(), dict[str, Any]()

    async def main() -> None:
        server = _attached(True, folder)(grpc.aio.server(options=[("grpc.so_reuseport", 0)]))
        generated.modules()[1].add_EchoServicer_to_server(servicer(seen), server)
        told["port"] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        told["end"] = asyncio.Event()
        ready.set()
        await told["end"].wait()
        await server.stop(0)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(30), "the server did not start"
    try:
        yield told["port"]
    finally:
        loop.call_soon_threadsafe(told["end"].set)
        thread.join(30)
        loop.close()


@contextmanager
def in_envoy(seen: Seen, folder: Path, *, wasm: bool) -> Iterator[int]:
    (folder / "guard.py").write_text(GUARD)
    (folder / "echo.proto").write_text(PROTO.read_text())
    with serving(seen) as port:
        path = folder / "chain.py"
        path.write_text(CHAIN.format(port=port))
        found, diagnostics = read_chain(path), Diagnostics()
        assert found.chain is not None, [d.message for d in found.diagnostics]
        binding = bound(found.chain, diagnostics)
        assert binding is not None, [d.message for d in diagnostics]
        if wasm:
            with deploy_plugin(found.chain, binding, folder / "wasm", workers=1, record=False) as plugin:
                yield plugin.envoy.address.port
        else:
            with deploy(found.chain, binding, folder / "envoy", workers=1) as running:
                yield running.envoy.address.port
