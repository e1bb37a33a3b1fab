# SPDX-License-Identifier: Apache-2.0
"""`transect STRATUM back`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from transect.cli.control import answer, instance, show
from transect.cli.exits import Exit


def back(stratum: str) -> Callable[..., int]:
    """The verb of a stratum."""

    def back(
        name: Annotated[
            str | None,
            typer.Argument(metavar="NAME", show_default=False, help="The instance; needed when several run."),
        ] = None,
    ) -> int:
        """Put the version before the last upgrade back in force, and give it the state.

        State goes back by name and type, or as `migrate_back` of the newer version says. If some of it cannot go back,
        the command is refused and the newer version goes on. There is one step back for each upgrade; after it, only
        another upgrade changes the version.
        """

        def ask() -> int:
            print("\n".join(answer(instance(stratum, name).go_back())))
            return Exit.DONE

        return show(ask)

    return back
