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
        """Put the version in force again that ran before the last upgrade, its state given back.

        State goes back by name and type, or as `migrate_back` of the version that goes says; what cannot is refused,
        and that version goes on. One step for each upgrade: then another upgrade is what changes it.
        """

        def ask() -> int:
            print("\n".join(answer(instance(stratum, name).go_back())))
            return Exit.DONE

        return show(ask)

    return back
