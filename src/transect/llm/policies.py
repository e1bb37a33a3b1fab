# SPDX-License-Identifier: Apache-2.0
"""Policies that this stratum can run, from files, names of examples and objects."""

from __future__ import annotations

import linecache
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transect.base.bounded import is_file
from transect.base.diagnostic import closest
from transect.base.render import render_text
from transect.base.shipped import path_of, paths
from transect.core import ir
from transect.core.frontend import compile_file
from transect.lang.functions import PolicyError


@dataclass(frozen=True, slots=True)
class Loaded:
    """A compiled policy, of which any number of objects can be made."""

    program: ir.Program
    params: Mapping[str, Any]  # values of state fields to begin with
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)  # texts by path, for logs

    @property
    def name(self) -> str:
        return self.program.name

    def make(self, **state: Any) -> Any:
        """A fresh policy object: emitted Python."""
        return _class_of(self.program)(**{**self.params, **state})


def runs_here(program: ir.Program) -> bool:
    """Whether the stratum has an adapter for it."""
    return program.stratum == "llm" or (program.stratum == "" and program.base == "Arbiter")


def load(what: str, **params: Any) -> Loaded:
    """The policy of a file, `file.py:Name` where it has several, or of an example by its file's name (`vtc`).

    Raises `PolicyError` with the diagnostics, or saying what there is.
    """
    place, _, name = what.partition(":")
    compiled = compile_file(_path(place))
    if compiled.diagnostics.failed:
        raise PolicyError("\n" + render_text(compiled.diagnostics, compiled.sources))
    found = [p for p in compiled.programs if runs_here(p) and name in ("", p.name)]
    if len(found) != 1:
        raise PolicyError(_not_one(place, name, [p.name for p in compiled.programs if runs_here(p)]))
    _check_params(found[0], params)
    return Loaded(found[0], params, compiled.sources)


def _not_one(place: str, name: str, known: Sequence[str]) -> str:
    if not known:
        return f"there is no policy for LLM engines in {place}"
    if name:
        return f"there is no policy `{name}` for LLM engines in {place}; there is {', '.join(known)}"
    return f"several policies for LLM engines are in {place}; say which: {place}:{known[0]}"


def _check_params(program: ir.Program, params: Mapping[str, Any]) -> None:
    """Raises `PolicyError` for a parameter that the policy does not have, or a value that is none of it."""
    known = [f.name for f in program.state]
    for name in params:
        if name not in known:
            near = closest(name, known)
            hint = f"did you mean `{near}`?" if near else f"it has: {', '.join(known) or 'none'}"
            raise PolicyError(f"{program.name} has no parameter `{name}`; {hint}")
    try:
        _class_of(program)(**params)
    except (TypeError, ValueError) as wrong:
        raise PolicyError(f"{program.name}: {wrong}") from wrong


def _path(place: str) -> Path:
    if place.endswith(".py") or "/" in place:
        if not is_file(place):
            raise PolicyError(f"no such file: {place}")
        return Path(place)
    if place not in examples():
        near = closest(place, examples())
        hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(examples())}"
        raise PolicyError(f"no example policy `{place}`; {hint}")
    return path_of(place)


def examples() -> list[str]:
    """The names of the example policies that run here."""
    return [p.stem for p in paths("llm")]


def program_behind(policy: Any) -> ir.Program:
    """The program of a policy object that was made from its class."""
    from transect.emit.py.load import program_of

    cls = type(policy)
    path = cls.__transect__.path
    return program_of(path, "".join(linecache.getlines(path)), cls.__name__)


_classes: dict[tuple[str, str, str], type[Any]] = {}


def _class_of(program: ir.Program) -> type[Any]:
    from transect.emit.py.build import build

    key = (program.path, program.source_hash, program.name)
    if key not in _classes:
        _classes[key] = build(program)
    return _classes[key]


__all__ = ["Loaded", "examples", "load", "program_behind", "runs_here"]
