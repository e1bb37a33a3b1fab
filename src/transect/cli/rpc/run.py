# SPDX-License-Identifier: Apache-2.0
"""`transect rpc run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.progress import working


def run(
    chain: Annotated[Path, typer.Argument(metavar="CHAIN", help="A file with `chain = Chain(…)`.")],
    envoy: Annotated[
        str | None,
        typer.Option(
            "--envoy",
            metavar="PATH",
            show_default=False,
            help="The Envoy; else the one on PATH, else the wheel's.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", show_default=False, help="For status, set, record; else the file's."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, show_default=False, help="Envoy's threads; else one a core."
        ),
    ] = None,
) -> int:
    """Put a chain of elements in front of a service, in a stock Envoy, until Ctrl-C.

    The file is parsed, never imported. The chain is compiled to a native module and checked against the very Envoy that
    is to load it before anything starts.
    """
    from transect.control.server import Taken
    from transect.rpc.build import BuildError
    from transect.rpc.envoy.process import EnvoyFailed
    from transect.rpc.run import Invalid
    from transect.rpc.run import run as serve

    try:
        with working("compiling the chain and starting Envoy") as ready:

            def say(text: str) -> None:
                ready()
                print(text, flush=True)

            serve(chain, envoy=envoy, name=name, workers=workers, say=say)
    except Invalid as wrong:
        print(wrong)
        return Exit.NO
    except (EnvoyFailed, BuildError, Taken) as wrong:
        print(f"transect: {wrong}", file=sys.stderr)
        return Exit.UNAVAILABLE
    return Exit.DONE
