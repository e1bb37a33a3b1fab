# SPDX-License-Identifier: Apache-2.0
"""An access list on a body field in Envoy: emitted from a policy, beside one written by hand in C for this Envoy.

Besides: what an Envoy without any filter takes, in the same rounds.  Control: the hand-written one that also spins for
60 µs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, claim, interleaved, report, result, spread

from transect.base.diagnostic import Diagnostics
from transect.base.unavailable import Unavailable
from transect.core.frontend import compile_file
from transect.rpc import echo
from transect.rpc.binding import bind
from transect.rpc.build import RPC_RUNTIME, shared_object
from transect.rpc.chain import emit_chain, needs_of
from transect.rpc.chain_file import first_state
from transect.rpc.envoy import Endpoint, Envoy, Module, Settings, bootstrap, build, check, find, start
from transect.rpc.grpcio.attach import service_of

HERE = Path(__file__).parent
ROUNDS = 61
CALLS = 150  # of one side in a round
METHOD = "/echo.Echo/Say"
USERS = {"alice": True, "carol": True}


def emitted(folder: Path) -> Module:
    """The policy, as `transect rpc run` would put it into Envoy."""
    compiled, diagnostics = compile_file(str(HERE / "policy.py")), Diagnostics()
    binding = bind(compiled.programs, service_of(echo.DESCRIPTOR), diagnostics, methods=["Say"])
    assert binding is not None, list(diagnostics)
    state = folder / "acl.state"
    state.write_bytes(first_state(compiled.programs[0], {"allowed": USERS}))
    needs = needs_of(binding)
    settings = Settings(states=(str(state),), replies=needs["response"] or needs["reply"])
    return Module(build(emit_chain(binding), folder), settings)


def by_hand(folder: Path, *flags: str) -> Module:
    source = {"acl_module.c": (HERE / "acl_module.c").read_bytes()}
    flags = ("-D_GNU_SOURCE", "-pthread", *flags)
    return Module(shared_object("libacl", source, folder=folder, include=(RPC_RUNTIME,), flags=flags))


def program(folder: Path) -> Path:
    """The C++ client and server."""
    asked = subprocess.run(["pkg-config", "--cflags", "--libs", "grpc++"], capture_output=True, text=True)
    if asked.returncode:
        raise Unavailable("grpc++", "pkg-config does not know it", "as root: make system")
    made = folder / "load"
    subprocess.run(
        ["g++", "-O2", "-std=c++17", HERE / "load.cc", "-o", made, *asked.stdout.split()], check=True
    )
    return made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        port: int = s.getsockname()[1]
    return port


@contextmanager
def child(*command: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(c) for c in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pin(pid: int, cpu: int) -> None:
    """Envoys on one processor, client and server on the other: both sides alike."""
    if (os.cpu_count() or 1) > 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cpu})


def cpu_ns(pid: int) -> int:
    return sum(int((t / "schedstat").read_text().split()[0]) for t in Path(f"/proc/{pid}/task").iterdir())


class Sides:
    """All Envoys before one server, called in turn by one client."""

    def __init__(self, client: subprocess.Popen[str], envoys: Sequence[Envoy]) -> None:
        self.client = client
        self.envoys = envoys

    def side(self, which: int) -> Callable[[], dict[str, float]]:
        """One turn: µs of latency (median) and of CPU per call."""

        def run() -> dict[str, float]:
            before = cpu_ns(self.envoys[which].pid)
            p50 = float(self.ask(which, CALLS))
            return {"p50": p50, "cpu": (cpu_ns(self.envoys[which].pid) - before) / CALLS / 1000}

        return run

    def ask(self, which: int, calls: int) -> str:
        assert self.client.stdin is not None and self.client.stdout is not None
        self.client.stdin.write(f"{which} {calls}\n")
        self.client.stdin.flush()
        return self.client.stdout.readline().strip()


@contextmanager
def sides(modules: Sequence[Sequence[Module]], folder: Path, user: str = "alice") -> Iterator[Sides]:
    load, port, binary = program(folder), free_port(), find()
    body = echo.Ask(user=user, text="x" * 55).SerializeToString().decode()
    with ExitStack() as stack:
        server = stack.enter_context(child(load, port))
        assert server.stdout is not None
        server.stdout.readline()
        envoys = []
        for number, filters in enumerate(modules):
            for module in filters:
                check(module.library, binary)
            own = folder / str(number)
            config = bootstrap(
                listen=Endpoint(), upstream=Endpoint(port=port), modules=filters, admin=own / "admin.sock"
            )
            envoys.append(stack.enter_context(start(binary, config, own, modules=folder, workers=1)))
        client = stack.enter_context(child(load, METHOD, body, *(e.address.port for e in envoys)))
        for process in (server, client):
            pin(process.pid, 0)
        for envoy in envoys:
            pin(envoy.pid, 1)
        yield Sides(client, envoys)


def main() -> None:
    the_claim = claim(__file__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, hand, slow = emitted(folder), by_hand(folder), by_hand(folder, "-DSLOW")
        with sides([[ours], [hand]], folder, user="mallory") as it:
            refused = [it.ask(which, 1) for which in range(2)]
            assert refused == ["status 7 acl"] * 2, refused
        with sides([[ours], [hand], [slow], []], folder) as it:
            for which in range(4):
                it.ask(which, 500)  # connections, caches
            samples = interleaved(it.side(0), it.side(1), ROUNDS)
            toy = interleaved(it.side(2), it.side(1), ROUNDS // 2)
            alone = interleaved(it.side(1), it.side(3), ROUNDS // 2)
            binary = find()
    fails = not all(
        the_claim.targets[key].met(sorted(values)[len(values) // 2]) for key, values in toy.values.items()
    )
    controls = [Control("the hand-written list with 60 µs more", fails)]
    found = result(
        the_claim,
        samples,
        controls,
        envoy=f"{binary.version}, module ABI {binary.abi}",
        filter_to_none=_shown(alone),
    )
    report(found, __file__)


def _shown(samples: Samples) -> dict[str, list[float]]:
    """What any filter costs: the hand-written one / an Envoy without filters."""
    return {key: [round(x, 4) for x in spread(values)] for key, values in samples.values.items()}


if __name__ == "__main__":
    try:
        main()
    except Unavailable as lacking:
        print(lacking, file=sys.stderr)
        raise SystemExit(3) from None
