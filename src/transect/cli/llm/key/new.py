# SPDX-License-Identifier: Apache-2.0
"""`transect llm key new`."""

from __future__ import annotations

from typing import Annotated

import typer

from transect.cli.exits import Exit


def new(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose key it is to be.")],
) -> int:
    """Make an API key: it is shown once, and the configuration holds its hash.

    A key is 32 random bytes. Add the printed hash to `keys` of the tenant; several keys may be in force at once, so
    that one can be replaced without a moment between.
    """
    from transect.llm.keys import new as made

    key, hashed = made()
    print(f"key of {tenant}, shown only now:\n\n    {key}\n\nfor the configuration:\n")
    print(f'    [tenants."{tenant}"]\n    keys = ["{hashed}"]')
    return Exit.DONE
