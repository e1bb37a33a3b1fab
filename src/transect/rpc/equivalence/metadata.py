# SPDX-License-Identifier: Apache-2.0
"""Metadata of one direction while something is proved: a map of texts, and such a map for the interpreter."""

from __future__ import annotations

from transect.analysis import fold
from transect.analysis.concrete import Reader
from transect.analysis.state import Path, Table
from transect.analysis.terms import Sort, Term, function
from transect.analysis.values import Option, Value, View
from transect.analysis.world import World
from transect.core.ir import IntrinsicDecl
from transect.core.types import TEXT
from transect.rpc.protocol_headers import unreadable

OF_HEADERS = "rpc.Headers."  # how the names of its functions begin


def any_metadata(name: str) -> Table:
    """Any metadata, under this name."""
    return Table(name, TEXT, TEXT)


def asked(world: World, path: Path, declared: IntrinsicDecl, args: list[Value]) -> Value:
    """`get`, `set` or `remove` of the metadata that a world holds at the view's path."""
    view, name, *more = args
    assert isinstance(view, View) and isinstance(name, Term), "of a view, by a name"
    held = world.map(path, view)
    match declared.name.removeprefix(OF_HEADERS), more:
        case "get", []:
            return _readable(name, held.option(sent(name), world.assume))
        case "set", [value]:
            path.outside[view.path] = held.put(sent(name), value)[1]
        case "remove", []:
            path.outside[view.path] = held.removed(sent(name))
        case _:
            raise AssertionError(f"{declared.name} is none of metadata")
    return None


def sent(name: Term) -> Term:
    """A header's name as it is sent: carriers make lower case of a computed one; one that is written is so already."""
    return name if name.is_const else function("name of a header", Sort.TEXT, (name,))


def _readable(name: Term, found: Option) -> Option:
    """A computed name may be one of the protocol's, and then nothing is read.  What is set under such a name stands in
    the map and is sent by no carrier; two maps that are the same are so without it, too."""
    if name.is_const:
        return found
    owned = function("name of the protocol", Sort.BOOL, (name,))
    return Option(fold.both(fold.negate(owned), found.present), found.value)


class Metadata:
    """`rpc.headers` for the interpreter, as a model has it."""

    def __init__(self, reader: Reader, path: str) -> None:
        self._fields: dict[str, str] = {}
        for term in reader.asked.get(f"{path}[]", ()):
            if reader.value(term):
                name = reader.text_of(reader.value(term.args[0]))
                self._fields[name] = str(reader.python(TEXT, path, term.args))

    def get(self, name: str) -> str | None:
        return None if unreadable(name) else self._fields.get(name.lower())

    def set(self, name: str, value: str) -> None:
        self._fields[name.lower()] = value

    def remove(self, name: str) -> None:
        self._fields.pop(name.lower(), None)

    def __repr__(self) -> str:
        return repr(dict(sorted(self._fields.items())))
