# SPDX-License-Identifier: Apache-2.0
"""`transect check`."""

from __future__ import annotations

from typing import Annotated

import typer

from transect.cli import checking
from transect.cli.checking import Format


def check(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", show_default=False, help="Files, folders, or - for standard input."),
    ],
    form: Annotated[
        Format, typer.Option("--format", metavar="FORMAT", help="text, json, sarif or github.")
    ] = Format.TEXT,
) -> int:
    """Say what is wrong with policies, and what to write instead.

    A file is checked as it stands: nothing of it is executed, and no stratum needs to be installed. In a folder, every
    Python file that declares a policy is checked; tests, hidden folders and environments are left alone. A TOML file
    that is named is checked as the configuration of an LLM gateway or engine, together with the policy that it names.
    """
    return checking.check(paths, form)
