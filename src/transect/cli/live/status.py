# SPDX-License-Identifier: Apache-2.0
"""`transect STRATUM status`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from transect.cli.control import answer, instance, show
from transect.cli.exits import Exit


def status(stratum: str) -> Callable[..., int]:
    """The verb of a stratum."""

    def status(
        name: Annotated[
            str | None,
            typer.Argument(metavar="NAME", show_default=False, help="The instance; needed when several run."),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    ) -> int:
        """Show what runs: its policies with version and state schema, its counters, and whether it records."""

        def ask() -> int:
            found = instance(stratum, name).status()
            print(json.dumps(found, indent=2) if as_json else "\n".join(answer(found)))
            return Exit.DONE

        return show(ask)

    return status
