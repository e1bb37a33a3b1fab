# SPDX-License-Identifier: Apache-2.0
"""The processors of an arrangement, for a trial: stock Envoys with native modules, or chains in grpcio.

Elements at the clients' side have a processor for each client; those at the server's have one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import grpc

from transect.analysis.concrete import instance_of
from transect.base.diagnostic import Diagnostics
from transect.base.traced import line
from transect.rpc.chain.address import Endpoint
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.carrier import ENVOY, Can, check
from transect.rpc.envoy import binary
from transect.rpc.envoy.config import Module, Settings, bootstrap
from transect.rpc.envoy.control import Control
from transect.rpc.envoy.following import Following
from transect.rpc.envoy.process import Envoy, start
from transect.rpc.equivalence.sendable import Unsendable
from transect.rpc.equivalence.simulate import Arranged, Trial
from transect.rpc.equivalence.streams import Stream
from transect.rpc.native.build import envoy_module
from transect.rpc.native.chain import emit_chain
from transect.rpc.trying.facts import FactsFile
from transect.rpc.trying.puppet import Puppet

MODULE = ("-O0", "-DTS_TRACES_A_SECOND=100000")  # a module runs only for a moment, and every trace counts


class Carrier(StrEnum):
    ENVOY = "envoy"
    GRPCIO = "grpcio"


class Processor(ABC):
    """A chain in force."""

    def __init__(self, elements: Sequence[str]) -> None:
        self.elements = elements

    @abstractmethod
    def save(self, element: int) -> bytes:
        """An element's state."""

    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """RPCs under way, and messages that were held back so far."""

    @abstractmethod
    def said(self) -> list[str]:
        """What its elements have traced."""


@dataclass(frozen=True)
class Place:
    """What the chains of one trial are made from."""

    trial: Trial
    stream: Stream
    facts: FactsFile
    folder: Path
    stack: ExitStack

    def bound(self, elements: Sequence[str], carrier: Can) -> Binding:
        """Raises Unsendable for elements which that carrier cannot run."""
        diagnostics = Diagnostics()
        binding = self.trial.bound(elements)
        check(binding, carrier, diagnostics)
        if diagnostics.failed:
            raise Unsendable(next(iter(diagnostics)).message)
        return binding

    def images(self, elements: Sequence[str]) -> list[bytes]:
        """The states that the elements begin with."""
        return [
            instance_of(self.trial.programs[name], self.stream.state.get(name, {})).image()
            for name in elements
        ]


@dataclass(frozen=True)
class Arrangement:
    """Processors in force, the channels that clients call, and the servers."""

    processors: Mapping[str, Processor]  # by client; "" at the server
    channels: Mapping[str, Any]  # by client
    puppets: Sequence[Puppet]  # the first gets the calls without a route


# ---------------------------------------------------------------- Envoy


class EnvoyProcessor(Processor):
    def __init__(self, elements: Sequence[str], envoy: Envoy, control: Control) -> None:
        super().__init__(elements)
        self.envoy = envoy
        self._control = control

    def save(self, element: int) -> bytes:
        return self._control.save(element)

    def counts(self) -> tuple[int, int]:
        found = self._control.status()
        return int(found["open"]), int(found["delayed"])

    def said(self) -> list[str]:
        return [said.text for said in Following(self.envoy.log).lines()]


def _envoy(
    place: Place, name: str, elements: Sequence[str], upstream: Endpoint, routes: Mapping[str, Endpoint]
) -> EnvoyProcessor:
    folder = place.folder / name
    found = binary.find()
    binding = place.bound(elements, ENVOY)
    chain = place.facts.given(emit_chain(binding), elements)
    library = envoy_module(chain, place.folder / "modules", flags=MODULE)
    binary.check(library, found)
    folder.mkdir(parents=True, exist_ok=True)
    states = []
    for number, image in enumerate(place.images(elements)):
        path = folder / f"state-{number}.bin"
        path.write_bytes(image)
        states.append(str(path))
    control = folder / "module.sock"
    settings = Settings(
        streaming=tuple(m.path for m in binding.methods if m.streams),
        routes=tuple(routes),
        states=tuple(states),
        control=str(control),
    )
    config = bootstrap(
        listen=Endpoint(),
        upstream=upstream,
        modules=[Module(library, settings)],
        routes=routes,
        admin=folder / "admin.sock",
    )
    envoy = place.stack.enter_context(start(found, config, folder, modules=library.parent, workers=1))
    return EnvoyProcessor(elements, envoy, Control(control))


def envoys(place: Place, arranged: Arranged, clients: Sequence[str], routes: Sequence[str]) -> Arrangement:
    """Raises Unsendable, Unavailable, EnvoyFailed."""
    streaming = place.trial.streaming
    puppets = [Puppet(streaming=streaming, route=route) for route in ("", *routes)]
    for puppet in puppets:
        place.stack.callback(puppet.close)
    target = Endpoint(port=puppets[0].port)
    ways = {puppet.route: Endpoint(port=puppet.port) for puppet in puppets[1:]}
    processors: dict[str, Processor] = {}
    if arranged.server:
        made = _envoy(place, "server", arranged.server, target, ways)
        processors[""], target = made, made.envoy.address
    if arranged.client and arranged.server and routes:
        raise Unsendable("a route that is chosen at the client's side would pass the server's proxy by")
    channels = {}
    for client in clients:
        at = target
        if arranged.client:
            one = _envoy(place, f"client-{client}", arranged.client, target, ways)
            processors[client], at = one, one.envoy.address
        channels[client] = place.stack.enter_context(channel_to(at.port))
    return Arrangement(processors, channels, puppets)


def channel_to(port: int) -> Any:
    """A channel with connections of its own."""
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


# ---------------------------------------------------------------- grpcio


class GrpcioProcessor(Processor):
    def __init__(self, elements: Sequence[str], handle: Any) -> None:
        super().__init__(elements)
        self.handle = handle
        self._said: list[str] = []
        handle.trace(lambda said: self._said.append(line(said[1])))

    def save(self, element: int) -> bytes:
        data: bytes = self.handle.save(element)
        return data

    def counts(self) -> tuple[int, int]:
        return int(self.handle.open), int(self.handle.counts["delayed"])

    def said(self) -> list[str]:
        return list(self._said)


def _grpcio(place: Place, elements: Sequence[str], carrier: Can) -> tuple[GrpcioProcessor, Any]:
    """A chain: as a processor, and as channels and servers take it."""
    from transect.rpc.grpcio import native
    from transect.rpc.grpcio.handle import Carried
    from transect.rpc.grpcio.making import touches

    binding = place.bound(elements, carrier)
    chain = place.facts.given(emit_chain(binding, pass_unknown=True), elements)
    handle = native.chain(chain.files, place.folder / "extensions")
    for number, image in enumerate(place.images(elements)):
        fits = handle.load(number, image)
        assert fits, f"{elements[number]} takes no image of its own state"
    methods = frozenset(m.path for m in binding.methods)
    carried = Carried(handle, touches(e.needs for e in binding.elements), methods)
    return GrpcioProcessor(elements, handle), carried


def libraries(place: Place, arranged: Arranged, clients: Sequence[str], routes: Sequence[str]) -> Arrangement:
    """Raises Unsendable, Unavailable."""
    from transect.rpc.grpcio import carrier, client, server

    if routes:
        raise Unsendable("a gRPC library has one server")
    processors: dict[str, Processor] = {}
    behind: Any = None
    if arranged.server:
        processors[""], behind = _grpcio(place, arranged.server, carrier.SERVER)
    puppet = Puppet(
        streaming=place.trial.streaming,
        wrap=lambda inner: server.Server(inner, behind) if behind else inner,
    )
    place.stack.callback(puppet.close)
    channels = {}
    for name in clients:
        channels[name] = place.stack.enter_context(channel_to(puppet.port))
        if arranged.client:
            processors[name], before = _grpcio(place, arranged.client, carrier.CLIENT)
            channels[name] = client.Channel(channels[name], before)
    return Arrangement(processors, channels, [puppet])


ARRANGE = {Carrier.ENVOY: envoys, Carrier.GRPCIO: libraries}
