# SPDX-License-Identifier: Apache-2.0
"""`transect explain`."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from transect.base.bounded import is_file
from transect.cli.exits import Exit
from transect.cli.failure import usage


class Form(StrEnum):
    """What a policy is turned into."""

    C = "c"
    PY = "py"
    IR = "ir"


def explain(
    what: Annotated[
        str, typer.Argument(metavar="CODE|FILE", help="An error's code (P006), or a policy's file.")
    ] = "",
    emit: Annotated[
        Form, typer.Option("--emit", metavar="FORM", help="For a file: c, py or ir.", show_default=False)
    ] = Form.IR,
) -> int:
    """Show an error's page, or a policy and what it is compiled to, side by side.

    A page says what the error means, with an example that gives it and one that does not. Without CODE or FILE, all
    codes are listed. Two sides need a terminal of 100 columns; elsewhere only the compiled side is shown.
    """
    if not what:
        return _list()
    if re.fullmatch(r"[A-Za-z]\d+", what) and not is_file(what):
        return _page(what.upper())
    if not is_file(what):
        return usage(f"no such file: {what}", "an error's code looks like P006")
    from transect.cli.side_by_side import show

    return show(Path(what), emit)


def _list() -> int:
    from transect.errors import titles

    for code, title in titles().items():
        print(f"{code}  {title}")
    return Exit.DONE


def _page(code: str) -> int:
    from transect.cli.pages import print_page
    from transect.errors import page

    found = page(code)
    if found is None:
        return usage(f"there is no code {code}", "transect explain (lists all of them)")
    print_page(found)
    return Exit.DONE
