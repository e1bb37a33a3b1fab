# SPDX-License-Identifier: Apache-2.0
"""`transect llm key new`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from transect.base.bounded import whole
from transect.cli.exits import Exit
from transect.cli.failure import usage

BARE = re.compile(r"[A-Za-z0-9_-]+")  # names that need no quotes in TOML


def new(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose key it will be.")],
    add_to: Annotated[
        Path | None,
        typer.Option(
            "--add-to",
            metavar="FILE",
            show_default=False,
            help="Add a new tenant to this configuration; for one that is in it already, the hash is only printed.",
        ),
    ] = None,
) -> int:
    """Make an API key: it is shown once, and the configuration holds its hash.

    A key is 32 random bytes. Add the printed hash to `keys` of the tenant; several keys may be in force at once, so
    that one can replace another without a gap.
    """
    import msgspec

    from transect.llm.config import Name
    from transect.llm.keys import new as made

    try:
        msgspec.convert(tenant, Name)
    except msgspec.ValidationError:
        return usage(f"`{tenant}` is no name of a tenant: letters, digits, `_`, `.`, `@` and `-`, please")
    key, hashed = made()
    named = tenant if BARE.fullmatch(tenant) else f'"{tenant}"'
    lines = f'[tenants.{named}]\nkeys = ["{hashed}"]\n'
    if add_to is not None:
        return _added(add_to, tenant, key, lines)
    print(f"key of {tenant}, shown only now:\n\n    {key}\n\nfor the configuration:\n")
    print("".join(f"    {line}\n" for line in lines.splitlines()), end="")
    return Exit.DONE


def _added(path: Path, tenant: str, key: str, lines: str) -> int:
    """Append the tenant to the file; if it is in it already, or the file has mistakes, the file stays as it is."""
    from transect.llm.config import ConfigError
    from transect.llm.gateway.settings import parse_gateway

    try:
        text = whole(path).decode() if path.exists() else ""
        if tenant in parse_gateway(text, path).tenants:
            print(f"{tenant} is in {path} already: add the hash to its `keys`\n", file=sys.stderr)
            print(f"key of {tenant}, shown only now:\n\n    {key}\n\n{lines.splitlines()[1]}")
            return Exit.NO
        with path.open("a", encoding="utf-8") as file:
            file.write(("" if text.endswith("\n\n") or not text else "\n") + lines)
    except ConfigError as wrong:
        print(str(wrong).strip())
        return Exit.NO
    except OSError as wrong:
        return usage(f"{path}: {wrong.strerror}")
    print(f"key of {tenant}, shown only now:\n\n    {key}\n\n{path} has its hash")
    return Exit.DONE
