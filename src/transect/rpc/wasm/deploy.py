# SPDX-License-Identifier: Apache-2.0
"""A chain file into a running Envoy, with the chain as a WASM plugin: compile, start, wait until it serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from transect.rpc.binding import Binding
from transect.rpc.chain import emit_chain, needs_of
from transect.rpc.chain_file import ChainFile, first_state
from transect.rpc.deploy import must_be_free
from transect.rpc.envoy import binary
from transect.rpc.envoy.config import bootstrap
from transect.rpc.envoy.process import Envoy, start
from transect.rpc.wasm.build import build
from transect.rpc.wasm.config import Plugin, PluginSettings
from transect.rpc.wasm.told import Told


@dataclass(frozen=True, slots=True)
class DeployedPlugin:
    """A chain in force; a context manager which takes it out again."""

    binding: Binding
    binary: binary.Binary
    envoy: Envoy
    told: Told
    starts: tuple[bytes, ...]  # images of the elements' states as they began

    def __enter__(self) -> DeployedPlugin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.envoy.stop()


def settings_of(chain: ChainFile, binding: Binding, *, record: bool = False) -> PluginSettings:
    """What the plugin is told, in any host."""
    needs = needs_of(binding)
    return PluginSettings(
        elements=len(binding.elements),
        streaming=tuple(m.path for m in binding.methods if m.client_streams or m.server_streams),
        routes=tuple(chain.routes),
        states=tuple(first_state(use.program, use.values) for use in chain.elements),
        max_message=chain.max_message,
        on_compressed=chain.on_compressed,
        replies=needs["response"] or needs["reply"],
        peer=needs["peer"],
        record=record,
    )


def deploy_plugin(
    chain: ChainFile,
    binding: Binding,
    folder: Path,
    *,
    envoy: str | Path | None = None,
    workers: int | None = None,
    record: bool = False,
) -> DeployedPlugin:
    """Put the chain in force; `folder` (the caller's, to be removed by it) holds all that is written.

    `record`: the plugin says every call of a handler into Envoy's log.  Raises Unavailable (no compiler, no Envoy, a
    busy port), BuildError, EnvoyFailed.
    """
    must_be_free(chain.listen)
    found = binary.find(envoy)
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_of(chain, binding, record=record)
    plugin = Plugin(build(emit_chain(binding), folder / "plugins"), settings)
    config = bootstrap(
        listen=chain.listen,
        upstream=chain.upstream,
        modules=[plugin],
        routes=chain.routes,
        admin=folder / "admin.sock",
        tls=chain.tls,
        upstream_tls=chain.upstream_tls,
    )
    running = start(found, config, folder, workers=workers)
    told = Told(running, len(binding.elements), workers or 1)
    return DeployedPlugin(binding, found, running, told, settings.states)
