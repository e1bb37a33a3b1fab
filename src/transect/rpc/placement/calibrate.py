# SPDX-License-Identifier: Apache-2.0
"""Measures what calls, processors and elements cost here: the figures of a `Profile`.

Processors are measured on real calls of an echo service, which take these paths in turns: directly; through a chain of
the do-nothing element in the client's and in the server's library; through an Envoy with nothing, with the do-nothing
element as a native module, with it as a plugin, with two such plugins, with forty elements in one plugin, and with
Envoy's own filters; and through two Envoys.  An element's own code is measured in this process, compiled as every
carrier compiles it, on a message with every field set.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from transect.base import children
from transect.base.diagnostic import Diagnostics
from transect.base.shipped import paths
from transect.base.span import NOWHERE
from transect.base.temporary import Temporary
from transect.core.text import dump
from transect.rpc import echo
from transect.rpc.builtin import Mutation, Refusal
from transect.rpc.builtin.filters import any_of, header
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.carrier import ANYWHERE
from transect.rpc.chain.file import first_state
from transect.rpc.chain.fitting import bound
from transect.rpc.chain.model import ChainFile, ElementUse
from transect.rpc.envoy import Endpoint, Envoy, Module, bootstrap, check, find, start
from transect.rpc.envoy.config import HttpFilter, Settings
from transect.rpc.hooks import Code
from transect.rpc.messages.wire import Kind, Presence, ProtoMessage, ProtoService
from transect.rpc.native.build import envoy_module
from transect.rpc.native.chain import emit_chain, needs_of
from transect.rpc.placement.null import null, program
from transect.rpc.placement.profile import VERSION, Cost, ElementCost, Profile, content
from transect.rpc.wasm import Plugin, PluginSettings, build

ROUNDS = 60
CALLS = 15  # of each path in a round
WARM = 200
QUIET = 0.25  # the quantile of the rounds that counts: whatever else runs meanwhile only adds time
BATCH = 300  # runs of an element's code in a row: a fraction of a millisecond
PORT = 16  # characters at most in the line by which the echo service tells its port
BATCHES = 80  # of each element's code, in turns; the quickest counts
# Of five elements in the plugin that shows what code costs as WASM, and of each of Envoy's own filters
COPIES = 8
PRIORITY = -10  # nice value: ahead of whatever else runs, where that is allowed

Say = Callable[[str], None]


def calibrate(chains: Sequence[ChainFile], say: Say, rounds: int = ROUNDS) -> Profile:
    """Raises Unavailable (no compiler, no Envoy), BuildError, EnvoyFailed, CannotBind."""
    say("elements")
    elements: dict[str, ElementCost] = {}
    for chain in chains:
        elements |= of_chain(chain)
    with preferred(), Temporary("transect-calibrate-") as folder:
        say("processors: compiling")
        paths, factor = measured_paths(Path(folder), say, rounds)
    direct = paths["direct"]
    bare = _least(paths["bare"] - direct)
    return Profile(
        VERSION,
        {"cpus": str(os.cpu_count()), "kernel": platform.release(), "python": platform.python_version()},
        time.strftime("%Y-%m-%d %H:%M"),
        direct,
        {side: _least(paths[f"{side} library"] - direct) for side in ("client", "server")},
        {kind: _least(paths[kind] - direct, bare) for kind in ("bare", "native", "wasm")},
        _least(paths["two"] - paths["bare"] - (paths["bare"] - direct)),
        _least(paths["plugins"] - paths["wasm"]),
        factor,
        elements,
        {kind: _least(paths[kind] - paths["bare"]).times(1 / COPIES) for kind in filters_to_measure()},
    )


def extended(profile: Profile, chains: Sequence[ChainFile]) -> Profile:
    """The profile with the elements of more chains."""
    elements = dict(profile.elements)
    for chain in chains:
        elements |= of_chain(chain)
    return replace(profile, elements=elements)


NOTHING = Cost()


def _least(cost: Cost, than: Cost = NOTHING) -> Cost:
    """The cost, but no less than `than`: a small difference of large numbers may come out too small."""
    return Cost(max(cost.latency, than.latency), max(cost.cpu, than.cpu))


# ---------------------------------------------------------------- elements


class CannotBind(Exception):
    """A chain does not fit its service; the diagnostics say why."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        super().__init__("the chain does not fit its service")
        self.diagnostics = diagnostics


def of_chain(chain: ChainFile) -> dict[str, ElementCost]:
    diagnostics = Diagnostics()
    binding = bound(chain, diagnostics, ANYWHERE)
    if binding is None:
        raise CannotBind(diagnostics)
    return of_elements(chain.elements, binding.service)


def of_elements(uses: Sequence[ElementUse], service: ProtoService) -> dict[str, ElementCost]:
    """µs of the elements' own code on a message of the service's first unary method."""
    codes = [_code([], service), *(_code([use], service) for use in uses)]
    least = [float("inf")] * len(codes)
    for _ in range(BATCHES):
        for index, code in enumerate(codes):
            least[index] = min(least[index], code())
    return {
        content(dump(use.program)): ElementCost(use.program.name, round(max(took - least[0], 0.0), 4))
        for use, took in zip(uses, least[1:], strict=True)
    }


def _code(uses: Sequence[ElementUse], service: ProtoService) -> Callable[[], float]:
    """A function that makes a batch of whole unary calls in the compiled chain, and returns the µs of one."""
    from transect.rpc.grpcio import native

    diagnostics = Diagnostics()
    method = next((m for m in service.methods if not m.streams), service.methods[0])
    binding = bind([use.program for use in uses], service, diagnostics, methods=[method.name])
    if binding is None:
        raise CannotBind(diagnostics)
    handle = native.chain(native.emitted(binding))
    for index, use in enumerate(uses):
        assert handle.load(index, first_state(use.program, use.values)), "its own image fits"
    ask = message(service.messages[method.request])
    answer = message(service.messages[method.reply])
    begin, path = handle.begin, method.path

    def batch() -> float:
        start = time.perf_counter_ns()
        for _ in range(BATCH):
            rpc = begin(path, "", ())
            rpc.request(ask)
            rpc.response(answer)
            rpc.finish(0, 0)
        return (time.perf_counter_ns() - start) / BATCH / 1000

    return batch


def message(of: ProtoMessage) -> bytes:
    """A message with every plain field set."""
    found = b""
    for f in of.fields:
        if f.presence in (Presence.REPEATED, Presence.MAP) or f.kind.nested:
            continue
        tag = _varint(f.tag)
        if f.kind in (Kind.STRING, Kind.BYTES):
            found += tag + _varint(len(TEXT)) + TEXT
        elif f.kind.wire == 0:
            found += tag + b"\x01"
        else:
            found += tag + bytes({1: 8, 5: 4}[int(f.kind.wire)])
    return found


TEXT = b"alice"


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


# ---------------------------------------------------------------- processors


@dataclass(frozen=True)
class Way:
    """A way to the echo service."""

    stub: Any
    pids: tuple[int, ...]  # of the processes that work for it
    body: Any

    def run(self, calls: int) -> Cost:
        before = sum(map(cpu_ns, self.pids))
        took = []
        for _ in range(calls):
            start = time.perf_counter_ns()
            self.stub.Say(self.body)
            took.append(time.perf_counter_ns() - start)
        cpu = (sum(map(cpu_ns, self.pids)) - before) / calls
        return Cost(statistics.median(took) / 1000, cpu / 1000)


def cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def measured_paths(folder: Path, say: Say, rounds: int) -> tuple[dict[str, Cost], float]:
    """All paths, and how much slower an element's code is as WASM."""
    with ExitStack() as stack:
        library = _five()
        paths = _opened(stack, folder, library)
        for path in paths.values():
            for pid in path.pids:
                prefer(pid)
            path.run(WARM)
        got: dict[str, list[Cost]] = {name: [] for name in paths}
        names = list(paths)
        say("processors: calling")
        for number in range(rounds):
            turn = number % len(names)
            for name in (*names[turn:], *names[:turn]):
                got[name].append(paths[name].run(CALLS))
    quiet = {
        name: Cost(_quiet([c.latency for c in costs]), _quiet([c.cpu for c in costs]))
        for name, costs in got.items()
    }
    five = of_elements(library, echo_service())
    code = sum(cost.native for cost in five.values())
    factor = (quiet["many"] - quiet["wasm"]).cpu / (COPIES * code)
    return quiet, round(max(factor, 1.0), 2)


def _quiet(values: Sequence[float]) -> float:
    return round(sorted(values)[int(QUIET * len(values))], 2)


def prefer(pid: int, nice: int = PRIORITY) -> None:
    """Give a process, and its session, which Linux may schedule as one, priority over others, where that is allowed."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


@contextmanager
def preferred() -> Iterator[None]:
    """Meanwhile, this process has priority over others."""
    pid = os.getpid()
    before = os.getpriority(os.PRIO_PROCESS, pid)
    prefer(pid)
    try:
        yield
    finally:
        prefer(pid, before)


def _opened(stack: ExitStack, folder: Path, library: Sequence[ElementUse]) -> dict[str, Way]:
    from transect.rpc.grpcio.attach import attach

    nothing = ElementUse(program(), {}, NOWHERE)
    server = stack.enter_context(serving())
    behind = stack.enter_context(serving("--attach"))
    envoys: dict[str, Envoy] = {}

    def envoy(name: str, filters: Sequence[HttpFilter], upstream: int) -> None:
        envoys[name] = stack.enter_context(started(folder / name, folder / "modules", filters, upstream))

    envoy("bare", [], server.port)
    envoy("native", [module([nothing], folder / "modules")], server.port)
    envoy("wasm", [plugin([nothing], folder / "plugins")], server.port)
    envoy("plugins", [plugin([nothing], folder / "plugins")] * 2, server.port)
    envoy("many", [plugin([*library] * COPIES, folder / "plugins")], server.port)
    for kind, those in filters_to_measure().items():
        envoy(kind, those, server.port)
    envoy("two", [], envoys["bare"].address.port)

    def path(port: int, pids: Sequence[int], attached: bool = False) -> Way:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),))
        stack.callback(channel.close)
        used = attach(channel, [null()], service=echo.DESCRIPTOR, native=True) if attached else channel
        body = echo.Ask(user="alice", key="k", text="x" * 50)
        return Way(echo.Stub(used), (os.getpid(), *pids), body)

    return {
        "direct": path(server.port, [server.pid]),
        "client library": path(server.port, [server.pid], attached=True),
        "server library": path(behind.port, [behind.pid]),
        **{
            name: path(e.address.port, [server.pid, e.pid, *([envoys["bare"].pid] if name == "two" else [])])
            for name, e in envoys.items()
        },
    }


def filters_to_measure() -> dict[str, list[HttpFilter]]:
    """Several copies of Envoy's own filters, which let calls pass: a condition on two headers, two headers changed."""
    blocked = any_of([header("x-blocked", "exact", "yes"), header("user-agent", "prefix", "guest")])
    refusals: list[HttpFilter] = [
        Refusal(f"transect.{i}", blocked, Code.PERMISSION_DENIED, "no") for i in range(COPIES)
    ]
    changes = (("x-edge", "front"),)
    return {
        "rbac": refusals,
        "header_mutation": [Mutation(f"transect.{i}", changes, ("x-debug",)) for i in range(COPIES)],
    }


def _five() -> list[ElementUse]:
    """Elements of the library that say nothing and let the calls through."""
    from transect.core.frontend import compile_file

    values: dict[str, dict[str, object]] = {
        "metrics": {},
        "acl": {"allowed": {"alice": True}},
        "rate_limit": {"per_second": 1 << 30, "burst": 1 << 30},
        "admission": {},
        "mutation": {"changes": {("user", "nobody"): "n.n"}},
    }
    by_name = {path.stem: path for path in paths("rpc")}
    programs = {name: compile_file(by_name[name]).programs[0] for name in values}
    return [ElementUse(p, values[name], NOWHERE) for name, p in programs.items()]


def echo_service() -> ProtoService:
    from transect.rpc.grpcio.attach import service_of

    return service_of(echo.DESCRIPTOR)


def bound_to_echo(uses: Sequence[ElementUse]) -> Binding:
    diagnostics = Diagnostics()
    binding = bind([use.program for use in uses], echo_service(), diagnostics, methods=["Say"])
    assert binding is not None, list(diagnostics)
    return binding


def module(uses: Sequence[ElementUse], folder: Path) -> Module:
    """These elements as a native module."""
    binding = bound_to_echo(uses)
    library = envoy_module(emit_chain(binding), folder)
    check(library, find())
    needs = needs_of(binding)
    states = []
    for index, use in enumerate(uses):
        states.append(folder / f"{library.stem}-{index}.bin")
        states[-1].write_bytes(first_state(use.program, use.values))
    return Module(
        library, Settings(states=tuple(map(str, states)), replies=needs["response"] or needs["reply"])
    )


def plugin(uses: Sequence[ElementUse], folder: Path) -> Plugin:
    """These elements in one WASM plugin."""
    binding = bound_to_echo(uses)
    needs = needs_of(binding)
    settings = PluginSettings(
        elements=len(uses),
        states=tuple(first_state(use.program, use.values) for use in uses),
        replies=needs["response"] or needs["reply"],
        peer=needs["peer"],
    )
    return Plugin(build(emit_chain(binding), folder), settings, "-".join(u.program.name for u in uses))


@contextmanager
def started(folder: Path, modules: Path, filters: Sequence[HttpFilter], upstream: int) -> Iterator[Envoy]:
    config = bootstrap(
        listen=Endpoint(), upstream=Endpoint(port=upstream), modules=filters, admin=folder / "admin.sock"
    )
    modules.mkdir(parents=True, exist_ok=True)
    with start(find(), config, folder, modules=modules, workers=1) as envoy:
        yield envoy


@dataclass(frozen=True)
class Served:
    port: int
    pid: int


@contextmanager
def serving(*options: str) -> Iterator[Served]:
    """The echo service in a process of its own."""
    command = [sys.executable, "-m", "transect.rpc.placement.service", *options]
    process = children.start(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline(PORT)
        assert line.strip().isdigit(), f"the echo service has not started: {line}"
        yield Served(int(line), process.pid)
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def text(profile: Profile) -> str:
    """What was measured, for people."""

    def us(cost: Cost) -> str:
        return f"{cost.latency:8.1f} {cost.cpu:8.1f}"

    rows = [
        ("a call, directly", us(profile.direct)),
        *((f"+ a chain in the {side}'s library", us(cost)) for side, cost in profile.library.items()),
        ("+ a proxy", us(profile.proxy["bare"])),
        ("+ a proxy with a native module", us(profile.proxy["native"])),
        ("+ a proxy with a WASM plugin", us(profile.proxy["wasm"])),
        ("+ a second proxy, beyond the first", us(profile.second)),
        ("+ each further plugin", us(profile.plugin)),
        *((f"+ each of Envoy's own `{kind}`", us(cost)) for kind, cost in profile.filters.items()),
        *((f"  {e.name}'s own code, native", f"{e.native:8.2f}") for e in profile.elements.values()),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'µs a call'.ljust(width)}   latency      CPU"]
    lines += [f"{name.ljust(width)}  {told}" for name, told in rows]
    return "\n".join([*lines, f"as WASM, an element's code takes {profile.wasm:.1f} times as long"])
