# SPDX-License-Identifier: Apache-2.0
"""A new version of a chain in a running Envoy, while RPCs pass: another module under a name of its own, named by a file
that is replaced by renaming.

Envoy ends each stream on the filter that began it, so an RPC sees one version.  The old one is told to stay reachable
when Envoy lets it go, until what its last RPCs did to the state has gone over.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.base.unavailable import Unavailable
from transect.control.protocol import Refused
from transect.rpc.binding import Binding, bind
from transect.rpc.build import BuildError
from transect.rpc.can import ENVOY, check
from transect.rpc.chain_file import ChainFile, ElementUse
from transect.rpc.envoy.config import Endpoint, Module, bootstrap, to_json
from transect.rpc.envoy.control import Control, ControlError
from transect.rpc.envoy.process import SEARCH_PATH
from transect.rpc.upgrade import NOT_ALONE, TOGETHER, Handover, Settling, Version, read_version

if TYPE_CHECKING:
    from transect.rpc.deploy import Deployed

log = logging.getLogger("transect.rpc")

TRIES = 3  # of a change without holding RPCs back
PATIENCE_S = 10.0  # for Envoy to take a new version
TRIAL_S = 30.0
SETTLE_S = 0.02, 0.5  # how often we look at an old version: while RPCs are on it, and later
GOES_ON = "the old version goes on"
FIXED = (
    "service",
    "upstream",
    "listen",
    "routes",
    "tls",
    "upstream_tls",
)  # what another chain file must agree on


@dataclass(frozen=True, slots=True)
class EnvoyCopy:
    """The state of one version in Envoy.  `upgrade.Copy`."""

    control: Control
    named: Callable[[], bool] = lambda: False  # whether RPCs may still ask for it by its name

    def save(self, element: int) -> bytes:
        return self.control.save(element)

    def swap(self, element: int, change: Callable[[bytes], bytes]) -> None:
        for _ in range(TRIES):
            old = self.control.save(element)
            if self.control.replace(element, old, change(old)):
                return
        self.control.change(element, change)

    def open(self) -> int:
        return int(self.control.status()["open"])

    def over(self) -> bool:
        return not self.named() and bool(self.control.status()["gone"])

    def end(self) -> None:
        gone = self.control.forget()
        assert gone, "Envoy had let it go"


@dataclass(frozen=True, slots=True)
class Ready:
    """A version that Envoy has loaded, and that no RPC is on yet."""

    version: Version
    chain: ChainFile
    binding: Binding
    handover: Handover
    bases: Mapping[int, bytes]
    module: Module
    number: int

    @property
    def control(self) -> Control:
        return Control(Path(self.module.settings.control))


class Upgrades:
    """The versions of a deployed chain."""

    def __init__(self, deployed: Deployed, version: Version, told: Callable[[], object]) -> None:
        """`told`: called when another version is in force."""
        self.deployed = deployed
        self.version = version
        self.changing = threading.Lock()
        self.joined = False  # one of several processors, which change together
        self._told = told
        self._made = deployed.number  # versions, those that nobody put in force among them
        self._settling: Settling | None = None

    @property
    def settled(self) -> bool:
        """Whether no RPC of an older version is under way, and what they did has gone over."""
        settling = self._settling
        return settling is None or settling.quiet

    def upgrade(self, path: Path, automatic_return: bool) -> Mapping[str, str]:
        """Put what a file says in force; what becomes of each field of the state.  Raises Refused, and the old version
        goes on."""
        with self.changing:
            if self.joined:
                raise Refused(NOT_ALONE, TOGETHER)
            version = read_version(path, self.version)
            handover = Handover.of(self.version.origins, version)
            handover.check(automatic_return)
            self.put(self.ready(version, handover, self.deployed.control.save))
            return handover.fields()

    def ready(
        self, version: Version, handover: Handover, image: Callable[[int], bytes], edge: str = ""
    ) -> Ready:
        """Have Envoy load it, after a trial; `edge`: as of `Settings`.  Raises Refused, and the old version goes on."""
        chain = self._chain(version)
        binding = self._bound(chain, version)
        try:
            return self._loaded(version, chain, binding, handover, image, edge)
        except (BuildError, ControlError) as error:
            raise Refused(f"the new version cannot run here: {error}", GOES_ON) from error
        except Unavailable as lacking:
            raise Refused(f"{lacking.what}: {lacking.why}", lacking.hint) from lacking

    def _chain(self, version: Version) -> ChainFile:
        """The chain file of the new version: what stays is the old one's."""
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
        diagnostics = Diagnostics()
        service = self.deployed.binding.service
        binding = bind(version.programs, service, diagnostics, methods=chain.methods or None, at=chain.span)
        if binding is not None:
            check(binding, ENVOY, diagnostics)
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
    ) -> Ready:
        from transect.rpc.deploy import module_of

        it, old = self.deployed, self.deployed.control
        self._made += 1
        folder = it.envoy.folder

        def made(edge: str) -> tuple[Module, Mapping[int, bytes]]:
            images, bases = handover.start(image)
            return module_of(chain, binding, it.binary, folder, self._made, images, edge), bases

        self._tried(made("")[0])
        old.keep()
        module, bases = made(edge)
        it.slot.put(module, str(self._made))
        ready = Ready(version, chain, binding, handover, bases, module, self._made)
        if not self._serves(ready.control):
            old.release()
            raise Refused(f"Envoy did not take the new version: {it.envoy.last_word}", GOES_ON)
        return ready

    def put(self, ready: Ready, named: Callable[[], bool] = lambda: False) -> None:
        """It is in force; `named`: as of EnvoyCopy, for the old one."""
        it, old = self.deployed, EnvoyCopy(self.deployed.control, named)
        new = EnvoyCopy(ready.control)
        it.chain, it.binding, it.control = ready.chain, ready.binding, ready.control
        it.module, it.number = ready.module, it.number + 1
        self.version = ready.version
        self._settling = Settling(ready.handover, old, new, ready.bases, self._settling)
        threading.Thread(target=self._settle, args=(self._settling,), daemon=True).start()
        self._told()

    def _tried(self, module: Module) -> None:
        """Envoy itself loads it, in a process that serves nobody and may crash."""
        it = self.deployed
        folder = it.envoy.folder
        config = bootstrap(listen=Endpoint(), upstream=it.chain.upstream, modules=[module])
        path = folder / "trial.json"
        path.write_bytes(to_json(config))
        command = [str(it.binary.path), "--mode", "validate", "--config-path", str(path)]
        environment = {**os.environ, SEARCH_PATH: str(module.library.parent)}
        try:
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=TRIAL_S)
        except subprocess.TimeoutExpired:
            raise Refused(f"a trial of the new version does not end within {TRIAL_S:g} s", GOES_ON) from None
        if done.returncode:
            said = [line for line in done.stderr.decode(errors="replace").splitlines() if "critical" in line]
            word = said[-1].split("] ", 1)[-1] if said else f"status {done.returncode}"
            raise Refused(f"a trial of the new version failed: {word}", GOES_ON)

    def _serves(self, control: Control) -> bool:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.deployed.envoy.alive:
            if control.path.exists():
                return True
            time.sleep(0.002)
        return False

    def _settle(self, settling: Settling) -> None:
        """Until Envoy has let the old version go, or a later upgrade takes this over."""
        while True:
            time.sleep(SETTLE_S[settling.quiet])
            with self.changing:
                if self._settling is not settling or not self.deployed.envoy.alive:
                    return
                try:
                    if settling.settle():
                        self._settling = None
                except ControlError as wrong:  # Envoy is about to go, or is busy: the next look tells
                    log.warning("what RPCs of an old version did waits: %s", wrong)
