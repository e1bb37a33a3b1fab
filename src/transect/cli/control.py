# SPDX-License-Identifier: Apache-2.0
"""Reaching a running instance from the command line, and showing what it says; the same for all strata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from transect.cli.exits import Exit
from transect.cli.failure import tell

if TYPE_CHECKING:
    from transect.control import Client


def instance(stratum: str, name: str | None) -> Client:
    """The instance of that name, or the only one; raises `Unavailable`, or `NoName` with the list of those found."""
    from transect.control import Client

    return Client.only(stratum, name)


def show(ask: Callable[[], int]) -> int:
    """Ask; if the instance refuses, or does not answer, say why."""
    from transect.control import ControlError, Refused

    try:
        return ask()
    except Refused as no:
        tell(no.why, no.hint)
        return Exit.NO
    except ControlError as wrong:
        tell(wrong)
        return Exit.UNAVAILABLE


def answer(told: Mapping[str, Any]) -> Iterator[str]:
    """The answer of `status` or `upgrade` as text: each policy's counts in its row, `details` on the top level."""
    plain = {name: item for name, item in told.items() if name != "details"}
    plain["policies"] = [
        {**{name: item for name, item in row.items() if name != "counts"}, **row.get("counts", {})}
        for row in told["policies"]
    ]
    yield from lines({**plain, **told["details"]})


def lines(value: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Plain values as text: a line each; what is inside a value is indented below it, rows become a table."""
    width = max(map(len, value), default=0)
    for name, item in value.items():
        match item:
            case dict() if item:
                yield f"{indent}{name}"
                yield from lines(item, indent + "  ")
            case list() if item and all(isinstance(row, dict) for row in item):
                yield f"{indent}{name}"
                yield from (indent + "  " + row for row in _table(item))
            case float() | int() if name == "since":
                yield f"{indent}{name:{width}}  {datetime.fromtimestamp(item).isoformat(' ', 'seconds')}"
            case _:
                yield f"{indent}{name:{width}}  {_plain(item)}"


def _table(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Rows under the names of their columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_plain(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()


def _plain(item: object) -> str:
    match item:
        case None:
            return "-"
        case bool():
            return "yes" if item else "no"
        case list() | dict() if not item:
            return "-"
        case list():
            return ", ".join(map(_plain, item))
        case dict():
            return ", ".join(f"{name} {_plain(inner)}" for name, inner in item.items())
        case _:
            return str(item)
