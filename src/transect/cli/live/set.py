# SPDX-License-Identifier: Apache-2.0
"""`transect STRATUM set`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from transect.cli.control import instance, show
from transect.cli.exits import Exit
from transect.cli.failure import usage


def set(stratum: str) -> Callable[..., int]:
    """The verb of a stratum."""

    def set(
        words: Annotated[
            list[str],
            typer.Argument(
                metavar="[NAME] PARAM=VALUE",
                show_default=False,
                help="The instance, if several run; then new values.",
            ),
        ],
    ) -> int:
        """Change parameters of what runs, for instance `rate=100` or `Acl.open=false`.

        Only fields declared by `param(…)` can be set. Each change is atomic: a handler call sees the old value or the
        new one.
        """
        name = words[0] if "=" not in words[0] else None
        pairs = [word.partition("=") for word in words[name is not None :]]
        wrong = [word for word, equals, _ in pairs if not equals]
        if wrong or not pairs:
            return usage(f"`{wrong[0] if wrong else name}` gives no value", "write PARAM=VALUE")

        def ask() -> int:
            asked = instance(stratum, name)
            for param, _, value in pairs:
                changed = asked.set(param, value)
                print(f"{param}: {changed['before']} → {changed['after']}")
            return Exit.DONE

        return show(ask)

    return set
