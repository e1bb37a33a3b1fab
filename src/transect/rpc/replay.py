# SPDX-License-Identifier: Apache-2.0
"""Re-running a log of rpc: what the records of a chain mean, for `transect.replay`.

The log's head holds the service's descriptors, so that a log can be replayed where neither the service nor its protos
are at hand.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

from transect.base.diagnostic import Diagnostics
from transect.core.codec import CodecError, Reader, encode
from transect.core.ir import Program
from transect.core.types import BYTES
from transect.replay.compare import Call
from transect.replay.log import Log, LogError
from transect.replay.log import Record as Logged
from transect.rpc.binding import Binding, bind
from transect.rpc.needs import HOOKS
from transect.rpc.plan import plans
from transect.rpc.python_chain import ElementRunner, ElementState, Passing, RpcFacts
from transect.rpc.record import Record, arguments_of, verdict_type
from transect.rpc.scanner import Malformed
from transect.rpc.views import PlainHeaders
from transect.rpc.wire import (
    Kind,
    Presence,
    ProtoEnum,
    ProtoField,
    ProtoMessage,
    ProtoMethod,
    ProtoService,
)


class RpcDecoder:
    """The decoder of logs whose stratum is `rpc`."""

    def __init__(self, log: Log) -> None:
        notes = log.header.notes
        if "service" not in notes:
            raise LogError("the log does not say what service it recorded")
        self.service = service_from_json(notes["service"])
        self.methods: list[str] = notes["methods"]
        self._runners: dict[str, ElementRunner] = {}  # by hash and name of the program
        self._states: dict[tuple[str, int], ElementState] = {}

    def call(self, program: Program, hook: str, record: Logged) -> Call:
        """The call that a record describes.  Raises CodecError."""
        runner = self._runner(program)
        key = (f"{program.name} {program.source_hash}", record.instance)
        state = self._states.setdefault(key, ElementState())
        method, peer, rest = arguments_of(
            Record(0, 0, 0, HOOKS.index(hook), record.arguments, record.tape, record.result)
        )
        facts = RpcFacts(method, peer, PlainHeaders())
        result_type = verdict_type(program, hook)
        if not isinstance(rest, bytes):
            del self._states[key]
            args = [runner.view_of_end(facts, state), rest]
            return Call(args, lambda value: encode(result_type, value), ends=True)
        binding_method = next(m for m in self.service.methods if m.path == method)
        message = binding_method.request if hook == "request" else binding_method.reply
        try:
            passing = Passing(runner.plans, runner.plans[message], rest)
        except Malformed as wrong:
            raise CodecError(f"a recorded message of {method} is damaged") from wrong

        def result(value: object) -> bytes:
            rewritten = runner.passed(hook, state, passing, rest)
            flag = bytes((rewritten is not None,))
            return encode(result_type, value) + flag + encode(BYTES, rewritten or b"")

        return Call([runner.view_of_message(hook, facts, state, passing)], result)

    def words(self, program: Program, hook: str, result: bytes) -> str:
        """A verdict as a person reads it, and whether the message was rewritten."""
        reader = Reader(result)
        verdict = reader.value(verdict_type(program, hook))
        if hook == "finish":
            return _said(verdict)
        rewritten = reader.take(1) == b"\1"
        message: bytes = reader.value(BYTES)
        return _said(verdict) + (f", message rewritten to {len(message)} bytes" if rewritten else "")

    def _runner(self, program: Program) -> ElementRunner:
        key = f"{program.name} {program.source_hash}"
        if key not in self._runners:
            binding = self._bound(program)
            self._runners[key] = ElementRunner(binding.elements[0], _NoEngine(), plans(binding))
        return self._runners[key]

    def _bound(self, program: Program) -> Binding:
        diagnostics = Diagnostics()
        binding = bind([program], self.service, diagnostics, methods=self.methods)
        if binding is None:
            first = next(iter(diagnostics))
            raise CodecError(f"{program.name} does not fit the recorded service: {first.message}")
        return binding


class _NoEngine:
    """The comparer runs the hooks itself."""

    def call(self, *_: object) -> Any:
        raise AssertionError("a decoder runs no hooks")

    def image(self) -> bytes:
        raise AssertionError("a decoder holds no state")

    def load(self, image: bytes) -> None:
        raise AssertionError("a decoder holds no state")


def _said(verdict: object) -> str:
    return "None" if verdict is None else repr(verdict)


# ---------------------------------------------------------------- the service within the log's head


def about(binding: Binding) -> dict[str, Any]:
    """What the head of a log says of a chain's service."""
    return {"service": service_to_json(binding.service), "methods": [m.name for m in binding.methods]}


def service_to_json(service: ProtoService) -> dict[str, Any]:
    """A service as plain JSON."""
    plain: dict[str, Any] = dataclasses.asdict(service, dict_factory=_plain_fields)
    return plain


def _plain_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in pairs}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case Kind() | Presence():
            return value.value
        case _:
            return value


def service_from_json(data: Mapping[str, Any]) -> ProtoService:
    """The service that `service_to_json` wrote."""
    messages = {name: _message(m) for name, m in data["messages"].items()}
    methods = tuple(ProtoMethod(**m) for m in data["methods"])
    return ProtoService(data["name"], data["file"], methods, messages)


def _message(data: Mapping[str, Any]) -> ProtoMessage:
    return ProtoMessage(data["name"], data["file"], tuple(map(_field, data["fields"])))


def _field(data: Mapping[str, Any]) -> ProtoField:
    given = dict(data)
    given["kind"] = Kind(given["kind"])
    given["presence"] = Presence(given["presence"])
    if given["enum"] is not None:
        e = given["enum"]
        given["enum"] = ProtoEnum(e["name"], tuple((n, v) for n, v in e["members"]), e["closed"])
    if isinstance(given["default"], dict):
        given["default"] = base64.b64decode(given["default"]["bytes"])
    return ProtoField(**given)


__all__ = ["RpcDecoder", "about", "service_from_json", "service_to_json"]
