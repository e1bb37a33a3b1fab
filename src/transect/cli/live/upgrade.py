# SPDX-License-Identifier: Apache-2.0
"""`transect STRATUM upgrade`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from transect.cli.control import answer, instance, show
from transect.cli.exits import Exit

NoReturn: TypeAlias = Annotated[
    bool,
    typer.Option("--no-return", help="Also when the old version could not take the state back by itself."),
]


def upgrade(stratum: str) -> Callable[..., int]:
    """The verb of a stratum."""

    def upgrade(
        policy: Annotated[
            Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The new version.")
        ],
        name: Annotated[
            str | None,
            typer.Argument(metavar="NAME", show_default=False, help="The instance; needed when several run."),
        ] = None,
        no_return: NoReturn = False,
    ) -> int:
        """Put a new version in the place of the one that runs, its state kept.

        State goes over by name and type, or as the new version's `migrate` says; what cannot is refused, and the old
        version goes on. It also goes on when the new one does not load.
        """

        def ask() -> int:
            upgraded = instance(stratum, name).upgrade(policy, automatic_return=not no_return)
            print("\n".join(answer(upgraded)))
            return Exit.DONE

        return show(ask)

    return upgrade
