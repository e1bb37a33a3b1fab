# SPDX-License-Identifier: Apache-2.0
"""A server whose reflection says nothing, or does not end: refused with what is wrong, within the time that it has."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2 as pb

from transect.rpc.messages import protos
from transect.rpc.messages.protos import ProtoError

ASK = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
Answer = Callable[[Any], Iterator[Any]]


@contextmanager
def reflecting(answer: Answer) -> Iterator[str]:
    """A server that answers each request for reflection so."""

    class Service(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
            if details.method != ASK:
                return None
            return grpc.stream_stream_rpc_method_handler(
                lambda asked, _: (reply for one in asked for reply in answer(one)),
                pb.ServerReflectionRequest.FromString,
                pb.ServerReflectionResponse.SerializeToString,
            )

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def listing(*names: str) -> Any:
    services = [pb.ServiceResponse(name=name) for name in names]
    return pb.ServerReflectionResponse(list_services_response=pb.ListServiceResponse(service=services))


def files(*contents: bytes) -> Any:
    return pb.ServerReflectionResponse(
        file_descriptor_response=pb.FileDescriptorResponse(file_descriptor_proto=contents)
    )


def wrong(code: grpc.StatusCode) -> Any:
    return pb.ServerReflectionResponse(error_response=pb.ErrorResponse(error_code=code.value[0]))


def or_listing(answer: Answer) -> Answer:
    """One service is listed; other requests are answered so."""
    return lambda one: iter([listing("a.A")]) if one.HasField("list_services") else answer(one)


def endless() -> Answer:
    """Files each of which imports another one."""
    numbers = itertools.count()

    def answer(one: Any) -> Iterator[Any]:
        number = next(numbers)
        file = FileDescriptorProto(
            name=f"{number}.proto", package="p" * 100, dependency=[f"{number + 1}.proto"]
        )
        yield files(file.SerializeToString())

    return or_listing(answer)


CASES: dict[str, tuple[Answer, str]] = {
    "it ends without an answer": (lambda _: iter(()), "it answers nothing"),
    "it refuses to list": (lambda _: iter([wrong(grpc.StatusCode.INTERNAL)]), "it lists no services"),
    "it does not describe what it lists": (or_listing(lambda _: iter(())), "it answers nothing"),
    "it sends what is no file": (
        or_listing(lambda _: iter([files(b"\xff\xff")])),
        "it sends what is no descriptor",
    ),
    "it imports without end": (endless(), "its descriptors have more than 10,000 bytes"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protos, "LARGEST", 10_000)
    answer, why = CASES[case]
    with reflecting(answer) as target, pytest.raises(ProtoError, match=why) as refused:
        protos.from_reflection(target)
    assert target in str(refused.value) and refused.value.help


def test_one_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protos, "REFLECTION_TIMEOUT", 1.0)
    over = threading.Event()

    def mute(_: Any) -> Iterator[Any]:
        over.wait(60)
        yield from ()

    began = time.monotonic()
    with reflecting(mute) as target:
        with pytest.raises(ProtoError, match="DEADLINE_EXCEEDED"):
            protos.from_reflection(target)
        over.set()
    assert time.monotonic() - began < 20


def test_a_service_that_is_listed_and_not_described_is_none() -> None:
    with reflecting(or_listing(lambda _: iter([wrong(grpc.StatusCode.NOT_FOUND)]))) as target:
        assert protos.from_reflection(target).services == ()


def test_imports_that_lead_too_far_are_refused() -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    chain = [FileDescriptorProto(name=f"{n}.proto", dependency=[f"{n + 1}.proto"]) for n in range(3000)]
    with pytest.raises(ProtoError, match="import each other in a chain that is too long"):
        protos.from_set(FileDescriptorSet(file=chain).SerializeToString())
