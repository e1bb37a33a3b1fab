# SPDX-License-Identifier: Apache-2.0
"""Outside data for the interpreter, made from a model: what a generic `World` treats as unknown gets the model's
value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from transect.analysis.concrete import Reader
from transect.analysis.terms import Sort, Term, function, var
from transect.core import ir
from transect.core.types import DictType, OptionType, SeqType, Type, ViewType


@dataclass(frozen=True)
class Handle:
    """An outside object with a name and no content: a queue, the queue of one CPU."""

    term: Term
    name: str

    def __repr__(self) -> str:
        return self.name


class Outside:
    """A view's object: fields are read from the model when they are first asked for, and may be assigned."""

    def __init__(self, reader: Reader, program: ir.Program, view: ViewType, path: str) -> None:
        self.__dict__["_of"] = (reader, program, view, path)

    def __getattr__(self, name: str) -> Any:
        value = _field(self, name)
        self.__dict__[name] = value
        return value

    def inner(self, view: ViewType, path: str) -> Any:
        """A view within this one."""
        reader, program, _, _ = self.__dict__["_of"]
        return Outside(reader, program, view, path)

    def told(self) -> Outside:
        """This object, after reading every field that the question is about, so that they are shown."""
        reader, _, _, path = self.__dict__["_of"]
        for known in reader.asked:
            if known.startswith(f"{path}.") and " " not in known:  # else it is not of the view itself
                here: Any = self
                for name in known.removeprefix(f"{path}.").rstrip("?[]").split("."):
                    here = getattr(here, name, None)
        return self

    def known(self) -> set[str]:
        """The way to each field that was read or assigned."""
        found = set()
        for name, value in self._fields():
            found |= {f"{name}.{w}" for w in value.known()} if isinstance(value, Outside) else {name}
        return found

    def see(self, ways: Iterable[str]) -> None:
        """Read these fields as well."""
        for way in ways:
            here: Any = self
            for name in way.split("."):
                here = getattr(here, name, None)

    def _fields(self) -> list[tuple[str, Any]]:
        return sorted((k, v) for k, v in self.__dict__.items() if k not in ("_of", "_in"))

    def __repr__(self) -> str:
        return f"{self.__dict__['_of'][2].name}({', '.join(f'{k}={v!r}' for k, v in self._fields())})"


def _field(outer: Outside, name: str) -> Any:
    reader, program, view, of = outer.__dict__["_of"]
    path = f"{of}.{name}"
    member = next((v.member(name) for v in program.views if v.name == view.name), None)
    if member is None:  # a method: what it answers comes by the tape
        return lambda *args: None
    t = _substituted(program, view, member.type)
    match t:
        case ViewType():
            return outer.inner(t, path)
        case OptionType(item=ViewType() as inner):
            there = reader.value(var(f"{path}?", Sort.BOOL)) if f"{path}?" in reader.asked else False
            return outer.inner(inner, path) if there else None
        case SeqType():
            return ()
        case DictType(key=key, value=value):
            return {
                reader.python_key(key, term.args): reader.python(value, path, term.args)
                for term in reader.asked.get(f"{path}[]", ())
                if reader.value(function(f"{path}[]", Sort.BOOL, term.args))
            }
        case _:
            return reader.input(t, path)


def _substituted(program: ir.Program, view: ViewType, t: Type) -> Type:
    declared = next(v for v in program.views if v.name == view.name)
    given = dict(zip(declared.params, view.arguments, strict=False))
    return given.get(t.name, t) if isinstance(t, ViewType) else t
