# SPDX-License-Identifier: Apache-2.0
"""The configuration file of an engine or a gateway: which policy, which tenants, and how a tenant is known.

One TOML file.  Everything in it is checked before anything of it is in force; what is not understood is an error with
the line where it stands, never skipped.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from transect.base import toml
from transect.base.bounded import whole
from transect.base.diagnostic import Diagnostics, closest
from transect.base.render import render_text
from transect.base.span import Span
from transect.base.weights import MOST, ORDINARY, NoWeights

Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]*$",
        max_length=64,
        description="letters, digits, `_`, `.`, `@` and `-`",
    ),
]
KeyHash = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^sha256:[0-9a-f]{64}$", description="the hash of a key, as `transect llm key new` prints it"
    ),
]


class Tenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Someone who is served; a name with `.` or `@` stands in quotes."""

    weight: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = ORDINARY
    """Of the service, in percent of an ordinary share."""
    lane: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """A lower lane is served first, by policies that know lanes."""
    group: Name | None = None
    """The organisation that it belongs to, by policies that know groups."""
    keys: tuple[KeyHash, ...] = ()
    """Hashes of its API keys, as `transect llm key new TENANT` prints them."""


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the tenant of a request is known: by its key, or by a header from a proxy that is trusted to set it."""

    header: str = "x-gateway-inference-fairness-id"
    """The header in which a trusted proxy names the tenant."""
    trusted: tuple[str, ...] = ()
    """Networks whose header is believed, as `10.0.0.0/8`; from all others it is dropped."""
    unknown: Literal["refuse", "share"] = "refuse"
    """Requests without a known tenant: turned away (401), or served as the one tenant `anonymous`."""
    keys: str | None = None
    """A file beside this one: the keys under which the layer before says whose a request is (`x-transect-tenant`)."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an engine's plug-in is told."""

    policy: str = "vtc"
    """The name of an example policy, or a file relative to this one (`file.py`, `file.py:Name`)."""
    name: Name | None = None
    """Of the instance, for `transect llm status NAME`."""
    cached: Literal["logical", "uncached"] = "logical"
    """Prompt tokens that the prefix cache held: charged as any others (the paper), or not at all."""
    bound: Literal["observe", "enforce"] = "observe"
    """A gap beyond the bound is counted, or ends the engine (for tests)."""
    params: dict[str, int | float | bool | str] = {}
    """Values of the policy's parameters."""
    identity: Identity = Identity()
    tenants: dict[Name, Tenant] = {}


class ConfigError(Exception):
    """A configuration with errors; the text shows where they are."""

    def __init__(self, diagnostics: Diagnostics, text: str, path: Path) -> None:
        super().__init__(render_text(diagnostics, {str(path): text}))
        self.diagnostics = diagnostics


C = TypeVar("C", bound=Config)


def weighted(config: C, weights: Mapping[str, int]) -> C:
    """The configuration with these weights: other tenants have an ordinary one.  Raises `NoWeights` if the
    configuration itself gives another weight.
    """
    tenants = {name: Tenant() for name in weights} | config.tenants
    for name, tenant in tenants.items():
        weight = weights.get(name, ORDINARY)
        if tenant.weight not in (ORDINARY, weight):
            raise NoWeights(
                f"gives `{name}` {weight}, and the configuration gives it {tenant.weight}: say it once"
            )
        tenants[name] = msgspec.structs.replace(tenant, weight=weight)
    return msgspec.structs.replace(config, tenants=tenants)


def read(path: Path, of: type[C] = Config) -> C:  # type: ignore[assignment]
    """The configuration in a file.  Raises `ConfigError`, OSError."""
    data = whole(path)
    text = data.decode(errors="replace")
    diagnostics = Diagnostics()
    found = _checked(data, text, path, diagnostics, of)
    if found is None:
        raise ConfigError(diagnostics, text, path)
    return found


def parse(text: str, path: Path, of: type[C] = Config) -> C:  # type: ignore[assignment]
    """The configuration that a text says.  Raises `ConfigError`."""
    diagnostics = Diagnostics()
    found = check(text, path, diagnostics, of)
    if found is None:
        raise ConfigError(diagnostics, text, path)
    return found


def check(text: str, path: Path, diagnostics: Diagnostics, of: type[C]) -> C | None:
    """The configuration that a text says; all that is wrong with it goes to the diagnostics."""
    return _checked(text.encode(errors="surrogatepass"), text, path, diagnostics, of)


def _checked(data: bytes, text: str, path: Path, diagnostics: Diagnostics, of: type[C]) -> C | None:
    lines = _Lines(str(path), text)
    try:
        plain = toml.parsed(data)
    except tomllib.TOMLDecodeError as wrong:
        message, line = _said(wrong)
        help = "every line is `name = value` or `[table]`; texts stand in double quotes"
        diagnostics.error("S030", f"no TOML: {message}", lines.span(line), help=help)
        return None
    found: C | None = _Reading(lines, diagnostics).table(plain, of, ())
    if found is None:
        return None
    for problem, key in _problems(found):
        diagnostics.error("S031", problem, lines.of(key))
    return None if diagnostics.failed else found


def span_of(text: str, path: Path, key: tuple[str, ...]) -> Span:
    """Where a setting stands in the text of a file."""
    return _Lines(str(path), text).of(list(key))


def _said(wrong: tomllib.TOMLDecodeError) -> tuple[str, int]:
    """The parser's message and line, which it gives as one text."""
    at = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(wrong))
    text = str(wrong)[: at.start()] if at else str(wrong)
    return text[:1].lower() + text[1:], int(at[1]) if at and at[1] else 0


@dataclass(frozen=True)
class _Reading:
    """Tables to structs, one setting at a time, so that each mistake is found and shown where it stands."""

    lines: _Lines
    diagnostics: Diagnostics

    def table(self, plain: Mapping[str, Any], of: type[Any], path: tuple[str, ...]) -> Any:
        """The struct that a table says; None when anything in it is wrong."""
        kinds = get_type_hints(of, include_extras=True)
        for name in plain.keys() - kinds.keys():
            near = closest(name, kinds)
            help = f"did you mean `{near}`?" if near else f"there are: {', '.join(kinds)}"
            self.wrong((*path, name), f"no setting `{name}`", label="unknown", help=help)
        values = {
            name: self.value(plain[name], kinds[name], (*path, name)) for name in kinds if name in plain
        }
        fields = {field.name: field.required for field in msgspec.structs.fields(of)}
        for name in (name for name, required in fields.items() if required and name not in plain):
            self.wrong((*path, name), f"`{'.'.join((*path, name))}` is missing")
        return None if self.diagnostics.failed else of(**values)

    def value(self, plain: Any, kind: Any, path: tuple[str, ...]) -> Any:
        of = _struct(kind)
        if of is not None and isinstance(plain, dict):
            return self.table(plain, of, path)
        item = _struct(get_args(kind)[-1]) if get_origin(kind) in (dict, tuple) else None
        if item is not None and get_origin(kind) is dict and isinstance(plain, dict):
            for name in plain:
                self.converted(name, get_args(kind)[0], (*path, name))
            return {name: self.value(inner, item, (*path, name)) for name, inner in plain.items()}
        return self.converted(plain, kind, path)

    def converted(self, plain: Any, kind: Any, path: tuple[str, ...]) -> Any:
        try:
            return msgspec.convert(plain, kind)
        except msgspec.ValidationError as wrong:
            message, _, inner = str(wrong).partition(" - at ")
            name = ".".join(path) + inner.strip("`").removeprefix("$").replace("[...]", "")
            meant = _meant(kind, message)
            if meant:
                self.wrong(path, f"`{name}` is not what it has to be", help=f"write {meant}")
                return
            help = f"one of: {', '.join(map(repr, get_args(kind)))}" if get_origin(kind) is Literal else ""
            self.wrong(path, f"`{name}`: {message[:1].lower()}{message[1:]}", help=help)

    def wrong(self, path: tuple[str, ...], message: str, *, label: str = "", help: str = "") -> None:
        self.diagnostics.error("S031", message, self.lines.of(list(path)), label=label, help=help)


def _meant(kind: Any, message: str) -> str:
    """In words, the pattern that a text must match, if the message is about that pattern."""
    if isinstance(kind, msgspec.Meta):
        about = kind.pattern is not None and repr(kind.pattern) in message
        return (kind.description or "") if about else ""
    inner = getattr(kind, "__metadata__", ()) + get_args(kind)
    if _struct(kind) is not None:
        inner = tuple(get_type_hints(kind, include_extras=True).values())
    return next((found for part in inner if (found := _meant(part, message))), "")


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _problems(config: Config) -> Iterator[tuple[str, list[str]]]:
    """Errors that types cannot express."""
    owners: dict[str, str] = {}
    for name, tenant in config.tenants.items():
        for key in tenant.keys:
            if owners.setdefault(key, name) != name:
                yield f"`{name}` and `{owners[key]}` have the same key", ["tenants", name, "keys"]
    for network in config.identity.trusted:
        try:
            ip_network(network)
        except ValueError as wrong:
            yield f"`identity.trusted`: {wrong}", ["identity", "trusted"]


@dataclass(frozen=True)
class _Lines:
    """Where things stand in a text."""

    path: str
    text: str

    def span(self, line: int) -> Span:
        """A whole line, from 1; 0 is the last one."""
        lines = self.text.splitlines() or [""]
        line = line if 1 <= line <= len(lines) else len(lines)
        shown = lines[line - 1]
        start = len(shown) - len(shown.lstrip())
        return Span(self.path, line, start, line, max(len(shown.rstrip()), start + 1))

    def of(self, key: list[str]) -> Span:
        """The line that sets a key, or opens its table; else that of the table it is in; else the first one."""
        for size in range(len(key), 0, -1):
            if number := self._places.get(tuple(key[:size])):
                return self.span(number)
        return self.span(1)

    @cached_property
    def _places(self) -> Mapping[tuple[str, ...], int]:
        """The line that first sets each key, or opens its table, as `[tenants."a\\"b"]` does."""
        found: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), 1):
            if line.lstrip().startswith("["):
                said = table = _names(line) or table
            else:
                said = table + key if (key := _key(line)) else ()
            for size in range(1, len(said) + 1):
                found.setdefault(said[:size], number)
        return found


def _key(line: str) -> tuple[str, ...]:
    """What a line sets, whatever its value; in a quoted name, `=` is no end of it."""
    for at in re.finditer("=", line):
        if names := _names(f"{line[: at.start()]}= 0"):
            return names
    return ()


def _names(text: str) -> tuple[str, ...]:
    """Of a piece of TOML that says one thing."""
    try:
        at: Any = toml.parsed(text.encode(errors="surrogatepass"))
    except tomllib.TOMLDecodeError:
        return ()
    names = []
    while at and isinstance(at, dict | list):
        if isinstance(at, list):
            at = at[0]
        else:
            ((name, at),) = at.items()
            names.append(name)
    return tuple(names)
