# SPDX-License-Identifier: Apache-2.0
"""`transect rpc calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import refused, tell
from transect.cli.progress import working


def calibrate(
    chains: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CHAIN",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="Chain files whose elements are measured.",
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            "--profile",
            metavar="FILE",
            show_default=False,
            help="Write the costs there; else below ~/.cache/transect.",
        ),
    ] = None,
    elements: Annotated[
        bool, typer.Option("--elements", help="Measure the elements only; the other costs are known.")
    ] = False,
) -> int:
    """Measure what calls, processors and elements cost on this machine, for `transect rpc plan`.

    Real calls go through real Envoys and library attachments, in turns, for about half a minute. Nothing else should
    run meanwhile: what others take from the processors counts as cost.
    """
    from transect.base.render import render_text
    from transect.emit.toolchain import BuildError
    from transect.rpc.chain.file import read_edges
    from transect.rpc.envoy.process import EnvoyFailed
    from transect.rpc.placement import calibrate as measuring
    from transect.rpc.placement import profile as profiles

    reads = [read_edges(path) for path in chains or []]
    for read in reads:
        if read.diagnostics.failed:
            return refused(render_text(read.diagnostics, read.sources))
    edges = [chain for read in reads for chain in read.chains]
    try:
        with working("measuring"):
            if elements:
                found = measuring.extended(profiles.load(profile), edges)
            else:
                found = measuring.calibrate(edges, lambda _: None)
    except measuring.CannotBind as wrong:
        return refused(
            render_text(wrong.diagnostics, {k: text for r in reads for k, text in r.sources.items()})
        )
    except (EnvoyFailed, BuildError) as wrong:
        tell(wrong)
        return Exit.UNAVAILABLE
    print(measuring.text(found))
    print(profiles.save(found, profile))
    return Exit.DONE
