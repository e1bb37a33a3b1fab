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
from transect.rpc.upgrade import Handover, Settling, Version, read_version

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
        return bool(self.control.status()["gone"])

    def end(self) -> None:
        gone = self.control.forget()
        assert gone, "Envoy had let it go"


class Upgrades:
    """The versions of a deployed chain."""

    def __init__(self, deployed: Deployed, version: Version, told: Callable[[], object]) -> None:
        """`told`: called when another version is in force."""
        self.deployed = deployed
        self.version = version
        self._told = told
        self._settling: Settling | None = None
        self._changing = threading.Lock()

    @property
    def settled(self) -> bool:
        """Whether no RPC of an older version is under way, and what they did has gone over."""
        settling = self._settling
        return settling is None or settling.quiet

    def upgrade(self, path: Path, automatic_return: bool) -> Mapping[str, str]:
        """Put what a file says in force; what becomes of each field of the state.  Raises Refused, and the old version
        goes on."""
        with self._changing:
            version = read_version(path, self.version)
            chain = self._chain(version)
            handover = Handover.of(self.version.origins, version)
            handover.check(automatic_return)
            binding = self._bound(chain, version)
            try:
                self._replace(chain, binding, handover)
            except (BuildError, ControlError) as error:
                raise Refused(f"the new version cannot run here: {error}", GOES_ON) from error
            except Unavailable as lacking:
                raise Refused(f"{lacking.what}: {lacking.why}", lacking.hint) from lacking
            self.version = version
            self._told()
            return handover.fields()

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

    def _replace(self, chain: ChainFile, binding: Binding, handover: Handover) -> None:
        from transect.rpc.deploy import module_of

        it = self.deployed
        old, number = it.control, it.number + 1
        folder = it.envoy.folder
        images, _ = handover.start(old.save)
        self._tried(module_of(chain, binding, it.binary, folder, number, images))
        old.keep()
        images, bases = handover.start(old.save)
        module = module_of(chain, binding, it.binary, folder, number, images)
        it.slot.put(module, str(number))
        control = Control(Path(module.settings.control))
        if not self._serves(control):
            old.release()
            raise Refused(f"Envoy did not take the new version: {it.envoy.last_word}", GOES_ON)
        it.chain, it.binding, it.control, it.number = chain, binding, control, number
        self._settling = Settling(handover, EnvoyCopy(old), EnvoyCopy(control), bases, self._settling)
        threading.Thread(target=self._settle, args=(self._settling,), daemon=True).start()

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
            with self._changing:
                if self._settling is not settling or not self.deployed.envoy.alive:
                    return
                try:
                    if settling.settle():
                        self._settling = None
                except ControlError as wrong:  # Envoy is about to go, or is busy: the next look tells
                    log.warning("what RPCs of an old version did waits: %s", wrong)
