# SPDX-License-Identifier: Apache-2.0
"""A real gRPC service to try policies on, and a caller for it.

python -m transect.rpc.echo serve --port 50051
python -m transect.rpc.echo say --to 127.0.0.1:50051 --user bob --header key=1 hello

package echo;
message Ask    { string user = 1; string key = 2; string text = 3; }
message Answer { string text = 1; }
service Echo   { rpc Say(Ask) returns (Answer); rpc Chat(stream Ask) returns (stream Answer); }
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from transect.control.stopping import stopping

SERVICE = "echo.Echo"

Header = tuple[str, str | bytes]

_HEADER = re.compile(r"([a-z0-9._-]+)=([ -~]*)", re.IGNORECASE | re.ASCII)  # what gRPC sends as text
START_S = 10  # for a server to listen
_BINARY = re.compile(r"([a-z0-9._-]+-bin)=(.*)", re.IGNORECASE | re.ASCII | re.DOTALL)


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="transect/echo.proto", package="echo", syntax="proto3")
    for name, fields in {"Ask": ("user", "key", "text"), "Answer": ("text",)}.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields, 1):
            kind = descriptor_pb2.FieldDescriptorProto
            message.field.add(name=field, number=number, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    service = file.service.add(name="Echo")
    for name, streams in (("Say", False), ("Chat", True)):
        service.method.add(
            name=name,
            input_type=".echo.Ask",
            output_type=".echo.Answer",
            client_streaming=streams,
            server_streaming=streams,
        )
    return file


POOL = descriptor_pool.Default()
POOL.Add(_file())
Ask: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName("echo.Ask"))
Answer: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName("echo.Answer"))
DESCRIPTOR = POOL.FindServiceByName(SERVICE)


class Stub:
    """Takes the place of the stub that would be generated."""

    def __init__(self, channel: grpc.Channel) -> None:
        coding = {
            "request_serializer": Ask.SerializeToString,
            "response_deserializer": Answer.FromString,
        }
        self.Say = channel.unary_unary(f"/{SERVICE}/Say", **coding)
        self.Chat = channel.stream_stream(f"/{SERVICE}/Chat", **coding)


def _say(request: Any, context: grpc.ServicerContext) -> Any:
    return Answer(text=request.text)


def _chat(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    for request in requests:
        yield Answer(text=request.text)


def serve(
    port: int = 0, workers: int = 8, *, around: Callable[[grpc.Server], grpc.Server] = lambda server: server
) -> tuple[grpc.Server, int]:
    """Start a server on loopback; return it with its port (0: any free one).  Its `stop` ends it.  Raises RuntimeError
    if the port is taken.

    `around`: puts a chain in front of the service.
    """
    server = around(grpc.server(futures.ThreadPoolExecutor(workers), options=(("grpc.so_reuseport", 0),)))
    coding = {"request_deserializer": Ask.FromString, "response_serializer": Answer.SerializeToString}
    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(_say, **coding),
        "Chat": grpc.stream_stream_rpc_method_handler(_chat, **coding),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    _reflect(server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, bound


def _reflect(server: grpc.Server) -> None:
    """Describe the service to clients that ask (as for a chain file without `protos=`)."""
    from grpc_reflection.v1alpha import reflection

    reflection.enable_server_reflection((SERVICE, reflection.SERVICE_NAME), server)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m transect.rpc.echo", description="A service to try policies on."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    serving = verbs.add_parser("serve", help="answer each call with its own text, until Ctrl-C")
    serving.add_argument("--port", type=int, default=50051)
    saying = verbs.add_parser("say", help="call it once and print the answer; ends with 1 when refused")
    saying.add_argument("--to", default="127.0.0.1:50051", metavar="HOST:PORT")
    saying.add_argument("--user", type=_user, default="", help="in the message, and as the header `user`")
    saying.add_argument(
        "--header", type=_header, action="append", default=[], metavar="NAME=VALUE", help="again for each one"
    )
    saying.add_argument("text", type=_text)
    chosen = parser.parse_args(arguments)
    if chosen.verb == "serve":
        return _serve(chosen.port)
    return _call(chosen.to, chosen.user, chosen.text, chosen.header)


def _header(text: str) -> Header:
    """A header from an argument; the value of `NAME-bin` is sent as its bytes."""
    if binary := _BINARY.fullmatch(text):
        return binary[1].lower(), binary[2].encode("utf-8", "surrogateescape")
    found = _HEADER.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no header: write NAME=VALUE, in printable ASCII")
    return found[1].lower(), found[2]


def _serve(port: int) -> int:
    try:
        server, bound = serve(port)
    except RuntimeError:
        print(f"port {port} is taken; give another: --port 0 takes any", file=sys.stderr)
        return 2
    with stopping() as stop:
        print(f"{SERVICE} on 127.0.0.1:{bound}; Ctrl-C stops it", flush=True)
        stop.wait()
        server.stop(0)
    return 0


def _user(text: str) -> str:
    _header(f"user={text}")
    return text


def _text(text: str) -> str:
    """An argument that must be UTF-8: otherwise Python has lone surrogates in it, which no message can hold."""
    if re.search("[\ud800-\udfff]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8 text")
    return text


def _call(to: str, user: str, text: str, headers: Sequence[Header]) -> int:
    metadata = (*((("user", user),) if user else ()), *headers)
    with grpc.insecure_channel(to) as channel:
        if not _listens(channel, to):
            print(f"UNAVAILABLE: no gRPC server answers on {to}")
            return 1
        try:
            answer = Stub(channel).Say(Ask(user=user, text=text), metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}")
            return 1
    print(answer.text)
    return 0


def _listens(channel: grpc.Channel, to: str) -> bool:
    """Whether a server listens there, now or soon: one that has just been started may need a moment."""
    ready = grpc.channel_ready_future(channel)
    for seconds, told in ((1, f"waiting for {to}"), (START_S, "")):
        try:
            ready.result(seconds)
            return True
        except grpc.FutureTimeoutError:
            if told:
                print(told, file=sys.stderr, flush=True)
    ready.cancel()
    return False


if __name__ == "__main__":
    raise SystemExit(main())
