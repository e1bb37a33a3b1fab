# SPDX-License-Identifier: Apache-2.0
"""Versions of a chain as plugins of a running Envoy: the state of one version, which many machines hold together.

A host runs a machine for each of its workers, and one for its main thread that sees no RPC.  All machines of a version
begin with the same images; the version's state is these images with what has happened in each machine since.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.control.protocol import Refused
from transect.core.schema import Schema, schema
from transect.core.upgrade import migration
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.carrier import Can
from transect.rpc.chain.model import ChainFile
from transect.rpc.envoy.control import TRIES, ControlError
from transect.rpc.envoy.upgrading import MODULES
from transect.rpc.native.chain import emit_chain, needs_of
from transect.rpc.versions.merging import merged
from transect.rpc.versions.upgrade import Handover, Version
from transect.rpc.wasm.build import build
from transect.rpc.wasm.carrier import WASM, check_copies, each_its_own
from transect.rpc.wasm.config import Plugin, PluginSettings
from transect.rpc.wasm.control import Answer, Door, Gone, Machine, done

HELD_TRIES = 50  # of a change while messages are held: RPCs that end meanwhile may still change the state
U32 = struct.Struct("<I")


@dataclass(eq=False)
class PluginCopy:
    """The state of one version in Envoy; an `envoy.upgrading.Loaded`."""

    door: Door
    version: int
    count: int  # machines
    schemas: tuple[Schema, ...]
    began: list[bytes]  # images with which each machine began, with what was changed in all machines since
    left: dict[int, list[bytes]] = field(default_factory=dict)  # images of machines that have gone, by number

    @property
    def machines(self) -> list[Machine]:
        return self.door.machines(self.version)

    def serves(self) -> bool:
        return len(self.machines) == self.count

    def keep(self) -> None:
        for machine in self.machines:
            self._told(machine, "k")

    def release(self) -> None:
        for machine in self.machines:
            self._told(machine, "u")

    def save(self, element: int) -> bytes:
        """The state, with what has happened in all machines."""
        start = self.began[element]
        images = [self._image(machine, element) for machine in self.machines]
        changed = [image for image in images if image != start] or [start]
        state = changed[0]
        for image in changed[1:]:
            state = merged(start, image, state, self.schemas[element])
        return state

    def swap(self, element: int, change: Callable[[bytes], bytes]) -> None:
        """Change every machine, and also the images that they began with: so the change counts once."""
        for machine in self.machines:
            self._swap(machine, element, change)
        self.began[element] = change(self.began[element])

    def open(self) -> int:
        said = (self._told(machine, "s") for machine in self.machines)
        return sum(U32.unpack(one)[0] for one in said if one is not None)

    def over(self) -> bool:
        """Whether all machines have gone."""
        return all([self._gone(machine) for machine in self.machines])

    def end(self) -> None:
        self.door.forget(self.version)
        self.began.clear()
        self.left.clear()

    def _ask(self, machine: Machine, verb: str, rest: bytes = b"") -> Answer | None:
        """A machine's answer; None: it has gone, and its images are in `left`.  Raises ControlError."""
        if machine.number in self.left:
            return None
        try:
            return self.door.ask(machine, verb, rest, lambda: self._gone(machine))
        except Gone:
            if self._gone(machine):
                return None
            raise

    def _told(self, machine: Machine, verb: str, rest: bytes = b"") -> bytes | None:
        answer = self._ask(machine, verb, rest)
        return None if answer is None else done(answer, verb)

    def _gone(self, machine: Machine) -> bool:
        """Whether a machine has gone; its images are then in `left`: a machine of another version has found them."""
        if machine.number not in self.left:
            for heir in self.door.others(self.version)[:1]:
                found, said = self.door.ask(heir, "l", machine.key)
                if found:
                    self.left[machine.number] = _images(said)
        return machine.number in self.left

    def _image(self, machine: Machine, element: int) -> bytes:
        said = self._told(machine, "g", U32.pack(element))
        return self.left[machine.number][element] if said is None else said

    def _swap(self, machine: Machine, element: int, change: Callable[[bytes], bytes]) -> None:
        new: bytes | None = None
        for attempt in range(TRIES + HELD_TRIES):
            old = self._told(machine, "g" if attempt < TRIES else "x", U32.pack(element))
            if old is None:
                break
            new = change(old)
            if new == old and attempt < TRIES:
                return
            answer = self._ask(machine, "i", U32.pack(element) + U32.pack(len(old)) + old + new)
            if answer is None:
                break
            if answer[0]:
                return
        else:
            raise ControlError(
                f"a machine of version {self.version} is too busy to take a change of its state"
            )
        images = self.left[machine.number]
        if images[element] != new:  # else the machine took the change before it went
            images[element] = change(images[element])


def _images(said: bytes) -> list[bytes]:
    """The images in what a machine left: each after its size; a size of 0 ends them."""
    images, at = [], 0
    while at < len(said):
        size = U32.unpack_from(said, at)[0]
        images.append(said[at + 4 : at + 4 + size])
        at += 4 + size
    return images[:-1]


@dataclass(eq=False)
class Plugins:
    """Chains as plugins, in a folder that holds all that is written; an `envoy.upgrading.Kind`."""

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

    def carries(self, version: Version, handover: Handover) -> None:
        own = list(_each_its_own(version, handover)) if self.workers > 1 else []
        if own:
            raise Refused(
                f"each of {self.workers} workers has {', '.join(own)} of its own, and a plugin cannot tell which worker"
                " it is on, so that nobody knows whose state goes on where",
                "give it another name, under which each worker begins anew (with `--no-return`); to keep it, leave"
                ' `scope="worker"` out, and start the chain again as native code or with `--workers 1`',
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


def _each_its_own(version: Version, handover: Handover) -> Iterator[str]:
    """State that each worker has of its own in this version, and that the next version continues."""
    for program, origin in zip(handover.new.programs, handover.origins, strict=True):
        if origin is None:
            continue
        there = {name for f in program.state for name in (f.name, f.options.was)}
        for f in each_its_own(version.programs[origin]):
            if f.name in there or migration(program) is not None:
                yield f"{program.name}.{f.name}"


def settings_of(chain: ChainFile, binding: Binding, images: Sequence[bytes]) -> PluginSettings:
    """The settings of a plugin, in any host; `images`: the states with which its elements begin."""
    needs = needs_of(binding)
    return PluginSettings(
        elements=len(binding.elements),
        early=binding.early,
        streaming=binding.streaming,
        routes=tuple(chain.routes),
        states=tuple(images),
        max_message=chain.max_message,
        on_compressed=chain.on_compressed,
        replies=needs["response"] or needs["reply"],
        peer=needs["peer"],
    )
