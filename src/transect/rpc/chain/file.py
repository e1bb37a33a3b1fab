# SPDX-License-Identifier: Apache-2.0
"""Reads a chain file, which is parsed and never imported; each error is a diagnostic at its place."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.base.diagnostic import Diagnostics, Label, closest
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend import compile_file
from transect.core.frontend.constants import fit, literal
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
from transect.rpc.chain.arrangement import names
from transect.rpc.chain.constraints import contradictions
from transect.rpc.chain.model import ChainFile, ElementUse
from transect.rpc.chain.spec import Chain
from transect.rpc.chain.standard import STANDARD
from transect.rpc.chain.wishes import wishes
from transect.rpc.chain.words import Words, number

DEFAULTS = {f.name: f.default for f in dataclasses.fields(Chain)}
REQUIRED = ("service", "upstream", "elements")
LIBRARY_BASES = ("Element", "Message", "Policy", "View")
NO_POLICY = "name a class that derives from `Element`"


def first_state(program: Program, values: Mapping[str, object]) -> bytes:
    """The image of an element's state at the beginning: as the policy declares it, with the values of the
    chain file.
    """
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
    """The chain in a file (None if the file has errors), the diagnostics, and the texts to show with them."""

    chain: ChainFile | None
    diagnostics: Diagnostics
    sources: dict[str, str]


@dataclass(frozen=True, slots=True)
class ReadEdges:
    """The chains in a file (none if it has errors), the diagnostics, and the texts to show with them."""

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
    """The one chain that the file declares or, if there are several, the one of that service."""
    return edge_of(read_edges(path), path, service)


def edge_of(found: ReadEdges, path: Path, service: str = "") -> Read:
    """The one chain among those that a file declares or, if there are several, the one of that service."""
    chains = [chain for chain in found.chains if service in ("", chain.service)]
    if len(chains) != 1 and not found.diagnostics.failed:
        names = ", ".join(chain.service for chain in found.chains)
        at = Span(str(path), 1, 0, 1, 1)
        message = f"the file has no edge of {service}" if service else "the file has several edges"
        found.diagnostics.error("R030", message, at, help=f"it has {names}" if names else "write `chain = …`")
    return Read(chains[0] if len(chains) == 1 else None, found.diagnostics, found.sources)


def declares_chain(tree: ast.Module) -> bool:
    """Whether a file has `chain = …` or `edges = …`."""
    return bool(_declarations(tree))


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str  # chain, edges
    node: ast.stmt
    value: ast.expr


def _declarations(tree: ast.Module) -> list[_Declaration]:
    found = []
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="chain" | "edges" as name)], value=value):
                found.append(_Declaration(name, node, value))
            case _:
                continue
    return found


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
        declared = _declarations(self.source.tree)
        if not declared:
            start = Span(self.source.path, 1, 0, 1, 1)
            self.error(
                start,
                "this file declares no chain",
                "write `chain = Chain(service=…, upstream=…, elements=[…])`",
            )
            return ()
        for other in declared[1:]:
            help = "of several services: `edges = [Chain(…), Chain(…)]`"
            self.error(other.node, "a file declares its chains once", help, f"after `{declared[0].name}`")
        node, value = declared[0].node, declared[0].value
        if declared[0].name == "chain":
            found = [self._declared(value, node)]
        elif isinstance(value, ast.List | ast.Tuple) and value.elts:
            found = [self._declared(call, call) for call in value.elts]
        else:
            self.error(
                node, "`edges` is a list of chains", "write `edges = [Chain(…), Chain(…)]`", "not a list"
            )
            found = []
        chains = tuple(chain for chain in found if chain is not None)
        self._apart(chains)
        return chains

    def _apart(self, chains: Sequence[ChainFile]) -> None:
        """Two edges cannot listen at one address, and are distinguished by their services."""
        services: dict[str, ChainFile] = {}
        places: dict[str, ChainFile] = {}
        for chain in chains:
            if services.setdefault(chain.service, chain) is not chain:
                self.error(
                    chain.span, f"there are two edges of {chain.service}", "name each service once", "again"
                )
            fixed = chain.listen.path or chain.listen.port
            first = places.setdefault(str(chain.listen), chain)
            if fixed and first is not chain:
                self.error(
                    chain.spans["listen"],
                    f"the edges of {first.service} and {chain.service} listen at {chain.listen}",
                    "each edge is an Envoy of its own: give one of them another `listen=`, and its callers that",
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
            else:
                close = closest(keyword.arg or "", DEFAULTS)
                help = f"write `{close}=`" if close else f"a chain has {', '.join(DEFAULTS)}"
                self.error(keyword, f"a chain has no `{keyword.arg or '**'}`", help, "unknown")
        return given

    def _chain(self, given: Mapping[str, ast.expr]) -> ChainFile | None:
        words = Words(self.source, self.diagnostics)
        elements = self._elements(given["elements"])
        upstream = words.server(given["upstream"], "upstream")
        listen = words.listener(given.get("listen"))
        service = words.text(given["service"], "service")
        protos = words.texts(given.get("protos"), "protos")
        roots = words.texts(given.get("proto_path"), "proto_path")
        methods = words.texts(given.get("methods"), "methods")
        first = words.texts(given.get("speaks_first"), "speaks_first")
        passing = words.among(given.get("pass_by"), "pass_by", tuple(STANDARD), Chain.pass_by)
        routes = words.routes(given.get("routes"))
        compressed = words.choice(given.get("on_compressed"), "on_compressed", ("reject", "pass"))
        largest = words.size(given.get("max_message"))
        tls = words.tls(given.get("tls"), "tls", ("certificate", "key"), ("clients",))
        others = ("name", "certificate", "key")
        upstream_tls = words.tls(given.get("upstream_tls"), "upstream_tls", ("authority",), others)
        called = names([use.program.name for use in elements])
        wished = wishes(given, called, self.source, self.diagnostics)
        if not self.diagnostics.failed:
            contradictions(elements, wished, self.diagnostics)
        if self.diagnostics.failed:
            return None
        assert upstream and listen and service and largest, "what is not understood is told"
        beside = Path(self.source.path).parent
        return ChainFile(
            path=Path(self.source.path),
            service=service,
            upstream=upstream,
            listen=listen,
            elements=elements,
            protos=tuple(beside / p for p in protos),
            proto_path=tuple(beside / p for p in roots),
            methods=tuple(methods),
            pass_by=passing,
            routes=routes,
            on_compressed=compressed,
            max_message=largest,
            spans={name: self.source.span(node) for name, node in given.items()},
            tls=tls,
            upstream_tls=upstream_tls,
            wishes=wished,
            speaks_first=tuple(first),
        )

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
        """The class's program, compiled from the file that defines it."""
        if not cls.node.bases or cls.node.name in LIBRARY_BASES:  # such as `Chain` itself
            self.error(node, f"`{cls.node.name}` is not a policy", NO_POLICY, "not a policy", "R031")
            return None
        path = cls.module.source.path
        if cls.module.library:
            path = str(Path(__file__).parents[3] / path)
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
                NO_POLICY,
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
                ok = ok and len({k[1] for k, _ in pairs}) == len(pairs)
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
                found = number(count)
                return (False, None) if found is None else fit(found * DURATION_UNITS[unit], t)
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
