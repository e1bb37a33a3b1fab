# SPDX-License-Identifier: Apache-2.0
"""`transect llm calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transect.base.room import put
from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.progress import working


def calibrate(
    profile: Annotated[
        Path,
        typer.Argument(
            metavar="PROFILE",
            exists=True,
            dir_okay=False,
            help="JSON: {input: {output: [batch, prefill s, decode s per request]}}.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The model's name.")],
    memory: Annotated[
        int, typer.Option("--memory", metavar="TOKENS", help="Tokens that the key-value cache holds.")
    ],
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="SECONDS", help="How long the run of --trace took on the real engine."
        ),
    ],
    trace: Annotated[
        str,
        typer.Option(
            "--trace", metavar="NAME|CSV", help="A run of the real engine, first come first served."
        ),
    ] = "real",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", show_default=False, help="Write the model there."),
    ] = None,
) -> int:
    """Make an engine model from a measured profile and the total time of one run.

    All times come from the profile; one scalar is fitted on the run, and the model says so.
    """
    from transect.llm.simulator.calibrate import model_text

    try:
        with working("fitting"):
            text = model_text(profile, name, memory, trace, seconds)
    except ValueError as error:
        return usage(str(error))
    if output is None:
        print(text, end="")
    else:
        put(output, text.encode())
        print(output)
    return Exit.DONE
