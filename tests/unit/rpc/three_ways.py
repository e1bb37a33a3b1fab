# SPDX-License-Identifier: Apache-2.0
"""A chain of policies and protos written in a test, on the interpreter, as emitted Python and as C."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.unit.rpc.native_driver import NativeChain, build
from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.emit.py.build import build as build_class
from transect.lang.tape import GivenTape
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.python import ChainVerdict, Emitted, Interpreted, PythonChain
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.messages import protos

HEAD = """
from collections.abc import Mapping, Sequence
from enum import IntEnum

from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict
"""


class ThreeWays:
    """`proto`: the text of a file whose service `test.T` has one method, `U`; `texts`: of one element each."""

    def __init__(self, proto: str, texts: Sequence[str], folder: Path) -> None:
        (folder / "test.proto").write_text(proto)
        self._descriptors = protos.compile_protos([folder / "test.proto"])
        compiled = [compile_text(HEAD + text, f"element{i}.py") for i, text in enumerate(texts)]
        failed = [str(found) for one in compiled for found in one.diagnostics]
        assert not failed, failed
        programs = [program for one in compiled for program in one.programs]
        diagnostics = Diagnostics()
        served = protos.from_set(self._descriptors).service("test.T")
        assert served is not None
        bound = bind(programs, served, diagnostics)
        assert bound is not None, [str(found) for found in diagnostics]
        self.binding: Binding = bound
        self._chains: list[Any] = [
            PythonChain(bound, [Interpreted(Instance(program), {}) for program in programs]),
            PythonChain(bound, [Emitted(build_class(program)()) for program in programs]),
            NativeChain(build(bound, folder)),
        ]

    def message_class(self, name: str) -> Any:
        pool = descriptor_pool.DescriptorPool()
        for file in FileDescriptorSet.FromString(self._descriptors).file:
            pool.AddSerializedFile(file.SerializeToString())
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    def request(self, message: bytes) -> ChainVerdict:
        """The verdict on which all three agree."""
        return self._agreed(message, None)

    def response(self, message: bytes) -> ChainVerdict:
        """The verdict on a reply to an empty request."""
        return self._agreed(b"", message)

    def _agreed(self, request: bytes, reply: bytes | None) -> ChainVerdict:
        found: list[ChainVerdict] = []
        for chain in self._chains:
            rpc = chain.rpc("/test.T/U", "", PlainHeaders(), GivenTape())
            verdict = rpc.request(request)
            found.append(verdict if reply is None else rpc.response(reply))
            rpc.finish(0, 0, 1)
        assert found[0] == found[1] == found[2]
        return found[0]
