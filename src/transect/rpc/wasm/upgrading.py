# SPDX-License-Identifier: Apache-2.0
"""Versions of a chain as plugins of a running Envoy: the state of one version, which many machines hold together.

A host runs a machine for each of its workers, and one for its main thread that sees no RPC.  All machines of a version
begin with the same images; what has happened in each of them since makes the version's state.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.control.protocol import Refused
from transect.core.schema import Schema, schema
from transect.rpc.binding import Binding
from transect.rpc.can import Can
from transect.rpc.chain import emit_chain, needs_of
from transect.rpc.chain_file import ChainFile
from transect.rpc.envoy.control import TRIES, ControlError
from transect.rpc.envoy.upgrading import MODULES
from transect.rpc.merging import merged
from transect.rpc.upgrade import Version
from transect.rpc.wasm.build import build
from transect.rpc.wasm.can import WASM, check_copies, each_its_own
from transect.rpc.wasm.config import Plugin, PluginSettings
from transect.rpc.wasm.control import Door, Machine

HELD_TRIES = 50  # of a change while messages wait: what ends RPCs meanwhile may still change the state
U32 = struct.Struct("<I")


@dataclass(eq=False)
class PluginCopy:
    """The state of one version in Envoy.  `envoy.upgrading.Loaded`."""

    door: Door
    version: int
    count: int  # machines
    schemas: tuple[Schema, ...]
    began: list[bytes]  # with which each machine did, and what was changed in all of them since
    left: dict[int, list[bytes]] = field(default_factory=dict)  # of machines that have gone, by number

    @property
    def machines(self) -> list[Machine]:
        return self.door.machines(self.version)

    def serves(self) -> bool:
        return len(self.machines) == self.count

    def keep(self) -> None:
        for machine in self.machines:
            self.door.told(machine, "k")

    def release(self) -> None:
        for machine in self.machines:
            self.door.told(machine, "u")

    def save(self, element: int) -> bytes:
        """What has happened in all machines."""
        start = self.began[element]
        images = [self._image(machine, element) for machine in self.machines]
        changed = [image for image in images if image != start] or [start]
        state = changed[0]
        for image in changed[1:]:
            state = merged(start, image, state, self.schemas[element])
        return state

    def swap(self, element: int, change: Callable[[bytes], bytes]) -> None:
        """Happens in every machine, and to what they began with: so it counts once."""
        for machine in self.machines:
            if machine.number in self.left:
                images = self.left[machine.number]
                images[element] = change(images[element])
            else:
                self._swap(machine, element, change)
        self.began[element] = change(self.began[element])

    def open(self) -> int:
        here = [machine for machine in self.machines if machine.number not in self.left]
        return sum(U32.unpack(self.door.told(machine, "s"))[0] for machine in here)

    def over(self) -> bool:
        """Whether all machines have gone; those that have are asked for by what they left."""
        for machine in self.machines:
            if machine.number not in self.left and (found := self._left(machine)) is not None:
                self.left[machine.number] = found
        return len(self.left) == self.count

    def end(self) -> None:
        self.door.forget(self.version)

    def _image(self, machine: Machine, element: int) -> bytes:
        if machine.number in self.left:
            return self.left[machine.number][element]
        return self.door.told(machine, "g", U32.pack(element))

    def _left(self, machine: Machine) -> list[bytes] | None:
        """What it left, as a machine of another version finds it; None: it is there."""
        for heir in self.door.others(self.version):
            done, said = self.door.ask(heir, "l", machine.key)
            return _images(said) if done else None
        return None

    def _swap(self, machine: Machine, element: int, change: Callable[[bytes], bytes]) -> None:
        for attempt in range(TRIES + HELD_TRIES):
            old = self.door.told(machine, "g" if attempt < TRIES else "x", U32.pack(element))
            new = change(old)
            if new == old and attempt < TRIES:
                return
            done, _ = self.door.ask(machine, "i", U32.pack(element) + U32.pack(len(old)) + old + new)
            if done:
                return
        raise ControlError(f"a machine of version {self.version} is too busy to take a change of its state")


def _images(said: bytes) -> list[bytes]:
    """Each with its size before it, and a size of nothing in the end."""
    images, at = [], 0
    while at < len(said):
        size = U32.unpack_from(said, at)[0]
        images.append(said[at + 4 : at + 4 + size])
        at += 4 + size
    return images[:-1]


@dataclass(eq=False)
class Plugins:
    """Chains as plugins, in a folder that holds all that is written.  `envoy.upgrading.Kind`."""

    folder: Path
    door: Door
    workers: int
    record: bool = False
    copies: dict[int, PluginCopy] = field(default_factory=dict)  # by version

    @property
    def can(self) -> Can:
        return WASM

    def check(self, binding: Binding, diagnostics: Diagnostics) -> None:
        check_copies(binding, self.workers, diagnostics)

    def carries(self, version: Version) -> None:
        own = [f"{p.name}.{f.name}" for p in version.programs for f in each_its_own(p)]
        if own and self.workers > 1:
            raise Refused(
                f"each of {self.workers} workers has {', '.join(own)} of its own, and a plugin does not know which"
                " worker it is on: whose state goes on where?",
                "start it again with the new version; or run it as native code, or with one worker",
            )

    def make(
        self, chain: ChainFile, binding: Binding, number: int, images: Sequence[bytes], edge: str = ""
    ) -> Plugin:
        assert not edge, "a plugin is no part of an edge"
        path = build(emit_chain(binding), self.folder / MODULES)
        settings = replace(settings_of(chain, binding, images), version=number, record=self.record)
        schemas = tuple(schema(element.program) for element in binding.elements)
        self.copies[number] = PluginCopy(self.door, number, self.workers + 1, schemas, list(images))
        return Plugin(path, settings)

    def apart(self, module: Plugin, folder: Path) -> Plugin:
        return replace(module, settings=replace(module.settings, version=0, record=False))

    def loaded(self, module: Plugin) -> PluginCopy:
        return self.copies[module.settings.version]


def settings_of(chain: ChainFile, binding: Binding, images: Sequence[bytes]) -> PluginSettings:
    """What the plugin is told, in any host; `images`: with which its elements begin."""
    needs = needs_of(binding)
    return PluginSettings(
        elements=len(binding.elements),
        streaming=tuple(m.path for m in binding.methods if m.client_streams or m.server_streams),
        routes=tuple(chain.routes),
        states=tuple(images),
        max_message=chain.max_message,
        on_compressed=chain.on_compressed,
        replies=needs["response"] or needs["reply"],
        peer=needs["peer"],
    )
