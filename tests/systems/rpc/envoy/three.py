# SPDX-License-Identifier: Apache-2.0
"""An edge with three processors: a client's library, an Envoy, a server's library; one of its elements moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.systems.rpc.grpcio.generated import modules, server, servicer
from tests.systems.rpc.grpcio.test_edge import chain_file, text
from transect import rpc
from transect.base.diagnostic import Diagnostics
from transect.control.client import Client
from transect.control.operating import Operated
from transect.core.codec import decode_state
from transect.core.schema import Schema
from transect.emit.py.load import load_text
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.deploy import Deployed, deploy
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.envoy.part import EnvoyPart
from transect.rpc.versions.processor import unpacked
from transect.rpc.versions.upgrade import Version

ECHO = Path(__file__).parents[1] / "grpcio" / "echo.proto"
PROTOS = ', protos=["echo.proto"]'
NAMES = ("web", "front", "shop")  # in the order in which a request passes them
PLACES = {  # of the element that moves: what each of the three has then
    "web": ("First Moving", "Middle", "Last"),
    "front": ("First", "Moving Middle", "Last"),
    "shop": ("First", "Middle", "Moving Last"),
}


@dataclass(frozen=True)
class Three:
    stub: Any
    envoy: Deployed
    folder: Path
    port: int  # that the Envoy calls
    seen: list[Any]  # requests that came to the service
    close_front: Callable[[], None]  # the Envoy ends, and can be reached no longer

    def files(self, place: str, version: int, more: str = "") -> list[Path]:
        """A chain file for each, with the moving element at one of them."""
        return [
            chain_file(self.folder, f"{name}_{version}", version, elements.split(), self.port, PROTOS + more)
            for name, elements in zip(NAMES, PLACES[place], strict=True)
        ]

    def counted(self) -> dict[str, tuple[str, int, int]]:
        """Of each element: where it is, and how many calls it has counted, and holds for under way."""
        found = {}
        for name in NAMES:
            for one in Client("rpc", name).ask("edge-state"):
                schema = Schema.from_json(one["schema"])
                state = decode_state(schema.declared, unpacked(one["image"]))
                calls = sum(n for _, n in state["users"].value)
                found[one["name"]] = (name, calls, state["under_way"].value)
        return found


@contextmanager
def front(path: Path, folder: Path) -> Iterator[Deployed]:
    """A chain file in an Envoy, under the name `front`."""
    read, diagnostics = read_chain(path), Diagnostics()
    assert read.chain is not None, [d.message for d in read.diagnostics]
    binding = bound(read.chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    with deploy(read.chain, binding, folder, workers=2) as deployed:
        version = Version.of_chain(read.chain, read.sources)
        host = EnvoyHost(deployed.control, binding, read.sources, deployed=deployed, version=version)
        verbs = {"edge-state": host.state} | EnvoyPart(host).verbs()
        with Operated("rpc", "front", host).serve(verbs):
            yield deployed


def first(folder: Path, port: int, more: str = "") -> Path:
    """The chain file that the Envoy begins with."""
    (folder / "start").mkdir(exist_ok=True)
    (folder / "start" / ECHO.name).write_bytes(ECHO.read_bytes())
    return chain_file(folder / "start", "front", 1, ["Middle"], port, PROTOS + more)


@contextmanager
def behind(seen: list[Any]) -> Iterator[int]:
    """The service, with the last element in its library; its port."""
    policies = load_text(text(1))

    def wrap(made: Any) -> Any:
        return rpc.attach(made, [policies.Last()], service=modules()[0], native=False, name="shop")

    with server(servicer(seen), wrap) as (served, port):
        yield port
        served.chain.close()


@contextmanager
def three_of(folder: Path, between: Callable[[int], Any] | None = None) -> Iterator[Three]:
    """All three; `between`: what stands between the Envoy and the service's port, a context with a port of its own."""
    (folder / ECHO.name).write_bytes(ECHO.read_bytes())
    pb2, pb2_grpc = modules()
    policies = load_text(text(1))
    seen: list[Any] = []
    with ExitStack() as stack:
        port = stack.enter_context(behind(seen))
        if between is not None:
            port = stack.enter_context(between(port))
        proxy = stack.enter_context(ExitStack())
        envoy = proxy.enter_context(front(first(folder, port), folder / "envoy"))
        below = grpc.insecure_channel(str(envoy.envoy.address))
        here = [policies.First(), policies.Moving()]
        channel: Any = rpc.attach(below, here, service=pb2, native=False, name="web")
        stack.callback(channel.close)
        stack.callback(channel.chain.close)
        yield Three(pb2_grpc.EchoStub(channel), envoy, folder, port, seen, proxy.close)
