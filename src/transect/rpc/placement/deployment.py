# SPDX-License-Identifier: Apache-2.0
"""`transect rpc run --plan`: runs the proxies of a plan, in the order in which a request passes them.

What a library carries, its program attaches itself (`transect.rpc.attach_plan`); this module says what that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.base.temporary import Temporary
from transect.control.stopping import stopping
from transect.rpc.builtin import NotAFilter
from transect.rpc.builtin.running import deploy_filters
from transect.rpc.builtin.running import hosted as hosted_filters
from transect.rpc.chain.address import PLAIN, Endpoint
from transect.rpc.chain.arrangement import Carrier, Group, Layout, Processor
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.carrier import ENVOY
from transect.rpc.chain.fitting import bound, usable
from transect.rpc.chain.model import ChainFile
from transect.rpc.envoy.following import telling
from transect.rpc.envoy.process import Envoy, EnvoyFailed
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement import saved
from transect.rpc.placement.checked import checked
from transect.rpc.run import Say, Started, kept_log, name_of, refuse_or_warn
from transect.rpc.wasm.carrier import WASM, check_copies, workers_for
from transect.rpc.wasm.deploy import deploy_plugin
from transect.rpc.wasm.run import hosted, told


@dataclass(frozen=True)
class Part:
    """One proxy's share of an edge."""

    group: Group
    chain: ChainFile  # with this proxy's elements only
    binding: Binding
    workers: int | None


def run_plan(
    path: Path,
    plan: Path,
    *,
    level: Level = Level.SERVICE,
    envoy: str | None = None,
    name: str | None = None,
    workers: int | None = None,
    metrics: Endpoint | None = None,
    keys: Path | None = None,
    say: Say = print,
) -> None:
    """Serve until SIGINT or SIGTERM.  Raises PlanError, and what `rpc.run.run` raises."""
    found = checked(plan, path, level)
    read, layouts = found.read, found.layouts
    parts = [
        parts_of(chain, layout, workers, read.diagnostics)
        for chain, layout in zip(read.chains, layouts, strict=True)
    ]
    for chain in read.chains:
        usable(chain, read.diagnostics)
    refuse_or_warn(read, say)
    if keys is not None:
        _can_vouch([part for proxies in parts for part in proxies], path, plan)
    with (
        stopping() as stop,
        Temporary("transect-rpc-") as folder,
        ExitStack() as stack,
    ):
        started = Started(stack, Path(folder), envoy, workers, keys, numbered=name is None, say=say)
        others: list[Envoy] = []
        try:
            for chain, layout, proxies in zip(read.chains, layouts, parts, strict=True):
                others += bring_up(
                    started, proxies, name_of(name or path.stem, chain, read.chains), read.sources
                )
                say(f"{chain.service}: arranged as {plan} says, at level `{found.level(chain)}`")
                _say_libraries(say, chain, layout, plan)
            if any(parts):
                started.serve(stop, metrics, others)
        except EnvoyFailed as failed:
            raise EnvoyFailed(failed.why, kept_log(failed.log, Path.cwd())) from failed


def _can_vouch(parts: Sequence[Part], path: Path, plan: Path) -> None:
    """Raises PlanError where a proxy cannot have the keys: its elements would see signed words in place of names."""
    for part in parts:
        if part.group.carrier in (Carrier.WASM, Carrier.BUILT_IN):
            raise saved.PlanError(
                f"the {part.group.processor} cannot vouch for anybody: it is no native module",
                f'take "{part.group.carrier}" out of `proxies=`, and {saved.anew(path, plan)}',
            )


def parts_of(chain: ChainFile, layout: Layout, workers: int | None, diagnostics: Diagnostics) -> list[Part]:
    """The proxies of an arrangement, each bound to the service."""
    found = []
    for group in layout:
        if not group.processor.proxy:
            continue
        own = replace(chain, elements=tuple(chain.elements[index] for index in group.elements))
        wasm = group.carrier is Carrier.WASM
        binding = bound(own, diagnostics, WASM if wasm else ENVOY)
        if binding is None:
            continue  # the diagnostics say what is wrong
        many = workers_for(binding, workers) if wasm else workers
        if wasm:
            check_copies(binding, many, diagnostics)
        found.append(Part(group, own, binding, many))
    return found


def bring_up(started: Started, parts: list[Part], name: str, sources: dict[str, str]) -> list[Envoy]:
    """Start the last proxy first, so that those before it know its address; returns Envoys unknown to `started`."""
    others: list[Envoy] = []
    upstream: Endpoint | None = None
    for index in reversed(range(len(parts))):
        part = parts[index]
        own = _linked(part, first=index == 0, last=index == len(parts) - 1, upstream=upstream)
        called = name if len(parts) == 1 else f"{name}.{part.group.processor.side}"
        if part.group.carrier is Carrier.BUILT_IN:
            others.append(_bring_up_filters(started, part, own, called))
            upstream = others[-1].address
        elif part.group.carrier is Carrier.WASM:
            place = started.folder / f"plugin-{part.group.processor.side}-{own.service}"
            made = deploy_plugin(own, part.binding, place, envoy=started.envoy, workers=part.workers)
            running = started.stack.enter_context(made)
            host = started.stack.enter_context(
                hosted(running, own, sources, called, numbered=started.numbered)
            )
            told(started.say, running, own, host.name, part.workers)
            others.append(running.envoy)
            started.statuses.append(host.status)
            started.tells.append(telling(host.name, running.envoy.log))
            upstream = running.envoy.address
        else:
            upstream = started.add(own, part.binding, called, sources).envoy.address
    return others


def _bring_up_filters(started: Started, part: Part, own: ChainFile, called: str) -> Envoy:
    """That each element is a filter was proved when the plan was made, and is proved again here."""
    place = started.folder / f"filters-{part.group.processor.side}-{own.service}"
    try:
        running = deploy_filters(own, part.binding, place, envoy=started.envoy, workers=part.workers)
    except NotAFilter as why:
        hint = 'take "built-in" out of `proxies=`, and plan again'
        raise saved.PlanError(
            f"the {part.group.processor} cannot be filters of Envoy's: {why}", hint
        ) from why
    started.stack.enter_context(running.envoy)
    host = started.stack.enter_context(hosted_filters(running, own, called, numbered=started.numbered))
    started.statuses.append(host.status)
    elements = " → ".join(use.program.name for use in own.elements)
    started.say(
        f"{own.service}: {running.envoy.address} → {elements} → {own.upstream}   "
        f"(filters of Envoy {running.binary.version})"
    )
    started.say(f"transect rpc status {host.name} shows it; Ctrl-C stops it")
    return running.envoy


def _linked(part: Part, *, first: bool, last: bool, upstream: Endpoint | None) -> ChainFile:
    """The chain file for one proxy: callers reach the first one; the last one reaches the service and the routes."""
    chain = part.chain
    if not first:
        chain = replace(chain, listen=Endpoint(), tls=PLAIN)
    if not last:
        assert upstream is not None, "the one behind has been started"
        chain = replace(chain, upstream=upstream, upstream_tls=PLAIN, routes={})
    return chain


def _say_libraries(say: Say, chain: ChainFile, layout: Layout, plan: Path) -> None:
    names = chain.names
    for group in layout:
        if group.processor.proxy:
            continue
        what = "channel" if group.processor is Processor.CLIENT_LIBRARY else "server"
        elements = " → ".join(names[index] for index in group.elements)
        say(f"{chain.service}: {elements} in the {group}: `transect.rpc.attach_plan({what}, {str(plan)!r})`")
    if not any(group.processor.proxy for group in layout):
        say(f"{chain.service}: no proxy is in the path; clients call {chain.upstream}")
