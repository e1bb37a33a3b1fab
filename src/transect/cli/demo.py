# SPDX-License-Identifier: Apache-2.0
"""`transect demo`."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from transect.base.unavailable import Unavailable
from transect.cli.checking import in_color
from transect.cli.exits import Exit
from transect.cli.strata import Stratum, need_packages
from transect.demos.paint import YELLOW, painted
from transect.demos.shown import Shown


def demo(
    stratum: Annotated[
        Stratum | None,
        typer.Argument(
            metavar="STRATUM", show_default=False, help="Only this one; without it, all there are."
        ),
    ] = None,
) -> int:
    """Show the main job of each stratum on real parts: no root, nothing left behind.

    What is real is said in each headline, what is not in yellow.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # through a pipe, too, a line is there when it is said
    shown = [DEMOS[stratum]()] if stratum else [_shown(name) for name in Stratum]
    if stand_ins := [text for one in shown for text in one.stand_ins]:
        instead = "; ".join(stand_ins)
        said = f"Some parts are missing. Shown instead: {instead}. `transect doctor` says what to install."
        print(f"\n{painted(said, YELLOW, in_color())}")
    return Exit.DONE if all(one.right for one in shown) else Exit.NO


def _shown(stratum: Stratum) -> Shown:
    """The demonstration of one of all; one that cannot be given here is no reason to end the others."""
    try:
        return DEMOS[stratum]()
    except Unavailable as lacking:
        print(painted(f"{stratum}: not shown, for lack of {lacking}", YELLOW, in_color()))
        return Shown(True, (f"nothing for {stratum}",))


def _rpc() -> Shown:
    need_packages(Stratum.RPC)
    from transect.demos.rpc import run

    return run(color=in_color())


def _llm() -> Shown:
    from transect.demos.llm import run

    return run(color=in_color())


def _cpu() -> Shown:
    from transect.demos.cpu import run

    return run(color=in_color())


def _memory() -> Shown:
    from transect.demos.memory import run

    return run(color=in_color())


DEMOS = {Stratum.RPC: _rpc, Stratum.LLM: _llm, Stratum.CPU: _cpu, Stratum.MEMORY: _memory}
