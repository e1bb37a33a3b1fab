# SPDX-License-Identifier: Apache-2.0
"""A policy's views bound to real messages: every field must exist with a fitting type, and every hook must fit the
methods for which it runs.

What does not fit is a diagnostic at the policy's own line, which names the message, its file and what to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from transect.base.diagnostic import Diagnostics, closest
from transect.base.span import NOWHERE, Span
from transect.core.ir import Program, View, ViewMember
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
    spell,
)
from transect.rpc.chain.needs import HOOKS, Needs, headers_changed, needs, plain, structs_made
from transect.rpc.chain.rules import check_element
from transect.rpc.messages.redaction import Field, Redaction, in_groups
from transect.rpc.messages.wire import (
    BITS,
    Kind,
    Presence,
    ProtoField,
    ProtoMessage,
    ProtoMethod,
    ProtoService,
)

# The most elements of a chain: carriers count and record this many; `envoy_module.h` and `grpc_extension.h` say the
# same
MAX_ELEMENTS = 64
MAX_FIELDS = (
    64  # of one message that a view uses: there is a bit for each, which says whether the element assigned it
)


@dataclass(frozen=True, slots=True)
class BoundMember:
    """One field of a view and the field of the message which it stands for."""

    member: ViewMember
    field: ProtoField
    view: str = ""  # the view class of a sub-message, of a sequence's items or of a map's values


@dataclass(frozen=True, slots=True)
class BoundView:
    """One view class over one message."""

    view: str
    message: str  # full name
    members: tuple[BoundMember, ...]

    def member(self, name: str) -> BoundMember:
        return next(m for m in self.members if m.member.name == name)


@dataclass(frozen=True, slots=True)
class BoundMethod:
    """The views of one element for one method."""

    method: ProtoMethod
    requests: tuple[str, ...]  # view classes over the request (hooks may name different ones)
    replies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoundElement:
    needs: Needs
    views: dict[tuple[str, str], BoundView] = field(repr=False)  # by (view class, message)
    methods: tuple[BoundMethod, ...]

    @property
    def program(self) -> Program:
        return self.needs.program

    @property
    def name(self) -> str:
        return self.needs.program.name


@dataclass(frozen=True, slots=True)
class Binding:
    """The elements of a chain, bound to the methods of a service that the chain covers."""

    service: ProtoService
    methods: tuple[ProtoMethod, ...]
    elements: tuple[BoundElement, ...]
    speaks_first: tuple[str, ...] = ()  # paths of methods whose server may speak before its client does

    @property
    def secrets(self) -> frozenset[Field]:
        """Fields of messages of which policies read the digest alone, and logs hold nothing else."""
        views = (view for element in self.elements for view in element.views.values())
        return frozenset((v.message, m.field.number) for v in views for m in v.members if m.member.secret)

    @property
    def early(self) -> tuple[str, ...]:
        """Paths of methods whose RPCs reach the service before the first message has passed the chain: either the
        client streams and no element decides about messages, or the service speaks first.
        """
        decides = any("request" in element.needs.hooks for element in self.elements)
        return tuple(
            m.path for m in self.methods if m.client_streams and (not decides or m.path in self.speaks_first)
        )

    @property
    def streaming(self) -> tuple[str, ...]:
        """Paths of methods whose replies stream, and whose reply headers go to the client before the first reply has
        passed; none if an element changes those headers."""
        changed = any(
            True for element in self.elements for _ in headers_changed(element.program, "response", "headers")
        )
        return () if changed else tuple(m.path for m in self.methods if m.server_streams)


def bind(
    programs: Sequence[Program],
    service: ProtoService,
    diagnostics: Diagnostics,
    *,
    methods: Iterable[str] | None = None,
    at: Span = NOWHERE,
    by_worker: bool = False,
    speaks_first: Iterable[str] = (),
) -> Binding | None:
    """Bind each program to the methods (all, or those named); None when there are errors, which `diagnostics` holds.

    `speaks_first`: methods whose service may speak before its client does, and so hears of an RPC at once.

    `by_worker`: the carrier may keep a copy of the state for each of its workers, including copies that are summed.
    """
    covered = _covered(service, methods, diagnostics, at)
    elements = tuple(
        _Binder(needs(program), service, diagnostics, by_worker).element(covered) for program in programs
    )
    first = tuple(method.path for method in _covered(service, speaks_first, diagnostics, at))
    binding = Binding(service, covered, elements, first)
    _too_long(binding, diagnostics, at)
    _too_late(binding, diagnostics)
    _told(binding, diagnostics)
    return None if diagnostics.failed else binding


def _too_long(binding: Binding, diagnostics: Diagnostics, at: Span) -> None:
    """Report a chain with more elements than carriers count and record."""
    if len(binding.elements) > MAX_ELEMENTS:
        first = binding.elements[MAX_ELEMENTS].name
        diagnostics.error(
            "R013",
            f"the chain has {len(binding.elements)} elements; {MAX_ELEMENTS} is the most, and `{first}` is one more",
            at,
            label="too many elements",
            help="put several elements' rules into one, or fewer elements into this chain",
        )


def _too_late(binding: Binding, diagnostics: Diagnostics) -> None:
    """Report headers, trailers and routes that are changed after they were sent or taken."""
    for element in binding.elements:
        for span in [
            s for f in ("headers", "trailers") for s in headers_changed(element.program, "finish", f)
        ][:1]:
            diagnostics.error(
                "R021",
                "headers and trailers have gone when `finish` runs",
                span,
                label="set or removed here, too late",
                help="set trailers in `request` or `response`",
            )
    early = [path for path in binding.early if path in binding.speaks_first]
    for element in binding.elements if early else ():
        for span in [*headers_changed(element.program, "request", "headers")][:1]:
            diagnostics.error(
                "R021",
                f"the service has the headers of {early[0]} before the first request: it speaks first",
                span,
                label="set or removed here, too late",
                help="take the method out of `speaks_first=[…]`, or narrow the chain: `methods=[…]`",
            )
        routed = [m.span for m in structs_made(element.program) if m.name == "Forward" and "to" in m.given]
        for span in routed[:1]:
            diagnostics.error(
                "R021",
                f"{early[0]} is with its service before the first request: the service speaks first",
                span,
                label="names a route, too late",
                help="take the method out of `speaks_first=[…]`, or narrow the chain: `methods=[…]`",
            )


def _told(binding: Binding, diagnostics: Diagnostics) -> None:
    """Report who else reads what one element declares secret, and secrets that logs could not leave out."""
    secrets = binding.secrets
    if not secrets:
        return
    redaction = Redaction(binding.service.messages, secrets)
    for element in binding.elements:
        for view in element.views.values():
            for m in view.members:
                if (view.message, m.field.number) in secrets and not m.member.secret:
                    diagnostics.error(
                        "R025",
                        f"field `{m.field.name}` of {view.message} is secret to another element of the chain",
                        m.member.span,
                        label="read as it is",
                        help="declare it `Secret[str]` here, too",
                    )
        for use in (u for hook in HOOKS for u in element.needs.uses_of(hook, "body", "reply_body")):
            within = [m.path for m in binding.methods if {m.request, m.reply} & redaction.tables.keys()]
            if within:
                diagnostics.error(
                    "R025",
                    f"the messages of {within[0]} have a secret field, and this reads them whole",
                    use.span,
                    label="all bytes of a message",
                    help="read the fields that you need, through a view",
                )
    for name, number in in_groups(binding.service.messages, redaction):
        secret = next(
            v for e in binding.elements for w in e.needs.program.views for v in w.members if v.secret
        )
        diagnostics.error(
            "R025",
            f"field {number} of {name} is a group with something secret, and logs do not look into groups",
            secret.span,
            label="declared secret",
            help="log nothing of this chain, and read the field as `str`; or make the group a message",
        )


def _covered(
    service: ProtoService, names: Iterable[str] | None, diagnostics: Diagnostics, at: Span
) -> tuple[ProtoMethod, ...]:
    if names is None:
        return service.methods
    found = []
    for name in names:
        method = service.method(name)
        if method is None:
            close = closest(name, [m.name for m in service.methods])
            known = listed([m.name for m in service.methods])
            diagnostics.error(
                "R014",
                f"service {service.name} ({service.file}) has no method `{name}`",
                at,
                label="unknown method",
                help=f"write `{close}`" if close else f"its methods: {known}",
            )
        else:
            found.append(method)
    return tuple(found)


class _Binder:
    """Binds one element."""

    def __init__(
        self, found: Needs, service: ProtoService, diagnostics: Diagnostics, by_worker: bool
    ) -> None:
        self.needs = found
        self.by_worker = by_worker
        self.service = service
        self.diagnostics = diagnostics
        self.views: dict[tuple[str, str], BoundView | None] = {}

    def element(self, methods: Iterable[ProtoMethod]) -> BoundElement:
        bound = tuple(map(self._method, methods))
        check_element(self.needs.program, self.diagnostics, by_worker=self.by_worker)
        for view in dict.fromkeys(name for name, _ in self.views):
            self._assigned(view)
        views = {key: view for key, view in self.views.items() if view is not None}
        return BoundElement(self.needs, views, bound)

    def _method(self, method: ProtoMethod) -> BoundMethod:
        requests, replies = dict[str, None](), dict[str, None]()
        for handler in self.needs.program.handlers:
            if handler.default or not handler.params:
                continue
            t = handler.params[0].type
            arguments = t.arguments if isinstance(t, ViewType) else ()
            for argument, message, found in zip(
                arguments, (method.request, method.reply), (requests, replies), strict=False
            ):
                if isinstance(argument, ViewType) and self._is_message(argument.name):
                    found[argument.name] = None
                    self._view(argument.name, message, handler.span)
        self._streams(method)
        return BoundMethod(method, tuple(requests), tuple(replies))

    def _is_message(self, name: str) -> bool:
        return any(v.name == name and plain(v.base or v.name) == "Message" for v in self.needs.program.views)

    # ------------------------------------------------------------ fields

    def _view(self, name: str, message: str, at: Span) -> None:
        if (name, message) in self.views:
            return
        self.views[name, message] = None  # a view may refer to itself
        view, proto = self.needs.program.view(name), self.service.messages[message]
        members = [self._member(view, m, proto) for m in view.members]
        self.views[name, message] = BoundView(name, message, tuple(m for m in members if m is not None))
        used = self.needs.fields(name)
        if len(used) > MAX_FIELDS:
            self._error(
                "R012",
                f"`{name}` uses {len(used)} fields of {message}; {MAX_FIELDS} is the most",
                view.span,
                help="read fewer fields, or read sub-messages through views of their own",
            )

    def _member(self, view: View, member: ViewMember, proto: ProtoMessage) -> BoundMember | None:
        at = self._place(view, member.name)
        found = proto.field(member.name)
        if found is None:
            close = closest(member.name, [f.name for f in proto.fields])
            known = listed([f.name for f in proto.fields])
            self._error(
                "R001",
                f"message {proto.name} ({proto.file}) has no field `{member.name}`",
                at,
                label=f"read through view `{view.name}`",
                help=f"write `{close}`"
                if close
                else f"its fields: {known}; or narrow the chain to the methods that have it: `methods=[…]`",
            )
            return None
        problem = self._disagreement(member.type, found, view, proto.file)
        if problem is not None:
            is_not = f"is {_described(found, self.service)}, not `{spelled(member.type)}`"
            self._error(
                problem.code,
                f"field `{member.name}` of {proto.name} ({proto.file}) {problem.message or is_not}",
                at,
                label=problem.label,
                help=problem.help,
            )
            return None
        return BoundMember(member, found, self._nested(member.type, found, at))

    def _place(self, view: View, name: str) -> Span:
        member = view.member(name)
        if member is not None and member.span != NOWHERE:
            return member.span
        return next(
            (a.span for a in self.needs.accesses if (a.view, a.field) == (view.name, name)), view.span
        )

    def _nested(self, t: Type, found: ProtoField, at: Span) -> str:
        """Bind the view of a sub-message, and return its name."""
        inner = _inner(t)
        if not isinstance(inner, ViewType):
            return ""
        message = found.message
        if found.presence is Presence.MAP:
            value = self.service.messages[found.message].field("value")
            assert value is not None, f"{found.message} is no map entry"
            message = value.message
        self._view(inner.name, message, at)
        return inner.name

    def _disagreement(self, t: Type, f: ProtoField, view: View, file: str) -> _Problem | None:
        want = f"{f.name}: {_written(f, self.service)}"
        match t:
            case SeqType(item=item):
                if f.presence is not Presence.REPEATED:
                    return _Problem("R004", "not a repeated field", f"write `{want}`")
                return self._scalar(item, f, want)
            case DictType(key=key, value=value):
                if f.presence is not Presence.MAP:
                    return _Problem("R004", "not a map field", f"write `{want}`")
                entry = self.service.messages[f.message]
                pairs = [(key, entry.field("key")), (value, entry.field("value"))]
                return next(
                    (p for part, g in pairs if g is not None and (p := self._scalar(part, g, want))),
                    None,
                )
            case _ if f.presence in (Presence.REPEATED, Presence.MAP):
                return _Problem("R004", f"a {f.presence} field", f"write `{want}`")
            case OptionType(item=item):
                if f.presence is Presence.IMPLICIT:
                    return _Problem(
                        "R003",
                        "the field has no presence: absent and zero look the same",
                        f"write `{want}`, or make it `optional {f.kind} {f.name}` in {file}",
                    )
                return self._scalar(item, f, want)
            case ViewType(name=name) if f.kind.nested and self._loops(name, view.name):
                wrong = "may contain itself without end"
                return _Problem("R011", "a message within itself", f"write `{f.name}: {name} | None`", wrong)
            case _:
                return self._scalar(t, f, want)

    def _scalar(self, t: Type, f: ProtoField, want: str) -> _Problem | None:
        wrong = _Problem("R002", "another type", f"write `{want}`")
        match t:
            case BoolType():
                return None if f.kind is Kind.BOOL else wrong
            case TextType():
                return None if f.kind is Kind.STRING else wrong
            case BytesType():
                return None if f.kind is Kind.BYTES else wrong
            case FloatType():
                return None if f.kind in (Kind.FLOAT, Kind.DOUBLE) else wrong
            case IntType(bits=bits, signed=signed):
                return (
                    None
                    if f.kind in BITS and f.kind is not Kind.ENUM and _holds(bits, signed, *BITS[f.kind])
                    else wrong
                )
            case EnumType():
                return self._enum(t, f) if f.kind is Kind.ENUM else wrong
            case ViewType():
                if not f.kind.nested or not self._is_message(t.name):
                    return wrong
                return None
            case _:
                return wrong

    def _enum(self, t: EnumType, f: ProtoField) -> _Problem | None:
        assert f.enum is not None
        known = dict(f.enum.members)
        for name, number in t.members:
            if name not in known:
                close = closest(name, known)
                help = (
                    f"write `{close} = {known[close]}` in `{t.name}`"
                    if close
                    else f"its names: {listed(list(known))}"
                )
                wrong = f"is `{f.enum.name}`, which has no `{name}`"
                return _Problem("R005", f"see `{t.name}`", help, wrong)
            if known[name] != number:
                help = f"write `{name} = {known[name]}` in `{t.name}`"
                wrong = f"is `{f.enum.name}`, where `{name}` is {known[name]}, not {number}"
                return _Problem("R005", f"see `{t.name}`", help, wrong)
        return None

    def _loops(self, inner: str, outer: str) -> bool:
        """Whether `outer` stands, without `| None`, somewhere within `inner`: then reading it would not end."""
        seen, waiting = set[str](), [inner]
        while waiting:
            name = waiting.pop()
            if name == outer:
                return True
            if name not in seen:
                seen.add(name)
                waiting += [
                    m.type.name for m in self.needs.program.view(name).members if isinstance(m.type, ViewType)
                ]
        return False

    # ------------------------------------------------------------ hooks

    def _streams(self, method: ProtoMethod) -> None:
        if not method.streams:
            return
        for hook, fields in (
            ("response", ("msg", "body")),
            ("finish", ("msg", "body", "reply", "reply_body")),
        ):
            for use in self.needs.uses_of(hook, *fields):
                what = "request" if use.field in ("msg", "body") else "reply"
                self._error(
                    "R006",
                    f"`{hook}` reads `rpc.{use.field}`, but {method.path} streams: there is no one {what}",
                    use.span,
                    label="which message would that be?",
                    help=f"keep what you need in a `local(…)` field when the {what} passes, "
                    "or narrow the chain: `methods=[…]`",
                )
        for made in structs_made(self.needs.program):
            if made.name == "Respond" and method.server_streams:
                self._error(
                    "R007",
                    f"`Respond` cannot answer {method.path}: its replies stream",
                    made.span,
                    label="one whole reply",
                    help="narrow the chain to unary methods: `methods=[…]`",
                )
            if made.name == "Retry":
                self._error(
                    "R007",
                    f"`Retry` cannot repeat {method.path}: it streams",
                    made.span,
                    label="the whole request again",
                    help="narrow the chain to unary methods: `methods=[…]`",
                )

    def _assigned(self, view: str) -> None:
        """Check what assignments need: the same fields in all messages that the view stands for, and `T | None` for
        members of a oneof, of which one replaces the others.
        """
        bound = [b for (name, _), b in self.views.items() if name == view and b is not None]
        used, written = self.needs.fields(view), self.needs.written(view)
        whole = all(
            {m.member.name for m in b.members} >= set(used) for b in bound
        )  # else it has been reported already
        if written and whole and len({self._form(b, used) for b in bound}) > 1:
            names = " and ".join(b.message for b in bound)
            self._error(
                "R016",
                f"`{view}` is assigned, and stands for {names}, whose fields differ",
                self.needs.program.view(view).span,
                label="assigned",
                help="write a view class for each of them; where one hook meets both, an element each",
            )
        for one in bound[:1]:
            self._options(one, used, written)

    def _form(self, bound: BoundView, used: Iterable[str]) -> tuple[object, ...]:
        known = {m.member.name: m.field for m in bound.members}
        return tuple((known[name].kind, known[name].oneof != "", known[name].presence) for name in used)

    def _options(self, bound: BoundView, used: Iterable[str], written: frozenset[str]) -> None:
        touched = [m for m in bound.members if m.member.name in used and m.field.oneof]
        ended = {m.field.oneof for m in touched if m.member.name in written}
        entered = {m.field.oneof for m in touched if m.view and self._changes(m.view, ())}
        for m in touched:
            plain_member = not isinstance(m.member.type, OptionType)
            if plain_member and (m.field.oneof in ended or (m.view and m.field.oneof in entered)):
                at = self._place(self.needs.program.view(bound.view), m.member.name)
                want = f"write `{m.member.name}: {spelled(m.member.type)} | None`"
                self._error(
                    "R015",
                    f"`{m.member.name}` is one of the oneof `{m.field.oneof}` of {bound.message}, "
                    "which this policy assigns",
                    at,
                    label="may be absent",
                    help=want,
                )

    def _changes(self, view: str, seen: tuple[str, ...]) -> bool:
        """Whether a field of the view, or of a sub-message's view, is assigned."""
        inner = (
            _inner(m.type) for m in self.needs.program.view(view).members if m.name in self.needs.fields(view)
        )
        names = (t.name for t in inner if isinstance(t, ViewType) and t.name not in seen and t.name != view)
        return bool(self.needs.written(view)) or any(self._changes(name, (*seen, view)) for name in names)

    def _error(self, code: str, message: str, at: Span, *, label: str = "", help: str = "") -> None:
        self.diagnostics.error(code, message, at, label=label, help=help)


@dataclass(frozen=True, slots=True)
class _Problem:
    code: str
    label: str
    help: str
    message: str = ""  # what is wrong with the field; "": it has another type


def _holds(bits: int, signed: bool, proto_bits: int, proto_signed: bool) -> bool:
    """Whether the view's type can hold every number of the field."""
    if signed == proto_signed:
        return bits >= proto_bits
    return signed and bits > proto_bits


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a reader: only the first ones of a long list."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def spelled(t: Type) -> str:
    """A view field's type as it is written."""
    return f"Sequence[{spell(t.item)}]" if isinstance(t, SeqType) else spell(t)


def _inner(t: Type) -> Type:
    match t:
        case OptionType(item=item) | SeqType(item=item) | DictType(value=item):
            return item
        case _:
            return t


def _described(f: ProtoField, service: ProtoService) -> str:
    """The field's type as in the .proto file."""
    if f.presence is Presence.MAP:
        entry = service.messages[f.message]
        key, value = entry.field("key"), entry.field("value")
        assert key is not None and value is not None
        return f"`map<{_proto_type(key)}, {_proto_type(value)}>`"
    return f"`{'repeated ' if f.presence is Presence.REPEATED else ''}{_proto_type(f)}`"


def _proto_type(f: ProtoField) -> str:
    return f.message or (f.enum.name if f.enum else str(f.kind))


def _written(f: ProtoField, service: ProtoService) -> str:
    """What to write in the view."""
    if f.presence is Presence.MAP:
        entry = service.messages[f.message]
        key, value = entry.field("key"), entry.field("value")
        assert key is not None and value is not None
        return f"Mapping[{_type_for(key)}, {_type_for(value)}]"
    return f"Sequence[{_type_for(f)}]" if f.presence is Presence.REPEATED else _type_for(f)


def _type_for(f: ProtoField) -> str:
    match f.kind:
        case Kind.STRING:
            return "str"
        case Kind.BYTES:
            return "bytes"
        case Kind.BOOL:
            return "bool"
        case Kind.FLOAT | Kind.DOUBLE:
            return "float"
        case Kind.UINT64 | Kind.FIXED64:
            return "u64"
        case Kind.ENUM:
            assert f.enum is not None
            return plain("." + f.enum.name)
        case Kind.MESSAGE | Kind.GROUP:
            return plain("." + f.message)
        case _:
            return "int"
