# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Envoy carrier share: an echo service, a proxy around a chain, the probe chain's diary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc

from transect.emit.artifact import Artifact
from transect.rpc.envoy import (
    Control,
    Endpoint,
    Envoy,
    Module,
    Settings,
    bootstrap,
    build,
    check,
    find,
    start,
)
from transect.rpc.wasm import Plugin, PluginSettings
from transect.rpc.wasm.metrics import Told

HERE = Path(__file__).parent
ECHO, STREAM, COLLECT, COUNT = "/t.Echo/Echo", "/t.Echo/Stream", "/t.Echo/Collect", "/t.Echo/Count"
STREAMING = (STREAM, COLLECT, COUNT)
EARLY = (STREAM, COLLECT)  # as the tests were written: the server hears of them at once
Client = Any  # a grpc.Channel; the stubs cannot say that without a serializer messages are bytes
REPLY, REJECTED, CANCEL, DEADLINE, RESET = range(5)


class Echo(grpc.GenericRpcHandler):
    """All four kinds of methods over raw bytes; `log` has the metadata of each call."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.extra: dict[str, Callable[[bytes, Any], bytes]] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        self.log.append(dict(details.invocation_metadata))
        kinds: dict[str, grpc.RpcMethodHandler] = {
            ECHO: grpc.unary_unary_rpc_method_handler(lambda r, c: r),
            STREAM: grpc.stream_stream_rpc_method_handler(lambda it, c: it),
            COLLECT: grpc.stream_unary_rpc_method_handler(lambda it, c: b"|".join(it)),
            COUNT: grpc.unary_stream_rpc_method_handler(lambda r, c: iter([r] * 3)),
        }
        if details.method in self.extra:
            return grpc.unary_unary_rpc_method_handler(self.extra[details.method])
        return kinds.get(details.method)


@contextmanager
def serving(handler: grpc.GenericRpcHandler) -> Iterator[int]:
    """A real gRPC server; its port."""
    server = grpc.server(
        ThreadPoolExecutor(40),
        options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@dataclass(frozen=True)
class Heard:
    """A plugin's states and counters, as a module's control socket gives them."""

    told: Told

    def save(self, element: int) -> bytes:
        self.told.wait()
        return self.told.states().get(element, b"")

    def status(self) -> dict[str, Any]:
        self.told.wait()
        return self.told.counters()


def compiled(chain: str, folder: Path, *flags: str) -> Path:
    """A chain written by hand, as a module."""
    return build(Artifact({"chain.c": (HERE / chain).read_bytes()}), folder, flags=flags)


@dataclass(frozen=True)
class Proxy:
    """A running Envoy around a chain, which is a native module or a plugin."""

    envoy: Envoy
    control: Any  # what `Control` has of `save` and `status`
    before: int = 0  # RPCs of other tests
    earlier: Mapping[str, Any] = field(default_factory=dict)  # what `status` counted of them

    @property
    def port(self) -> int:
        return self.envoy.address.port

    def from_now(self) -> Proxy:
        """The same for a test that knows nothing of those before it."""
        seen = [int(line[1]) for line in replace(self, before=0).diary() if line[0] == "rpc"]
        return replace(self, before=max(seen, default=0), earlier=self.control.status())

    def diary(self) -> list[list[str]]:
        """What the carrier called so far, a line each: the verb, the RPC's number, the rest."""
        lines = [line.split(" ") for line in self.control.save(0).decode().splitlines()]
        return [
            [verb, str(int(rpc) - self.before), *rest] for verb, rpc, *rest in lines if int(rpc) > self.before
        ]

    def counted(self, name: str) -> int:
        """What `status` counts."""
        return int(self.control.status()[name]) - int(self.earlier.get(name, 0))

    def ends(self, expected: int = 0) -> dict[int, tuple[int, int]]:
        """(code, cause) of each RPC that has ended, by its number; waits for `expected` more than that."""
        until = time.monotonic() + 5
        while True:
            lines = [line for line in self.diary() if line[0] == "end"]
            found = {int(line[1]): (int(line[2]), int(line[3])) for line in lines}
            assert len(found) == len(lines), "an RPC was finished twice"
            if len(found) >= expected or time.monotonic() > until:
                return found
            time.sleep(0.01)

    def entered_and_finished(self) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        """(RPC, element) pairs whose `request` ran, each once, and those whose `finish` ran."""
        diary = self.diary()
        entered = {(line[1], line[2]) for line in diary if line[0] == "q"}
        return Counter(entered), Counter((line[1], line[2]) for line in diary if line[0] == "f")


@contextmanager
def proxy(
    library: Path,
    folder: Path,
    upstream: int | Endpoint,
    *,
    workers: int = 1,
    routes: dict[str, Endpoint] | None = None,
    **settings: Any,
) -> Iterator[Proxy]:
    """Envoy with that module, or plugin, in front of a port on this machine."""
    binary = find()
    folder.mkdir(parents=True, exist_ok=True)
    module: Module | Plugin
    if library.suffix == ".wasm":
        given: dict[str, Any] = {
            "early": EARLY,
            "streaming": STREAMING,
            "elements": 2,
            "record": True,
        } | settings
        module = Plugin(library, PluginSettings(routes=tuple(routes or {}), **given))
    else:
        check(library, binary)
        given = {"early": EARLY, "streaming": STREAMING, "control": str(folder / "module.sock")}
        given |= {"hooks": ((0, 1, 2), (0, 1, 2))} | settings
        module = Module(library, Settings(routes=tuple(routes or {}), **given))
    config = bootstrap(
        listen=Endpoint(),
        upstream=upstream if isinstance(upstream, Endpoint) else Endpoint(port=upstream),
        modules=[module],
        routes=routes or {},
        admin=folder / "admin.sock",
    )
    with start(binary, config, folder, modules=library.parent, workers=workers) as envoy:
        told = (
            Heard(Told(envoy, 2, workers=workers))
            if library.suffix == ".wasm"
            else Control(folder / "module.sock")
        )
        yield Proxy(envoy, told)
        assert envoy.process.poll() in (None, 0), envoy.log.read_text()[-2000:]


@contextmanager
def channel(port: int, **options: int) -> Iterator[Client]:
    with grpc.insecure_channel(
        f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", 64 << 20), *options.items()]
    ) as c:
        yield c


def outcome(method: Any, *arguments: Any, **options: Any) -> tuple[grpc.StatusCode, str, Any]:
    """(status, its text, the reply) of one call of a method."""
    try:
        return grpc.StatusCode.OK, "", method(*arguments, **options)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return error.code(), error.details() or "", None
