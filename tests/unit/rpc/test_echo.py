# SPDX-License-Identifier: Apache-2.0
"""The service to try policies on, as its command line calls it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from transect.rpc import echo
from transect.rpc.echo import SERVICE, Answer, Ask, main, serve


@pytest.fixture(scope="module")
def heard() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Where a service listens, and the headers that it has heard."""
    headers: list[tuple[str, Any]] = []

    def say(request: Any, context: grpc.ServicerContext) -> Any:
        headers.extend((name, value) for name, value in context.invocation_metadata())
        return Answer(text=request.text)

    server = grpc.server(futures.ThreadPoolExecutor(1))
    coding = {"request_deserializer": Ask.FromString, "response_serializer": Answer.SerializeToString}
    handlers = {"Say": grpc.unary_unary_rpc_method_handler(say, **coding)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", headers
    server.stop(0).wait()


def test_headers_go_with_the_call(
    heard: tuple[str, list[tuple[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    to, headers = heard
    given = ["--header", "Key=a=b", "--header", "key=", "--header", "raw-bin=\u00e9"]
    assert main(["say", "--to", to, "--user", "bob", *given, "hello"]) == 0
    assert capsys.readouterr().out == "hello\n"
    sent = [(name, value) for name, value in headers if name in ("user", "key", "raw-bin")]
    assert sent == [("user", "bob"), ("key", "a=b"), ("key", ""), ("raw-bin", "\u00e9".encode())]


@pytest.mark.parametrize(
    "text", ["key", "=value", "two words=1", "key=\u00e9", "key=line\nbreak", "a\u00e9=1"]
)
def test_a_header_that_grpc_does_not_send_is_refused_in_words(
    heard: tuple[str, list[tuple[str, Any]]], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    to, headers = heard
    headers.clear()
    with pytest.raises(SystemExit) as ended:
        main(["say", "--to", to, "--header", text, "hello"])
    assert ended.value.code == 2 and not headers
    assert "write NAME=VALUE, in printable ASCII" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "\u00e9", "hello"], "is no header: write NAME=VALUE, in printable ASCII"),
        (["\udcff"], "is not UTF-8 text"),
    ],
)
def test_what_no_message_or_header_can_hold_is_refused_in_words(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["say", "--to", "127.0.0.1:1", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_call_waits_for_a_server_that_is_on_its_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(echo, "START_S", 0.1)
    assert main(["say", "--to", f"127.0.0.1:{port}", "hello"]) == 1
    assert capsys.readouterr().out == f"UNAVAILABLE: no gRPC server answers on 127.0.0.1:{port}\n"
    monkeypatch.setattr(echo, "START_S", 20)
    started: list[grpc.Server] = []
    late = threading.Timer(1.2, lambda: started.append(serve(port)[0]))
    late.start()
    assert main(["say", "--to", f"127.0.0.1:{port}", "hello"]) == 0
    late.join()
    started[0].stop(0).wait()
    told = capsys.readouterr()
    assert told.out == "hello\n" and told.err == f"waiting for 127.0.0.1:{port}\n"
