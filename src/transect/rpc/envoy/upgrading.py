# SPDX-License-Identifier: Apache-2.0
"""A new version of a chain in a running Envoy, while RPCs pass: another module or plugin, under a name of its own, in a
file that is replaced by renaming.

Envoy ends each stream on the filter that began it, so an RPC sees only one version.  The old version is told to stay
reachable when Envoy drops it, or to leave its state, until what its last RPCs changed has been carried over.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.base.temporary import Temporary
from transect.base.unavailable import Unavailable
from transect.control.host import NOTHING_BEFORE
from transect.control.protocol import Refused
from transect.emit.toolchain import BuildError
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.carrier import Can, check, check_routes
from transect.rpc.chain.model import ChainFile, ElementUse
from transect.rpc.envoy.binary import Binary
from transect.rpc.envoy.config import Extension, Slot
from transect.rpc.envoy.control import ControlError
from transect.rpc.envoy.process import Envoy
from transect.rpc.envoy.trial import GOES_ON, tried
from transect.rpc.versions.upgrade import NOT_ALONE, TOGETHER, Copy, Handover, Settling, Version, read_version

log = logging.getLogger("transect.rpc")

PATIENCE_S = 10.0  # for Envoy to take a new version
SETTLE_S = 0.02, 0.5  # between two looks at an old version: while it has RPCs, and later
MODULES = "modules"  # folder of what is compiled
FIXED = (
    "service",
    "upstream",
    "listen",
    "routes",
    "tls",
    "upstream_tls",
)  # the keywords in which a new chain file must agree with the old one


class Loaded(Copy, Protocol):
    """A version that Envoy was told to load, with its state."""

    def serves(self) -> bool:
        """Whether Envoy has loaded it."""
        ...

    def keep(self) -> None:
        """Keep its state, even when Envoy has dropped the version."""
        ...

    def release(self) -> None:
        """Take `keep` back."""
        ...


M = TypeVar("M", bound=Extension)


class Kind(Protocol[M]):
    """How a chain gets into Envoy: as a native module, or as a plugin."""

    @property
    def can(self) -> Can: ...

    def check(self, binding: Binding, diagnostics: Diagnostics) -> None:
        """Report what does not fit, in addition to what `can` says."""
        ...

    def carries(self, version: Version, handover: Handover) -> None:
        """Raises Refused if the state of that version, from which the next one would continue, cannot be obtained."""
        ...

    def make(
        self, chain: ChainFile, binding: Binding, number: int, images: Sequence[bytes], edge: str = ""
    ) -> M:
        """Compile a version that begins with these states; `edge`: as in `Settings`.  Raises Unavailable,
        BuildError."""
        ...

    def apart(self, module: M, folder: Path) -> M:
        """The same module for a trial in another Envoy, which shares only `folder` with this one."""
        ...

    def loaded(self, module: M) -> Loaded: ...


@dataclass
class Running(Generic[M]):
    """A chain in force in an Envoy; a context manager which takes it out again."""

    chain: ChainFile
    binding: Binding
    binary: Binary
    envoy: Envoy
    slot: Slot
    kind: Kind[M]
    module: M  # in force
    number: int = 1  # of the version in force
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True
        self.envoy.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Ready(Generic[M]):
    """A version that Envoy has loaded, and that serves no RPC yet."""

    version: Version
    chain: ChainFile
    binding: Binding
    handover: Handover
    bases: Mapping[int, bytes]
    module: M
    number: int


@dataclass(frozen=True, slots=True)
class Named:
    """A copy that RPCs may still name.  Implements `upgrade.Copy`."""

    copy: Copy
    named: Callable[[], bool]

    def save(self, element: int) -> bytes:
        return self.copy.save(element)

    def swap(self, element: int, change: Callable[[bytes], bytes]) -> None:
        self.copy.swap(element, change)

    def open(self) -> int:
        return self.copy.open()

    def over(self) -> bool:
        return not self.named() and self.copy.over()

    def end(self) -> None:
        self.copy.end()


class Upgrades(Generic[M]):
    """The versions of a running chain."""

    def __init__(self, deployed: Running[M], version: Version, told: Callable[[], object]) -> None:
        """`told`: called when another version has been put in force."""
        self.deployed = deployed
        self.version = version
        self.changing = threading.Lock()
        self.before: Version | None = None  # the one before the last upgrade
        self.joined = False  # whether it is one of several processors that change together
        self._told = told
        self._made = deployed.number  # number of versions made, including those that were never put in force
        self._settling: Settling | None = None

    @property
    def now(self) -> Loaded:
        """The version in force."""
        return self.deployed.kind.loaded(self.deployed.module)

    @property
    def settled(self) -> bool:
        """Whether no RPC of an older version is under way, and what such RPCs changed has been carried over."""
        settling = self._settling
        return settling is None or settling.quiet

    def upgrade(self, path: Path, automatic_return: bool) -> Mapping[str, str]:
        """Put the version of a file in force; return what becomes of each field of the state.  Raises Refused, and then
        the old version stays in force.
        """
        with self.changing:
            if self.joined:
                raise Refused(NOT_ALONE, TOGETHER)
            version = read_version(path, self.version)
            handover = Handover.of(self.version.origins, version)
            handover.check(automatic_return)
            self.put(self.ready(version, handover, self.now.save))
            return handover.fields()

    def go_back(self) -> Mapping[str, str]:
        """Put the version from before the last upgrade in force again, in the same way."""
        with self.changing:
            if self.joined:
                raise Refused(NOT_ALONE, TOGETHER)
            if self.before is None:
                raise Refused(*NOTHING_BEFORE)
            handover = Handover.back(self.version, self.before)
            self.put(self.ready(self.before, handover, self.now.save))
            self.before = None
            return handover.fields()

    def ready(
        self, version: Version, handover: Handover, image: Callable[[int], bytes], edge: str = ""
    ) -> Ready[M]:
        """Try a version, and have Envoy load it; `edge`: as in `Settings`.  Raises Refused, and then the old version
        stays.
        """
        chain = self._chain(version)
        binding = self._bound(chain, version)
        self.deployed.kind.carries(self.version, handover)
        try:
            return self._loaded(version, chain, binding, handover, image, edge)
        except (BuildError, ControlError) as error:
            raise Refused(f"the new version cannot run here: {error}", GOES_ON) from error
        except Unavailable as lacking:
            raise Refused(f"{lacking.what}: {lacking.why}", lacking.hint) from lacking

    def _chain(self, version: Version) -> ChainFile:
        """The chain file of the new version; what cannot change is taken from the old one."""
        old, new = self.deployed.chain, version.chain
        if new is None:
            uses = zip(version.programs, old.elements, strict=True)
            elements = tuple(ElementUse(program, use.values, use.span) for program, use in uses)
            return dataclasses.replace(old, elements=elements)
        for name in FIXED:
            if getattr(old, name) != getattr(new, name):
                raise Refused(f"the chain has another `{name}`", "that takes a restart: transect rpc run")
        return new

    def _bound(self, chain: ChainFile, version: Version) -> Binding:
        it, diagnostics = self.deployed, Diagnostics()
        binding = bind(
            version.programs,
            it.binding.service,
            diagnostics,
            methods=chain.methods or None,
            at=chain.span,
            by_worker=it.kind.can.by_worker,
            speaks_first=chain.speaks_first,
        )
        check_routes(version.programs, chain.routes, diagnostics)
        if binding is not None:
            check(binding, it.kind.can, diagnostics)
            it.kind.check(binding, diagnostics)
        if binding is None or diagnostics.failed:
            told = render_text(diagnostics, dict(version.sources))
            raise Refused(f"the new version does not fit the service\n{told}", GOES_ON)
        return binding

    def _loaded(
        self,
        version: Version,
        chain: ChainFile,
        binding: Binding,
        handover: Handover,
        image: Callable[[int], bytes],
        edge: str,
    ) -> Ready[M]:
        it, old = self.deployed, self.now
        self._made += 1

        def made(edge: str) -> tuple[M, Mapping[int, bytes]]:
            images, bases = handover.start(image)
            return it.kind.make(chain, binding, self._made, images, edge), bases

        self._tried(made("")[0], binding)
        old.keep()
        module, bases = made(edge)
        it.slot.put(module, str(self._made))
        if not self._serves(it.kind.loaded(module)):
            old.release()
            raise Refused(f"Envoy did not take the new version: {it.envoy.last_word}", GOES_ON)
        return Ready(version, chain, binding, handover, bases, module, self._made)

    def _tried(self, module: M, binding: Binding) -> None:
        """Try it with RPCs in an Envoy that serves nobody else."""
        it = self.deployed
        with Temporary("transect-trial-") as place:
            apart = it.kind.apart(module, Path(place))
            tried(it.binary, apart, binding, list(it.chain.routes), Path(place), it.envoy.folder / MODULES)

    def put(self, ready: Ready[M], named: Callable[[], bool] = lambda: False) -> None:
        """Put it in force; `named`: whether RPCs may still ask for the old version by its name."""
        it, old = self.deployed, Named(self.now, named)
        new = it.kind.loaded(ready.module)
        self.before = dataclasses.replace(self.version, chain=it.chain)
        it.chain, it.binding, it.module, it.number = ready.chain, ready.binding, ready.module, it.number + 1
        self.version = ready.version
        self._settling = Settling(ready.handover, old, new, ready.bases, self._settling)
        threading.Thread(target=self._settle, args=(self._settling,), daemon=True).start()
        self._told()

    def _serves(self, loaded: Loaded) -> bool:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.deployed.envoy.alive:
            if loaded.serves():
                return True
            time.sleep(0.002)
        return False

    def _settle(self, settling: Settling) -> None:
        """Wait until Envoy has dropped the old version, or a later upgrade takes this over."""
        while True:
            time.sleep(SETTLE_S[settling.quiet])
            with self.changing:
                if self._settling is not settling or not self.deployed.envoy.alive:
                    return
                try:
                    if settling.settle():
                        self._settling = None
                except ControlError as wrong:  # Envoy is about to end, or is busy: the next look tells
                    if self.deployed.stopped:
                        return
                    log.warning("what RPCs of an old version did waits: %s", wrong)
