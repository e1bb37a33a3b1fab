# SPDX-License-Identifier: Apache-2.0
"""Reads a chain file: parsed, never imported; whatever is wrong is a diagnostic at its place."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.base.diagnostic import Diagnostics, Label, closest
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend import compile_file
from transect.core.frontend.constants import literal
from transect.core.frontend.modules import ClassDef, Module, Modules
from transect.core.frontend.source import Source, parse, read
from transect.core.frontend.surface import DURATION_UNITS
from transect.core.interp import Instance
from transect.core.ir import FieldKind, Program
from transect.core.types import (
    ArrayType,
    DurationType,
    EnumType,
    StructType,
    TableType,
    TupleType,
    Type,
    an,
    is_value,
    spell,
)
from transect.core.values import Record
from transect.rpc.chain_spec import Chain
from transect.rpc.envoy.config import PLAIN, Endpoint, Tls
from transect.rpc.placement.constraints import contradictions
from transect.rpc.placement.model import NOTHING_SAID, Wishes, names
from transect.rpc.placement.words import wishes

DEFAULTS = {f.name: f.default for f in dataclasses.fields(Chain)}
REQUIRED = ("service", "upstream", "elements")


@dataclass(frozen=True, slots=True)
class ElementUse:
    """One element of a chain: its program, and the values that the chain file gives to its state."""

    program: Program
    values: Mapping[str, object]  # plain values; for a table a dict, for an array a list
    span: Span


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A chain, as its file says it."""

    path: Path
    service: str
    upstream: Endpoint
    listen: Endpoint
    elements: tuple[ElementUse, ...]
    protos: tuple[Path, ...]
    methods: tuple[str, ...]
    routes: Mapping[str, Endpoint]
    on_compressed: str
    max_message: int
    span: Span  # of the service's name
    tls: Tls = PLAIN
    upstream_tls: Tls = PLAIN
    wishes: Wishes = NOTHING_SAID

    @property
    def names(self) -> tuple[str, ...]:
        """What its elements are called."""
        return names([use.program.name for use in self.elements])


def first_state(program: Program, values: Mapping[str, object]) -> bytes:
    """The image of an element's state as it begins: what the policy declares, and what the chain file gives."""
    instance = Instance(program)
    for name, value in values.items():
        match value:
            case dict():
                for key, item in value.items():
                    stored = instance.state[name].put(key, item)
                    assert stored, f"{program.name}.{name} has no room for {key!r}"
            case list():
                for index, item in enumerate(value):
                    instance.state[name][index] = item
            case _:
                instance.state[name] = value
    return instance.image()


@dataclass(frozen=True, slots=True)
class Read:
    """A file's chain (None when it is not understood), what is wrong, and the texts for showing it."""

    chain: ChainFile | None
    diagnostics: Diagnostics
    sources: dict[str, str]


@dataclass(frozen=True, slots=True)
class ReadEdges:
    """A file's chains (none when it is not understood), what is wrong, and the texts for showing it."""

    chains: tuple[ChainFile, ...]
    diagnostics: Diagnostics
    sources: dict[str, str]


def read_edges(path: Path) -> ReadEdges:
    """The chains that the file declares: `chain = Chain(…)`, or `edges = [Chain(…), …]`."""
    diagnostics = Diagnostics()
    text = read(path, diagnostics)
    source = None if text is None else parse(text, str(path), diagnostics)
    if source is None:
        return ReadEdges((), diagnostics, {} if text is None else {str(path): text})
    reader = _Reader(source, diagnostics)
    chains = reader.read()
    return ReadEdges(() if diagnostics.failed else chains, diagnostics, reader.sources)


def read_chain(path: Path, service: str = "") -> Read:
    """The one chain that the file declares, or, of several, that of the service."""
    found = read_edges(path)
    chains = [chain for chain in found.chains if service in ("", chain.service)]
    if len(chains) != 1 and not found.diagnostics.failed:
        names = ", ".join(chain.service for chain in found.chains)
        at = Span(str(path), 1, 0, 1, 1)
        message = f"the file has no edge of {service}" if service else "the file has several edges"
        found.diagnostics.error("R030", message, at, help=f"it has {names}" if names else "write `chain = …`")
    return Read(chains[0] if len(chains) == 1 else None, found.diagnostics, found.sources)


def declares_chain(tree: ast.Module) -> bool:
    """Whether a file has `chain = …` or `edges = …`."""
    return _declaration(tree) is not None


def _declaration(tree: ast.Module) -> ast.Assign | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("chain", "edges"):
            return node
    return None


class _Reader:
    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.source = source
        self.diagnostics = diagnostics
        self.sources = {source.path: source.text}
        self.module: Module = Modules(diagnostics).add(source)
        self.programs: dict[str, tuple[Program, ...]] = {}

    def error(
        self, node: ast.AST | Span, message: str, help: str, label: str = "", code: str = "R030"
    ) -> None:
        at = node if isinstance(node, Span) else self.source.span(node)
        self.diagnostics.error(code, message, at, label=label, help=help)

    # ------------------------------------------------------------ the declaration

    def read(self) -> tuple[ChainFile, ...]:
        node = _declaration(self.source.tree)
        if node is None:
            start = Span(self.source.path, 1, 0, 1, 1)
            self.error(
                start,
                "this file declares no chain",
                "write `chain = Chain(service=…, upstream=…, elements=[…])`",
            )
            return ()
        if ast.unparse(node.targets[0]) == "chain":
            found = [self._declared(node.value, node)]
        elif isinstance(node.value, ast.List | ast.Tuple) and node.value.elts:
            found = [self._declared(call, call) for call in node.value.elts]
        else:
            self.error(
                node, "`edges` is a list of chains", "write `edges = [Chain(…), Chain(…)]`", "not a list"
            )
            found = []
        chains = tuple(chain for chain in found if chain is not None)
        self._apart(chains)
        return chains

    def _apart(self, chains: Sequence[ChainFile]) -> None:
        """Two edges cannot be met at one address, and are told apart by their services."""
        services: dict[str, ChainFile] = {}
        places: dict[str, ChainFile] = {}
        for chain in chains:
            if services.setdefault(chain.service, chain) is not chain:
                self.error(
                    chain.span, f"there are two edges of {chain.service}", "name each service once", "again"
                )
            fixed = chain.listen.path or chain.listen.port
            if fixed and places.setdefault(str(chain.listen), chain) is not chain:
                self.error(
                    chain.span,
                    f"two edges listen at {chain.listen}",
                    "give each its own `listen=`",
                    "this one too",
                )

    def _declared(self, call: ast.expr, at: ast.AST) -> ChainFile | None:
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Chain" or call.args:
            self.error(
                at,
                "`chain` is made by `Chain(…)` with keywords",
                "write `chain = Chain(service=…, upstream=…, elements=[…])`",
                "not a chain",
            )
            return None
        given = self._keywords(call)
        for name in REQUIRED:
            if name not in given:
                self.error(call.func, f"the chain has no `{name}`", f"write `{name}=…`", f"no `{name}`")
        return self._chain(given) if all(name in given for name in REQUIRED) else None

    def _keywords(self, call: ast.Call) -> dict[str, ast.expr]:
        given: dict[str, ast.expr] = {}
        for keyword in call.keywords:
            if keyword.arg in DEFAULTS:
                given[keyword.arg] = keyword.value
                continue
            close = closest(keyword.arg or "", DEFAULTS)
            help = f"write `{close}=`" if close else f"a chain has {', '.join(DEFAULTS)}"
            self.error(keyword, f"a chain has no `{keyword.arg or '**'}`", help, "unknown")
        return given

    def _chain(self, given: Mapping[str, ast.expr]) -> ChainFile | None:
        elements = self._elements(given["elements"])
        upstream = self._endpoint(given["upstream"], "upstream")
        listen = (
            self._endpoint(given["listen"], "listen")
            if "listen" in given
            else Endpoint.parse(str(DEFAULTS["listen"]))
        )
        service = self._text(given["service"], "service")
        protos = self._texts(given.get("protos"), "protos")
        methods = self._texts(given.get("methods"), "methods")
        routes = self._routes(given.get("routes"))
        compressed = self._choice(given.get("on_compressed"))
        largest = self._size(given.get("max_message"))
        called = names([use.program.name for use in elements])
        wished = wishes(given, called, self.source, self.diagnostics)
        if not self.diagnostics.failed:
            contradictions(elements, wished, self.diagnostics)
        if (
            self.diagnostics.failed
            or upstream is None
            or listen is None
            or service is None
            or largest is None
        ):
            return None
        beside = Path(self.source.path).parent
        return ChainFile(
            Path(self.source.path),
            service,
            upstream,
            listen,
            elements,
            tuple(beside / p for p in protos),
            tuple(methods),
            routes,
            compressed,
            largest,
            self.source.span(given["service"]),
            self._tls(given.get("tls"), "tls", ("certificate", "key"), ("clients",)),
            self._tls(
                given.get("upstream_tls"), "upstream_tls", ("authority",), ("name", "certificate", "key")
            ),
            wished,
        )

    # ------------------------------------------------------------ values of its keywords

    def _text(self, node: ast.expr, name: str) -> str | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            return node.value
        self.error(node, f"`{name}` is a text", f'write `{name}="…"`', "not a text in quotes")
        return None

    def _texts(self, node: ast.expr | None, name: str) -> list[str]:
        if node is None:
            return []
        if isinstance(node, ast.List | ast.Tuple):
            found = [self._text(e, name) for e in node.elts]
            return [f for f in found if f is not None]
        self.error(node, f"`{name}` is a list of texts", f'write `{name}=["…"]`', "not a list")
        return []

    def _endpoint(self, node: ast.expr, name: str) -> Endpoint | None:
        text = self._text(node, name)
        if text is None:
            return None
        try:
            return Endpoint.parse(text)
        except ValueError as wrong:
            message, _, help = str(wrong).partition("; ")
            self.error(node, message, help, "not an address")
            return None

    def _routes(self, node: ast.expr | None) -> dict[str, Endpoint]:
        if node is None:
            return {}
        if not isinstance(node, ast.Dict):
            self.error(node, "`routes` names addresses", 'write `routes={"name": "host:port"}`', "not a dict")
            return {}
        routes = {}
        for key, value in zip(node.keys, node.values, strict=True):
            name = None if key is None else self._text(key, "a route's name")
            at = self._endpoint(value, "a route")
            if name is not None and at is not None:
                routes[name] = at
        return routes

    def _tls(
        self, node: ast.expr | None, keyword: str, wanted: tuple[str, ...], others: tuple[str, ...]
    ) -> Tls:
        if node is None:
            return PLAIN
        files = ", ".join(f'"{name}": "…"' for name in wanted)
        help = f"write `{keyword}={{{files}}}`"
        if not isinstance(node, ast.Dict):
            self.error(node, f"`{keyword}` names files", help, "not a dict")
            return PLAIN
        found: dict[str, str] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            name = None if key is None else self._text(key, "what a file is for")
            text = self._text(value, keyword)
            if name is not None and name not in (*wanted, *others):
                self.error(
                    value,
                    f"`{keyword}` has no `{name}`",
                    f"it has {', '.join((*wanted, *others))}",
                    "unknown",
                )
            elif name is not None and text is not None:
                found[name] = (
                    text if name == "name" else str((Path(self.source.path).parent / text).absolute())
                )
        for name in wanted:
            if name not in found:
                self.error(node, f"`{keyword}` has no `{name}`", help, f"no `{name}`")
        return Tls(**found)

    def _choice(self, node: ast.expr | None) -> str:
        if node is None:
            return str(DEFAULTS["on_compressed"])
        if isinstance(node, ast.Constant) and node.value in ("reject", "pass"):
            return str(node.value)
        self.error(node, '`on_compressed` is "reject" or "pass"', 'write `on_compressed="reject"`', "neither")
        return "reject"

    def _size(self, node: ast.expr | None) -> int | None:
        if node is None:
            return Chain.max_message
        value = _number(node)
        if value is not None and 1 <= value <= 1 << 31:
            return value
        self.error(
            node, "`max_message` is a number of bytes", "write `max_message=4 << 20`", "not such a number"
        )
        return None

    # ------------------------------------------------------------ elements

    def _elements(self, node: ast.expr) -> tuple[ElementUse, ...]:
        if not isinstance(node, ast.List | ast.Tuple):
            self.error(
                node,
                "`elements` is a list of policies",
                "write `elements=[Acl(), RateLimit(per_second=5)]`",
                "not a list",
            )
            return ()
        found = [self._element(e) for e in node.elts]
        return tuple(f for f in found if f is not None)

    def _element(self, node: ast.expr) -> ElementUse | None:
        name = node.func if isinstance(node, ast.Call) else node
        keywords = node.keywords if isinstance(node, ast.Call) else []
        if not isinstance(name, ast.Name) or (isinstance(node, ast.Call) and node.args):
            self.error(
                node,
                "an element is a policy with keywords",
                "write `Acl()` or `RateLimit(per_second=5)`",
                "not understood",
            )
            return None
        binding = self.module.names.get(name.id)
        if not isinstance(binding, ClassDef):
            close = closest(name.id, [n for n, b in self.module.names.items() if isinstance(b, ClassDef)])
            help = f"write `{close}`" if close else f"import it: `from policies import {name.id}`"
            self.error(
                name, f"unknown policy `{name.id}`", help, "not defined or imported in this file", "R031"
            )
            return None
        program = self._program(binding, name)
        if program is None:
            return None
        values: dict[str, object] = {}
        for keyword in keywords:
            self._value(program, keyword, values)
        return ElementUse(program, values, self.source.span(node))

    def _program(self, cls: ClassDef, node: ast.Name) -> Program | None:
        """The class's program, compiled with its own file."""
        path = cls.module.source.path
        if cls.module.library:
            path = str(Path(__file__).parents[2] / path)
        if path not in self.programs:
            compiled = compile_file(path)
            for diagnostic in compiled.diagnostics:
                self.diagnostics.add(diagnostic)
            self.sources.update(compiled.sources)
            self.programs[path] = compiled.programs
        found = next((p for p in self.programs[path] if p.name == cls.node.name), None)
        if found is None and not self.diagnostics.failed:
            self.error(
                node,
                f"`{cls.node.name}` is not a policy",
                "name a class that derives from `Element`",
                "not a policy",
                "R031",
            )
        elif found is not None and found.base != "rpc.Element":
            self.error(
                node,
                f"`{found.name}` is a policy of another kind (`{found.base}`)",
                "a chain is made of `rpc.Element`s",
                "not an element",
                "R031",
            )
            return None
        return found

    def _value(self, program: Program, keyword: ast.keyword, into: dict[str, object]) -> None:
        fields = {f.name: f for f in program.state if f.kind in (FieldKind.STATE, FieldKind.PARAM)}
        field = fields.get(keyword.arg or "")
        if field is None:
            close = closest(keyword.arg or "", fields)
            help = f"write `{close}=`" if close else f"it has {', '.join(fields) or 'no state'}"
            self.error(
                keyword, f"`{program.name}` has no field `{keyword.arg}`", help, "unknown field", "R032"
            )
            return
        ok, value = self._of_type(keyword.value, field.type)
        if ok:
            into[field.name] = value
            return
        self.diagnostics.error(
            "R032",
            f"`{field.name}` is {an(field.type)}, which this is not",
            self.source.span(keyword.value),
            label="not a literal of that type",
            others=(Label(field.span, "declared here"),),
            help=_value_help(field),
        )

    def _of_type(self, node: ast.expr, t: Type) -> tuple[bool, object]:
        """Whether the node is a literal of the type, and its value."""
        match t, node:
            case TableType(key=key, value=value), ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = [
                    (self._of_type(k, key), self._of_type(v, value))
                    for k, v in zip(keys, values, strict=True)
                    if k
                ]
                ok = all(k[0] and v[0] for k, v in pairs) and len(pairs) <= t.capacity
                return ok, {k[1]: v[1] for k, v in pairs} if ok else None
            case ArrayType(item=item, length=length), ast.List(elts=elts) if len(elts) == length:
                parts = [self._of_type(e, item) for e in elts]
                return all(p[0] for p in parts), [p[1] for p in parts]
            case TupleType(items=items), ast.Tuple(elts=elts) if len(items) == len(elts):
                parts = [self._of_type(e, i) for e, i in zip(elts, items, strict=True)]
                return all(p[0] for p in parts), tuple(p[1] for p in parts)
            case StructType(), ast.Call(func=ast.Name(id=name), args=[], keywords=keywords) if name == t.name:
                return self._struct(t, keywords)
            case DurationType(), ast.Call(func=ast.Name(id=unit), args=[count]) if unit in DURATION_UNITS:
                number = _number(count)
                return number is not None, (number or 0) * DURATION_UNITS[unit]
            case EnumType(name=name, members=members), ast.Attribute(value=ast.Name(id=owner), attr=attr):
                return owner == name and attr in dict(members), dict(members).get(attr)
            case _:
                return literal(node, t)

    def _struct(self, t: StructType, keywords: list[ast.keyword]) -> tuple[bool, object]:
        given = {k.arg: k.value for k in keywords}
        values: dict[str, object] = {}
        for f in t.fields:
            if f.name in given:
                ok, value = self._of_type(given.pop(f.name), f.type)
            else:
                ok, value = not f.required, f.default
            if not ok:
                return False, None
            values[f.name] = value
        return not given, Record(t.name, values)


def _value_help(field: ir.StateField) -> str:
    match field.type:
        case TableType(key=key, value=value):
            entries = f"at most {field.type.capacity} of `{spell(key)}`: `{spell(value)}`"
            return f"write `{field.name}={{…: …}}` with {entries}"
        case ArrayType(length=length):
            return f"write `{field.name}=[…]` with {length} values"
        case t if is_value(t):
            return f"write a literal `{spell(t)}` that fits"
        case _:
            return "leave it out"


def _number(node: ast.expr) -> int | None:
    """An integer literal, or `4 << 20` and the like."""
    fold: dict[type[ast.operator], Callable[[int, int], int]] = {
        ast.LShift: lambda a, b: a << b,
        ast.Mult: lambda a, b: a * b,
    }
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in fold:
            a, b = _number(left), _number(right)
            return None if a is None or b is None or not 0 <= b < 1 << 32 else fold[type(op)](a, min(b, 64))
        case _:
            return None
