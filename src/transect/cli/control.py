# SPDX-License-Identifier: Apache-2.0
"""Reaching a running instance from the command line, and showing what it says; the same for all strata."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from transect.cli.exits import Exit

if TYPE_CHECKING:
    from transect.control import Client


def instance(stratum: str, name: str | None) -> Client:
    """The instance of that name, or the only one; raises `Unavailable` with the list of those found."""
    from transect.control import Client

    return Client.only(stratum, name)


def show(ask: Callable[[], int]) -> int:
    """Ask, and say what an instance that refuses, or does not answer, has to say."""
    from transect.control import ControlError, Refused

    try:
        return ask()
    except Refused as no:
        print(f"transect: {no.why}", file=sys.stderr)
        if no.hint:
            print(f"  hint: {no.hint}", file=sys.stderr)
        return Exit.NO
    except ControlError as wrong:
        print(f"transect: {wrong}", file=sys.stderr)
        return Exit.UNAVAILABLE


def lines(value: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """A table of plain values as text: a line each, what is inside a value indented below it."""
    width = max(map(len, value), default=0)
    for name, item in value.items():
        match item:
            case dict() if item:
                yield f"{indent}{name}"
                yield from lines(item, indent + "  ")
            case list() if item and all(isinstance(entry, dict) for entry in item):
                for entry in item:
                    yield f"{indent}{name}"
                    yield from lines(entry, indent + "  ")
            case _:
                yield f"{indent}{name:{width}}  {_plain(item)}"


def _plain(item: object) -> str:
    match item:
        case None:
            return "-"
        case bool():
            return "yes" if item else "no"
        case dict():
            return "-"
        case list():
            return ", ".join(map(_plain, item)) or "-"
        case _:
            return str(item)
