# SPDX-License-Identifier: Apache-2.0
"""Metadata of one direction: a map of texts while something is proved, and such a map for the interpreter.

At first it holds whatever a client may send, also values that no policy can read.
"""

from __future__ import annotations

from transect.analysis import fold
from transect.analysis.concrete import Reader
from transect.analysis.state import Path, Table, join_tables
from transect.analysis.terms import Term, text
from transect.analysis.values import Option, Value, View
from transect.analysis.world import World
from transect.core.ir import IntrinsicDecl
from transect.core.types import TEXT
from transect.rpc.chain.views import HeadersView, PlainHeaders
from transect.rpc.equivalence.header_predicates import BASE64, BINARY, NAME, PRINTABLE, UNREADABLE
from transect.rpc.headers import READ_ONLY

OF_HEADERS = "rpc.Headers."  # the prefix of its functions' names


def any_metadata(name: str) -> Table:
    """Any metadata, under this name."""
    return Table(name, TEXT, TEXT)


def asked(world: World, path: Path, declared: IntrinsicDecl, args: list[Value]) -> Value:
    """`get`, `set` or `remove` of the metadata that a world holds at the view's path, as `HeadersView` does them."""
    view, name, *more = args
    assert isinstance(view, View) and isinstance(name, Term), "of a view, by a name"
    held = world.map(path, view)
    match declared.name.removeprefix(OF_HEADERS), more:
        case "get", []:
            return _readable(name, held.option(name, world.assume))
        case "set", [Term() as value]:
            put = join_tables(sendable(name, value), held.put(name, value)[1], held.removed(name))
            path.outside[view.path] = join_tables(writable(name), put, held)
        case "remove", []:
            path.outside[view.path] = join_tables(writable(name), held.removed(name), held)
        case _:
            raise AssertionError(f"{declared.name} is none of metadata")
    return None


def _readable(name: Term, found: Option) -> Option:
    if found.value is None:
        return found
    assert isinstance(found.value, Term), "metadata are texts"
    can_be = fold.both(fold.negate(fold.is_such(UNREADABLE, name)), fold.is_such(PRINTABLE, found.value))
    return Option(fold.both(found.present, can_be), found.value)


def writable(name: Term) -> Term:
    """Whether `set` and `remove` of this name do anything."""
    read_only = fold.equal(name, text(READ_ONLY.encode()))
    return fold.negate(fold.either(fold.is_such(UNREADABLE, name), read_only))


def sendable(name: Term, value: Term) -> Term:
    """Whether gRPC accepts the header: the same as `sendable` of `rpc/headers.py`."""
    return fold.both(
        fold.is_such(NAME, name),
        fold.is_such(PRINTABLE, value),
        fold.implies(fold.is_such(BINARY, name), fold.is_such(BASE64, value)),
    )


class Metadata(HeadersView):
    """`rpc.headers` for the interpreter, with the content of a model."""

    __slots__ = ("_fields",)

    def __init__(self, reader: Reader, path: str) -> None:
        self._fields: dict[str, str] = {}
        for term in reader.asked.get(f"{path}[]", ()):
            if reader.value(term):
                name = reader.text_of(reader.value(term.args[0]))
                self._fields[name] = str(reader.python(TEXT, path, term.args))
        super().__init__(PlainHeaders((self._fields, {}, {})), 0)

    def __repr__(self) -> str:
        return repr(dict(sorted(self._fields.items())))
