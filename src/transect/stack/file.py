# SPDX-License-Identifier: Apache-2.0
"""Reads a stack file: parsed, never imported; whatever is wrong is a diagnostic at its place."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec

from transect.base.diagnostic import Diagnostics, closest
from transect.base.span import Span
from transect.base.weights import MOST, NAME, ORDINARY, NoWeights, read_weights
from transect.core.frontend import compile_file
from transect.core.frontend.modules import PACKAGE, ClassDef, Modules
from transect.core.frontend.source import Source, parse, read
from transect.identity.keys import NoKeys, read_keys
from transect.stack import spec
from transect.stack.model import Part, StackFile
from transect.stack.parts import Around, Wrong, made

NOT_UNDERSTOOD = "T001"
WRITE = "write `stack = Stack(parts=[…])`"
PARTS = {c.__name__: c for c in (spec.Front, spec.Gateway, spec.Cores, spec.Watch, spec.Program)}
Weight = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
KNOWN = ", ".join(f"`{name}(…)`" for name in PARTS)


@dataclass(frozen=True, slots=True)
class Read:
    """A file's stack (None if it has errors), the diagnostics, and the texts to show them."""

    stack: StackFile | None
    diagnostics: Diagnostics
    sources: dict[str, str]


def read_stack(path: Path, name: str | None = None) -> Read:
    """The stack that the file declares, and what is wrong with it and with the files that its parts name.

    `name`: the stack's name; by default that of the file.
    """
    diagnostics = Diagnostics()
    text = read(path, diagnostics)
    source = None if text is None else parse(text, str(path), diagnostics)
    if source is None:
        return Read(None, diagnostics, {} if text is None else {str(path): text})
    reader = _Reader(source, name or path.stem, diagnostics)
    stack = reader.read()
    return Read(None if diagnostics.failed else stack, diagnostics, reader.sources)


def declares_stack(tree: ast.Module) -> bool:
    """Whether a file has `stack = …`."""
    return any(True for _ in _declarations(tree))


def _declarations(tree: ast.Module) -> Iterator[ast.Assign]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="stack")]):
                yield node
            case _:
                continue


class _Reader:
    def __init__(self, source: Source, name: str, diagnostics: Diagnostics) -> None:
        self.source = source
        self.name = name
        self.diagnostics = diagnostics
        self.sources = {source.path: source.text}
        self.path = Path(source.path)
        self.module = Modules(diagnostics).add(source)

    def error(self, node: ast.AST | Span, message: str, help: str, label: str = "") -> None:
        at = node if isinstance(node, Span) else self.source.span(node)
        self.diagnostics.error(NOT_UNDERSTOOD, message, at, label=label, help=help)

    # ------------------------------------------------------------ the declaration

    def read(self) -> StackFile | None:
        declared = list(_declarations(self.source.tree))
        for other in declared[1:]:
            self.error(other, "a file declares one stack", "give the other one a file of its own", "again")
        match declared:
            case [ast.Assign(value=ast.Call(func=ast.Name(id="Stack")) as call), *_]:
                return self._stack(call)
            case [first, *_]:
                self.error(first.value, "`stack` is made by `Stack(…)` with keywords", WRITE, "not a stack")
            case _:
                self.error(Span(self.source.path, 1, 0, 1, 1), "this file declares no stack", WRITE)
        return None

    def _stack(self, call: ast.Call) -> StackFile | None:
        given = self._keywords(call, spec.Stack)
        share = self._share(given["share"]) if "share" in given else None
        weights, tenants = self._tenants(given["tenants"]) if "tenants" in given else (None, None)
        identity = self._identity(given["identity"]) if "identity" in given else None
        around = partial(Around, self.path, self.name, share, weights, identity)
        parts = self._parts(given["parts"], around) if "parts" in given else []
        self._apart(parts)
        if self.diagnostics.failed:
            return None
        return StackFile(self.path, self.name, tuple(parts), weights or {}, tenants, share)

    def _keywords(self, call: ast.Call, of: type[Any]) -> dict[str, ast.expr]:
        """The given keywords by name; unknown and missing ones are reported."""
        name = of.__name__
        for positional in call.args:
            self.error(positional, f"`{name}` takes keywords", "write `name=value`", "which keyword is this?")
        known = {field.name: field for field in dataclasses.fields(of)}
        given: dict[str, ast.expr] = {}
        for keyword in call.keywords:
            if keyword.arg in known:
                given[keyword.arg] = keyword.value
            else:
                close = closest(keyword.arg or "", known)
                help = f"write `{close}=`" if close else f"it has {', '.join(known)}"
                self.error(keyword, f"`{name}` has no `{keyword.arg or '**'}`", help, "unknown")
        for field in known.values():
            if field.name not in given and field.default is field.default_factory is dataclasses.MISSING:
                self.error(call.func, f"`{name}` has no `{field.name}`", f"write `{field.name}=…`", "of this")
        return given

    def _apart(self, parts: Sequence[Part]) -> None:
        seen: dict[str, Part] = {}
        for part in parts:
            if seen.setdefault(part.name, part) is not part:
                help = f'give one of them another: `{part.kind}(name="…")`'
                self.error(part.span, f"two parts have the name `{part.name}`", help, "again")

    # ------------------------------------------------------------ whom it serves, and by which policy

    def _tenants(self, node: ast.expr) -> tuple[Mapping[str, int], Path | None]:
        match node:
            case ast.Constant(value=str(file)) if file:
                path = (self.path.parent / file).absolute()
                try:
                    return read_weights(path), path
                except NoWeights as wrong:
                    self.error(
                        node, f"`{file}` {wrong}", "write `[tenants]`, and below it `name = 100`", "this file"
                    )
                    return {}, path
            case ast.Dict(keys=keys, values=values):
                return self._weights(keys, values), None
            case _:
                help = 'write `tenants={"alice": 400}`, or the name of a TOML file'
                self.error(node, "`tenants` says who has which weight", help, "neither")
                return {}, None

    def _weights(self, keys: Sequence[ast.expr | None], values: Sequence[ast.expr]) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, value in zip(keys, values, strict=True):
            match key:
                case ast.Constant(value=str(name)) if NAME.fullmatch(name) and name not in found:
                    found[name] = self._value(value, name, Weight) or ORDINARY
                case ast.Constant(value=str(name)) if name in found:
                    self.error(key, f"`{name}` has two weights", "give it one", "again")
                case _:
                    help = "letters, digits, `_`, `.`, `@` and `-`; 64 at most"
                    self.error(key or value, "this is no name of a tenant", help, "not a name")
        return found

    def _identity(self, node: ast.expr) -> Path | None:
        file: str | None = self._value(node, "identity", str)
        if not file:
            return None
        path = (self.path.parent / file).absolute()
        try:
            read_keys(path)
        except NoKeys as wrong:
            message, _, hint = str(wrong).partition("; ")
            self.error(node, f"`{file}` {message}", hint or "keys are for the parts alone", "this file")
        return path

    def _share(self, node: ast.expr) -> Path | None:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) | ast.Name(id=name):
                return self._policy(name, node)
            case _:
                self.error(node, "`share` is a policy", "write `share=FairShare()`", "not a policy")
                return None

    def _policy(self, name: str, node: ast.expr) -> Path | None:
        """The file of an Arbiter that the stack file imports."""
        binding = self.module.names.get(name)
        if not isinstance(binding, ClassDef):
            help = f"import it: `from fair_share import {name}`"
            self.error(node, f"unknown policy `{name}`", help, "not defined or imported in this file")
            return None
        path = Path(binding.module.source.path)
        path = (PACKAGE.parent / path if binding.module.library else path).absolute()
        compiled = compile_file(path)
        self._take(compiled.diagnostics, compiled.sources)
        found = next((p for p in compiled.programs if p.name == binding.node.name), None)
        if found is None and not compiled.diagnostics.failed:
            help = "name a class that derives from `Arbiter`"
            self.error(node, f"`{name}` is not a policy", help, "not a policy")
        elif found is not None and found.base != "Arbiter":
            help = "share by an `Arbiter`, which has a meaning in every part"
            self.error(node, f"`{name}` is a policy of another kind (`{found.base}`)", help, "not an Arbiter")
        return path

    def _take(self, diagnostics: Diagnostics, sources: Mapping[str, str]) -> None:
        for diagnostic in diagnostics:
            self.diagnostics.add(diagnostic)
        self.sources.update(sources)

    # ------------------------------------------------------------ parts

    def _parts(self, node: ast.expr, around: Callable[..., Around]) -> list[Part]:
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            self.error(node, "`parts` is a list of parts", f"a part is one of {KNOWN}", "not such a list")
            return []
        found = [self._part(element, around) for element in node.elts]
        return [part for part in found if part is not None]

    def _part(self, node: ast.expr, around: Callable[..., Around]) -> Part | None:
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in PARTS:
                word = self._word(node, PARTS[name])
            case _:
                self.error(node, "this is no part", f"a part is one of {KNOWN}", "not understood")
                return None
        if word is None:
            return None
        spans = {k.arg: self.source.span(k.value) for k in node.keywords if k.arg}
        try:
            return made(word, around(self.source.span(node), self._take))
        except Wrong as wrong:
            self.error(spans.get(wrong.field, self.source.span(node)), str(wrong), wrong.hint, "this")
            return None

    def _word(self, call: ast.Call, of: type[Any]) -> Any:
        """The part that a call says, its values checked; None where something is wrong."""
        types = typing.get_type_hints(of)
        given = self._keywords(call, of)
        values = {name: self._value(node, name, types[name]) for name, node in given.items()}
        wanted = [f.name for f in dataclasses.fields(of) if f.default is dataclasses.MISSING]
        if any(value is None for value in values.values()) or any(name not in values for name in wanted):
            return None
        return of(**values)

    def _value(self, node: ast.expr, name: str, of: Any) -> Any:
        """A literal of the type; None where it is none."""
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError):
            self.error(
                node, f"`{name}` is computed", "write a literal: the file is parsed and never run", "this"
            )
            return None
        try:
            return msgspec.convert(value, of)
        except msgspec.ValidationError as wrong:
            why = str(wrong).replace("`", "").partition(" - at")[0]
            self.error(node, f"`{name}` is of another kind", f"{why[:1].lower()}{why[1:]}", "this")
        return None
