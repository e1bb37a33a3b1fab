# SPDX-License-Identifier: Apache-2.0
"""`transect bench`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from transect.base.diagnostic import closest
from transect.cli import claims
from transect.cli.exits import Exit
from transect.cli.failure import usage


def bench(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", show_default=False, help="Claims; without any, all of them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: all results as one list.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only name the claims.")] = False,
) -> int:
    """Measure the claims of the checkout's benchmarks on this machine.

    Each claim has a target and a baseline measured beside it. The exit code is 1 when a claim does not hold, and 4 when
    one could not be decided (noise, something missing).
    """
    known = claims.known(claims.folder())
    if listed:
        print("\n".join(known))
        return Exit.DONE
    for name in ids or []:
        if name not in known:
            close = closest(name, known)
            return usage(f"no claim `{name}`", f"did you mean {close}?" if close else "transect bench --list")
    results = [_measured(known[name], quiet=as_json) for name in ids or known]
    if as_json:
        print(json.dumps(results, indent=2))
    return claims.verdict(results)


def _measured(claim: claims.Claim, *, quiet: bool) -> claims.Result:
    result = claims.measure(claim)
    if not quiet:
        print("\n".join(claims.lines(claim, result)), flush=True)
    return result
