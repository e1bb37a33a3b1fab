# SPDX-License-Identifier: Apache-2.0
"""A trial of a new version before it serves any user's RPC: in an Envoy that serves nobody else, and may crash.

Each method of the chain is called with an empty message, one with every field, and bytes that are no message; the
server behind it answers in the same ways.  The trial does not judge the policy's decisions, but whether its code
survives.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from transect.base.bounded import lines
from transect.control.protocol import Refused
from transect.rpc.chain.address import Endpoint
from transect.rpc.chain.binding import Binding
from transect.rpc.envoy.binary import Binary
from transect.rpc.envoy.config import HttpFilter, bootstrap
from transect.rpc.envoy.process import Envoy, EnvoyFailed, start
from transect.rpc.messages.wire import Kind, ProtoService, Wire

GOES_ON = "the old version goes on"
CALL_S = 5.0  # for a call, which elements may delay; after that it is cancelled
NICE = 5  # so that the Envoy in service has priority
DEPTH = 2  # of messages in messages
VALUES = {
    Wire.VARINT: b"\x01",
    Wire.FIXED64: b"\x01" * 8,
    Wire.FIXED32: b"\x01" * 4,
    Wire.SIZED: b"\x01a",  # a text, or bytes
}
LONGEST = 1 << 16  # bytes of a line of its log
FAILED = b"Function: proxy_"  # Envoy's message about a plugin that has crashed


def tried(
    binary: Binary,
    module: HttpFilter,
    binding: Binding,
    routes: Sequence[str],
    folder: Path,
    modules: Path,
) -> None:
    """Try a module; raises Refused, which says how that failed.  `folder`: empty; `modules`: where native ones are."""
    with _server(folder / "server.sock", binding) as server:
        config = bootstrap(
            listen=Endpoint(path=str(folder / "listen.sock")),
            upstream=server,
            modules=[module],
            routes=dict.fromkeys(routes, server),
            admin=folder / "admin.sock",
        )
        try:
            with start(binary, config, folder, modules=modules, workers=1) as envoy:
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, envoy.pid, NICE)
                _call(envoy, binding)
                _lives(envoy)
        except EnvoyFailed as failed:
            raise Refused(f"a trial of the new version failed: {failed.why}", GOES_ON) from failed


def _lives(envoy: Envoy) -> None:
    """Raises Refused unless Envoy, and a plugin in it, have survived the calls."""
    status = envoy.stop(drain_s=0)
    if status == -signal.SIGKILL:
        raise Refused("a trial of the new version does not end", GOES_ON)
    if status:
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise Refused(f"a trial of the new version crashed in its first calls ({name})", GOES_ON)
    for line in lines(envoy.log, LONGEST):
        if FAILED in line:
            why = line[line.index(FAILED) :].decode(errors="replace").rstrip()
            raise Refused(f"a trial of the new version crashed in its first calls: {why}", GOES_ON)


# ---------------------------------------------------------------- calls


def messages(service: ProtoService, name: str) -> list[bytes]:
    """An empty message, one with every field, and bytes that are no message."""
    return [b"", filled(service, name), b"\xff\xff"]


def filled(service: ProtoService, name: str, depth: int = DEPTH) -> bytes:
    """A message with a value in every field; down to that depth also in its sub-messages."""
    made = bytearray()
    for field in service.messages[name].fields:
        value = VALUES.get(field.kind.wire, b"")
        if field.kind is Kind.MESSAGE:
            inner = filled(service, field.message, depth - 1) if depth else b""
            value = _varint(len(inner)) + inner
        if value:  # groups are left out
            made += _varint(field.tag) + value
    return bytes(made)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _call(envoy: Envoy, binding: Binding) -> None:
    """Each method with each message, three times each, so that each of the replies comes."""
    import grpc

    with grpc.insecure_channel(f"unix:{envoy.address.path}") as channel:
        calls = []
        for method in binding.methods:
            ask: Any = channel.stream_stream(method.path)
            for message in messages(binding.service, method.request):
                calls += [ask(iter([message]), timeout=CALL_S) for _ in range(3)]
        for call in calls:
            with suppress(grpc.RpcError):
                list(call)


@contextmanager
def _server(path: Path, binding: Binding) -> Iterator[Endpoint]:
    """A server of the service's methods, which gives their replies in turn."""
    import grpc

    replies = {m.path: itertools.cycle(messages(binding.service, m.reply)) for m in binding.methods}

    class Service(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            reply = replies.get(details.method)
            if reply is None:
                return None
            return grpc.stream_stream_rpc_method_handler(lambda asked, _: (next(reply) for _ in asked))

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Service(),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield Endpoint(path=str(path))
    finally:
        server.stop(None)
