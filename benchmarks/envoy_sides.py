# SPDX-License-Identifier: Apache-2.0
"""Several Envoys before one server, called in turn by one client: for claims about what happens within Envoy.

Client and server are C++ (`envoy_load.cc`) on one processor, Envoys on the other.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from needed import libraries, tool

from transect.rpc.envoy import Endpoint, Envoy, Module, bootstrap, check, find, start
from transect.rpc.envoy.config import HttpFilter

HERE = Path(__file__).parent
CALLS = 150  # of one side in a round
METHOD = "/echo.Echo/Say"


def program(folder: Path) -> Path:
    """The C++ client and server."""
    made = folder / "load"
    words = [tool("g++"), "-O2", "-std=c++17", HERE / "envoy_load.cc", "-o", made, *libraries("grpc++")]
    subprocess.run(words, check=True)
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
    """Pin a process: Envoys to one processor, client and server to the other, the same for all sides."""
    if (os.cpu_count() or 1) > 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cpu})


def cpu_ns(pid: int) -> int:
    return sum(int((t / "schedstat").read_text().split()[0]) for t in Path(f"/proc/{pid}/task").iterdir())


class Sides:
    """The Envoys, called in turn by one client."""

    def __init__(self, client: subprocess.Popen[str], envoys: Sequence[Envoy]) -> None:
        self.client = client
        self.envoys = envoys

    def side(self, which: int, calls: int = CALLS) -> Callable[[], dict[str, float]]:
        """One turn: µs of latency (median) and of CPU per call."""

        def run() -> dict[str, float]:
            before = cpu_ns(self.envoys[which].pid)
            p50 = float(self.ask(which, calls))
            return {"p50": p50, "cpu": (cpu_ns(self.envoys[which].pid) - before) / calls / 1000}

        return run

    def ask(self, which: int, calls: int) -> str:
        assert self.client.stdin is not None and self.client.stdout is not None
        self.client.stdin.write(f"{which} {calls}\n")
        self.client.stdin.flush()
        return self.client.stdout.readline().strip()


@contextmanager
def sides(filters: Sequence[Sequence[HttpFilter]], folder: Path, body: bytes) -> Iterator[Sides]:
    """An Envoy for each list of filters, with native modules from `folder`; every call sends `body`."""
    load, port, binary = program(folder), free_port(), find()
    with ExitStack() as stack:
        server = stack.enter_context(child(load, port))
        assert server.stdout is not None
        server.stdout.readline()
        envoys = []
        for number, those in enumerate(filters):
            for one in those:
                if isinstance(one, Module):
                    check(one.library, binary)
            own = folder / str(number)
            config = bootstrap(
                listen=Endpoint(), upstream=Endpoint(port=port), modules=those, admin=own / "admin.sock"
            )
            envoys.append(stack.enter_context(start(binary, config, own, modules=folder, workers=1)))
        client = stack.enter_context(child(load, METHOD, body.decode(), *(e.address.port for e in envoys)))
        for process in (server, client):
            pin(process.pid, 0)
        for envoy in envoys:
            pin(envoy.pid, 1)
        yield Sides(client, envoys)
