# SPDX-License-Identifier: Apache-2.0
"""How a log of rpc is re-run: tells `transect.replay` what the records of a chain mean.

The log's head contains the service's descriptors, so a log can be replayed where neither the service nor its protos are
available.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from transect.base.diagnostic import Diagnostics
from transect.core.codec import CodecError, Reader, encode
from transect.core.ir import Program
from transect.core.param_text import spelled
from transect.core.types import BYTES, TEXT
from transect.replay.compare import Answers, Call
from transect.replay.log import Log, LogError
from transect.replay.log import Record as Logged
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.fields import plans
from transect.rpc.chain.needs import HOOKS
from transect.rpc.chain.python import ElementRunner, ElementState, Passing, RpcFacts
from transect.rpc.chain.record import Record, arguments_of, verdict_type
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.messages.redaction import Field
from transect.rpc.messages.scanner import Malformed
from transect.rpc.messages.wire import (
    Kind,
    Presence,
    ProtoField,
    ProtoMethod,
    ProtoService,
)

_TENANT = "(headers, 'x-tenant')"  # the arguments of the question for an RPC's tenant
_PORT = re.compile(r"(?<=[\d\]]):\d+$")  # at the end of an address


class RpcDecoder:
    """The decoder of logs whose stratum is `rpc`."""

    def __init__(self, log: Log) -> None:
        notes = log.header.notes
        try:
            self.service = service_from_json(notes["service"])
            self.methods = msgspec.convert(notes["methods"], list[str])
            self.secrets = frozenset(msgspec.convert(notes.get("secrets", []), list[tuple[str, int]]))
        except (KeyError, ValueError) as wrong:
            raise LogError(f"the log does not say what service it recorded: {wrong}") from wrong
        self._runners: dict[str, ElementRunner] = {}  # by hash and name of the program
        self._states: dict[tuple[str, int], ElementState] = {}

    def tells_end(self, policy: int, policies: int) -> bool:
        return True

    def call(self, program: Program, hook: str, record: Logged) -> Call:
        """The call that a record describes.  Raises CodecError."""
        if hook not in HOOKS:
            raise CodecError(f"`{hook}` is called by no RPC")
        runner = self._runner(program)
        key = _key(program, record.instance)
        state = self._states.setdefault(key, ElementState())
        method, peer, rest = arguments_of(
            Record(0, 0, 0, HOOKS.index(hook), record.arguments, record.tape, record.result)
        )
        facts = RpcFacts(method, peer, PlainHeaders())
        result_type = verdict_type(program, hook)
        begins = hook == HOOKS[0] or program.handler(HOOKS[0]) is None
        if not isinstance(rest, bytes):
            del self._states[key]
            args = [runner.view_of_end(facts, state), rest]
            return Call(args, lambda value: encode(result_type, value), begins=begins, ends=True)
        binding_method = self._method(method)
        message = binding_method.request if hook == "request" else binding_method.reply
        try:
            passing = Passing(runner.plans, runner.plans[message], rest)
        except Malformed as wrong:
            raise CodecError(f"a recorded message of {method} is damaged") from wrong

        def result(value: object) -> bytes:
            rewritten = runner.passed(hook, state, passing, rest)
            flag = bytes((rewritten is not None,))
            return encode(result_type, value) + flag + encode(BYTES, rewritten or b"")

        return Call([runner.view_of_message(hook, facts, state, passing)], result, begins=begins)

    def _method(self, path: str) -> ProtoMethod:
        """The recorded method of that path; the chain must have been bound to it."""
        found = next((m for m in self.service.methods if m.path == path and m.name in self.methods), None)
        if found is None:
            raise CodecError(f"{path!r:.80} is no method of the recorded chain")
        return found

    def whose(self, program: Program, hook: str, record: Logged, answers: Answers) -> tuple[str, str]:
        """The tenant, if the policy asked for it, else the peer without its port; and the RPC."""
        reader = Reader(record.arguments)
        method, peer = reader.value(TEXT), reader.value(TEXT)
        tenant = next((a for (_, args, _), a in answers.items() if args == _TENANT and a is not None), None)
        who = _PORT.sub("", peer) or "this process" if tenant is None else str(tenant)
        return who, f"RPC {record.instance} of {method}"

    def forget(self, program: Program, instance: int) -> None:
        self._states.pop(_key(program, instance), None)

    def beside(self, program: Program, hook: str, record: Logged) -> Call:
        return self.call(program, hook, record)

    def words(self, program: Program, hook: str, result: bytes) -> str:
        """A verdict as a person reads it, and whether the message was rewritten."""
        reader = Reader(result)
        returns = verdict_type(program, hook)
        said = spelled(reader.value(returns), returns)
        if hook == "finish":
            return said
        rewritten = reader.take(1) == b"\1"
        message: bytes = reader.value(BYTES)
        return said + (f", message rewritten to {len(message)} bytes" if rewritten else "")

    def _runner(self, program: Program) -> ElementRunner:
        key = f"{program.name} {program.source_hash}"
        if key not in self._runners:
            binding = self._bound(program)
            self._runners[key] = ElementRunner(
                binding.elements[0], _NoEngine(), plans(binding), self._redacted(binding)
            )
        return self._runners[key]

    def _redacted(self, binding: Binding) -> frozenset[Field]:
        """The fields of which the log holds digests alone.  Raises CodecError where the policy wants more of one."""
        for view in binding.elements[0].views.values():
            for m in view.members:
                if (view.message, m.field.number) in self.secrets and not m.member.secret:
                    raise CodecError(
                        f"the log holds only the digest of {view.message}.{m.field.name}, which"
                        f" {binding.elements[0].name} reads as it is: declare it `Secret[str]`"
                    )
        return self.secrets

    def _bound(self, program: Program) -> Binding:
        diagnostics = Diagnostics()
        binding = bind([program], self.service, diagnostics, methods=self.methods)
        if binding is None:
            first = next(iter(diagnostics))
            raise CodecError(f"{program.name} does not fit the recorded service: {first.message}")
        return binding


def _key(program: Program, instance: int) -> tuple[str, int]:
    """A key for what an element keeps of an RPC."""
    return f"{program.name} {program.source_hash}", instance


class _NoEngine:
    """Stands in for an engine, since the comparer runs the hooks itself."""

    def call(self, *_: object) -> Any:
        raise AssertionError("a decoder runs no hooks")

    def image(self) -> bytes:
        raise AssertionError("a decoder holds no state")

    def load(self, image: bytes) -> None:
        raise AssertionError("a decoder holds no state")


# ---------------------------------------------------------------- the service within the log's head


def about(binding: Binding) -> dict[str, Any]:
    """What the head of a log holds of a chain's service."""
    notes = {"service": service_to_json(binding.service), "methods": [m.name for m in binding.methods]}
    return notes | ({"secrets": sorted(binding.secrets)} if binding.secrets else {})


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
    """The service that `service_to_json` wrote.  Raises ValueError if the values cannot come from it."""
    told = msgspec.convert(data, ProtoService)
    messages = {
        name: dataclasses.replace(message, fields=tuple(map(_with_default, message.fields)))
        for name, message in told.messages.items()
    }
    named = [f.message for message in messages.values() for f in message.fields if f.message]
    named += [name for method in told.methods for name in (method.request, method.reply)]
    lacking = next((name for name in named if name not in messages), None)
    if lacking is not None:
        raise ValueError(f"the message {lacking!r:.80} is missing")
    if any(message.name != name for name, message in messages.items()):
        raise ValueError("a message is kept under another name")
    if len({m.name for m in told.methods}) < len(told.methods):
        raise ValueError("a method is there twice")
    if any(m.path != f"/{told.name}/{m.name}" for m in told.methods):
        raise ValueError("the path of a method is not made of its names")
    return dataclasses.replace(told, messages=messages)


def _with_default(field: ProtoField) -> ProtoField:
    """The field with its default as a value of its kind."""
    default = field.default
    if isinstance(default, dict):
        default = base64.b64decode(msgspec.convert(default, dict[str, str])["bytes"], validate=True)
    wanted = _DEFAULTS.get(field.kind, int)
    plain = field.presence in (Presence.IMPLICIT, Presence.EXPLICIT) and not field.kind.nested
    if type(default) is not (wanted if plain else type(None)):
        raise ValueError(f"the default of {field.name!r:.80} is {default!r:.80}")
    if not 0 < field.number < 1 << 29:
        raise ValueError(f"the number of {field.name!r:.80} is {field.number}")
    return dataclasses.replace(field, default=default)


_DEFAULTS = {
    Kind.DOUBLE: float,
    Kind.FLOAT: float,
    Kind.BOOL: bool,
    Kind.STRING: str,
    Kind.BYTES: bytes,
}
"""Python's type of a field's default, by kind; for all other kinds it is an integer."""


__all__ = ["RpcDecoder", "about", "service_from_json", "service_to_json"]
