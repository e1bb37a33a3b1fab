# SPDX-License-Identifier: Apache-2.0
"""From a chain file to a running Envoy with the chain as a WASM plugin: compile, start, wait until it serves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from transect.rpc.chain.binding import Binding
from transect.rpc.chain.file import first_state
from transect.rpc.chain.model import ChainFile
from transect.rpc.envoy import binary
from transect.rpc.envoy.config import Slot
from transect.rpc.envoy.deploy import configured, must_be_free
from transect.rpc.envoy.process import start
from transect.rpc.envoy.upgrading import Running
from transect.rpc.wasm.config import Plugin
from transect.rpc.wasm.control import Door
from transect.rpc.wasm.metrics import Told
from transect.rpc.wasm.upgrading import Plugins


@dataclass(kw_only=True)
class DeployedPlugin(Running[Plugin]):
    """A chain in force as a plugin; a context manager which stops it at the end."""

    door: Door
    workers: int

    @property
    def told(self) -> Told:
        """What the version in force reports."""
        return Told(self.envoy, len(self.binding.elements), self.module.settings.version, self.workers)

    @property
    def starts(self) -> tuple[bytes, ...]:
        """Images of the elements' states as they began."""
        return self.module.settings.states

    def stop(self) -> None:
        super().stop()
        self.door.close()


def deploy_plugin(
    chain: ChainFile,
    binding: Binding,
    folder: Path,
    *,
    envoy: str | Path | None = None,
    workers: int | None = None,
    record: bool = False,
) -> DeployedPlugin:
    """Put the chain in force; `folder`, which the caller removes, holds all that is written.

    `record`: the plugin writes every handler call into Envoy's log.  Raises Unavailable (no compiler, no Envoy, a busy
    port), BuildError, EnvoyFailed.
    """
    must_be_free(chain.listen)
    found = binary.find(envoy)
    folder.mkdir(parents=True, exist_ok=True)
    many = workers or os.cpu_count() or 1
    door = Door(folder / "door.sock")
    try:
        kind = Plugins(folder, door, many, record)
        firsts = [first_state(use.program, use.values) for use in chain.elements]
        plugin = kind.make(chain, binding, 1, firsts)
        slot = Slot(folder / "filter.json", plugin)
        slot.clear()
        config = configured(chain, [slot], folder, door.path)
        running = start(found, config, folder, workers=many)
    except BaseException:
        door.close()
        raise
    return DeployedPlugin(chain, binding, found, running, slot, kind, plugin, door=door, workers=many)
