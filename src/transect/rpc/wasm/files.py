# SPDX-License-Identifier: Apache-2.0
"""A chain file as files for any proxy-wasm host: the plugin, its configuration, and both as an HTTP filter of Envoy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transect.base.cache import content
from transect.base.render import render_text
from transect.base.room import put
from transect.rpc.chain.file import first_state, read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.envoy.config import to_json
from transect.rpc.native.chain import emit_chain
from transect.rpc.run import Invalid
from transect.rpc.wasm.build import built
from transect.rpc.wasm.carrier import WASM, divided
from transect.rpc.wasm.config import Plugin
from transect.rpc.wasm.upgrading import settings_of


@dataclass(frozen=True, slots=True)
class Written:
    """What a host is given."""

    paths: tuple[Path, ...]
    one_worker: tuple[str, ...]  # state that more workers would divide: `RateLimit.buckets`


def write_plugin(path: Path, folder: Path) -> Written:
    """`NAME.wasm`, `NAME.conf`, `NAME.filter.json` in `folder`, for the chain file NAME.py.

    Raises Invalid, Unavailable, BuildError, OSError.
    """
    read = read_chain(path)
    binding = None if read.chain is None else bound(read.chain, read.diagnostics, WASM)
    if read.chain is None or binding is None:
        raise Invalid(render_text(read.diagnostics, read.sources))
    folder.mkdir(parents=True, exist_ok=True)
    plugin, config, told = (folder / f"{path.stem}{suffix}" for suffix in (".wasm", ".conf", ".filter.json"))
    put(plugin, content(built(emit_chain(binding))))
    settings = settings_of(
        read.chain, binding, [first_state(use.program, use.values) for use in read.chain.elements]
    )
    put(config, settings.text().encode())
    put(told, to_json(Plugin(plugin.absolute(), settings, path.stem).filter()))
    one = (f"{e.name}.{field.name}" for e in binding.elements for field in divided(e.program))
    return Written((plugin, config, told), tuple(one))
