# SPDX-License-Identifier: Apache-2.0
"""Every setting of a configuration as TOML text: its kind, its default, and what it is for, from the structs.

The text is a configuration with all defaults; a setting without a default stands in a comment.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from transect.llm.config import Config

WIDTH = 100
KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def settings(of: type[Config]) -> str:
    """The text for one kind of configuration."""
    return "\n".join([*_table(of, (), repeated=False, shown=True)]).strip() + "\n"


def _table(of: type[msgspec.Struct], path: tuple[str, ...], repeated: bool, shown: bool) -> Iterator[str]:
    """A table: its own settings first, as TOML wants it, then the tables in it."""
    tables = []
    if path:
        yield from _comment(inspect.getdoc(of) or "", "")
        name = ".".join(path)
        yield ("" if shown else "# ") + (f"[[{name}]]" if repeated else f"[{name}]")
    hints = get_type_hints(of, include_extras=True)
    for field in msgspec.structs.fields(of):
        inner = _inner(hints[field.name])
        if inner is None:
            yield from _setting(of, field, hints[field.name], shown)
        else:
            tables.append((field.name, hints[field.name], inner))
    for name, hint, inner in tables:
        yield ""
        named = (*path, name, "NAME") if get_origin(hint) is dict else (*path, name)
        always = isinstance(hint, type)
        yield from _table(inner, named, get_origin(hint) is tuple, shown and always)


def _inner(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that a table, or each of several tables, is read into."""
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return kind
    return None


def _setting(of: type, field: msgspec.structs.FieldInfo, hint: Any, shown: bool) -> Iterator[str]:
    yield from _comment(_docs(of).get(field.name, ""), kind(hint))
    if field.required or field.default is None:
        yield f"# {field.name} = …" + ("  needed" if field.required else "")
    else:
        default = {} if field.default is msgspec.NODEFAULT else field.default
        yield ("" if shown else "# ") + f"{field.name} = {_toml(default)}"


def _comment(text: str, kind: str) -> Iterator[str]:
    said = " ".join(text.split())
    said = f"{said} ({kind})" if said and kind else said or kind
    yield from textwrap.wrap(said, WIDTH, initial_indent="# ", subsequent_indent="# ")


def kind(hint: Any) -> str:
    """The kind of a setting, in words.  Its pattern is not one of them: the text of the setting gives an example."""
    match get_origin(hint):
        case _ if hint in KINDS:
            return KINDS[hint]
        case origin if origin is Annotated:
            of, *rules = get_args(hint)
            said = [rule for meta in rules for rule in _rules(meta)]
            return ", ".join([kind(of), *said])
        case origin if origin is Literal:
            return " or ".join(map(_toml, get_args(hint)))
        case origin if origin is tuple:
            return f"list of {kind(get_args(hint)[0])}"
        case origin if origin is dict:
            return "table"
        case _:
            assert get_origin(hint) in (Union, type(int | str)), f"no words for {hint}"
            return " or ".join(kind(one) for one in get_args(hint) if one is not type(None))


def _rules(meta: msgspec.Meta) -> Iterator[str]:
    if meta.ge is not None:
        yield f"at least {meta.ge}"
    if meta.gt is not None:
        yield f"more than {meta.gt}"
    if meta.le is not None:
        yield f"at most {meta.le}"
    if meta.max_length is not None:
        yield f"at most {meta.max_length} characters"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case tuple() | list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }" if value else "{}"
        case _:
            return repr(value)


@cache
def _docs(of: type) -> dict[str, str]:
    """The text below each field, of the struct and those that it extends."""
    found: dict[str, str] = {}
    for kind in reversed(of.__mro__):
        if issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct:
            body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
            assert isinstance(body, ast.ClassDef), f"{kind} is no class"
            for field, text in zip(body.body, body.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
                    found[field.target.id] = str(text.value.value)
    return found
