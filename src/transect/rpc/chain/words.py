# SPDX-License-Identifier: Apache-2.0
"""Reads the values of a chain's keywords: texts, addresses, files, numbers, each a literal."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.base.diagnostic import Diagnostics
from transect.core.frontend.source import Source
from transect.rpc.chain.address import PLAIN, Endpoint, Tls
from transect.rpc.chain.spec import Chain

ROUTE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""A route's name is sent as the value of a header, and is part of a cluster's name."""


@dataclass(frozen=True, slots=True)
class Words:
    """Reports an error in a value at the value's place."""

    source: Source
    diagnostics: Diagnostics

    def error(self, node: ast.AST, message: str, help: str, label: str) -> None:
        self.diagnostics.error("R030", message, self.source.span(node), label=label, help=help)

    def text(self, node: ast.expr, name: str) -> str | None:
        match node:
            case ast.Constant(value=str(value)) if value and value.isprintable():
                return value
            case ast.Constant(value=str(value)) if value:
                self.error(node, f"`{name}` has a character that cannot be printed", "take it out", "this")
            case _:
                self.error(node, f"`{name}` is a text", f'write `{name}="…"`', "not a text in quotes")
        return None

    def texts(self, node: ast.expr | None, name: str) -> list[str]:
        """A list of texts without duplicates, which may not be written empty; nothing where it is left out or wrong."""
        if node is None:
            return []
        if not isinstance(node, ast.List | ast.Tuple):
            self.error(node, f"`{name}` is a list of texts", f'write `{name}=["…"]`', "not a list")
            return []
        if not node.elts:
            self.error(node, f"`{name}` names nothing", f"leave `{name}` out, or name something", "empty")
        found: list[str] = []
        for item in node.elts:
            text = self.text(item, name)
            if text is not None and text in found:
                self.error(item, f"`{name}` names `{text}` twice", "name it once", "again")
            elif text is not None:
                found.append(text)
        return found

    def choice(self, node: ast.expr | None, name: str, known: tuple[str, ...]) -> str:
        """One of the known words: the first one if none is given, or an unknown one."""
        if node is None:
            return known[0]
        if isinstance(node, ast.Constant) and node.value in known:
            return str(node.value)
        said = " or ".join(f'"{one}"' for one in known)
        self.error(node, f"`{name}` is {said}", f'write `{name}="{known[0]}"`', "none of these")
        return known[0]

    def among(
        self, node: ast.expr | None, name: str, known: Sequence[str], default: Sequence[str]
    ) -> tuple[str, ...]:
        """A list of some of the known words, possibly empty."""
        if node is None:
            return tuple(default)
        found = [] if isinstance(node, ast.List | ast.Tuple) and not node.elts else self.texts(node, name)
        for text in found:
            if text not in known:
                said = " and ".join(f'"{one}"' for one in known)
                self.error(node, f"`{name}` does not know `{text}`", f"it knows {said}", "unknown")
        return tuple(found)

    def size(self, node: ast.expr | None) -> int | None:
        if node is None:
            return Chain.max_message
        value = number(node)
        if value is not None and 1 <= value <= 1 << 31:
            return value
        help = "write `max_message=4 << 20`; 2147483648 is the most"
        self.error(node, "`max_message` is a number of bytes", help, "not such a number")
        return None

    # ------------------------------------------------------------ addresses

    def server(self, node: ast.expr, name: str) -> Endpoint | None:
        """The address at which a server is reached."""
        found = self._endpoint(node, name)
        if found is None or found.path or found.port:
            return found
        self.error(node, f"`{name}` has no port", "write the port on which the server listens", "port 0")
        return None

    def listener(self, node: ast.expr | None) -> Endpoint | None:
        """The address at which callers are accepted: one of this machine."""
        if node is None:
            return Endpoint.parse(Chain.listen)
        found = self._endpoint(node, "listen")
        if found is None or found.numeric:
            return found
        local = "127.0.0.1" if found.host == "localhost" else "0.0.0.0"
        help = f'write `listen="{local}:{found.port}"`'
        self.error(node, "`listen` is an address, not a name", help, "a name")
        return None

    def routes(self, node: ast.expr | None) -> dict[str, Endpoint]:
        routes: dict[str, Endpoint] = {}
        for key, name, value in self._pairs(node, "routes", 'write `routes={"name": "host:port"}`'):
            if ROUTE.fullmatch(name) is None:
                help = "use lower case letters, digits, `-`, `_` and `.`; 64 at most"
                self.error(key, f"`{name}` cannot be the name of a route", help, "not such a name")
            at = self.server(value, "routes")
            if at is not None:
                routes[name] = at
        return routes

    def _endpoint(self, node: ast.expr, name: str) -> Endpoint | None:
        text = self.text(node, name)
        if text is None:
            return None
        try:
            return Endpoint.parse(text)
        except ValueError as wrong:
            message, _, help = str(wrong).partition("; ")
            self.error(node, message, help, "not an address")
            return None

    # ------------------------------------------------------------ files

    def tls(
        self, node: ast.expr | None, keyword: str, wanted: tuple[str, ...], others: tuple[str, ...]
    ) -> Tls:
        """Files of TLS.  Paths are made absolute, since Envoy has another working directory."""
        if node is None:
            return PLAIN
        files = ", ".join(f'"{name}": "…"' for name in wanted)
        help = f"write `{keyword}={{{files}}}`"
        if not isinstance(node, ast.Dict):
            self.error(node, f"`{keyword}` names files", help, "not a dict")
            return PLAIN
        beside = Path(self.source.path).parent
        found: dict[str, str] = {}
        for key, name, value in self._pairs(node, keyword, help):
            text = self.text(value, keyword)
            if name not in (*wanted, *others):
                known = ", ".join((*wanted, *others))
                self.error(key, f"`{keyword}` has no `{name}`", f"it has {known}", "unknown")
            elif text is not None:
                found[name] = text if name == "name" else str((beside / text).absolute())
        for name in (*wanted, *_halves(found)):
            if name not in found:
                self.error(node, f"`{keyword}` has no `{name}`", help, f"no `{name}`")
        return Tls(**found)

    def _pairs(self, node: ast.expr | None, word: str, help: str) -> Iterable[tuple[ast.expr, str, ast.expr]]:
        """The entries of a dict of texts, each with the place of its key."""
        if node is None:
            return
        if not isinstance(node, ast.Dict):
            self.error(node, f"`{word}` is a dict", help, "not a dict")
            return
        seen = set[str]()
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self.error(value, f"`{word}` is a dict of texts", help, "not a key and a value")
                continue
            name = self.text(key, word)
            if name is not None and name in seen:
                self.error(key, f"`{word}` has `{name}` twice", "give it once", "again")
            elif name is not None:
                seen.add(name)
                yield key, name, value


def _halves(found: Mapping[str, str]) -> tuple[str, ...]:
    """The files that must come together: a certificate and its key."""
    return ("certificate", "key") if {"certificate", "key"} & set(found) else ()


def number(node: ast.expr) -> int | None:
    """An integer literal, or `4 << 20` and the like."""
    fold: dict[type[ast.operator], Callable[[int, int], int]] = {
        ast.LShift: lambda a, b: a << b,
        ast.Mult: lambda a, b: a * b,
    }
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in fold:
            a, b = number(left), number(right)
            if a is None or b is None or not 0 <= b < 1 << 32 or abs(a) >= 1 << 64:
                return None
            return fold[type(op)](a, min(b, 64) if isinstance(op, ast.LShift) else b)
        case _:
            return None
