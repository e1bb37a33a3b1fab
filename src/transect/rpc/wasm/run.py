# SPDX-License-Identifier: Apache-2.0
"""`transect rpc run --carrier wasm`: a chain in force as a plugin, until the command is told to stop or Envoy goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from transect.base.temporary import Temporary
from transect.control.operating import Operated
from transect.control.stopping import stopping
from transect.rpc.chain.address import Endpoint
from transect.rpc.chain.file import Read, read_chain
from transect.rpc.chain.fitting import bound, usable
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.status import addresses
from transect.rpc.envoy.following import LARGEST, telling
from transect.rpc.envoy.process import EnvoyFailed
from transect.rpc.run import Say, exporting, kept_log, refuse_or_warn, watch
from transect.rpc.versions.upgrade import Version
from transect.rpc.wasm.carrier import WASM, check_copies, workers_for
from transect.rpc.wasm.deploy import DeployedPlugin, deploy_plugin
from transect.rpc.wasm.host import END_OF_RECORDING, PluginHost
from transect.rpc.wasm.recording import write_log


def run_plugin(
    path: Path,
    *,
    envoy: str | None = None,
    name: str | None = None,
    workers: int | None = None,
    record: Path | None = None,
    metrics: Endpoint | None = None,
    say: Say = print,
) -> None:
    """Serve until SIGINT or SIGTERM.  `record`: write every handler call into a new log there, at the end.  `metrics`:
    where Prometheus asks.

    Raises Invalid, Unavailable, BuildError, Taken (the name), EnvoyFailed (did not start, or has gone; its log stays),
    FileExistsError (the log).
    """
    if record is not None and record.exists():
        raise FileExistsError(f"{record} is there already")
    read = read_chain(path)
    binding = None if read.chain is None else bound(read.chain, read.diagnostics, WASM)
    if read.chain is not None:
        usable(read.chain, read.diagnostics)
    if binding is not None:
        workers = workers_for(binding, workers)
        check_copies(binding, workers, read.diagnostics)
    refuse_or_warn(read, say)
    assert read.chain is not None and binding is not None, "what does not bind is told"
    with stopping() as stop, Temporary("transect-rpc-") as folder:
        given = {"envoy": envoy, "workers": workers, "record": record is not None}
        try:
            with deploy_plugin(read.chain, binding, Path(folder), **given) as running:  # type: ignore[arg-type]
                with hosted(
                    running, read.chain, read.sources, name or path.stem, record, numbered=name is None
                ) as host:
                    told(say, running, read.chain, host.name, workers)
                    with exporting(metrics, [host.status], say):
                        heard = telling(host.name, running.envoy.log, LARGEST if record is None else None)
                        watch([running.envoy], stop, [heard])
                    if record is not None:
                        _write(record, host.name, running, read)
        except EnvoyFailed as failed:
            raise EnvoyFailed(failed.why, kept_log(failed.log, Path.cwd())) from failed


@contextmanager
def hosted(
    running: DeployedPlugin,
    chain: ChainFile,
    sources: Mapping[str, str],
    name: str,
    record: Path | None = None,
    *,
    numbered: bool,
) -> Iterator[Operated]:
    """Make the plugin reachable under a name; `numbered`: a name that is taken gets a number."""
    version = Version.of_chain(chain, sources)
    host = PluginHost(running, version, addresses(chain, running.envoy.address), record)
    operated = Operated("rpc", name, host, end_of_recording=END_OF_RECORDING)
    with operated.serve(host.verbs(name), numbered=numbered):
        yield operated


def _write(path: Path, name: str, running: DeployedPlugin, read: Read) -> None:
    write_log(path, name, running.binding, running.starts, running.told, read.sources)


def told(say: Say, running: DeployedPlugin, chain: ChainFile, name: str, workers: int | None) -> None:
    elements = " → ".join(use.program.name for use in chain.elements)
    how = "1 worker: it has state" if workers == 1 else f"{workers or 'a worker for each core'}"
    say(
        f"{chain.service}: {running.envoy.address} → {elements} → {chain.upstream}   "
        f"(WASM in Envoy {running.binary.version}; {how})"
    )
    say(f"transect rpc status {name} shows it; Ctrl-C stops it")
