# SPDX-License-Identifier: Apache-2.0
"""`transect STRATUM upgrade`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from transect.base.bounded import is_file
from transect.cli.control import answer, instance, lines, show
from transect.cli.exits import Exit
from transect.cli.failure import no_file, usage

if TYPE_CHECKING:
    from transect.control import Client

NoReturn: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-return", help="Upgrade even if the old version could not take the state back by itself."
    ),
]
Beside: TypeAlias = Annotated[
    bool,
    typer.Option("--shadow", help="Change nothing: the new version decides beside the one in force."),
]
End: TypeAlias = Annotated[bool, typer.Option("--stop", help="With --shadow, without FILE: end the shadow.")]


def upgrade(stratum: str) -> Callable[..., int]:
    """The verb of a stratum."""

    def upgrade(
        policy: Annotated[
            Path | None, typer.Argument(metavar="FILE", show_default=False, help="The new version.")
        ] = None,
        name: Annotated[
            str | None,
            typer.Argument(metavar="NAME", show_default=False, help="The instance; needed when several run."),
        ] = None,
        no_return: NoReturn = False,
        shadow: Beside = False,
        stop: End = False,
    ) -> int:
        """Replace what runs by a new version, and keep its state.

        State is carried over by name and type, or as the new version's `migrate` says. If some of it cannot be, or the
        new version does not load, the upgrade is refused and the old version goes on.

        With --shadow (not cpu) the new version decides everything beside the one in force, but is never in force:
        `status` says for whom it would have decided otherwise.
        """
        words = [str(word) for word in (policy, name) if word is not None]
        return upgraded(stratum, words, no_return=no_return, shadow=shadow, stop=stop)

    return upgrade


def upgraded(stratum: str, words: list[str], *, no_return: bool, shadow: bool, stop: bool) -> int:
    """FILE [NAME], or with `stop` [NAME]."""
    if stop:
        if not shadow or len(words) > 1:
            return usage("`--stop` ends a shadow", "upgrade [NAME] --shadow --stop")
        return show(lambda: _ended(instance(stratum, words[0] if words else None)))
    if not words:
        return usage("Missing argument 'FILE'.", "give the new version")
    file, name = Path(words[0]), words[1] if len(words) == 2 else None
    if not is_file(file):
        return no_file(words[0])

    def ask() -> int:
        asked = instance(stratum, name)
        told = (
            lines(asked.shadow(file))
            if shadow
            else answer(asked.upgrade(file, automatic_return=not no_return))
        )
        print("\n".join(told))
        return Exit.DONE

    return show(ask)


def _ended(asked: Client) -> int:
    print("\n".join(lines(asked.shadow_stop())))
    return Exit.DONE
