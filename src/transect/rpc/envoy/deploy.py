# SPDX-License-Identifier: Apache-2.0
"""A bound chain into a running Envoy: compile, check against the binary, start, wait until it serves."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.base.unavailable import Unavailable
from transect.rpc.chain.address import Endpoint, Json
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.carrier import ENVOY, Can
from transect.rpc.chain.file import first_state
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.standard import standard_paths
from transect.rpc.envoy import binary
from transect.rpc.envoy.config import HttpFilter, Module, Settings, Slot, bootstrap
from transect.rpc.envoy.control import Control, EnvoyCopy
from transect.rpc.envoy.process import start
from transect.rpc.envoy.recording import hook_numbers
from transect.rpc.envoy.upgrading import MODULES, Running
from transect.rpc.native.build import envoy_module
from transect.rpc.native.chain import emit_chain, needs_of
from transect.rpc.versions.upgrade import Handover, Version


class Heard:
    """Memory in which all versions of a chain record the words that they have believed.

    It is a file in no folder, since the kernel would write a file on a disk out all the time.  Envoy finds it through
    our process.
    """

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("transect-heard")

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def close(self) -> None:
        """Close it here; processes that have it open keep it."""
        os.close(self._descriptor)


@dataclass
class Deployed(Running[Module]):
    """A chain in force as a native module; a context manager which takes it out again."""

    held: ExitStack = field(default_factory=ExitStack)  # what is closed together with the chain

    def stop(self) -> None:
        super().stop()
        self.held.close()

    @property
    def control(self) -> Control:
        """The control socket of the version in force."""
        return Control(Path(self.module.settings.control))


def deploy(
    chain: ChainFile,
    binding: Binding,
    folder: Path,
    *,
    envoy: str | Path | None = None,
    workers: int | None = None,
    keys: Path | None = None,
) -> Deployed:
    """Put the chain in force; `folder`, which the caller removes afterwards, holds all that is written.  `keys`: the
    file of the keys by which the chain believes the layer before it, and vouches to the layer behind it.

    Raises Unavailable (no compiler, no Envoy, a module that this Envoy cannot load, a busy port), BuildError,
    EnvoyFailed.
    """
    must_be_free(chain.listen)
    found = binary.find(envoy)
    with ExitStack() as held:
        heard = "" if keys is None else held.enter_context(closing(Heard())).path
        kind = Native(found, folder, keys, heard)
        module = kind.make(chain, binding, 1, [first_state(u.program, u.values) for u in chain.elements])
        slot = Slot(folder / "filter.json", module)
        slot.clear()
        config = configured(chain, [slot], folder)
        running = start(found, config, folder, modules=folder / MODULES, workers=workers)
        return Deployed(chain, binding, found, running, slot, kind, module, held=held.pop_all())


def configured(
    chain: ChainFile, filters: Sequence[HttpFilter], folder: Path, door: Path | None = None
) -> Json:
    """The configuration of an Envoy with these filters, at the addresses of a chain file; `door` as in `bootstrap`."""
    return bootstrap(
        listen=chain.listen,
        upstream=chain.upstream,
        modules=filters,
        routes=chain.routes,
        admin=folder / "admin.sock",
        tls=chain.tls,
        upstream_tls=chain.upstream_tls,
        door=door,
        pass_by=[path for what in chain.pass_by for path in standard_paths(what, chain.service)],
    )


@dataclass(frozen=True, slots=True)
class Native:
    """Chains as modules, in a folder that holds everything that is written.  Implements `upgrading.Kind`."""

    binary: binary.Binary
    folder: Path
    keys: Path | None = None
    heard: str = ""  # as in `Settings`
    can: Can = ENVOY

    def check(self, binding: Binding, diagnostics: Diagnostics) -> None:
        """Nothing to report: a module can do all that Envoy can."""

    def carries(self, version: Version, handover: Handover) -> None:
        """Always possible: one state serves all workers."""

    def make(
        self, chain: ChainFile, binding: Binding, number: int, images: Sequence[bytes], edge: str = ""
    ) -> Module:
        self.folder.mkdir(parents=True, exist_ok=True)
        library = envoy_module(emit_chain(binding), self.folder / MODULES)
        binary.check(library, self.binary)
        needs = needs_of(binding)
        settings = Settings(
            early=binding.early,
            streaming=binding.streaming,
            routes=tuple(chain.routes),
            states=_states(images, self.folder, number),
            max_message=chain.max_message,
            on_compressed=chain.on_compressed,
            replies=needs["response"] or needs["reply"],
            hooks=hook_numbers([element.program for element in binding.elements]),
            control=str(self.folder / f"module-{number}.sock"),
            parent=os.getpid(),
            keys="" if self.keys is None else str(self.keys.absolute()),
            heard=self.heard,
            edge=edge,
        )
        return Module(library, settings)

    def apart(self, module: Module, folder: Path) -> Module:
        told = replace(module.settings, control=str(folder / "module.sock"), heard="")
        return replace(module, settings=told)

    def loaded(self, module: Module) -> EnvoyCopy:
        return EnvoyCopy(Control(Path(module.settings.control)))


def must_be_free(listen: Endpoint) -> None:
    """Raises Unavailable if another program listens there, or if it is impossible to listen there.

    Envoy would share the port with other Envoys, and each would then get some of the calls.
    """
    if listen.path:
        _may_be_made(listen)
        return
    with socket.socket(socket.AF_INET6 if ":" in listen.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as wrong:
            busy = wrong.errno == errno.EADDRINUSE
            why = "somebody listens there" if busy else (wrong.strerror or str(wrong)).lower()
            hint = "stop that, or give another `listen=`" if busy else "give another `listen=`"
            raise Unavailable(f"the address {listen}", why, hint) from wrong


def _may_be_made(listen: Endpoint) -> None:
    folder = Path(listen.path).parent
    if not listen.path.startswith("@") and not folder.is_dir():  # else an abstract name
        raise Unavailable(
            f"the address {listen}", f"there is no folder {folder}", "make it, or give another `listen=`"
        )


def _states(images: Sequence[bytes], folder: Path, number: int) -> tuple[str, ...]:
    """Write the state with which each element begins into a file."""
    paths = []
    for index, image in enumerate(images):
        path = folder / f"state-{number}-{index}.bin"
        path.touch(mode=0o600)
        path.write_bytes(image)
        paths.append(str(path))
    return tuple(paths)
