# SPDX-License-Identifier: Apache-2.0
"""The C++ server, the generated stubs, the measured chain, and timing of several clients in turn."""

from __future__ import annotations

import hashlib
import importlib
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from transect.base.cache import opened, place
from transect.rpc import attach

HERE = Path(__file__).parent
PAYLOAD = "the quick brown fox jumps over the lazy dog, sixty-four bytes...."
WITHHELD = "withheld: this answer has another text than the server gave......"


def generated() -> tuple[Any, Any]:
    """`echo_pb2` and `echo_pb2_grpc`."""
    from grpc_tools import protoc

    folder = tempfile.mkdtemp(prefix="transect-bench-")
    places = [f"-I{HERE}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["grpc_tools.protoc", *places, str(HERE / "echo.proto")]) == 0
    sys.path.insert(0, folder)
    return importlib.import_module("echo_pb2"), importlib.import_module("echo_pb2_grpc")


def built_server() -> Path:
    """The C++ server, compiled unless it is there.  Unavailable when its libraries or tools are missing."""
    from needed import (  # not on the path of a program that wants the stubs alone
        libraries,
        tool,
        tools,
    )

    tools("g++", "protoc", "grpc_cpp_plugin", "pkg-config")
    flags = libraries("grpc++", "protobuf")
    sources = [HERE / "echo.proto", HERE / "server.cc"]
    name = hashlib.sha256(b"".join(s.read_bytes() for s in sources) + " ".join(flags).encode()).hexdigest()[
        :16
    ]
    target = place("bench") / f"echo_server_{name}"
    with opened(target.parent, make=True) as folder:
        if target.exists():
            return target
        with folder.workplace() as work:
            plugin = tool("grpc_cpp_plugin")
            compile_proto = [tool("protoc"), f"-I{HERE}", "--cpp_out=.", "--grpc_out=."]
            subprocess.run(
                [*compile_proto, f"--plugin=protoc-gen-grpc={plugin}", "echo.proto"], cwd=work, check=True
            )
            units = [str(HERE / "server.cc"), "echo.pb.cc", "echo.grpc.pb.cc"]
            command = [tool("g++"), "-O2", "-std=c++17", "-I.", *units, *flags, "-o", "server"]
            subprocess.run(command, cwd=work, check=True)
            os.replace(work / "server", target)
    return target


@contextmanager
def serving() -> Iterator[int]:
    """The port of a server that runs on the same processor as this process: a wake-up across processors costs more, and
    varies more, than what is measured."""
    binary = built_server()
    processors = sorted(os.sched_getaffinity(0))
    server = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        for process in (server.pid, 0):
            os.sched_setaffinity(process, processors[-1:])
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        os.sched_setaffinity(0, processors)
        assert server.stdin is not None
        server.stdin.close()
        server.wait(10)


def chained(channel: grpc.Channel, service: Any, *, native: bool) -> grpc.Channel:
    """The channel with the measured chain."""
    from policies import Acl, Mutation, RateLimit

    elements = [
        Acl(allowed={"carol": True, "dave": True}, secret={"secret": True}),
        RateLimit(),
        Mutation(alias={"carol": "user-carol-0001"}, withheld={PAYLOAD: WITHHELD}),
    ]
    return attach(channel, elements, service=service, native=native)


Call = Callable[[], Any]


def unary(stub: Any, echo: Any) -> Call:
    """One call; the chain, where there is one, rewrites its reply."""
    ask = echo.Ask(user="carol", text=PAYLOAD, number=7)
    return lambda: stub.Say(ask)


@contextmanager
def chat(stub: Any, echo: Any) -> Iterator[Call]:
    """One message there and back on a stream that stays open."""
    asks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies = stub.Chat(iter(asks.get, None))
    ask = echo.Ask(user="carol", text=PAYLOAD, number=7)

    def call() -> Any:
        asks.put(ask)
        return next(replies)

    try:
        yield call
    finally:
        asks.put(None)
        assert list(replies) == []


def round_of(calls: Mapping[str, Call], blocks: int, size: int) -> dict[str, dict[str, float]]:
    """Median latency and processor time a call, in seconds, of several clients that take turns block by block."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    cpu = dict.fromkeys(calls, 0.0)
    clock = time.perf_counter
    names = list(calls)
    for block in range(blocks):
        turn = block % len(names)
        for name in names[turn:] + names[:turn]:
            call, times = calls[name], took[name]
            before = time.process_time()
            for _ in range(size):
                start = clock()
                call()
                times.append(clock() - start)
            cpu[name] += time.process_time() - before
    return {
        name: {"p50": statistics.median(took[name]), "cpu": cpu[name] / (blocks * size)} for name in calls
    }
