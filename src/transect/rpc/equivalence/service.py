# SPDX-License-Identifier: Apache-2.0
"""A service that fits some policies: one method, whose messages have just the fields that the policies' views name.

Counter-examples and random streams run on it, through the same chain and the same bytes as on a real service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from transect.core.ir import Program
from transect.core.types import (
    BoolType,
    BytesType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    OptionType,
    SeqType,
    TextType,
    Type,
    ViewType,
)
from transect.rpc.chain.needs import is_rpc
from transect.rpc.messages.wire import (
    Kind,
    Presence,
    ProtoEnum,
    ProtoField,
    ProtoMessage,
    ProtoMethod,
    ProtoService,
)

PATH = "/transect.Trial/Call"
REQUEST, REPLY = "transect.Request", "transect.Reply"
FILLER = 2000  # number of a field that no view names


class Clash(Exception):
    """Two policies see one field of a message as two kinds of value: no service fits both."""


def service_for(programs: Iterable[Program], *, streaming: bool = False) -> ProtoService:
    """The service; its method is unary, or has streams both ways.  Raises `Clash`."""
    maker = _Maker()
    for program in programs:
        for handler in program.handlers:
            rpc = handler.params[0].type if handler.params else None
            if rpc is None or handler.default or not is_rpc(rpc):
                continue
            assert isinstance(rpc, ViewType), "`Rpc` is a view"
            for name, argument in zip((REQUEST, REPLY), rpc.arguments, strict=False):
                maker.view(program, argument, name)
    method = ProtoMethod("Call", PATH, REQUEST, REPLY, streaming, streaming)
    return ProtoService("transect.Trial", "trial.proto", (method,), maker.messages())


class _Maker:
    def __init__(self) -> None:
        self.fields: dict[str, dict[str, ProtoField]] = {REQUEST: {}, REPLY: {}}
        self.within: dict[str, str] = {}  # the view classes around the current one, with their messages

    def messages(self) -> dict[str, ProtoMessage]:
        return {
            name: ProtoMessage(name, "trial.proto", tuple(fields.values()))
            for name, fields in self.fields.items()
        }

    def view(self, program: Program, view: Type, message: str) -> None:
        """Add the fields of a view class to a message."""
        if not isinstance(view, ViewType) or view.name in ("Any", "rpc.Any"):
            return
        known = {v.name: v for v in program.views}
        if view.name not in known:
            return
        fields = self.fields.setdefault(message, {})
        self.within[view.name] = message
        for member in known[view.name].members:
            number = fields[member.name].number if member.name in fields else len(fields) + 1
            made = self.field(program, member.name, number, member.type, message)
            if fields.setdefault(member.name, made) != made:
                raise Clash(f"`{member.name}` has two types")
        del self.within[view.name]

    def field(self, program: Program, name: str, number: int, t: Type, message: str) -> ProtoField:
        match t:
            case OptionType(item=item):
                inner = self.field(program, name, number, item, message)
                return ProtoField(name, number, inner.kind, Presence.EXPLICIT, inner.message, inner.enum)
            case SeqType(item=item):
                inner = self.field(program, name, number, item, message)
                return ProtoField(name, number, inner.kind, Presence.REPEATED, inner.message, inner.enum)
            case DictType(key=key, value=value):
                entry = f"{message}.{name}_entry"
                self.fields[entry] = {
                    "key": self.field(program, "key", 1, key, entry),
                    "value": self.field(program, "value", 2, value, entry),
                }
                return ProtoField(name, number, Kind.MESSAGE, Presence.MAP, entry)
            case ViewType():
                inner_name = self.within.get(t.name) or f"{message}.{name}"
                if t.name not in self.within:
                    self.view(program, t, inner_name)
                self.fields.setdefault(inner_name, {})
                return ProtoField(name, number, Kind.MESSAGE, Presence.EXPLICIT, inner_name)
            case EnumType(name=enum, members=members):
                made = ProtoEnum(enum, _proto_members(members), False)
                return ProtoField(name, number, Kind.ENUM, Presence.IMPLICIT, enum=made, default=0)
            case _:
                kind = _kind(t)
                return ProtoField(name, number, kind, Presence.IMPLICIT, default=_DEFAULTS[kind])


def _proto_members(members: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple((name, value) for name, value in members)


def _kind(t: Type) -> Kind:
    match t:
        case BoolType():
            return Kind.BOOL
        case FloatType():
            return Kind.DOUBLE
        case TextType():
            return Kind.STRING
        case BytesType():
            return Kind.BYTES
        case IntType(bits=bits, signed=signed) if bits in (32, 64):
            return {(32, True): Kind.INT32, (32, False): Kind.UINT32, (64, True): Kind.INT64}.get(
                (bits, signed), Kind.UINT64
            )
        case _:
            raise Clash(f"no field of a message is {t}")


_DEFAULTS: Mapping[Kind, object] = {
    Kind.BOOL: False,
    Kind.DOUBLE: 0.0,
    Kind.STRING: "",
    Kind.BYTES: b"",
    Kind.INT32: 0,
    Kind.UINT32: 0,
    Kind.INT64: 0,
    Kind.UINT64: 0,
}
