# SPDX-License-Identifier: Apache-2.0
"""`transect rpc run`: keeps a chain in force, in the foreground and reachable by `status`, `set` and `record`, until it
is told to stop or Envoy ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from transect.base.render import render_text
from transect.base.temporary import Temporary
from transect.base.unavailable import Unavailable
from transect.control.answers import Status
from transect.control.operating import Operated
from transect.control.prometheus import Exporter
from transect.control.server import Taken
from transect.control.stopping import Stop, stopping
from transect.rpc.chain.address import Endpoint
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.file import Read, ReadEdges, read_edges
from transect.rpc.chain.fitting import bound, usable
from transect.rpc.chain.metrics import exposition
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.status import addresses
from transect.rpc.envoy.deploy import Deployed, deploy
from transect.rpc.envoy.following import Tell, telling
from transect.rpc.envoy.host import EnvoyHost
from transect.rpc.envoy.part import EnvoyPart
from transect.rpc.envoy.process import Envoy, EnvoyFailed, ended
from transect.rpc.versions.upgrade import Version

Say = Callable[[str], None]
LOOK_S = 0.2  # how often we see whether Envoy lives


class Invalid(Exception):
    """The chain cannot be put in force; the text is the rendered diagnostics."""


def run(
    path: Path,
    *,
    envoy: str | None = None,
    name: str | None = None,
    workers: int | None = None,
    metrics: Endpoint | None = None,
    keys: Path | None = None,
    say: Say = print,
) -> None:
    """Serve until SIGINT or SIGTERM.  `metrics`: where Prometheus asks; `keys`: as in `deploy`.

    Raises Invalid, Unavailable, BuildError, Taken (the name), EnvoyFailed (did not start, or has gone; its log stays).
    """
    with stopping() as stop, Temporary("transect-rpc-") as folder:
        read = read_edges(path)
        bindings = [bound(chain, read.diagnostics) for chain in read.chains]
        for chain in read.chains:
            usable(chain, read.diagnostics)
        refuse_or_warn(read, say)
        try:
            with ExitStack() as stack:
                started = Started(stack, Path(folder), envoy, workers, keys, numbered=name is None, say=say)
                for chain, binding in zip(read.chains, bindings, strict=True):
                    assert binding is not None, "what does not bind is told"
                    started.add(chain, binding, name_of(name or path.stem, chain, read.chains), read.sources)
                started.serve(stop, metrics)
        except EnvoyFailed as failed:
            raise EnvoyFailed(failed.why, kept_log(failed.log, Path.cwd())) from failed


def refuse_or_warn(read: ReadEdges | Read, say: Say) -> None:
    """Show the warnings among the diagnostics; raises Invalid if there are errors."""
    if len(read.diagnostics):
        told = render_text(read.diagnostics, read.sources)
        if read.diagnostics.failed:
            raise Invalid(told)
        say(told)


@dataclass
class Started:
    """Envoys with a chain each, every one reachable under a name of its own."""

    stack: ExitStack
    folder: Path
    envoy: str | None
    workers: int | None
    keys: Path | None  # file of the keys under which requests are vouched for
    numbered: bool  # names that are taken get a number
    say: Say
    running: list[Deployed] = field(default_factory=list)
    instances: list[Operated] = field(default_factory=list)
    statuses: list[Callable[[], Status]] = field(default_factory=list)  # of all carriers, for Prometheus
    tells: list[Tell] = field(default_factory=list)  # what elements trace

    def add(self, chain: ChainFile, binding: Binding, name: str, sources: dict[str, str]) -> Deployed:
        place = self.folder / str(len(self.running))
        made = deploy(chain, binding, place, envoy=self.envoy, workers=self.workers, keys=self.keys)
        self.running.append(self.stack.enter_context(made))
        host = _host(made, chain, sources)
        operated = Operated("rpc", name, host)
        self.stack.enter_context(operated.serve(EnvoyPart(host).verbs(), numbered=self.numbered))
        self.instances.append(operated)
        self.statuses.append(operated.status)
        self.tells.append(telling(operated.name, made.envoy.log))
        _told(self.say, made, chain, operated.name)
        return made

    def serve(self, stop: Stop, metrics: Endpoint | None, others: Sequence[Envoy] = ()) -> None:
        """Serve until told to stop; raises EnvoyFailed if one of these Envoys, or of `others`, ends before."""
        with exporting(metrics, self.statuses, self.say):
            watch([*(one.envoy for one in self.running), *others], stop, self.tells)
        for operated in self.instances:
            if operated.host.recording is not None:
                operated.record_stop()


def kept_log(log: Path, folder: Path) -> Path:
    """Where Envoy's log can be read when its own folder is gone: `envoy.log`, or a new file where that is taken.

    An existing file is never written to: it may be a link to something else.
    """
    for number in range(1, 100):
        kept = folder / (f"envoy-{number}.log" if number > 1 else "envoy.log")
        try:
            with log.open("rb") as source, kept.open("xb") as target:
                shutil.copyfileobj(source, target)
        except FileExistsError:
            continue
        except OSError:
            break
        return kept
    return log


def name_of(application: str, chain: ChainFile, chains: Sequence[ChainFile]) -> str:
    """An edge's name for its operator; of several edges, with as much of its service as tells it from the others."""
    if len(chains) == 1:
        return application
    short = chain.service.rpartition(".")[2]
    alone = sum(other.service.rpartition(".")[2] == short for other in chains) == 1
    return f"{application}.{short if alone else chain.service}"


def _host(running: Deployed, chain: ChainFile, sources: dict[str, str]) -> EnvoyHost:
    carrier, where = f"Envoy {running.binary.version}", addresses(chain, running.envoy.address)
    version = Version.of_chain(chain, sources)
    return EnvoyHost(running.control, running.binding, sources, carrier, where, running, version)


@contextmanager
def exporting(at: Endpoint | None, statuses: Sequence[Callable[[], Status]], say: Say) -> Iterator[None]:
    """Answer Prometheus at this address while the block runs."""
    if at is None:
        yield
        return
    exporter = Exporter(at.host, at.port, lambda: exposition([status() for status in statuses]))
    say(f"metrics: http://{exporter.address}/metrics")
    try:
        yield
    finally:
        exporter.close()


def _told(say: Say, running: Deployed, chain: ChainFile, name: str) -> None:
    elements = " → ".join(use.program.name for use in chain.elements)
    say(
        f"{chain.service}: {running.envoy.address} → {elements} → {chain.upstream}   (Envoy {running.binary.version})"
    )
    say(f"transect rpc status {name} shows it; Ctrl-C stops it")


def watch(envoys: Sequence[Envoy], stop: Stop, tells: Sequence[Tell] = ()) -> None:
    """Wait until told to stop, and say meanwhile what elements trace; raises EnvoyFailed if an Envoy ends before."""
    stopped = False
    while not stopped:
        stopped = stop.wait(LOOK_S)
        for tell in tells:
            tell()
        for envoy in (envoy for envoy in envoys if not (stopped or envoy.alive)):
            why = f"the Envoy at {envoy.address} {ended(envoy.stop())}: nobody takes its calls until it runs again"
            raise EnvoyFailed(why, envoy.log)


__all__ = ["Invalid", "Taken", "Unavailable", "run"]
